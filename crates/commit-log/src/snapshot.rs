//! A snapshot: one file that stands for all frames below a sequence number.
//!
//! It is written beside the running log, by a thread of its own. Only when it is whole, synced and
//! named are the segments and the older snapshot removed that it stands for; a crash at any point
//! leaves either them or it. Its footer holds the number of its frames, and is read before any of
//! them, so a snapshot that lost its end is refused before a byte of it is used.
//!
//! A snapshot that fails costs nothing but its temporary file: the log goes on without it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::files::{
    FileContext, FileError, Listing, LogFile, publish, sync_directory, temporary_path,
};
use crate::frame::{FrameHeader, Seed, Sequence};
use crate::header::{FILE_HEADER_BYTES, FileKind};
use crate::segment::create_with_header;
use crate::status::Shared;
use crate::store::{Snapshot, WriteError, check_frame_bytes};

/// Bytes after a snapshot's last frame.
pub(crate) const FOOTER_BYTES: usize = 20;

const FOOTER_MAGIC: [u8; 8] = *b"TALLYEND";

/// Write buffer of a snapshot, in bytes: its frames are many, and none is waited for.
const WRITE_BUFFER_BYTES: usize = 1024 * 1024;

/// The end of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) frame_count: u64,
}

impl Footer {
    pub(crate) fn encode(self, seed: Seed) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[0..8].copy_from_slice(&FOOTER_MAGIC);
        bytes[8..16].copy_from_slice(&self.frame_count.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed.0, &bytes[..16]);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(seed: Seed, bytes: [u8; FOOTER_BYTES]) -> Option<Self> {
        let count = bytes[8..16].try_into().expect("eight bytes were taken");
        let footer = Self {
            frame_count: u64::from_le_bytes(count),
        };
        (footer.encode(seed) == bytes).then_some(footer)
    }
}

/// A snapshot that is being written. Dropped before it is finished, it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotWriter {
    shared: Arc<Shared>,
    below: Sequence,
    path: PathBuf,
    file: BufWriter<File>,
    seed: Seed,
    frame_count: u64,
    bytes: u64,
    is_published: bool,
}

impl SnapshotWriter {
    /// Starts the snapshot of all frames below `below`.
    pub(crate) fn create(shared: Arc<Shared>, below: Sequence) -> Result<Self, WriteError> {
        {
            let mut inventory = shared.inventory();
            let begins_a_segment = inventory.segments.contains_key(&below);
            assert!(
                begins_a_segment,
                "a snapshot ends where a segment begins, by rotate()"
            );
            if inventory.snapshot_running {
                return Err(WriteError::SnapshotRunning);
            }
            inventory.snapshot_running = true;
        }
        let path = LogFile::Snapshot(below).path(shared.directory.path());
        let replica = shared.directory.identity().replica;
        let created = create_with_header(&path, FileKind::Snapshot, replica, below);
        let (file, seed) = created.inspect_err(|_| shared.inventory().snapshot_running = false)?;
        Ok(Self {
            shared,
            below,
            path,
            file: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            seed,
            frame_count: 0,
            bytes: FILE_HEADER_BYTES as u64,
            is_published: false,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file
            .write_all(bytes)
            .on("write", &temporary_path(&self.path))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), FileError> {
        let footer = Footer {
            frame_count: self.frame_count,
        };
        self.write(&footer.encode(self.seed))?;
        self.file.flush().on("write", &temporary_path(&self.path))?;
        publish(self.file.get_ref(), &self.path)?;
        self.is_published = true;
        Ok(())
    }
}

impl Snapshot for SnapshotWriter {
    fn append(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        check_frame_bytes(payload)?;
        // The file as a whole is synced before it has its name, so no frame has to say what was.
        let number = Sequence::new(self.frame_count).next();
        let header = FrameHeader::new(self.seed, number, Sequence::ZERO, payload);
        self.write(&header.encode())?;
        self.write(payload)?;
        self.frame_count += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<(), WriteError> {
        self.publish()?;
        let directory = self.shared.directory.path();
        {
            let mut inventory = self.shared.inventory();
            inventory.snapshot = Some((self.below, self.bytes));
            inventory.segments = inventory.segments.split_off(&self.below);
        }
        Listing::read(directory)?.remove_covered(directory, self.below)?;
        sync_directory(directory)?;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.is_published {
            // If this fails too, the file is removed when the log is next opened.
            let _ = fs::remove_file(temporary_path(&self.path));
        }
        self.shared.inventory().snapshot_running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_is_read_back_and_any_flipped_bit_is_seen() {
        let footer = Footer { frame_count: 3 };
        let bytes = footer.encode(Seed(1));
        assert_eq!(Footer::decode(Seed(1), bytes), Some(footer));
        assert_eq!(Footer::decode(Seed(2), bytes), None);
        for bit in 0..FOOTER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Footer::decode(Seed(1), flipped), None, "bit {bit}");
        }
    }
}
