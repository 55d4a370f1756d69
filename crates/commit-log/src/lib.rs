//! The log: what makes a replica's commits durable.
//!
//! The commit thread [appends](Store::append) the frames of one group and [syncs](Store::sync)
//! once; only then may anything of the group be acknowledged or sent. Replaying all frames gives
//! the state back. A [snapshot](Store::snapshot) of the state replaces the frames before it, which
//! bounds the disk and the start-up time. The store is behind a trait, since counters that outgrow
//! one machine's memory need another one.
//!
//! What it leaves out: what a frame says (`wire`), when to sync or to snapshot (the commit loop).
//! It runs on Unix: directories are synced.
//!
//! # The directory
//!
//! | file | is |
//! | --- | --- |
//! | `lock` | empty; locked (`flock`) by the process that uses the directory |
//! | `identity` | cluster, number of shards, replica id: a few lines of text |
//! | `segment-N.log` | the frames from number N to the next segment's |
//! | `snapshot-N.snap` | stands for all frames below N; `segment-N.log` is there too |
//! | `*.tmp` | a file that a crash left half-written; removed when the log is opened |
//!
//! N has 20 digits. Files other than `lock` are written as `*.tmp`, synced, renamed, and the
//! directory synced. Each process start appends to a new segment.
//!
//! # The files
//!
//! Integers are little-endian, but for the replica id; offsets are in bytes. A *header* of 48
//! bytes begins both kinds of files:
//!
//! | at | bytes | is |
//! | --- | --- | --- |
//! | 0 | 8 | `TALLYSEG` or `TALLYSNP` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 16 | replica id, big-endian, as in `identity` |
//! | 28 | 8 | N, as in the file's name |
//! | 36 | 8 | salt, random |
//! | 44 | 4 | CRC-32C of bytes 0 to 43; the *seed* of the file's other checksums |
//!
//! *Frames* follow without gaps:
//!
//! | at | bytes | is |
//! | --- | --- | --- |
//! | 0 | 4 | length of the payload, at most [`FRAME_BYTES_MAX`] |
//! | 4 | 4 | CRC-32C, continued from the seed, over bytes 0 to 3, 8 to 23, and the payload |
//! | 8 | 8 | sequence number: one more than the frame before, N for the first of a segment |
//! | 16 | 8 | durable below: frames below this number were synced before this one was written, so it is the number of the first frame of this frame's group |
//! | 24 | length | payload |
//!
//! In a snapshot frames are numbered from 1, "durable below" is 0, and a *footer* of 20 bytes ends
//! the file: `TALLYEND`, the number of frames (8 bytes), and the CRC-32C of these 16, continued
//! from the seed.
//!
//! How a torn tail is told from damage, and why it has to be: see `log/tail.rs`.

mod directory;
mod error;
mod files;
mod frame;
mod header;
mod identity;
mod recovery;
mod segment;
mod snapshot;
mod status;
mod store;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use frame::FrameHeader;
use segment::Segment;
use status::{Inventory, Shared};

pub use directory::{DataDirectory, DirectoryError, ExpectedIdentity};
pub use error::{LogError, OpenError};
pub use files::FileError;
pub use frame::{FRAME_BYTES_MAX, Sequence};
pub use identity::{CLUSTER_NAME_BYTES_MAX, Identity, is_cluster_name};
pub use recovery::FrameSource;
pub use snapshot::SnapshotWriter;
pub use status::{LogStatus, LogWatcher};
pub use store::{Snapshot, Store, WriteError};

/// Bytes that wait in memory before they are written, though not synced: what one system call
/// moves well, and a bound on the memory of a group of any size.
const PENDING_BYTES_MAX: usize = 1024 * 1024;

/// The log of one data directory, owned by the commit thread.
///
/// A failed write or sync is fatal: the kernel may have dropped what it could not write, so the
/// log cannot know its own end any more. It refuses everything from then on, and the caller stops
/// the process; the next start reads what is really there.
///
/// ```
/// use commit_log::{DataDirectory, ExpectedIdentity, Log, Snapshot, Store};
///
/// let parent = tempfile::tempdir()?;
/// let expected = ExpectedIdentity { cluster: "likes".to_owned(), shard_count: 16 };
/// let open = |frames: &mut Vec<Vec<u8>>| {
///     let directory = DataDirectory::open_or_create(&parent.path().join("a"), &expected)?;
///     Log::open(directory, |_source, payload| {
///         frames.push(payload.to_vec());
///         Ok::<(), std::convert::Infallible>(())
///     })
///     .map_err(Box::<dyn std::error::Error>::from)
/// };
///
/// let mut log = open(&mut Vec::new())?;
/// log.append(b"one")?;
/// log.append(b"two")?;
/// log.sync()?; // Both are durable: acknowledge them, send them.
///
/// let below = log.rotate()?;
/// let mut snapshot = log.snapshot(below)?;
/// snapshot.append(b"one and two")?;
/// snapshot.finish()?;
/// drop(log);
///
/// let mut frames = Vec::new();
/// open(&mut frames)?;
/// assert_eq!(frames, [b"one and two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    segment: Segment,
    /// Frames of the current group that are not written yet.
    pending: Vec<u8>,
    next: Sequence,
    /// The first frame of the current group: all below it are synced.
    durable_below: Sequence,
    has_failed: bool,
}

