//! What goes wrong: each fault of a schedule, where it begins and where it ends.
//!
//! A fault is counted when it has an effect, not when it is planned: a partition when something
//! does not pass, a slow disk when something is slow.

use commit_log::memory::{Contents, SyncFailure};
use crdt_core::{Mark, ReplicaId, StartId, Version};
use protocol::{HeldLane, Hello};
use wire::stream::{Sending, SendingEnd, held_to_wire, hello_to_wire};
use wire::v1::PullRequest;

use super::kinds::FaultKind;
use super::limits::{CLUSTER, REPLICATION};
use super::lives::replica_of;
use super::queue::SimTime;
use super::schedule::{CrashPoint, Fault, ScheduledFault};
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::mutation::Mutation;

/// A slow disk takes so many times longer.
const SLOW_DISK: u64 = 20;
/// A slow node takes so many times longer for messages.
const SLOW_NODE: u64 = 10;
/// A full disk has so much room left.
const ROOM_BYTES: usize = 100;

impl World<'_> {
    /// Plans the schedule's faults: their beginnings, their ends, and the backups they need.
    pub(super) fn plan_faults(&mut self) {
        for (number, fault) in self.schedule.faults.iter().enumerate() {
            if let Fault::DiskRolledBack { to } = fault.fault {
                self.queue.plan(to, Event::Backup { fault: number });
            }
            self.queue.plan(fault.at, Event::FaultBegins(number));
            let ends = fault.at.after_us(fault.lasts_us);
            self.queue
                .plan(ends.min(self.schedule.ends), Event::FaultEnds(number));
        }
    }

    pub(super) fn back_up(&mut self, fault: usize) {
        let node = &self.nodes[self.schedule.faults[fault].node];
        self.backups.insert(fault, node.disk.durable());
    }

    /// A fault begins.
    pub(super) fn begin_fault(&mut self, number: usize) {
        let ScheduledFault { node, fault, .. } = self.schedule.faults[number];
        let over = self.now.after_us(self.schedule.faults[number].lasts_us);
        self.trace(TraceEntry::FaultBegins { node, fault });
        match fault {
            Fault::Crash { point, power } => {
                if self.nodes[node].is_up() {
                    self.crash(node, point, power);
                }
            }
            Fault::PowerOutage => self.power_outage(),
            Fault::SyncFails { marked_clean } => {
                let failure = if marked_clean {
                    SyncFailure::MarkedClean
                } else {
                    SyncFailure::Dropped
                };
                self.nodes[node].disk.fail_next_sync(failure);
            }
            Fault::DiskFull => {
                let used: usize = self.nodes[node].disk.cached().values().map(Vec::len).sum();
                self.nodes[node].disk.limit_bytes(Some(used + ROOM_BYTES));
            }
            Fault::DiskLost => self.disk_lost(node),
            Fault::DiskRolledBack { .. } => self.disk_rolled_back(node, number),
            Fault::DiskCopied { from } => self.disk_copied(node, from),
            Fault::Pause => self.pause(node, over.min(self.schedule.ends)),
            Fault::SlowNode => self.nodes[node].message_slowness = SLOW_NODE,
            Fault::SlowDisk => self.nodes[node].disk_slowness = SLOW_DISK,
            Fault::Clock { forward, by_us } => self.clock_jumps(node, forward, by_us),
            Fault::Split { .. } => self.cut(number, FaultKind::PartitionSplit),
            Fault::OneWay => self.cut(number, FaultKind::PartitionOneWay),
            Fault::Partial { .. } => self.cut(number, FaultKind::PartitionPartial),
            Fault::DialOnly => self.dial_only(node),
            Fault::StreamReset { from } => self.reset_stream(node, from),
            Fault::Stranger => self.stranger_reports(node),
        }
    }

    /// A fault that lasts ends. Processes that died have planned their next start themselves.
    pub(super) fn end_fault(&mut self, number: usize) {
        let ScheduledFault { node, fault, .. } = self.schedule.faults[number];
        match fault {
            Fault::Crash { point, power } => {
                // The process had no group to die in: it dies now.
                if self.nodes[node].armed == Some((point, power)) {
                    self.crash(node, CrashPoint::Idle, power);
                }
                return;
            }
            Fault::DiskFull => self.nodes[node].disk.limit_bytes(None),
            Fault::SlowNode => self.nodes[node].message_slowness = 1,
            Fault::SlowDisk => self.nodes[node].disk_slowness = 1,
            Fault::Split { .. } | Fault::OneWay | Fault::Partial { .. } => {
                for (from, to) in self.ways_cut(node, fault) {
                    self.network.mend(from, to);
                }
            }
            // A node that can only dial stays so until everything is mended.
            Fault::DialOnly
            | Fault::PowerOutage
            | Fault::SyncFails { .. }
            | Fault::DiskLost
            | Fault::DiskRolledBack { .. }
            | Fault::DiskCopied { .. }
            | Fault::Pause
            | Fault::Clock { .. }
            | Fault::StreamReset { .. }
            | Fault::Stranger => return,
        }
        self.trace(TraceEntry::FaultEnds { node, fault });
    }

    fn power_outage(&mut self) {
        self.faults.count(FaultKind::PowerLostEverywhere);
        for node in 0..self.nodes.len() {
            self.die(node, true);
        }
    }

    fn disk_lost(&mut self, node: usize) {
        self.count_fault(node, FaultKind::DiskLost);
        self.die(node, false);
        let left = if self.breaks(Mutation::IdReused) {
            self.nodes[node].birth.clone()
        } else {
            Contents::new()
        };
        self.set_disk(node, &left);
    }

    fn disk_rolled_back(&mut self, node: usize, fault: usize) {
        let Some(contents) = self.backups.remove(&fault) else {
            return;
        };
        self.count_fault(node, FaultKind::DiskRolledBack);
        self.die(node, false);
        self.fork_becomes_possible(node, &contents);
        self.set_disk(node, &contents);
    }

    fn disk_copied(&mut self, node: usize, from: usize) {
        self.count_fault(node, FaultKind::DiskCopied);
        self.die(node, false);
        let contents = self.nodes[from].disk.durable();
        self.fork_becomes_possible(from, &contents);
        self.set_disk(node, &contents);
    }

    /// The lane of the directory's owner, which is or was `owner`, may fork.
    fn fork_becomes_possible(&mut self, owner: usize, contents: &Contents) {
        let read = replica_of(contents, self.schedule.shards);
        let incarnation = read.and_then(|id| self.ledger.find(id));
        let of = incarnation.unwrap_or(self.nodes[owner].incarnation);
        if of.0 != usize::MAX {
            self.ledger.may_fork(of);
        }
    }

    fn pause(&mut self, node: usize, until: SimTime) {
        if self.nodes[node].is_up() {
            self.nodes[node].paused_until = Some(until);
        }
    }

    fn clock_jumps(&mut self, node: usize, forward: bool, by_us: u64) {
        let by_us = i64::try_from(by_us).expect("jumps are of seconds");
        let (kind, by_us) = if forward {
            (FaultKind::ClockForward, by_us)
        } else {
            // Monotonic clocks do not go back; a little is tried, since it makes machines wait.
            (FaultKind::ClockBackward, -by_us / 20)
        };
        self.nodes[node].clock_offset_us += by_us;
        self.count_fault(node, kind);
    }

    /// Nobody can dial the node any more: its connections to diallers break.
    fn dial_only(&mut self, node: usize) {
        self.nodes[node].dial_only = true;
        let accepted = |(&number, connection): (&u64, &super::streams::state::Connection)| {
            (connection.acceptor.node == node).then_some(number)
        };
        let numbers: Vec<u64> = self.connections.iter().filter_map(accepted).collect();
        for number in numbers {
            self.break_connection(number);
        }
    }

    fn reset_stream(&mut self, node: usize, from: usize) {
        let of_pair = |(&number, connection): (&u64, &super::streams::state::Connection)| {
            let ends = (connection.dialler.node, connection.acceptor.node);
            (ends == (node, from) && !connection.is_broken).then_some(number)
        };
        let numbers: Vec<u64> = self.connections.iter().filter_map(of_pair).collect();
        for number in numbers {
            self.count_fault(node, FaultKind::StreamReset);
            self.break_connection(number);
        }
    }

    /// Somebody whom nobody knows opens a stream, and says that it holds more of the node's lane
    /// than the node does.
    fn stranger_reports(&mut self, node: usize) {
        let number = self.random.bits();
        let Some(process) = &self.nodes[node].process else {
            return;
        };
        let mark = Mark {
            version: Version::new(1 << 40),
            start: StartId::new(number | 1),
        };
        let stranger = ReplicaId::new(u128::from(number) << 1);
        let hello = Hello::new(CLUSTER.to_owned(), process.hello.shard_count, stranger);
        let held = HeldLane {
            shard: 0,
            lane: process.hello.replica,
            mark,
        };
        let request = PullRequest {
            hello: Some(hello_to_wire(&hello)),
            held: held_to_wire(&[held]),
        };
        let now = self.nodes[node].clock(self.now);
        let (ours, shards) = (&process.hello, &process.shards);
        let accepted = SendingEnd::accept(REPLICATION, ours, &request, shards, now);
        let mut end = accepted.expect("it says that it is one of ours");
        loop {
            match end.poll(now, shards) {
                Sending::LaneForked(_, fork) => {
                    self.count_fault(node, FaultKind::StrangerReports);
                    self.judge_reporter(node, end.peer(), &fork);
                    return;
                }
                Sending::Message(_) => {}
                Sending::Wait(_) => panic!("a mark beyond the own lane is seen"),
            }
        }
    }

    fn cut(&mut self, number: usize, kind: FaultKind) {
        let ScheduledFault { node, fault, .. } = self.schedule.faults[number];
        for (from, to) in self.ways_cut(node, fault) {
            self.network.cut(from, to, kind);
        }
    }

    /// The ways that a partition cuts; none for other faults.
    fn ways_cut(&self, node: usize, fault: Fault) -> Vec<(usize, usize)> {
        let cuts = |from: usize, to: usize| match fault {
            Fault::Split { mask } => (mask >> from & 1) != (mask >> to & 1),
            Fault::OneWay => from == node,
            Fault::Partial { with } => (from, to) == (node, with) || (to, from) == (node, with),
            Fault::Crash { .. }
            | Fault::PowerOutage
            | Fault::SyncFails { .. }
            | Fault::DiskFull
            | Fault::DiskLost
            | Fault::DiskRolledBack { .. }
            | Fault::DiskCopied { .. }
            | Fault::Pause
            | Fault::SlowNode
            | Fault::SlowDisk
            | Fault::Clock { .. }
            | Fault::DialOnly
            | Fault::StreamReset { .. }
            | Fault::Stranger => false,
        };
        let all = 0..self.nodes.len();
        all.clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)))
            .filter(|&(from, to)| from != to && cuts(from, to))
            .collect()
    }

    // The end of all faults.

    /// All processes run, at their usual speed, and reach each other, but for those that nobody
    /// can dial.
    pub(super) fn settle(&mut self) {
        self.trace(TraceEntry::Settling);
        self.network.mend_all();
        self.network.calm();
        for place in &mut self.nodes {
            place.armed = None;
            place.paused_until = None;
            place.message_slowness = 1;
            place.disk_slowness = 1;
            place.disk.limit_bytes(None);
            place.disk.mend_syncs();
        }
    }

    /// None reaches another.
    pub(super) fn isolate(&mut self) {
        self.trace(TraceEntry::Isolated);
        for from in 0..self.nodes.len() {
            for to in (0..self.nodes.len()).filter(|&to| to != from) {
                self.network.cut(from, to, FaultKind::PartitionSplit);
            }
        }
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            self.break_connection(number);
        }
    }

    /// Everybody reaches everybody.
    pub(super) fn heal(&mut self) {
        self.trace(TraceEntry::Healed);
        self.network.mend_all();
        for place in &mut self.nodes {
            place.dial_only = false;
        }
    }
}
