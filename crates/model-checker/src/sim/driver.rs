//! The commit loop of a process: does what `CommitRounds` says, on a log on a disk in memory.
//!
//! Writes and syncs take time, and the process can die before, within and after them. Snapshots
//! are written beside the commits, a piece at a time.

use commit_log::Sequence;
use crdt_core::{Group, ReplicaId};
use protocol::{CommitEffect, Round};

use super::kinds::{Coverage, FaultKind};
use super::limits::REPLICATION;
use super::oracle::{self, Violation};
use super::queue::SimTime;
use super::schedule::CrashPoint;
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;

/// A write and a sync of a data-centre disk take this long.
const SYNC_US: (u64, u64) = (350, 4_500);
/// A piece of a snapshot is written within this time.
const SNAPSHOT_PIECE_US: (u64, u64) = (50, 1_500);

impl World<'_> {
    /// Something was taken.
    pub(super) fn taken(&mut self, node: usize) -> Result<(), Violation> {
        if let Some(process) = &mut self.nodes[node].process {
            process.rounds.taken();
        }
        self.drive_commits(node)
    }

    /// Does what is due, until the machine waits or the disk is busy.
    pub(super) fn drive_commits(&mut self, node: usize) -> Result<(), Violation> {
        let life = self.nodes[node].life;
        loop {
            let now = self.nodes[node].clock(self.now);
            let is_same_life = self.nodes[node].life == life;
            let process = self.nodes[node].process.as_mut();
            let Some(process) = process.filter(|it| is_same_life && !it.is_syncing) else {
                return Ok(());
            };
            match process.rounds.poll(now) {
                CommitEffect::Append { round } => self.append(node, round)?,
                CommitEffect::Sync => {
                    process.is_syncing = true;
                    let at = self.disk_done(node, SYNC_US);
                    self.queue.plan(at, Event::Synced { node, life });
                }
                CommitEffect::Complete { round } => self.complete(node, round)?,
                CommitEffect::Cut => match process.log.cut() {
                    Ok(below) => process.rounds.cut(below.get()),
                    Err(_) => self.log_failed(node),
                },
                CommitEffect::BeginSnapshot { below } => self.begin_snapshot(node, below),
                // One that does not fit is written with the next group.
                CommitEffect::Seal => drop(process.log.seal()),
                CommitEffect::Wait { until } => {
                    self.plan_commit(
                        node,
                        until.map(|until| self.nodes[node].when(until, self.now)),
                    );
                    return Ok(());
                }
                CommitEffect::End | CommitEffect::Failed => return Ok(()),
            }
        }
    }

    fn plan_commit(&mut self, node: usize, at: Option<SimTime>) {
        let life = self.nodes[node].life;
        let process = self.nodes[node]
            .process
            .as_mut()
            .expect("it was just asked");
        let Some(at) = at else { return };
        if process.commit_wakes_at.is_none_or(|planned| at < planned) {
            process.commit_wakes_at = Some(at);
            self.queue.plan(at, Event::Commit { node, life });
        }
    }

    /// The time has come that the machine asked for.
    pub(super) fn commit_is_due(&mut self, node: usize) -> Result<(), Violation> {
        let now = self.now;
        let wakes_at = &mut self.process(node).commit_wakes_at;
        // One that was planned for later than what has happened since is void.
        if wakes_at.take_if(|at| *at <= now).is_none() {
            return Ok(());
        }
        self.drive_commits(node)
    }

    /// Collects from every shard what it has taken, and appends that.
    fn append(&mut self, node: usize, round: Round) -> Result<(), Violation> {
        let mut bytes = 0;
        for shard in 0..self.schedule.shards {
            let process = self.process(node);
            let Some(group) = process.shards.get_mut()[shard].collect(round) else {
                continue;
            };
            process.collected.push(shard);
            let index = u32::try_from(shard).expect("a small number");
            let appended = process.log.append(&process.shards, index, &group);
            let Ok(appended) = appended else {
                self.log_failed(node);
                return Ok(());
            };
            bytes += appended;
            self.note_commit(node, shard, &group)?;
            if self.breaks(Mutation::SentBeforeDurable) {
                self.process(node).shards.get_mut()[shard].synced();
            }
        }
        if bytes > 0 {
            self.trace(TraceEntry::Appended { node, bytes });
            if self.breaks(Mutation::SentBeforeDurable) {
                // What comes back meanwhile waits for the machine's next turn.
                self.process(node).is_syncing = true;
                self.round_is_complete(node)?;
                self.process(node).is_syncing = false;
            }
            if self.breaks(Mutation::AcknowledgedBeforeSync) {
                self.acknowledge(node, round);
            }
            if self.dies_at(node, CrashPoint::BeforeWrite) {
                return Ok(());
            }
        }
        self.process(node).rounds.appended(bytes);
        Ok(())
    }

    /// The ledger learns what the own lane has got, and that it got the version it promised.
    fn note_commit(&mut self, node: usize, shard: usize, group: &Group) -> Result<(), Violation> {
        let incarnation = self.nodes[node].incarnation;
        let own = self.ledger.ids()[incarnation.0];
        let Some(interval) = group.iter().find(|interval| interval.lane == own) else {
            return Ok(());
        };
        let taken = std::mem::take(&mut self.process(node).taken[shard]);
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

    /// The disk has had its time: writes and syncs the round.
    pub(super) fn synced(&mut self, node: usize) -> Result<(), Violation> {
        let now = self.nodes[node].clock(self.now);
        let (dies, power) = match self.nodes[node].armed {
            // The write is done, and the process dies within the sync.
            Some((CrashPoint::BeforeSync, power)) => (true, power),
            _ => (false, false),
        };
        if dies {
            self.nodes[node].disk.kill_after(1);
        }
        let process = self.process(node);
        process.is_syncing = false;
        if process.log.sync().is_err() {
            if dies {
                self.count_fault(node, FaultKind::CrashBeforeSync);
                self.die(node, power);
            } else {
                self.log_failed(node);
            }
            return Ok(());
        }
        if self.dies_at(node, CrashPoint::BeforeAck) {
            return Ok(());
        }
        self.nodes[node].unsynced_recovery = None;
        self.process(node).rounds.synced(now);
        self.trace(TraceEntry::Synced { node });
        self.drive_commits(node)
    }

    /// What a failed write or sync has left on the disk nobody knows, so the process ends.
    pub(super) fn log_failed(&mut self, node: usize) {
        self.trace(TraceEntry::LogFailed { node });
        if let Some(process) = &mut self.nodes[node].process {
            process.rounds.failed();
        }
        self.count_disk_effects(node);
        self.die(node, false);
    }

    /// The round is durable: it takes effect, and those who wait are told.
    fn complete(&mut self, node: usize, round: Round) -> Result<(), Violation> {
        let is_early = self.breaks(Mutation::SentBeforeDurable);
        let process = self.process(node);
        process.completed = round;
        let collected = std::mem::take(&mut process.collected);
        if !is_early {
            for &shard in &collected {
                if process.shards.get_mut()[shard].synced() {
                    process.rounds.taken();
                }
            }
        }
        for shard in collected {
            self.judge_shard(node, shard)?;
        }
        self.acknowledge(node, round);
        self.drive_ingests(node)?;
        self.round_is_complete(node)?;
        self.drive_reads(node)
    }

    /// Every lane that a shard holds is as its owner had it.
    pub(super) fn judge_shard(&self, node: usize, shard: usize) -> Result<(), Violation> {
        let Some(process) = &self.nodes[node].process else {
            return Ok(());
        };
        let shards = process.shards.borrow();
        let replica = shards[shard].replica();
        let lanes: Vec<ReplicaId> = replica.digest().iter().map(|(lane, _)| lane).collect();
        for lane in lanes {
            let counters = self.counters_of(shard);
            oracle::lane_is_exact(replica, (shard, lane), &self.ledger, counters)
                .map_err(|says| self.violation(Guarantee::Convergence, Some(node), says))?;
        }
        Ok(())
    }

    // Snapshots.

    fn begin_snapshot(&mut self, node: usize, below: u64) {
        let now = self.nodes[node].clock(self.now);
        let life = self.nodes[node].life;
        let process = self.process(node);
        let (below, records_max) = (Sequence::new(below), REPLICATION.piece_records_max);
        let begun = process
            .log
            .begin_snapshot(&process.shards, below, records_max);
        let Ok(snapshot) = begun else {
            process.rounds.snapshot_failed(now);
            self.count_fault(node, FaultKind::SnapshotFailed);
            return;
        };
        process.snapshot = Some(snapshot);
        let at = self.disk_done(node, SNAPSHOT_PIECE_US);
        self.queue.plan(at, Event::SnapshotPiece { node, life });
    }

    /// Writes the next piece of the snapshot that is running.
    pub(super) fn snapshot_piece(&mut self, node: usize) -> Result<(), Violation> {
        let now = self.nodes[node].clock(self.now);
        let life = self.nodes[node].life;
        let process = self.process(node);
        let Some(mut snapshot) = process.snapshot.take() else {
            return Ok(());
        };
        match snapshot.write_piece(&process.shards) {
            Ok(true) => {
                process.snapshot = Some(snapshot);
                let at = self.disk_done(node, SNAPSHOT_PIECE_US);
                self.queue.plan(at, Event::SnapshotPiece { node, life });
                return Ok(());
            }
            Ok(false) => {
                if let Ok(bytes) = snapshot.finish() {
                    let segment_bytes = process.log.status().segment_bytes;
                    process.rounds.snapshot_written(bytes, segment_bytes);
                    self.cover(Coverage::SnapshotTaken);
                    self.trace(TraceEntry::Snapshot { node });
                } else {
                    process.rounds.snapshot_failed(now);
                    self.snapshot_failed(node);
                }
            }
            Err(_) => {
                drop(snapshot);
                process.rounds.snapshot_failed(now);
                self.snapshot_failed(node);
            }
        }
        self.drive_commits(node)
    }

    fn snapshot_failed(&mut self, node: usize) {
        self.count_fault(node, FaultKind::SnapshotFailed);
        self.count_disk_effects(node);
    }

    fn disk_done(&mut self, node: usize, (least, most): (u64, u64)) -> SimTime {
        let slow = self.nodes[node].disk_slowness;
        if slow > 1 {
            self.faults.count(FaultKind::DiskSlow);
        }
        self.now.after_us(slow * self.random.between(least, most))
    }
}
