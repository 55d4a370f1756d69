//! The lives of a node: how its process starts, how it ends, and which directory it starts on.
//!
//! A start runs the recovery of `tallyd`, on whatever the disk holds. Every directory that is
//! lost, set back or replaced is accounted for here: acknowledged adds that no disk holds any more
//! are excused, and only those.

use commit_log::memory::{Contents, FaultEffects, MemoryDisk};
use crdt_core::{Digest, Replica, ReplicaId, StartId};
use protocol::Standing;

use super::kinds::{Coverage, FaultKind};
use super::ledger::Incarnation;
use super::node::{Process, read_back};
use super::oracle::Violation;
use super::schedule::CrashPoint;
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;

/// How long a process is down.
const DOWN_US: (u64, u64) = (500, 60_000);
/// So many starts of a thousand are looked at: whether what they show is durable.
const LOOKED_AT: u64 = 300;
/// When an operator acts on a node that has stopped taking adds, if at all before the end.
const OPERATOR_US: (u64, u64) = (20_000, 200_000);

impl World<'_> {
    /// A process starts on what its disk holds.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].is_up() {
            return Ok(());
        }
        let bits = match self.mutation {
            Some(Mutation::StartsEqual) => 7,
            _ => self.random.bits(),
        };
        let start = StartId::new(bits | 1 << 63);
        if self.breaks(Mutation::ReplayedNotSynced) {
            self.nodes[node].unsynced_recovery = Some(self.nodes[node].disk.durable());
        }
        let read = read_back(&self.nodes[node].disk, self.schedule.shards, start);
        let read = match read {
            Ok(read) => read,
            // A disk that fails or is full ends the process; it is started again.
            Err(_) if self.count_disk_effects(node) => {
                self.die(node, false);
                return Ok(());
            }
            Err(error) => {
                let says = format!("the node's own log is refused: {error}");
                return Err(self.violation(Guarantee::Durability, Some(node), says));
            }
        };
        let incarnation = self.ledger.register(read.replica);
        if incarnation != self.nodes[node].incarnation {
            self.nodes[node].incarnation = incarnation;
            self.nodes[node].birth = self.nodes[node].disk.durable();
        }
        self.trace(TraceEntry::Started {
            node,
            incarnation: incarnation.0,
        });
        let now = self.nodes[node].clock(self.now);
        let mut process = Process::new(read, start, self.nodes.len(), now);
        if self.breaks(Mutation::ForkForgotten) {
            process.standing = Standing::new(process.hello.replica, None);
        }
        let shards = process.shards.get_mut();
        if shards.iter().any(|shard| shard.replica().is_due()) {
            process.rounds.taken();
        }
        let has_forgotten =
            self.nodes[node].has_kept_fork && process.standing.ensure_writable().is_ok();
        self.nodes[node].process = Some(process);
        if has_forgotten {
            let says = "it takes adds again, though its disk says that its own lane has forked";
            return Err(self.violation(Guarantee::IncarnationSafety, Some(node), says));
        }
        for shard in 0..self.schedule.shards {
            self.judge_shard(node, shard)?;
        }
        if self.random.chance(LOOKED_AT) {
            self.judge_recovery(node)?;
        }
        let life = self.nodes[node].life;
        for peer in (0..self.nodes.len()).filter(|&peer| peer != node) {
            self.queue.plan(self.now, Event::Dial { node, peer, life });
        }
        self.drive_commits(node)
    }

    /// Durability: what a process shows after its start would survive a power loss.
    fn judge_recovery(&mut self, node: usize) -> Result<(), Violation> {
        let place = &self.nodes[node];
        let durable = place.disk.durable();
        let durable = place.unsynced_recovery.as_ref().unwrap_or(&durable);
        let mut held = held_on(durable, self.schedule.shards);
        held.resize(self.schedule.shards, Digest::default());
        if held == self.digests()[node] {
            return Ok(());
        }
        let says = "it has started on what a power loss would take back";
        Err(self.violation(Guarantee::Durability, Some(node), says))
    }

    // How processes end.

    /// Whether the process dies here, as was planned; if so it has.
    pub(super) fn dies_at(&mut self, node: usize, point: CrashPoint) -> bool {
        let Some((armed, power)) = self.nodes[node].armed else {
            return false;
        };
        if armed != point {
            return false;
        }
        let kind = match point {
            CrashPoint::Idle => FaultKind::CrashIdle,
            CrashPoint::BeforeWrite => FaultKind::CrashBeforeWrite,
            CrashPoint::BeforeSync => FaultKind::CrashBeforeSync,
            CrashPoint::BeforeAck => FaultKind::CrashBeforeAck,
        };
        self.count_fault(node, kind);
        self.die(node, power);
        true
    }

    /// Plans the end of the process, at a point of its next group or at once.
    pub(super) fn crash(&mut self, node: usize, point: CrashPoint, power: bool) {
        self.nodes[node].armed = Some((point, power));
        self.dies_at(node, CrashPoint::Idle);
    }

    /// The process ends, and is started again later.
    pub(super) fn die(&mut self, node: usize, power: bool) {
        let was_up = self.nodes[node].process.take().is_some();
        if power {
            self.count_fault(node, FaultKind::PowerLost);
            let random = &mut self.random;
            self.nodes[node].disk.lose_power(&mut || random.bits());
            if let Some(contents) = self.nodes[node].unsynced_recovery.take() {
                self.nodes[node].disk.restore(&contents);
            }
        } else {
            self.nodes[node].disk.kill();
            if was_up {
                self.count_fault(node, FaultKind::ProcessKilled);
            }
        }
        self.count_disk_effects(node);
        let place = &mut self.nodes[node];
        place.armed = None;
        place.paused_until = None;
        place.life += 1;
        let life = place.life;
        let down_us = self.random.between(DOWN_US.0, DOWN_US.1);
        self.queue
            .plan(self.now.after_us(down_us), Event::Start { node, life });
        self.drop_ends(node);
    }

    /// Faults of a disk are counted by what they did; whether one made an operation fail.
    pub(super) fn count_disk_effects(&mut self, node: usize) -> bool {
        let effects = self.nodes[node].disk.effects();
        let before = std::mem::replace(&mut self.disk_effects[node], effects);
        let kinds = [
            (FaultKind::PagesLost, effects.lost_pages - before.lost_pages),
            (FaultKind::PagesTorn, effects.torn_pages - before.torn_pages),
            (FaultKind::NamesLost, effects.lost_names - before.lost_names),
            (
                FaultKind::SyncFailed,
                effects.failed_syncs - before.failed_syncs,
            ),
            (
                FaultKind::DiskFull,
                effects.failed_writes - before.failed_writes,
            ),
        ];
        for (kind, count) in kinds {
            if count > 0 {
                self.count_fault(node, kind);
            }
        }
        let failed = |effects: &FaultEffects| effects.failed_syncs + effects.failed_writes;
        failed(&effects) > failed(&before)
    }

    // What operators do.

    /// Nodes that run on copies of one directory refuse each other, and say so: operators leave one
    /// of them, one that takes adds if there is any.
    pub(super) fn replace_copies(&mut self) {
        let incarnations: Vec<Incarnation> = self.nodes.iter().map(|it| it.incarnation).collect();
        for &incarnation in &incarnations {
            let is_copy = |&node: &usize| self.nodes[node].incarnation == incarnation;
            let copies: Vec<usize> = (0..self.nodes.len()).filter(is_copy).collect();
            let writable = copies.iter().find(|&&node| {
                let process = self.nodes[node].process.as_ref();
                process.is_some_and(|it| it.standing.ensure_writable().is_ok())
            });
            let kept = *writable.unwrap_or(&copies[0]);
            if incarnation.0 != usize::MAX {
                for node in copies.into_iter().filter(|&node| node != kept) {
                    self.replace(node);
                }
            }
        }
    }

    /// A node that knows that its own lane has forked stays up and takes no adds; sometimes its
    /// operator gives it an empty directory, as the message says.
    pub(super) fn plan_replacement(&mut self, node: usize) {
        if self.random.chance(500) {
            let at = self
                .now
                .after_us(self.random.between(OPERATOR_US.0, OPERATOR_US.1));
            let life = self.nodes[node].life;
            self.queue.plan(at, Event::Replace { node, life });
        }
    }

    pub(super) fn replace(&mut self, node: usize) {
        self.cover(Coverage::NodeReplaced);
        self.trace(TraceEntry::Replaced { node });
        self.die(node, false);
        self.set_disk(node, &Contents::new());
    }

    /// Another directory, with the identity that is in it, or none.
    pub(super) fn set_disk(&mut self, node: usize, contents: &Contents) {
        self.nodes[node].disk.restore(contents);
        self.nodes[node].unsynced_recovery = None;
        self.nodes[node].has_kept_fork = false;
        if contents.is_empty() {
            self.nodes[node].incarnation = Incarnation(usize::MAX);
        }
        self.clients.forget_reads(node);
        self.excuse_losses();
    }

    /// Acknowledged adds that no disk holds any more went down with this one.
    fn excuse_losses(&mut self) {
        let shards = self.schedule.shards;
        let held: Vec<Vec<Digest>> = self
            .nodes
            .iter()
            .map(|node| held_on(&node.disk.durable(), shards))
            .collect();
        let held = self.ledger.counted(|shard, lane| {
            let on = |digests: &Vec<Digest>| Some(digests.get(shard)?.mark(lane));
            held.iter().filter_map(on).collect()
        });
        let mut excused = 0;
        for (add, held) in self.ledger.adds.iter_mut().zip(held) {
            if !held && add.is_acknowledged() && !add.excused {
                add.excused = true;
                excused += 1;
            }
        }
        (0..excused).for_each(|_| self.cover(Coverage::AddExcused));
    }
}

/// How far the lanes are held by what is durable on a disk, by shard; nothing on an empty one.
pub(super) fn held_on(contents: &Contents, shards: usize) -> Vec<Digest> {
    replicas_on(contents, shards)
        .map(|replicas| replicas.iter().map(Replica::digest).collect())
        .unwrap_or_default()
}

/// Whose directory it is; nobody's, when it is empty.
pub(super) fn replica_of(contents: &Contents, shards: usize) -> Option<ReplicaId> {
    replicas_on(contents, shards).ok()?.first().map(Replica::id)
}

/// What a process would read back if the power were lost now, and everything with it that may be.
pub(super) fn replicas_on(contents: &Contents, shards: usize) -> Result<Vec<Replica>, String> {
    if contents.is_empty() {
        return Ok(Vec::new());
    }
    let disk = MemoryDisk::new(1 << 20, 1);
    disk.restore(contents);
    Ok(read_back(&disk, shards, StartId::new(1))?.replicas)
}
