//! The judgement at rest: nothing is left to happen, and every node can reach every other.
//!
//! Here the guarantees are complete, for nothing is indeterminate to the simulator: it knows which
//! adds the lanes hold that the nodes have ended with, and adds up their amounts one by one.

use crdt_core::{Mark, Replica, ReplicaId, StartId};

use super::kinds::Coverage;
use super::ledger::Ledger;
use super::oracle::Violation;
use super::schedule::COUNTERS;
use super::world::World;
use crate::guarantee::Guarantee;

impl World<'_> {
    /// Judges the whole of what the nodes hold.
    pub(super) fn judge_rest(&mut self) -> Result<(), Violation> {
        self.judge_agreement()?;
        for node in 0..self.nodes.len() {
            if node == 0 || !self.holds_the_same(0, node) {
                self.judge_values(node)?;
            }
        }
        self.judge_durability()?;
        self.judge_restart()
    }

    fn holds_the_same(&self, a: usize, b: usize) -> bool {
        (self.nodes[a].replicas.iter().map(Replica::digest))
            .eq(self.nodes[b].replicas.iter().map(Replica::digest))
    }

    /// Convergence: every lane is held equally far everywhere, and equal digests list equal values.
    fn judge_agreement(&mut self) -> Result<(), Violation> {
        let first = &self.nodes[0].replicas;
        let mut forked = false;
        for (number, node) in self.nodes.iter().enumerate() {
            if !node.up {
                return Err(self.violation(
                    Guarantee::Availability,
                    Some(number),
                    "it does not run",
                ));
            }
            for (shard, replica) in node.replicas.iter().enumerate() {
                for &lane in self.ledger.ids() {
                    let (here, there) = (replica.held(lane), first[shard].held(lane));
                    if here != there {
                        forked = true;
                        self.judge_fork(number, (shard, lane), here, there)?;
                    }
                }
                let equal = replica.digest() == first[shard].digest();
                if equal && !replica.values_from("").eq(first[shard].values_from("")) {
                    let says = format!("shard {shard} has node 0's digest and other values");
                    return Err(self.violation(Guarantee::Convergence, Some(number), says));
                }
            }
        }
        if forked {
            self.cover(Coverage::ForkAtRest);
        }
        Ok(())
    }

    /// The only exception to convergence is a lane with two histories: both are kept, somebody has
    /// said so, and nobody goes on counting under it.
    fn judge_fork(
        &self,
        node: usize,
        (shard, lane): (usize, ReplicaId),
        here: Mark,
        there: Mark,
    ) -> Result<(), Violation> {
        let number = Ledger::number(lane);
        let held = format!(
            "lane {} of shard {shard} is held at {here}, and at node 0 at {there}",
            number.0
        );
        if self.ledger.on_one_branch(shard, number, here, there) {
            return Err(self.violation(Guarantee::Convergence, Some(node), held));
        }
        if !self.ledger.is_reported(shard, number) {
            let says = format!("{held}, and nobody has noticed");
            return Err(self.violation(Guarantee::IncarnationSafety, Some(node), says));
        }
        if let Some(owner) = self
            .nodes
            .iter()
            .position(|node| node.incarnation == number)
        {
            let says = format!("{held}, and its owner still takes adds");
            return Err(self.violation(Guarantee::IncarnationSafety, Some(owner), says));
        }
        Ok(())
    }

    /// Conservation: each value is the sum of the single adds that the node's lanes hold, and an
    /// add counts once.
    fn judge_values(&mut self, node: usize) -> Result<(), Violation> {
        let held = |shard: usize, lane: ReplicaId| self.nodes[node].replicas[shard].held(lane);
        let counted = self.ledger.counted(|shard, lane| vec![held(shard, lane)]);
        let mut sums = [0; COUNTERS];
        let mut coverage = Vec::new();
        for (add, &counts) in self.ledger.adds.iter().zip(&counted) {
            if counts {
                sums[add.counter] += i128::from(add.amount);
            }
            if !add.is_acknowledged() {
                coverage.push(if counts {
                    Coverage::UnansweredCounted
                } else {
                    Coverage::UnansweredLost
                });
            }
            if counts && add.repeats.is_some_and(|first| counted[first]) {
                let says = "an add that its client repeated counts twice";
                return Err(self.violation(Guarantee::Conservation, Some(node), says));
            }
        }
        for path in coverage {
            self.cover(path);
        }
        for (counter, sum) in sums.into_iter().enumerate() {
            let value = self.read(node, counter)?;
            if value != sum {
                let name = &self.names[counter];
                let says = format!("{name} is {value}, but the adds it holds make {sum}");
                return Err(self.violation(Guarantee::Conservation, Some(node), says));
            }
        }
        Ok(())
    }

    /// Durability: every acknowledged add is held, unless the only disk that had it was lost. With
    /// a forked lane some node holds it; else, since all agree, all do.
    fn judge_durability(&self) -> Result<(), Violation> {
        let everywhere = |shard: usize, lane: ReplicaId| -> Vec<Mark> {
            self.nodes
                .iter()
                .map(|node| node.replicas[shard].held(lane))
                .collect()
        };
        let held = self.ledger.counted(everywhere);
        for (number, (add, held)) in self.ledger.adds.iter().zip(held).enumerate() {
            if add.is_acknowledged() && !add.excused && !held {
                let says = format!(
                    "add #{number} ({:+} to {}) was acknowledged, and no node holds it",
                    add.amount, self.names[add.counter]
                );
                return Err(self.violation(Guarantee::Durability, None, says));
            }
        }
        Ok(())
    }

    /// Durability, again: what a node shows at rest it shows after a restart.
    fn judge_restart(&mut self) -> Result<(), Violation> {
        let node = self.random.index(self.nodes.len());
        let start = StartId::new(self.random.bits() | 1);
        for shard in 0..self.schedule.shards {
            let before = &self.nodes[node].replicas[shard];
            let mut after = Replica::new(before.id(), start);
            let frames = self.nodes[node].disk.durable().iter();
            for frame in frames.filter(|frame| frame.shard == shard) {
                let interval = after.import(&frame.interval);
                if let Err(error) = after.recover(&interval) {
                    return Err(self.violation(
                        Guarantee::Durability,
                        Some(node),
                        error.to_string(),
                    ));
                }
            }
            let same = after.digest() == before.digest()
                && after.values_from("").eq(before.values_from(""));
            if !same {
                let says = format!("shard {shard} shows something else after a restart");
                return Err(self.violation(Guarantee::Durability, Some(node), says));
            }
        }
        Ok(())
    }
}
