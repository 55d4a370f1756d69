//! What `tallyd` does around its replicas, on simulated disks: commit, write, sync, acknowledge.
//!
//! One commit loop a node, over all its shards: the next group is closed when the last one is
//! synced. The steps are events of their own, so that a process can die between any two of them.

use std::rc::Rc;

use crdt_core::{Interval, Mark, Replica, ReplicaId};

use super::disk::{Disk, Frame, Frames};
use super::kinds::{Coverage, FaultKind};
use super::ledger::Incarnation;
use super::oracle::{self, Violation};
use super::queue::SimTime;
use super::replication::{Pull, Serving};
use super::schedule::{COUNTERS, CrashPoint};
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;

/// The page cache takes a group within this time.
const WRITE_US: (u64, u64) = (50, 500);
/// A sync of a data-centre disk takes this long.
const SYNC_US: (u64, u64) = (300, 4_000);
/// A snapshot after so many groups; small, so that every schedule has some.
const SNAPSHOT_EVERY_GROUPS: u32 = 12;
/// How many frames of the log a snapshot may leave although it holds them, at most.
const SNAPSHOT_OVERLAP_MAX: usize = 6;

/// A group on its way to the disk.
pub(super) struct Writing {
    frames: Frames,
    /// The shards that have a part in it.
    shards: Vec<usize>,
}

/// Adds of one request, waiting to be durable.
pub(super) struct Waiting {
    pub(super) session: Option<usize>,
    pub(super) adds: Vec<usize>,
    /// Where the own lane of each shard must be.
    pub(super) marks: Vec<(usize, Mark)>,
    pub(super) response_lost: bool,
}

/// One node: a process, its disk, and its surroundings.
pub(super) struct Node {
    pub(super) incarnation: Incarnation,
    /// Numbers the starts of the process; what was planned for an earlier one is void.
    pub(super) life: u32,
    pub(super) up: bool,
    pub(super) disk: Disk,
    // The process: gone when it dies.
    pub(super) replicas: Vec<Replica>,
    pub(super) writing: Option<Writing>,
    /// Adds taken since the last commit, of each shard, with the marks they were promised.
    pub(super) taken: Vec<Vec<(usize, Mark)>>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) pulls: Vec<Pull>,
    pub(super) servings: Vec<Option<Serving>>,
    groups: u32,
    // The surroundings.
    pub(super) armed: Option<(CrashPoint, bool)>,
    pub(super) sync_fails: bool,
    pub(super) paused_until: Option<SimTime>,
    /// How many times longer than usual messages take to be handled ...
    pub(super) message_slowness: u64,
    /// ... and writes and syncs to be done.
    pub(super) disk_slowness: u64,
    pub(super) clock_offset_us: i64,
}

impl Node {
    pub(super) fn new(incarnation: Incarnation, nodes: usize) -> Self {
        Self {
            incarnation,
            life: 0,
            up: false,
            disk: Disk::default(),
            replicas: Vec::new(),
            writing: None,
            taken: Vec::new(),
            waiting: Vec::new(),
            pulls: (0..nodes).map(|_| Pull::default()).collect(),
            servings: (0..nodes).map(|_| None).collect(),
            groups: 0,
            armed: None,
            sync_fails: false,
            paused_until: None,
            message_slowness: 1,
            disk_slowness: 1,
            clock_offset_us: 0,
        }
    }

    /// The process is gone, and everything that only it knew.
    pub(super) fn forget(&mut self) {
        self.up = false;
        self.life += 1;
        self.writing = None;
        self.armed = None;
        self.sync_fails = false;
        self.paused_until = None;
        self.replicas.clear();
        self.taken.clear();
        self.waiting.clear();
        self.servings.iter_mut().for_each(|serving| *serving = None);
    }
}

