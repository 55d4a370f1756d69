//! The log itself: groups of frames in, durable.
//!
//! What it leaves out: the files' layout (`frame`, `header`), and reading them back (`recovery`).

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::directory::DataDirectory;
use crate::error::{OpenError, WriteError, ensure_frame_fits};
use crate::file_system::{FileSystem, OsFiles};
use crate::folder::FileError;
use crate::frame::{FrameHeader, Sequence};
use crate::read_back::FrameSource;
use crate::recovery::{self, Recovered};
use crate::segment::Segment;
use crate::snapshot::SnapshotWriter;
use crate::status::{Inventory, LogWatcher, locked};

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
/// use commit_log::{DataDirectory, ExpectedIdentity, Log};
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
pub struct Log<F: FileSystem = OsFiles> {
    directory: Arc<DataDirectory<F>>,
    inventory: Arc<Mutex<Inventory>>,
    segment: Segment<F>,
    /// Frames of the current group that are not written yet.
    pending: Vec<u8>,
    next: Sequence,
    /// The first frame of the current group: all below it are synced.
    durable_below: Sequence,
    /// Whether a frame of the caller's is in the current group: a seal needs no sync of its own.
    has_unsynced: bool,
    has_failed: bool,
}

impl<F: FileSystem> Log<F> {
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
        directory: DataDirectory<F>,
        mut on_frame: impl FnMut(FrameSource, &[u8]) -> Result<(), E>,
    ) -> Result<Self, OpenError<E>> {
        let recovered = recovery::recover(&directory, &mut on_frame)?;
        let Recovered {
            next,
            active,
            segments,
            snapshot,
        } = recovered;
        let inventory = Inventory {
            segments,
            snapshot,
            ..Inventory::default()
        };
        Ok(Self {
            directory: Arc::new(directory),
            inventory: Arc::new(Mutex::new(inventory)),
            segment: active,
            pending: Vec::new(),
            next,
            durable_below: next,
            has_unsynced: false,
            has_failed: false,
        })
    }

    /// Adds a frame to the current group. It is durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// If the frame is empty or too large, and then nothing changed; or if the log failed.
    pub fn append(&mut self, payload: &[u8]) -> Result<Sequence, WriteError> {
        ensure_frame_fits(payload)?;
        self.fatal(|log| {
            let sequence = log.next;
            log.push(payload);
            log.has_unsynced = true;
            if log.pending.len() >= PENDING_BYTES_MAX {
                log.write_pending()?;
            }
            Ok(sequence)
        })
    }

    /// Ends the group: makes every frame appended so far durable.
    ///
    /// # Errors
    ///
    /// If the log failed. It is not known which frames of the group are durable.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.fatal(|log| {
            if log.has_unsynced {
                log.sync_group()?;
            }
            Ok(())
        })
    }

    /// Seals the last group: writes down that it was synced. Without that, damage to it looks like
    /// a write that a crash tore, and is cut; with it, it is refused.
    ///
    /// A group is sealed by the next one anyway, so call this when none has followed for a while.
    /// It costs one small write and no sync: a crash may lose the seal, and nothing else. Where
    /// there is nothing to seal, it does nothing.
    ///
    /// # Errors
    ///
    /// If the seal cannot be written. The log goes on, and writes it with the next group.
    pub fn seal(&mut self) -> Result<(), WriteError> {
        if self.has_failed {
            return Err(WriteError::Failed);
        }
        // A segment's beginning seals all before it.
        let begins_a_segment = self.segment.first == self.next;
        if self.durable_below == self.next && !begins_a_segment {
            self.push(&[]);
            self.write_pending()?;
        }
        Ok(())
    }

    /// Ends the group, and lets the next frame begin a new file; returns that frame's number.
    ///
    /// An encoder with state, such as a dictionary of names, starts anew with it.
    ///
    /// # Errors
    ///
    /// If the log failed.
    pub fn rotate(&mut self) -> Result<Sequence, WriteError> {
        self.fatal(|log| {
            log.sync_group()?;
            if log.segment.first != log.next {
                let replica = log.directory.identity().replica;
                log.segment = Segment::create(log.directory.folder(), replica, log.next)?;
                let mut inventory = locked(&log.inventory);
                inventory
                    .segments
                    .insert(log.segment.first, log.segment.bytes());
            }
            Ok(log.next)
        })
    }

    /// The first frame of the segment that is being appended to.
    #[must_use]
    pub fn active_segment(&self) -> Sequence {
        self.segment.first
    }

    /// Starts a snapshot that will stand for all frames below `below`, where a segment begins: a
    /// number that [`rotate`](Self::rotate) gave since the last finished snapshot, or the
    /// [active segment](Self::active_segment).
    ///
    /// Its frames must hold the effect of every frame below that, and may hold more that is
    /// durable, if replaying a frame twice is harmless.
    ///
    /// A snapshot that failed, here or later, may be tried again with the same number, without
    /// another rotation.
    ///
    /// # Errors
    ///
    /// If another is being written, or the file cannot be created. The log goes on, and nothing is
    /// left behind.
    ///
    /// # Panics
    ///
    /// If no segment begins with `below`.
    pub fn snapshot(&self, below: Sequence) -> Result<SnapshotWriter<F>, WriteError> {
        let (directory, inventory) = (Arc::clone(&self.directory), Arc::clone(&self.inventory));
        SnapshotWriter::create(directory, inventory, below)
    }

    /// The directory, which stays locked until the last who has it is gone.
    #[must_use]
    pub fn directory(&self) -> &Arc<DataDirectory<F>> {
        &self.directory
    }

    /// A view of the log's status for other threads.
    #[must_use]
    pub fn watcher(&self) -> LogWatcher {
        LogWatcher(Arc::clone(&self.inventory))
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

    /// Puts a frame at the end of the current group.
    fn push(&mut self, payload: &[u8]) {
        let header = FrameHeader::new(self.segment.seed, self.next, self.durable_below, payload);
        self.pending.extend_from_slice(&header.encode());
        self.pending.extend_from_slice(payload);
        self.next = self.next.next();
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
        self.has_unsynced = false;
        let mut inventory = locked(&self.inventory);
        inventory
            .segments
            .insert(self.segment.first, self.segment.bytes());
        inventory.sync_count += 1;
        inventory.last_sync = started.elapsed();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
