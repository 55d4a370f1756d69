//! What is on disk, as the log and its snapshot writer know it, for those who watch them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::frame::Sequence;

/// What a log holds and has done, for those who operate it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStatus {
    /// Segments on disk.
    pub segment_count: usize,
    /// Bytes of all segments.
    pub segment_bytes: u64,
    /// Bytes of the segment that is being appended to.
    pub active_segment_bytes: u64,
    /// Bytes of the snapshot; 0 without one.
    pub snapshot_bytes: u64,
    /// Whether a snapshot is being written.
    pub snapshot_is_running: bool,
    /// Syncs since the log was opened.
    pub sync_count: u64,
    /// How long the last of them took by the machine's clock, whatever the file system; zero before
    /// the first.
    pub last_sync: Duration,
}

/// What is on disk, as the log and its snapshot writer know it.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// Each segment's bytes. The last one is the active segment.
    pub(crate) segments: BTreeMap<Sequence, u64>,
    pub(crate) snapshot: Option<(Sequence, u64)>,
    pub(crate) snapshot_running: bool,
    pub(crate) sync_count: u64,
    pub(crate) last_sync: Duration,
}

pub(crate) fn locked(inventory: &Mutex<Inventory>) -> MutexGuard<'_, Inventory> {
    inventory
        .lock()
        .expect("nobody panics while holding the inventory")
}

/// Reads a log's [`LogStatus`] from any thread.
#[derive(Clone, Debug)]
pub struct LogWatcher(pub(crate) Arc<Mutex<Inventory>>);

impl LogWatcher {
    /// The status as of the last sync.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        let inventory = locked(&self.0);
        let mut segments = inventory.segments.values();
        LogStatus {
            segment_count: segments.len(),
            segment_bytes: segments.clone().sum(),
            active_segment_bytes: segments.next_back().copied().unwrap_or(0),
            snapshot_bytes: inventory.snapshot.map_or(0, |(_, bytes)| bytes),
            snapshot_is_running: inventory.snapshot_running,
            sync_count: inventory.sync_count,
            last_sync: inventory.last_sync,
        }
    }
}