impl World<'_> {
    /// The commit loop: closes the next group if there is one, and none is being written.
    pub(super) fn kick(&mut self, node: usize) -> Result<(), Violation> {
        if !self.nodes[node].up || self.nodes[node].writing.is_some() {
            return Ok(());
        }
        let mut writing = Writing {
            frames: Frames::new(),
            shards: Vec::new(),
        };
        for shard in 0..self.schedule.shards {
            let Some(group) = self.nodes[node].replicas[shard].commit() else {
                continue;
            };
            writing.shards.push(shard);
            for interval in group.iter() {
                let replica = &self.nodes[node].replicas[shard];
                let interval = replica.export(interval);
                self.note_commit(node, shard, &interval)?;
                writing.frames.push(Rc::new(Frame { shard, interval }));
            }
            if self.breaks(Mutation::SentBeforeDurable) {
                self.nodes[node].replicas[shard].synced();
            }
        }
        if writing.frames.is_empty() {
            return Ok(());
        }
        self.trace(TraceEntry::Committed {
            node,
            frames: writing.frames.len(),
        });
        if self.breaks(Mutation::SentBeforeDurable) {
            self.wake_streams(node);
        }
        self.nodes[node].writing = Some(writing);
        if self.dies_at(node, CrashPoint::BeforeWrite) {
            return Ok(());
        }
        let at = self.disk_done(node, WRITE_US);
        let life = self.nodes[node].life;
        self.queue.plan(at, Event::Written { node, life });
        Ok(())
    }

    /// The ledger learns what the own lane has got, and that it got the version it promised.
    fn note_commit<C>(
        &mut self,
        node: usize,
        shard: usize,
        interval: &Interval<C>,
    ) -> Result<(), Violation> {
        let incarnation = self.nodes[node].incarnation;
        if interval.lane != self.ledger.ids()[incarnation.0] {
            return Ok(());
        }
        let taken = std::mem::take(&mut self.nodes[node].taken[shard]);
        if let Some((add, promised)) = taken.iter().find(|(_, mark)| *mark != interval.to) {
            let says = format!(
                "add #{add} was promised at {promised}, but is committed at {}",
                interval.to
            );
            return Err(self.violation(Guarantee::Durability, Some(node), says));
        }
        let adds: Vec<usize> = taken.iter().map(|&(add, _)| add).collect();
        self.ledger
            .commit((shard, incarnation), (interval.after, interval.to), &adds);
        Ok(())
    }

    /// The group is in the page cache.
    pub(super) fn written(&mut self, node: usize) {
        let Some(writing) = &self.nodes[node].writing else {
            return;
        };
        let frames = writing.frames.clone();
        self.nodes[node].disk.write(frames);
        if self.breaks(Mutation::AcknowledgedBeforeSync) {
            self.acknowledge(node, true);
        }
        if self.dies_at(node, CrashPoint::BeforeSync) {
            return;
        }
        let at = self.disk_done(node, SYNC_US);
        let life = self.nodes[node].life;
        self.queue.plan(at, Event::Synced { node, life });
    }

    /// The group is durable: only now it takes effect.
    pub(super) fn synced(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].sync_fails {
            // What a failed sync has left on the disk nobody knows, so the process must end.
            self.count_fault(node, FaultKind::SyncFailed);
            self.nodes[node].disk.fail_sync();
            self.die(node, false);
            return Ok(());
        }
        self.nodes[node].disk.sync();
        if self.dies_at(node, CrashPoint::BeforeAck) {
            return Ok(());
        }
        self.trace(TraceEntry::Synced { node });
        let Some(writing) = self.nodes[node].writing.take() else {
            return Ok(());
        };
        if !self.breaks(Mutation::SentBeforeDurable) {
            for &shard in &writing.shards {
                self.nodes[node].replicas[shard].synced();
            }
        }
        for frame in &writing.frames {
            self.judge_lane(node, frame.shard, frame.interval.lane)?;
        }
        self.acknowledge(node, false);
        self.note_held(node, &writing.frames);
        self.wake_streams(node);
        self.nodes[node].groups += 1;
        if self.nodes[node]
            .groups
            .is_multiple_of(SNAPSHOT_EVERY_GROUPS)
        {
            self.snapshot(node);
        }
        self.kick(node)
    }

    pub(super) fn judge_lane(
        &self,
        node: usize,
        shard: usize,
        lane: ReplicaId,
    ) -> Result<(), Violation> {
        let counters = (shard..COUNTERS)
            .step_by(self.schedule.shards)
            .map(|counter| (counter, &self.names[counter]));
        let replica = &self.nodes[node].replicas[shard];
        oracle::lane_is_exact(replica, (shard, lane), &self.ledger, counters)
            .map_err(|says| self.violation(Guarantee::Convergence, Some(node), says))
    }

    /// Replaces the log by whole lanes and some of its end.
    fn snapshot(&mut self, node: usize) {
        let overlap = self.random.index(SNAPSHOT_OVERLAP_MAX + 1);
        let Node { replicas, disk, .. } = &mut self.nodes[node];
        let mut frames = Frames::new();
        for (shard, replica) in replicas.iter().enumerate() {
            for (lane, _) in replica.digest().iter() {
                let whole = replica
                    .interval(lane, Mark::ZERO)
                    .expect("the empty lane is a past");
                let whole = whole.expect("a lane in a digest is not empty");
                frames.push(Rc::new(Frame {
                    shard,
                    interval: replica.export(&whole),
                }));
            }
        }
        disk.compact(frames, overlap);
        self.cover(Coverage::SnapshotTaken);
        self.trace(TraceEntry::Snapshot { node });
    }

    fn disk_done(&mut self, node: usize, (least, most): (u64, u64)) -> SimTime {
        let slow = self.nodes[node].disk_slowness;
        self.now.after_us(slow * self.random.between(least, most))
    }
}
