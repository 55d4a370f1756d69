//! Whether a node takes adds: its standing.
//!
//! A node stops taking adds when it is asked to end, and when it learns that its own lane has
//! another history elsewhere, for then its peers would not see what it takes. The second lasts:
//! the driver keeps it on disk, and it is told again at each start.
//!
//! **Who is believed.** That the own lane has forked is judged by the node itself, from a mark
//! that another shows. A mark from a peer that this node has dialled, at an address of its
//! configuration, is believed. A mark in a report that somebody sends is believed when the sender
//! is a replica that this node knows: one whose lane it holds, or that answered when it was
//! dialled. A stranger's is not: anybody can write a number down. (Nothing is lost by that: a peer
//! that was dialled shows its mark too, see [`Sender`](crate::Sender).)

use alloc::collections::BTreeSet;

use crdt_core::{Fork, Mark, ReplicaId};
use thiserror::Error;

use crate::Shards;

/// Why the node takes no adds.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotWritable {
    /// It is stopping.
    #[error("this node is stopping; use another one")]
    Stopping,
    /// Others know a history of its lane that it does not.
    #[error("this node takes no adds: {0}")]
    Forked(Fork),
}

/// What became of a claim that a lane has forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The node takes no more adds, from now on: the driver keeps the fork on disk.
    Believed,
    /// It was believed before.
    Known,
    /// It came from a stranger. The stream ends, and the node goes on.
    Disbelieved,
    /// It is of another lane, which is left alone on that stream. Nothing else follows.
    OfOther,
}

/// A node's standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    own: ReplicaId,
    is_stopping: bool,
    forked: Option<Fork>,
    /// Replicas that have answered when they were dialled.
    met: BTreeSet<ReplicaId>,
}

impl Standing {
    /// That of a process at its start; `forked` is what an earlier one has kept on disk.
    #[must_use]
    pub fn new(own: ReplicaId, forked: Option<Fork>) -> Self {
        Self {
            own,
            is_stopping: false,
            forked,
            met: BTreeSet::new(),
        }
    }

    /// Whether adds are taken now.
    ///
    /// # Errors
    ///
    /// The reason, when they are not.
    pub fn ensure_writable(&self) -> Result<(), NotWritable> {
        if let Some(fork) = &self.forked {
            return Err(NotWritable::Forked(fork.clone()));
        }
        if self.is_stopping {
            return Err(NotWritable::Stopping);
        }
        Ok(())
    }

    /// Takes no more adds: the process is about to end.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// The fork of the own lane, if one is known.
    #[must_use]
    pub fn forked(&self) -> Option<&Fork> {
        self.forked.as_ref()
    }

    /// A peer at a configured address has introduced itself. There are no more of them than
    /// addresses, and their restarts with empty directories.
    pub fn meet(&mut self, peer: ReplicaId) {
        self.met.insert(peer);
    }

    /// Whether a replica is known: it has answered when it was dialled, or its lane is held here.
    pub fn is_acquainted(&self, shards: &impl Shards, replica: ReplicaId) -> bool {
        let is_held = |shard| shards.with(shard, |it| it.replica().held(replica)) != Mark::ZERO;
        self.met.contains(&replica) || shards.indices().into_iter().any(is_held)
    }

    /// A peer that was dialled shows that a lane has forked.
    pub fn forked_by_dialled(&mut self, fork: Fork) -> Claim {
        self.believe(fork)
    }

    /// Somebody who has dialled this node shows that a lane has forked.
    pub fn forked_by_reporter(
        &mut self,
        shards: &impl Shards,
        reporter: ReplicaId,
        fork: Fork,
    ) -> Claim {
        if fork.lane != self.own || self.is_acquainted(shards, reporter) {
            self.believe(fork)
        } else {
            Claim::Disbelieved
        }
    }

    fn believe(&mut self, fork: Fork) -> Claim {
        if fork.lane != self.own {
            return Claim::OfOther;
        }
        if self.forked.is_some() {
            // One is enough to stop, and the first tells most.
            return Claim::Known;
        }
        self.forked = Some(fork);
        Claim::Believed
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};
    use core::cell::RefCell;

    use crdt_core::{Interval, Replica, StartId, Sums, Version};

    use super::*;
    use crate::{Round, Shard};

    const PEER: ReplicaId = ReplicaId::new(2);

    fn mark(version: u64, start: u64) -> Mark {
        Mark {
            version: Version::new(version),
            start: StartId::new(start),
        }
    }

    const OWN: ReplicaId = ReplicaId::new(1);

    fn fork() -> Fork {
        Fork {
            lane: OWN,
            held: mark(3, 1),
            seen: mark(5, 1),
        }
    }

    /// Two shards, the second of which holds a lane of the peer, or not.
    fn shards(holds_peer: bool) -> RefCell<Vec<Shard>> {
        let shard = || Shard::new(Replica::new(ReplicaId::new(1), StartId::new(1)));
        let mut second = shard();
        if holds_peer {
            let interval = Interval {
                lane: PEER,
                after: Mark::ZERO,
                to: mark(1, 7),
                starts: vec![(Version::new(1), StartId::new(7))],
                sums: Sums::new(),
                records: crdt_core::Records::default(),
                needs: alloc::vec::Vec::new(),
            };
            second.receive(interval).expect("a first interval");
            second.collect(Round::FIRST).expect("it was taken");
            second.synced();
        }
        RefCell::new(vec![shard(), second])
    }

    #[test]
    fn a_stranger_stops_nobody() {
        let mut standing = Standing::new(OWN, None);
        standing.meet(ReplicaId::new(3));
        let claim = standing.forked_by_reporter(&shards(false), PEER, fork());
        assert_eq!(claim, Claim::Disbelieved);
        assert_eq!(standing.ensure_writable(), Ok(()));
    }

    #[test]
    fn a_replica_that_is_known_is_believed_and_the_first_fork_stays() {
        let mut by_lane = Standing::new(OWN, None);
        let claim = by_lane.forked_by_reporter(&shards(true), PEER, fork());
        assert_eq!(claim, Claim::Believed);
        let mut by_dialling = Standing::new(OWN, None);
        by_dialling.meet(PEER);
        let claim = by_dialling.forked_by_reporter(&shards(false), PEER, fork());
        assert_eq!(claim, Claim::Believed);
        assert_eq!(by_dialling.forked_by_dialled(fork()), Claim::Known);
        let forked = Err(NotWritable::Forked(fork()));
        assert_eq!(by_dialling.ensure_writable(), forked);
    }

    #[test]
    fn a_fork_of_another_lane_stops_nobody() {
        let mut standing = Standing::new(OWN, None);
        standing.meet(PEER);
        let fork = Fork {
            lane: PEER,
            ..fork()
        };
        assert_eq!(standing.forked_by_dialled(fork.clone()), Claim::OfOther);
        for reporter in [PEER, ReplicaId::new(9)] {
            let claim = standing.forked_by_reporter(&shards(true), reporter, fork.clone());
            assert_eq!(claim, Claim::OfOther);
        }
        assert_eq!(standing.ensure_writable(), Ok(()));
    }

    #[test]
    fn a_fork_is_the_reason_even_while_stopping() {
        let mut standing = Standing::new(OWN, Some(fork()));
        assert_eq!(standing.forked(), Some(&fork()));
        standing.stop();
        assert_eq!(standing.ensure_writable(), Err(NotWritable::Forked(fork())));
        let mut standing = Standing::new(OWN, None);
        assert_eq!(standing.forked(), None);
        standing.stop();
        assert_eq!(standing.ensure_writable(), Err(NotWritable::Stopping));
    }
}
