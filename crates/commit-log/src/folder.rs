//! The files of a data directory: their names, and how one comes to be whole or not at all.
//!
//! Every file is written under a temporary name, synced, renamed, and its directory synced. So a
//! file under its own name was complete when it got that name, and damage to its beginning is
//! never the trace of a crash. What is in the files is the business of `header` and `frame`.

use std::io;
use std::path::{Path, PathBuf};

use crate::file_system::{File as _, FileSystem};
use crate::frame::Sequence;

/// Is locked.
pub(crate) const LOCK_NAME: &str = "lock";

/// Says whose data a directory holds.
pub(crate) const IDENTITY_NAME: &str = "identity";

/// Says that a lane has two histories.
pub(crate) const FORK_NOTE_NAME: &str = "forked";

/// Ends the name of a file that is being written. Leftovers are removed when the log is opened.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Bytes that are given back to the file system at once while the log is written.
const REMOVED_BYTES_MAX: u64 = 4 << 20;

/// Digits of a sequence number in a file name: `u64::MAX` has 20, so names sort like numbers.
const SEQUENCE_DIGITS: usize = 20;

/// A file operation that the operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The operating system's answer.
    pub source: io::Error,
}

/// Says of a failed file operation what was tried, and on which file.
pub(crate) trait FileContext<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> FileContext<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

/// The two kinds of files that hold frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFile {
    /// The frames from this sequence number on, to the next segment.
    Segment(Sequence),
    /// Stands for all frames below this sequence number.
    Snapshot(Sequence),
}

impl LogFile {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Segment(first) => format!("segment-{:0SEQUENCE_DIGITS$}.log", first.get()),
            Self::Snapshot(below) => format!("snapshot-{:0SEQUENCE_DIGITS$}.snap", below.get()),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let number = |digits: &str| {
            let plain =
                digits.len() == SEQUENCE_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
            plain
                .then(|| digits.parse().ok().map(Sequence::new))
                .flatten()
        };
        if let Some(rest) = name.strip_prefix("segment-") {
            return rest
                .strip_suffix(".log")
                .and_then(number)
                .map(Self::Segment);
        }
        let rest = name.strip_prefix("snapshot-")?;
        rest.strip_suffix(".snap")
            .and_then(number)
            .map(Self::Snapshot)
    }
}

/// What a directory holds, in order. Files with other names are none of our business.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) segments: Vec<Sequence>,
    pub(crate) snapshots: Vec<Sequence>,
    /// Names of files that a crash left half-written.
    pub(crate) temporary: Vec<String>,
}

impl Listing {
    /// The names of what the snapshot `below` stands for, oldest first.
    pub(crate) fn covered(&self, below: Sequence) -> impl Iterator<Item = String> {
        let segments = self.segments.iter().copied().map(LogFile::Segment);
        let snapshots = self.snapshots.iter().copied().map(LogFile::Snapshot);
        let is_covered = move |file: &LogFile| {
            let (LogFile::Segment(sequence) | LogFile::Snapshot(sequence)) = *file;
            sequence < below
        };
        segments
            .chain(snapshots)
            .filter(is_covered)
            .map(LogFile::name)
    }
}

/// A directory, and the operations that a log does in it.
#[derive(Clone, Debug)]
pub(crate) struct Folder<F> {
    files: F,
    path: PathBuf,
}

impl<F: FileSystem> Folder<F> {
    /// Creates the directory if need be, so that it survives a power loss.
    pub(crate) fn create(files: F, path: &Path) -> Result<Self, FileError> {
        files.create_directory(path).on("create directory", path)?;
        let path = path.to_owned();
        Ok(Self { files, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What the file has until it is complete.
    pub(crate) fn temporary_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{TEMPORARY_SUFFIX}"))
    }

    /// Locks a file; nothing, if somebody else has.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Option<F::Lock>, FileError> {
        let path = self.path_of(name);
        match self.files.lock(&path) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(source) => Err(source).on("lock", &path),
        }
    }

    pub(crate) fn random(&self, purpose: &'static str) -> Result<u64, FileError> {
        self.files.random().on(purpose, &self.path)
    }

