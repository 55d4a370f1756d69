//! What the log, its snapshot writer and those who watch them share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::directory::DataDirectory;
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
    /// How long the last of them took; zero before the first.
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

/// What the log, its snapshot writer and its watchers share. The directory stays locked until the
/// last of them is gone.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) directory: DataDirectory,
    pub(crate) inventory: Mutex<Inventory>,
}

impl Shared {
    pub(crate) fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.inventory
            .lock()
            .expect("nobody panics while holding the inventory")
    }
}

/// Reads a log's [`LogStatus`] from any thread.
#[derive(Clone, Debug)]
pub struct LogWatcher(pub(crate) Arc<Shared>);

impl LogWatcher {
    /// The status as of the last sync.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        let inventory = self.0.inventory();
        LogStatus {
            segment_count: inventory.segments.len(),
            segment_bytes: inventory.segments.values().sum(),
            active_segment_bytes: inventory
                .segments
                .values()
                .next_back()
                .copied()
                .unwrap_or(0),
            snapshot_bytes: inventory.snapshot.map_or(0, |(_, bytes)| bytes),
            snapshot_is_running: inventory.snapshot_running,
            sync_count: inventory.sync_count,
            last_sync: inventory.last_sync,
        }
    }
}
