//! What goes wrong: each fault of a schedule, where it begins and where it ends.

use super::disk::Disk;
use super::kinds::FaultKind;
use super::ledger::Incarnation;
use super::queue::SimTime;
use super::schedule::{CrashPoint, Fault, ScheduledFault};
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::mutation::Mutation;

/// A slow disk takes so many times longer.
const SLOW_DISK: u64 = 20;
/// A slow node takes so many times longer for messages.
const SLOW_NODE: u64 = 10;

/// What a directory held when it was backed up, and whose it was.
pub(super) struct Backup {
    disk: Disk,
    of: Incarnation,
}

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
        let backup = Backup {
            disk: Disk::holding(node.disk.durable().to_vec()),
            of: node.incarnation,
        };
        self.backups.insert(fault, backup);
    }

    /// A fault begins.
    pub(super) fn begin_fault(&mut self, number: usize) {
        let ScheduledFault { node, fault, .. } = self.schedule.faults[number];
        let over = self.now.after_us(self.schedule.faults[number].lasts_us);
        self.trace(TraceEntry::FaultBegins { node, fault });
        match fault {
            Fault::Crash { point, power } => {
                if self.nodes[node].up {
                    self.crash(node, point, power);
                }
            }
            Fault::PowerOutage => self.power_outage(),
            Fault::SyncFails => self.nodes[node].sync_fails = true,
            Fault::DiskLost => self.disk_lost(node),
            Fault::DiskRolledBack { .. } => self.disk_rolled_back(node, number),
            Fault::DiskCopied { from } => self.disk_copied(node, from),
            Fault::Pause => self.pause(node, over.min(self.schedule.ends)),
            Fault::SlowNode => {
                self.nodes[node].message_slowness = SLOW_NODE;
                self.count_fault(node, FaultKind::NodeSlow);
            }
            Fault::SlowDisk => {
                self.nodes[node].disk_slowness = SLOW_DISK;
                self.count_fault(node, FaultKind::DiskSlow);
            }
            Fault::Clock { forward, by_us } => self.clock_jumps(node, forward, by_us),
            Fault::Split { .. } => self.cut(number, FaultKind::PartitionSplit),
            Fault::OneWay => self.cut(number, FaultKind::PartitionOneWay),
            Fault::Partial { .. } => self.cut(number, FaultKind::PartitionPartial),
            Fault::StreamReset { from } => {
                self.count_fault(node, FaultKind::StreamReset);
                let stream = self.nodes[node].pulls[from].stream;
                self.reopen(node, from, stream);
            }
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
            Fault::SyncFails => self.nodes[node].sync_fails = false,
            Fault::SlowNode => self.nodes[node].message_slowness = 1,
            Fault::SlowDisk => self.nodes[node].disk_slowness = 1,
            Fault::Split { .. } | Fault::OneWay | Fault::Partial { .. } => {
                for (from, to) in self.ways_cut(node, fault) {
                    self.network.mend(from, to);
                }
            }
            Fault::PowerOutage
            | Fault::DiskLost
            | Fault::DiskRolledBack { .. }
            | Fault::DiskCopied { .. }
            | Fault::Pause
            | Fault::Clock { .. }
            | Fault::StreamReset { .. } => return,
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
        let reused = self
            .breaks(Mutation::IdReused)
            .then_some(self.nodes[node].incarnation);
        self.set_disk(node, Disk::default(), reused);
    }

    fn disk_rolled_back(&mut self, node: usize, fault: usize) {
        let Some(Backup { disk, of }) = self.backups.remove(&fault) else {
            return;
        };
        self.count_fault(node, FaultKind::DiskRolledBack);
        self.die(node, false);
        self.ledger.may_fork(of);
        self.set_disk(node, disk, Some(of));
    }

    fn disk_copied(&mut self, node: usize, from: usize) {
        self.count_fault(node, FaultKind::DiskCopied);
        self.die(node, false);
        let of = self.nodes[from].incarnation;
        self.ledger.may_fork(of);
        let disk = Disk::holding(self.nodes[from].disk.durable().to_vec());
        self.set_disk(node, disk, Some(of));
    }

    fn pause(&mut self, node: usize, until: SimTime) {
        if self.nodes[node].up {
            self.nodes[node].paused_until = Some(until);
            self.count_fault(node, FaultKind::ProcessPaused);
        }
    }

    fn clock_jumps(&mut self, node: usize, forward: bool, by_us: u64) {
        let by_us = i64::try_from(by_us).expect("jumps are of seconds");
        let (kind, by_us) = if forward {
            (FaultKind::ClockForward, by_us)
        } else {
            (FaultKind::ClockBackward, -by_us)
        };
        self.nodes[node].clock_offset_us += by_us;
        self.count_fault(node, kind);
    }

    fn cut(&mut self, number: usize, kind: FaultKind) {
        let ScheduledFault { node, fault, .. } = self.schedule.faults[number];
        self.count_fault(node, kind);
        for (from, to) in self.ways_cut(node, fault) {
            self.network.cut(from, to);
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
            | Fault::SyncFails
            | Fault::DiskLost
            | Fault::DiskRolledBack { .. }
            | Fault::DiskCopied { .. }
            | Fault::Pause
            | Fault::SlowNode
            | Fault::SlowDisk
            | Fault::Clock { .. }
            | Fault::StreamReset { .. } => false,
        };
        let all = 0..self.nodes.len();
        all.clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)))
            .filter(|&(from, to)| from != to && cuts(from, to))
            .collect()
    }

    // The end of all faults.

    /// All processes run, at their usual speed, and none reaches another.
    pub(super) fn isolate(&mut self) {
        self.trace(TraceEntry::Isolated);
        for node in 0..self.nodes.len() {
            let place = &mut self.nodes[node];
            place.armed = None;
            place.sync_fails = false;
            place.paused_until = None;
            place.message_slowness = 1;
            place.disk_slowness = 1;
            for to in (0..self.nodes.len()).filter(|&to| to != node) {
                self.network.cut(node, to);
            }
        }
    }

    /// Everybody reaches everybody, and asks for what it lacks.
    pub(super) fn heal(&mut self) {
        self.trace(TraceEntry::Healed);
        self.network.heal();
        for node in 0..self.nodes.len() {
            for peer in (0..self.nodes.len()).filter(|&peer| peer != node) {
                if self.nodes[node].up {
                    self.open(node, peer);
                }
            }
        }
    }
}
