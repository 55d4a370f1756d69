//! What follows from a fork that one end of a stream has found.

use crdt_core::{Fork, ReplicaId};
use protocol::Claim;

use crate::guarantee::Guarantee;
use crate::mutation::Mutation;
use crate::sim::kinds::Coverage;
use crate::sim::oracle::Violation;
use crate::sim::trace::{MessageEntry, TraceEntry};
use crate::sim::world::World;

impl World<'_> {
    /// A peer that was dialled shows that a lane has forked.
    pub(in crate::sim) fn forked_here(
        &mut self,
        node: usize,
        shard: usize,
        fork: &Fork,
    ) -> Result<(), Violation> {
        if !self.breaks(Mutation::ForkIgnored) {
            let claim = self.process(node).standing.forked_by_dialled(fork.clone());
            self.claimed(node, claim, fork);
        }
        self.fork_found(node, shard, fork)
    }

    /// Somebody who has dialled this node shows that a lane has forked.
    pub(in crate::sim) fn forked_there(
        &mut self,
        node: usize,
        (reporter, shard): (ReplicaId, usize),
        fork: &Fork,
    ) -> Result<(), Violation> {
        if !self.breaks(Mutation::ForkIgnored) {
            self.judge_reporter(node, reporter, fork);
        }
        self.fork_found(node, shard, fork)
    }

    /// Lets the node's standing judge a mark of its own lane that somebody has reported.
    pub(in crate::sim) fn judge_reporter(&mut self, node: usize, reporter: ReplicaId, fork: &Fork) {
        let believes_all = self.breaks(Mutation::StrangerBelieved);
        let process = self.process(node);
        let claim = if believes_all {
            process.standing.forked_by_dialled(fork.clone())
        } else {
            let standing = &mut process.standing;
            standing.forked_by_reporter(&process.shards, reporter, fork.clone())
        };
        self.claimed(node, claim, fork);
    }

    pub(in crate::sim) fn claimed(&mut self, node: usize, claim: Claim, fork: &Fork) {
        match claim {
            Claim::Believed => {
                self.keep_fork(node, fork);
                self.cover(Coverage::NodeStopped);
                self.trace(TraceEntry::Stopped { node });
                self.plan_replacement(node);
            }
            Claim::Disbelieved => self.cover(Coverage::StrangerDisbelieved),
            // When it could not be kept the last time, it may be now.
            Claim::Known => self.keep_fork(node, fork),
            Claim::OfOther => {}
        }
    }

    fn keep_fork(&mut self, node: usize, fork: &Fork) {
        if self.process(node).log.note_fork(fork).is_ok() {
            self.nodes[node].has_kept_fork = true;
        }
    }

    /// A replica has found two histories of a lane.
    pub(in crate::sim) fn fork_found(
        &mut self,
        node: usize,
        shard: usize,
        fork: &Fork,
    ) -> Result<(), Violation> {
        let number = self.ledger.number(fork.lane);
        self.cover(Coverage::ForkFound);
        self.trace_message(MessageEntry::ForkFound {
            node,
            shard,
            lane: number.0,
        });
        if !self.ledger.report_fork(shard, number) {
            let says = format!("no directory was rolled back or copied, and yet: {fork}");
            return Err(self.violation(Guarantee::IncarnationSafety, Some(node), says));
        }
        Ok(())
    }

    /// What was once a bug: two nodes that hold different histories of a third one's lane refused
    /// each other's whole stream.
    pub(in crate::sim) fn if_forks_end_streams(&mut self, number: u64) {
        if self.breaks(Mutation::ForkEndsStream) {
            self.break_connection(number);
        }
    }
}