impl Log {
    /// Reads the log of a directory back, frame by frame, and makes it ready to be appended to.
    /// Everything that was handed over is durable when this returns. If it returns an error, what
    /// was handed over is void.
    ///
    /// Of a group that was not synced any number of frames may come back, so what must be applied
    /// whole is one frame, or is dropped by the caller if the file ends within it.
    ///
    /// # Errors
    ///
    /// If the log is not as it was written, if `on_frame` refuses a frame, or if a file cannot be
    /// read or written. In the first two cases nothing was changed.
    pub fn open<E>(
        directory: DataDirectory,
        mut on_frame: impl FnMut(FrameSource, &[u8]) -> Result<(), E>,
    ) -> Result<Self, OpenError<E>> {
        let recovered = recovery::recover(&directory, &mut on_frame)?;
        let recovery::Recovered {
            next,
            active,
            mut segments,
            snapshot,
        } = recovered;
        segments.insert(active.first, active.bytes());
        let inventory = Mutex::new(Inventory {
            segments,
            snapshot,
            ..Inventory::default()
        });
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                inventory,
            }),
            segment: active,
            pending: Vec::new(),
            next,
            durable_below: next,
            has_failed: false,
        })
    }

    /// A view of the log's status for other threads.
    #[must_use]
    pub fn watcher(&self) -> LogWatcher {
        LogWatcher(Arc::clone(&self.shared))
    }

    /// Does what may fail half-way; after it failed once, nothing is done any more.
    fn fatal<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, FileError>,
    ) -> Result<T, WriteError> {
        if self.has_failed {
            return Err(WriteError::Failed);
        }
        // Before the attempt, so that no way out of it leaves the log usable by accident.
        self.has_failed = true;
        let value = action(self)?;
        self.has_failed = false;
        Ok(value)
    }

    fn write_pending(&mut self) -> Result<(), FileError> {
        self.segment.write(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    fn sync_group(&mut self) -> Result<(), FileError> {
        if self.durable_below == self.next {
            return Ok(());
        }
        let started = Instant::now();
        self.write_pending()?;
        self.segment.sync()?;
        self.durable_below = self.next;
        let mut inventory = self.shared.inventory();
        inventory
            .segments
            .insert(self.segment.first, self.segment.bytes());
        inventory.sync_count += 1;
        inventory.last_sync = started.elapsed();
        Ok(())
    }
}

impl Store for Log {
    type Snapshot = SnapshotWriter;

    fn append(&mut self, payload: &[u8]) -> Result<Sequence, WriteError> {
        store::check_frame_bytes(payload)?;
        self.fatal(|log| {
            let sequence = log.next;
            let header = FrameHeader::new(log.segment.seed, sequence, log.durable_below, payload);
            log.pending.extend_from_slice(&header.encode());
            log.pending.extend_from_slice(payload);
            log.next = sequence.next();
            if log.pending.len() >= PENDING_BYTES_MAX {
                log.write_pending()?;
            }
            Ok(sequence)
        })
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        self.fatal(Self::sync_group)
    }

    fn rotate(&mut self) -> Result<Sequence, WriteError> {
        self.fatal(|log| {
            log.sync_group()?;
            if log.segment.first != log.next {
                let directory = &log.shared.directory;
                let replica = directory.identity().replica;
                log.segment = Segment::create(directory.path(), replica, log.next)?;
                let mut inventory = log.shared.inventory();
                inventory
                    .segments
                    .insert(log.segment.first, log.segment.bytes());
            }
            Ok(log.next)
        })
    }

    fn snapshot(&self, below: Sequence) -> Result<SnapshotWriter, WriteError> {
        SnapshotWriter::create(Arc::clone(&self.shared), below)
    }
}
