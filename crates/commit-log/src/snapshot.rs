//! A snapshot: one file that stands for all frames below a sequence number.
//!
//! It is written beside the running log, by a thread of its own. Only when it is whole, synced and
//! named are the segments and the older snapshot removed that it stands for; a crash at any point
//! leaves either them or it. Its footer holds the number of its frames, and is read before any of
//! them, so a snapshot that lost its end is refused before a byte of it is used.
//!
//! A snapshot that fails costs nothing but its temporary file: the log goes on without it.

use std::sync::{Arc, Mutex};

use crate::directory::DataDirectory;
use crate::error::{WriteError, ensure_frame_fits};
use crate::file_system::{File as _, FileSystem, OsFiles};
use crate::folder::{FileContext as _, FileError, LogFile};
use crate::frame::{FrameHeader, Seed, Sequence};
use crate::header::{FILE_HEADER_BYTES, FORMAT_VERSION, FileHeader, FileKind};
use crate::status::{Inventory, locked};

/// Bytes after a snapshot's last frame.
pub(crate) const FOOTER_BYTES: usize = 20;

const FOOTER_MAGIC: [u8; 8] = *b"TALLYEND";

/// Bytes of a snapshot that wait in memory before they are written, and synced.
const PENDING_BYTES_MAX: usize = 256 * 1024;

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

/// A snapshot that is being written, on any thread. It counts for nothing until it is finished;
/// dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotWriter<F: FileSystem = OsFiles> {
    directory: Arc<DataDirectory<F>>,
    inventory: Arc<Mutex<Inventory>>,
    below: Sequence,
    name: String,
    file: F::File,
    seed: Seed,
    frame_count: u64,
    /// Frames that are not written yet.
    pending: Vec<u8>,
    /// Bytes written.
    bytes: u64,
    is_published: bool,
}

impl<F: FileSystem> SnapshotWriter<F> {
    /// Starts the snapshot of all frames below `below`.
    pub(crate) fn create(
        directory: Arc<DataDirectory<F>>,
        inventory: Arc<Mutex<Inventory>>,
        below: Sequence,
    ) -> Result<Self, WriteError> {
        {
            let mut inventory = locked(&inventory);
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
        let name = LogFile::Snapshot(below).name();
        let created = create_file(&directory, &name, below);
        let (file, seed) = created.inspect_err(|_| locked(&inventory).snapshot_running = false)?;
        Ok(Self {
            directory,
            inventory,
            below,
            name,
            file,
            seed,
            frame_count: 0,
            pending: Vec::new(),
            bytes: FILE_HEADER_BYTES as u64,
            is_published: false,
        })
    }

    /// Adds a frame.
    ///
    /// # Errors
    ///
    /// If the frame is too large or cannot be written: the snapshot is to be dropped.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        ensure_frame_fits(payload)?;
        // The file as a whole is synced before it has its name, so no frame has to say what was.
        let number = Sequence::new(self.frame_count).next();
        let header = FrameHeader::new(self.seed, number, Sequence::ZERO, payload);
        self.pending.extend_from_slice(&header.encode());
        self.pending.extend_from_slice(payload);
        self.frame_count += 1;
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.write_pending()?;
        }
        Ok(())
    }

    /// Makes the snapshot durable, then removes what it stands for.
    ///
    /// # Errors
    ///
    /// If either fails. Nothing is lost: what was not removed is removed after the next snapshot,
    /// or, where its removal had begun, when the log is next opened.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.publish()?;
        {
            let mut inventory = locked(&self.inventory);
            inventory.snapshot = Some((self.below, self.bytes));
            inventory.segments = inventory.segments.split_off(&self.below);
        }
        let folder = self.directory.folder();
        // What a power loss brings back is removed again when the log is next opened.
        for name in folder.listing()?.covered(self.below) {
            folder.remove_in_pieces(&name)?;
        }
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), FileError> {
        let path = || self.directory.folder().temporary_path(&self.name);
        let written = self.file.write_all_at(&self.pending, self.bytes);
        written.or_else(|source| Err(source).on("write", &path()))?;
        self.bytes += self.pending.len() as u64;
        self.pending.clear();
        // In pieces: a group of the log that is synced at the same time waits for one of them, and
        // not for all that was written.
        self.file.sync_data().on("sync", &path())
    }

    fn publish(&mut self) -> Result<(), FileError> {
        let footer = Footer {
            frame_count: self.frame_count,
        };
        self.pending.extend_from_slice(&footer.encode(self.seed));
        self.write_pending()?;
        self.directory.folder().publish(&self.file, &self.name)?;
        self.is_published = true;
        Ok(())
    }
}

fn create_file<F: FileSystem>(
    directory: &DataDirectory<F>,
    name: &str,
    below: Sequence,
) -> Result<(F::File, Seed), FileError> {
    let folder = directory.folder();
    let header = FileHeader {
        kind: FileKind::Snapshot,
        version: FORMAT_VERSION,
        replica: directory.identity().replica,
        sequence: below,
        salt: folder.random("draw a salt for a snapshot in")?,
    };
    let file = folder.create_temporary(name, &header.encode())?;
    Ok((file, header.seed()))
}

impl<F: FileSystem> Drop for SnapshotWriter<F> {
    fn drop(&mut self) {
        if !self.is_published {
            self.directory.folder().discard(&self.name);
        }
        locked(&self.inventory).snapshot_running = false;
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