    pub(crate) fn listing(&self) -> Result<Listing, FileError> {
        let mut listing = Listing::default();
        for name in self.files.list(&self.path).on("list", &self.path)? {
            match LogFile::parse(&name) {
                Some(LogFile::Segment(first)) => listing.segments.push(first),
                Some(LogFile::Snapshot(below)) => listing.snapshots.push(below),
                None => {
                    let stem = name.strip_suffix(TEMPORARY_SUFFIX);
                    let is_ours = |stem: &str| {
                        [IDENTITY_NAME, FORK_NOTE_NAME].contains(&stem)
                            || LogFile::parse(stem).is_some()
                    };
                    if stem.is_some_and(is_ours) {
                        listing.temporary.push(name);
                    }
                }
            }
        }
        listing.segments.sort_unstable();
        listing.snapshots.sort_unstable();
        Ok(listing)
    }

    pub(crate) fn open(&self, name: &str) -> Result<F::File, FileError> {
        let path = self.path_of(name);
        self.files.open(&path).on("open", &path)
    }

    pub(crate) fn open_to_write(&self, name: &str) -> Result<F::File, FileError> {
        let path = self.path_of(name);
        self.files.open_to_write(&path).on("open", &path)
    }

    /// Reads a small file of text, if there is one.
    pub(crate) fn read_text(&self, name: &str) -> Result<Option<String>, FileError> {
        let path = self.path_of(name);
        let text = |bytes| {
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            String::from_utf8(bytes).map(Some).map_err(invalid)
        };
        match self.files.read(&path).and_then(text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.on("read", &path),
        }
    }

    /// Starts a file under its temporary name. If that fails, nothing is left behind.
    pub(crate) fn create_temporary(
        &self,
        name: &str,
        first_bytes: &[u8],
    ) -> Result<F::File, FileError> {
        let path = self.temporary_path(name);
        let file = self.files.create(&path).on("create", &path)?;
        let written = file.write_all_at(first_bytes, 0).on("write", &path);
        written.inspect_err(|_| self.discard(name))?;
        Ok(file)
    }

    /// Gives a complete file, written under its temporary name, its own name, durably.
    pub(crate) fn publish(&self, file: &F::File, name: &str) -> Result<(), FileError> {
        let temporary = self.temporary_path(name);
        file.sync_all().on("sync", &temporary)?;
        let renamed = self.files.rename(&temporary, &self.path_of(name));
        renamed.on("rename to its final name", &temporary)?;
        self.sync()
    }

    /// Writes a small file of text, durably, in place of one of its name.
    pub(crate) fn write_text(&self, name: &str, text: &str) -> Result<(), FileError> {
        let file = self.create_temporary(name, text.as_bytes())?;
        self.publish(&file, name)
            .inspect_err(|_| self.discard(name))
    }

    /// Removes a file that was not published.
    pub(crate) fn discard(&self, name: &str) {
        // If this fails too, the file is removed when the log is next opened.
        let _ = self.files.remove(&self.temporary_path(name));
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), FileError> {
        let path = self.path_of(name);
        self.files.remove(&path).on("remove", &path)
    }

    /// Removes a file so that a sync of another one never waits for long: the space of a large file
    /// is given back in pieces. It has its temporary name meanwhile, since its end is gone.
    pub(crate) fn remove_in_pieces(&self, name: &str) -> Result<(), FileError> {
        let temporary = self.temporary_path(name);
        let renamed = self.files.rename(&self.path_of(name), &temporary);
        renamed.on("rename to its temporary name", &self.path_of(name))?;
        let file = self
            .files
            .open_to_write(&temporary)
            .on("open", &temporary)?;
        let mut length = file.length().on("examine", &temporary)?;
        while length > REMOVED_BYTES_MAX {
            length -= REMOVED_BYTES_MAX;
            let cut = file.set_length(length).and_then(|()| file.sync_all());
            cut.on("cut", &temporary)?;
        }
        self.files.remove(&temporary).on("remove", &temporary)
    }

    /// Makes the names in the directory durable.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.files.sync_directory(&self.path).on("sync", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_read_back_and_sort_like_numbers() {
        for file in [
            LogFile::Segment(Sequence::new(u64::MAX)),
            LogFile::Snapshot(Sequence::new(7)),
        ] {
            assert_eq!(LogFile::parse(&file.name()), Some(file));
        }
        let nine = LogFile::Segment(Sequence::new(9)).name();
        assert!(nine < LogFile::Segment(Sequence::new(10)).name());
    }

    #[test]
    fn other_names_are_not_log_files() {
        let names = [
            "segment-1.log",
            "segment-+0000000000000000001.log",
            "segment-99999999999999999999.log",
            "segment-00000000000000000001.log.bak",
            "snapshot-00000000000000000001.log",
            "identity",
        ];
        for name in names {
            assert_eq!(LogFile::parse(name), None, "{name}");
        }
    }
}
