//! A segment: a header, then frames, appended by the one commit thread.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::files::{FileContext, FileError, LogFile, publish, temporary_path};
use crate::frame::{Seed, Sequence};
use crate::header::{FILE_HEADER_BYTES, FileHeader, FileKind};

/// The segment that is being appended to.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first: Sequence,
    pub(crate) seed: Seed,
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl Segment {
    /// Creates an empty segment that survives a power loss. One of the same name, which has no
    /// frames, is replaced.
    pub(crate) fn create(
        directory: &Path,
        replica: u128,
        first: Sequence,
    ) -> Result<Self, FileError> {
        let path = LogFile::Segment(first).path(directory);
        let (file, seed) = create_with_header(&path, FileKind::Segment, replica, first)?;
        publish(&file, &path)?;
        Ok(Self {
            first,
            seed,
            file,
            path,
            bytes: FILE_HEADER_BYTES as u64,
        })
    }

    /// Opens a segment without frames, to append to it.
    pub(crate) fn open_empty(
        directory: &Path,
        first: Sequence,
        seed: Seed,
    ) -> Result<Self, FileError> {
        let path = LogFile::Segment(first).path(directory);
        let mut file = OpenOptions::new()
            .write(true)
            .open(&path)
            .on("open", &path)?;
        let bytes = file.seek(SeekFrom::End(0)).on("seek in", &path)?;
        assert_eq!(
            bytes, FILE_HEADER_BYTES as u64,
            "only a segment without frames is reused"
        );
        Ok(Self {
            first,
            seed,
            file,
            path,
            bytes,
        })
    }

    /// Writes whole frames; they are durable after [`sync`](Self::sync).
    pub(crate) fn write(&mut self, frames: &[u8]) -> Result<(), FileError> {
        self.file.write_all(frames).on("write", &self.path)?;
        self.bytes += frames.len() as u64;
        Ok(())
    }

    /// Makes all that was written durable, the file's length included.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().on("sync", &self.path)
    }

    /// Bytes written, with the header.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes every further write fail as if the disk were full.
    #[cfg(test)]
    pub(crate) fn break_for_test(&mut self) {
        self.file = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
    }
}

/// Starts a file under its temporary name, with a header of its own salt.
pub(crate) fn create_with_header(
    path: &Path,
    kind: FileKind,
    replica: u128,
    sequence: Sequence,
) -> Result<(File, Seed), FileError> {
    let temporary = temporary_path(path);
    let salt = getrandom::u64()
        .map_err(Into::into)
        .on("draw a salt for", &temporary)?;
    let header = FileHeader {
        kind,
        replica,
        sequence,
        salt,
    };
    let mut file = File::create(&temporary).on("create", &temporary)?;
    file.write_all(&header.encode()).on("write", &temporary)?;
    Ok((file, header.seed()))
}
