//! The lives of a node: how its process starts, how it ends, and which directory it starts on.
//!
//! A start mirrors the recovery of `tallyd`: cut what is torn, make the rest durable, replay it.
//! Every directory that is lost, set back or replaced is accounted for here: acknowledged adds that
//! no disk holds any more are excused, and only those.

use std::rc::Rc;

use crdt_core::{Replica, StartId};

use super::disk::{Disk, Frame};
use super::kinds::{FaultKind, Sight};
use super::ledger::Incarnation;
use super::oracle::Violation;
use super::plant::Plant;
use super::schedule::CrashPoint;
use super::story::Entry;
use super::world::{Event, World};

/// How long a process is down.
const DOWN_US: (u64, u64) = (500, 60_000);

impl World<'_> {
    /// A process starts on what its disk holds.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].up {
            return Ok(());
        }
        let incarnation = self.nodes[node].incarnation;
        let bits = match self.plant {
            Some(Plant::VersionWithoutStart) => incarnation.0 as u64,
            _ => self.random.bits(),
        };
        let start = StartId::new(bits | 1 << 63);
        self.recover_tail(node);
        let id = self.ledger.ids()[incarnation.0];
        let mut replicas: Vec<Replica> = (0..self.schedule.shards)
            .map(|_| Replica::new(id, start))
            .collect();
        for frame in self.nodes[node].disk.frames() {
            let replica = &mut replicas[frame.shard];
            let interval = replica.import(&frame.interval);
            if let Err(error) = replica.recover(&interval) {
                let says = format!("the node's own log is refused: {error}");
                return Err(self.violation("durability", Some(node), says));
            }
        }
        let frames = self.nodes[node].disk.frames().len();
        self.tell(Entry::Started {
            node,
            incarnation: incarnation.0,
            frames,
        });
        let place = &mut self.nodes[node];
        place.replicas = replicas;
        place.taken = vec![Vec::new(); self.schedule.shards];
        place.up = true;
        for shard in 0..self.schedule.shards {
            for (lane, _) in self.nodes[node].replicas[shard].digest().iter() {
                self.judge_lane(node, shard, lane)?;
            }
        }
        for peer in (0..self.nodes.len()).filter(|&peer| peer != node) {
            self.open(node, peer);
        }
        Ok(())
    }

    /// Cuts what a crash has torn, and syncs what it has left in the page cache: from here on the
    /// log's content is shown to others, so it must not be lost any more.
    fn recover_tail(&mut self, node: usize) {
        let torn = self.nodes[node].disk.cut_torn_tail();
        if torn.is_some() && self.is_planted(Plant::CutTooFar) {
            self.nodes[node].disk.cut_whole_frame();
        }
        if let (Some(torn), true) = (torn, self.is_planted(Plant::TornFrameKept)) {
            let mut interval = torn.interval.clone();
            let half = interval.sums.len() / 2;
            interval.sums = interval.sums.into_records().take(half).collect();
            let frame = Frame {
                shard: torn.shard,
                interval,
            };
            self.nodes[node].disk.write([Rc::new(frame)]);
        }
        if !self.is_planted(Plant::RecoveryWithoutSync) {
            self.nodes[node].disk.sync();
        }
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
        self.fault(node, kind);
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
        if power {
            self.fault(node, FaultKind::PowerLost);
            if let Some(kind) = self.nodes[node].disk.lose_power(&mut self.random) {
                self.fault(node, kind);
            }
        } else {
            self.fault(node, FaultKind::ProcessKilled);
        }
        self.nodes[node].forget();
        let down_us = self.random.between(DOWN_US.0, DOWN_US.1);
        let life = self.nodes[node].life;
        self.queue
            .plan(self.now.after_us(down_us), Event::Start { node, life });
        self.break_streams(node);
    }

    /// A node that knows that its own lane has forked stops for good; its directory is set aside
    /// for a person to look at, and an empty one takes its place.
    pub(super) fn replace(&mut self, node: usize) {
        self.see(Sight::NodeReplaced);
        self.tell(Entry::Replaced { node });
        self.die(node, false);
        self.set_disk(node, Disk::default(), None);
    }

    /// Another directory, with the identity that is in it, or with a new one.
    pub(super) fn set_disk(&mut self, node: usize, disk: Disk, holds: Option<Incarnation>) {
        let incarnation = holds.unwrap_or_else(|| self.ledger.mint(&mut self.random));
        self.nodes[node].incarnation = incarnation;
        self.nodes[node].disk = disk;
        self.clients.forget_reads(node);
        self.excuse_losses();
    }

    /// Acknowledged adds that no disk holds any more went down with this one.
    fn excuse_losses(&mut self) {
        let (nodes, ledger) = (&self.nodes, &self.ledger);
        let held = ledger.counted(|shard, lane| {
            nodes
                .iter()
                .map(|node| node.disk.end(shard, lane))
                .collect()
        });
        let mut excused = 0;
        for (add, held) in self.ledger.adds.iter_mut().zip(held) {
            if !held && add.is_acknowledged() && !add.excused {
                add.excused = true;
                excused += 1;
            }
        }
        (0..excused).for_each(|_| self.see(Sight::AddExcused));
    }
}
