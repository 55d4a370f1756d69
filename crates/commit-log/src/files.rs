//! The files of a data directory: their names, and how one comes to be whole or not at all.
//!
//! Every file is written under a temporary name, synced, renamed, and its directory synced. So a
//! file under its own name was complete when it got that name, and damage to its beginning is
//! never the trace of a crash. What is in the files is the business of `header` and `frame`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::frame::Sequence;

/// Ends the name of a file that is being written. Leftovers are removed when the log is opened.
const TEMPORARY_SUFFIX: &str = ".tmp";

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
    pub(crate) fn path(self, directory: &Path) -> PathBuf {
        let name = match self {
            Self::Segment(first) => format!("segment-{:0SEQUENCE_DIGITS$}.log", first.get()),
            Self::Snapshot(below) => format!("snapshot-{:0SEQUENCE_DIGITS$}.snap", below.get()),
        };
        directory.join(name)
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
    /// Segments and snapshots that a crash left half-written.
    pub(crate) temporary: Vec<PathBuf>,
}

impl Listing {
    pub(crate) fn read(directory: &Path) -> Result<Self, FileError> {
        let mut listing = Self::default();
        for entry in fs::read_dir(directory).on("list", directory)? {
            let entry = entry.on("list", directory)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            match LogFile::parse(name) {
                Some(LogFile::Segment(first)) => listing.segments.push(first),
                Some(LogFile::Snapshot(below)) => listing.snapshots.push(below),
                None => {
                    let stem = name.strip_suffix(TEMPORARY_SUFFIX);
                    if stem.and_then(LogFile::parse).is_some() {
                        listing.temporary.push(entry.path());
                    }
                }
            }
        }
        listing.segments.sort_unstable();
        listing.snapshots.sort_unstable();
        Ok(listing)
    }

    /// Removes what the snapshot `below` stands for, oldest first.
    pub(crate) fn remove_covered(
        &self,
        directory: &Path,
        below: Sequence,
    ) -> Result<(), FileError> {
        let segments = self.segments.iter().copied().map(LogFile::Segment);
        let snapshots = self.snapshots.iter().copied().map(LogFile::Snapshot);
        for file in segments.chain(snapshots) {
            let (LogFile::Segment(sequence) | LogFile::Snapshot(sequence)) = file;
            if sequence < below {
                let path = file.path(directory);
                fs::remove_file(&path).on("remove", &path)?;
            }
        }
        Ok(())
    }
}

/// The name that a file has until it is complete.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

/// Gives a complete file, written under its temporary name, its own name, durably.
pub(crate) fn publish(file: &File, path: &Path) -> Result<(), FileError> {
    let temporary = temporary_path(path);
    file.sync_all().on("sync", &temporary)?;
    fs::rename(&temporary, path).on("rename to its final name", &temporary)?;
    sync_directory(path.parent().expect("a data file is in the data directory"))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), FileError> {
    File::open(directory)
        .and_then(|handle| handle.sync_all())
        .on("sync", directory)
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
            let path = file.path(Path::new(""));
            assert_eq!(LogFile::parse(path.to_str().expect("ASCII")), Some(file));
        }
        let nine = LogFile::Segment(Sequence::new(9)).path(Path::new(""));
        assert!(nine < LogFile::Segment(Sequence::new(10)).path(Path::new("")));
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
