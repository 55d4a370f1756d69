//! A segment: a header, then frames, appended by the one commit thread.

use std::path::PathBuf;

use crate::file_system::{File as _, FileSystem};
use crate::folder::{FileContext as _, FileError, Folder, LogFile};
use crate::frame::{Seed, Sequence};
use crate::header::{FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, FileKind};

/// The segment that is being appended to.
#[derive(Debug)]
pub(crate) struct Segment<F: FileSystem> {
    pub(crate) first: Sequence,
    pub(crate) seed: Seed,
    file: F::File,
    path: PathBuf,
    bytes: u64,
}

impl<F: FileSystem> Segment<F> {
    /// Creates an empty segment that survives a power loss. One of the same name, which has no
    /// frames, is replaced.
    pub(crate) fn create(
        folder: &Folder<F>,
        replica: u128,
        first: Sequence,
    ) -> Result<Self, FileError> {
        let name = LogFile::Segment(first).name();
        let header = FileHeader {
            kind: FileKind::Segment,
            version: FORMAT_VERSION,
            replica,
            sequence: first,
            salt: folder.random("draw a salt for a segment in")?,
        };
        let file = folder.create_temporary(&name, &header.encode())?;
        folder.publish(&file, &name)?;
        Ok(Self {
            first,
            seed: header.seed(),
            file,
            path: folder.path_of(&name),
            bytes: FILE_HEADER_BYTES as u64,
        })
    }

    /// Opens a segment without frames, to append to it.
    pub(crate) fn open_empty(
        folder: &Folder<F>,
        first: Sequence,
        seed: Seed,
    ) -> Result<Self, FileError> {
        let name = LogFile::Segment(first).name();
        let path = folder.path_of(&name);
        let file = folder.open_to_write(&name)?;
        let bytes = file.length().on("examine", &path)?;
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
        self.file
            .write_all_at(frames, self.bytes)
            .on("write", &self.path)?;
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
}
