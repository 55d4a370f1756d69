//! A simulated disk: one node's data directory, as a log of frames and a page cache over it.
//!
//! A frame is one interval of one shard, as in the log of `tallyd`. What was written and not
//! synced survives the death of the process, for the page cache is the kernel's; it may not
//! survive the loss of power, and then it is lost from some byte on: frames before that byte stay,
//! the frame around it is torn, those after it are gone.

use std::rc::Rc;

use crdt_core::{CounterName, Interval, Mark, ReplicaId};

use super::kinds::FaultKind;
use super::random::Random;

/// One interval of one shard, as written.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) shard: usize,
    pub(crate) interval: Interval<CounterName>,
}

/// A data directory's content. Frames are shared with backups and copies of it.
pub(crate) type Frames = Vec<Rc<Frame>>;

/// One node's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    frames: Frames,
    /// How many of the frames would survive a loss of power.
    synced: usize,
    /// The torn frame at the log's end, if there is one.
    torn: Option<Rc<Frame>>,
}

impl Disk {
    /// A disk with this durable content.
    pub(crate) fn holding(frames: Frames) -> Self {
        Self {
            synced: frames.len(),
            frames,
            torn: None,
        }
    }

    /// Appends frames, into the page cache.
    pub(crate) fn write(&mut self, frames: impl IntoIterator<Item = Rc<Frame>>) {
        assert!(
            self.torn.is_none(),
            "recovery cuts a torn tail before anything is written"
        );
        self.frames.extend(frames);
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) {
        self.synced = self.frames.len();
    }

    /// The page cache is lost. Names what became of the frames in it.
    pub(crate) fn lose_power(&mut self, random: &mut Random) -> Option<FaultKind> {
        let unsynced = self.frames.len() - self.synced;
        if unsynced == 0 {
            return None;
        }
        let survive = random.index(unsynced + 1);
        if survive == unsynced {
            return None;
        }
        let mut lost = self.frames.split_off(self.synced + survive);
        // Whatever reached the disk is found there by the next process, synced or not; losing it
        // again takes another write that is not synced, so it counts as durable.
        self.synced = self.frames.len();
        if random.chance(500) {
            self.torn = Some(lost.swap_remove(0));
            return Some(FaultKind::FrameTorn);
        }
        Some(if survive > 0 {
            FaultKind::UnsyncedTorn
        } else {
            FaultKind::UnsyncedLost
        })
    }

    /// A failed sync: what was written is neither on the disk nor in the page cache.
    pub(crate) fn fail_sync(&mut self) {
        self.frames.truncate(self.synced);
    }

    /// Everything that a starting process reads.
    pub(crate) fn frames(&self) -> &[Rc<Frame>] {
        &self.frames
    }

    /// What would survive a loss of power: what a backup, or the accounting of losses, sees.
    pub(crate) fn durable(&self) -> &[Rc<Frame>] {
        &self.frames[..self.synced]
    }

    /// Cuts the torn tail, and gives it to those who want to see it.
    pub(crate) fn cut_torn_tail(&mut self) -> Option<Rc<Frame>> {
        self.torn.take()
    }

    /// Cuts the last frame although it is whole: a bug to plant.
    pub(crate) fn cut_whole_frame(&mut self) {
        self.frames.pop();
        self.synced = self.synced.min(self.frames.len());
    }

    /// Replaces the log by a snapshot and the log's last `overlap` frames, in one atomic step (a
    /// synced file that is renamed). Everything written is synced.
    pub(crate) fn compact(&mut self, snapshot: Frames, overlap: usize) {
        assert_eq!(
            self.synced,
            self.frames.len(),
            "a snapshot is taken between groups"
        );
        let tail = self.frames.len().saturating_sub(overlap);
        let tail = self.frames.split_off(tail);
        self.frames = snapshot;
        self.frames.extend(tail);
        self.synced = self.frames.len();
    }

    /// How far the durable frames hold a lane.
    pub(crate) fn end(&self, shard: usize, lane: ReplicaId) -> Mark {
        self.durable()
            .iter()
            .filter(|frame| frame.shard == shard && frame.interval.lane == lane)
            .map(|frame| frame.interval.to)
            .max_by_key(|mark| mark.version)
            .unwrap_or(Mark::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::{StartId, Version};

    use super::*;

    const LANE: ReplicaId = ReplicaId::new(1);

    fn mark(version: u64) -> Mark {
        let start = StartId::new(u64::from(version > 0));
        Mark {
            version: Version::new(version),
            start,
        }
    }

    fn frames(versions: std::ops::Range<u64>) -> Frames {
        versions
            .map(|to| {
                let (after, to) = (mark(to - 1), mark(to));
                let interval = Interval {
                    lane: LANE,
                    after,
                    to,
                    starts: vec![],
                    sums: crdt_core::Sums::new(),
                };
                Rc::new(Frame { shard: 0, interval })
            })
            .collect()
    }

    #[test]
    fn the_page_cache_survives_the_process_and_not_the_power() {
        let mut disk = Disk::default();
        disk.write(frames(1..3));
        disk.sync();
        disk.write(frames(3..6));
        assert_eq!(disk.frames().len(), 5);
        assert_eq!(disk.end(0, LANE), mark(2));
        let mut random = Random::new(1);
        disk.lose_power(&mut random);
        assert!((2..=5).contains(&disk.frames().len()));
    }

    #[test]
    fn what_is_synced_always_survives_and_every_outcome_of_the_rest_occurs() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut disk = Disk::holding(frames(1..3));
            disk.write(frames(3..5));
            let outcome = disk.lose_power(&mut Random::new(seed));
            let torn = disk.cut_torn_tail().is_some();
            assert!(disk.frames().len() >= 2);
            seen.insert((disk.frames().len(), torn, outcome));
        }
        assert_eq!(seen.len(), 5, "{seen:?}");
    }

    #[test]
    fn a_snapshot_keeps_the_end_of_the_log() {
        let mut disk = Disk::holding(frames(1..9));
        disk.compact(frames(8..9), 2);
        assert_eq!(disk.durable().len(), 3);
        assert_eq!(disk.end(0, LANE), mark(8));
    }
}
