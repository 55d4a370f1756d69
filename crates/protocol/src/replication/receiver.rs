//! The receiving end of a stream: says what this node holds, and takes what comes.
//!
//! A message's intervals are part of the next commit round, and the next message is read once that
//! is complete: so what a peer can make this node buffer is one message, and what this node
//! reports as held is durable. Whatever goes wrong ends the stream; the next one begins, when the
//! [`Dialer`](super::Dialer) says, with what is held.

use alloc::{collections::BTreeSet, vec, vec::Vec};

use crdt_core::{Digest, Fork, Interval, Mark, ReceiveError, ReplicaId};
use thiserror::Error;

use super::{HeldLane, ReplicationLimits};
use crate::{Hello, HelloError, Round, ShardIndex, Shards, Time};

/// Why the receiver ends a stream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReceiverError {
    /// The peer is none of ours.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// A set of intervals cannot be taken: one leaves a gap, contradicts itself, or needs what is not
    /// held, although the sender has sent it as closed.
    #[error(transparent)]
    Receive(ReceiveError),
    /// The sender tells of a shard that does not exist, or nothing of a lane that is not this node's.
    #[error(
        "the peer tells how far it holds lane {lane} of shard {shard}, which is none of ours, and \
         shows no fork of it"
    )]
    NotOurs {
        /// The shard.
        shard: ShardIndex,
        /// The lane.
        lane: ReplicaId,
    },
    /// The sender tells of too many forks.
    #[error(
        "the peer tells that more than {lanes_max} lanes have forked, which is more than a cluster \
         has incarnations for: a node gone mad"
    )]
    Lanes {
        /// How many there may be.
        lanes_max: usize,
    },
    /// Nothing came for too long.
    #[error("nothing came for {silence_ms} ms; heartbeats come every {heartbeat_ms} ms")]
    Silent {
        /// The bound.
        silence_ms: u128,
        /// What was expected.
        heartbeat_ms: u128,
    },
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverEffect {
    /// Sends a report, in the only place of the queue for it.
    Report(Vec<HeldLane>),
    /// Reads no message until this round is complete, and then says so.
    AwaitRound(Round),
    /// Ends the stream.
    Close(ReceiverError),
    /// Reads the next message; nothing else is due until then.
    Read {
        /// When to ask again.
        until: Time,
    },
}

/// What became of an interval of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It becomes durable with this round.
    Taken(Round),
    /// It told nothing new.
    Known,
    /// Its lane has another history here, and is left alone from now on.
    LaneForked,
    /// Its lane was left alone before.
    LeftAlone,
}

/// What became of a set of intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetOutcome {
    /// Of each interval, in their order.
    pub intervals: Vec<Outcome>,
    /// The forks that the set has shown: of its lanes, and of this node's own where somebody needs
    /// more of it than there is. Each is told once a stream.
    pub forks: Vec<Fork>,
}

/// One stream's receiving end.
#[derive(Clone, Debug)]
pub struct Receiver {
    limits: ReplicationLimits,
    ours: Hello,
    peer: Option<ReplicaId>,
    /// By shard: what was last reported as held.
    reported: Vec<Digest>,
    /// Lanes of which the sender holds or knows another history.
    forked: BTreeSet<(ShardIndex, ReplicaId)>,
    /// The round that makes durable what the last message brought.
    awaited: Option<Round>,
    next_report: Time,
    last_message: Time,
    /// When the message came with which the sender had sent all that it had ...
    caught_up_with: Option<Time>,
    /// ... and the last such time of which everything is durable here.
    caught_up: Option<Time>,
}

impl Receiver {
    /// The receiving end of a stream that `ours` opens now, with its hello.
    #[must_use]
    pub fn new(limits: ReplicationLimits, ours: Hello, now: Time) -> Self {
        Self {
            limits,
            reported: vec![Digest::default(); ours.shard_count as usize],
            ours,
            peer: None,
            forked: BTreeSet::new(),
            awaited: None,
            next_report: now,
            last_message: now,
            caught_up_with: None,
            caught_up: None,
        }
    }

    /// The sender, once it has introduced itself.
    #[must_use]
    pub fn peer(&self) -> Option<ReplicaId> {
        self.peer
    }

    /// A message has come; the first one has the sender's hello.
    ///
    /// # Errors
    ///
    /// When the sender is none of ours.
    pub fn message(&mut self, now: Time, hello: Option<&Hello>) -> Result<(), ReceiverError> {
        if self.peer.is_none() {
            self.peer = Some(self.ours.accept(hello)?);
        }
        self.last_message = now;
        Ok(())
    }

    /// Intervals of the message at hand that are taken as one, as the sender has sent them. What
    /// became of each.
    ///
    /// An interval of another history than the one held is left alone, so that other lanes go on:
    /// those of the set as well, whatever they need of that lane. What it means when the lane is
    /// this node's own is for [`Standing`](crate::Standing) to say.
    ///
    /// # Errors
    ///
    /// When the stream must end. Nothing of the set was taken then.
    pub fn set(
        &mut self,
        shards: &impl Shards,
        shard: ShardIndex,
        mut set: Vec<Interval>,
    ) -> Result<SetOutcome, ReceiverError> {
        let is_left = |it: &Interval| self.forked.contains(&(shard, it.lane));
        let lanes: Vec<_> = set.iter().map(|it| (it.lane, is_left(it))).collect();
        let mut forks = Vec::new();
        let rounds = loop {
            // What follows on another history may even leave a gap here: it is nothing to look at.
            set.retain(|it| !self.forked.contains(&(shard, it.lane)));
            match shards.with(shard, |it| it.receive_set(&mut set)) {
                Ok(rounds) => break rounds,
                Err(ReceiveError::Fork(fork)) if self.note_fork(shards, shard, fork.lane) => {
                    forks.push(fork);
                }
                Err(error) => return Err(ReceiverError::Receive(error)),
            }
        };
        self.awaited = self.awaited.max(rounds.iter().copied().flatten().max());
        let mut rounds = rounds.into_iter();
        let intervals = lanes.into_iter().map(|(lane, was_left)| {
            if was_left {
                Outcome::LeftAlone
            } else if self.forked.contains(&(shard, lane)) {
                Outcome::LaneForked
            } else {
                let round = rounds.next().expect("one for each that is not left alone");
                round.map_or(Outcome::Known, Outcome::Taken)
            }
        });
        let intervals = intervals.collect();
        Ok(SetOutcome { intervals, forks })
    }

    /// The sender tells how far it holds this node's own lane, or that another lane has forked, with
    /// a mark of the history that this node has not: the forks that this shows, each once. From now
    /// on nothing here waits for such a lane.
    ///
    /// # Errors
    ///
    /// When it tells of something else.
    pub fn told(
        &mut self,
        shards: &impl Shards,
        held: &[HeldLane],
    ) -> Result<Vec<(ShardIndex, Fork)>, ReceiverError> {
        let mut forks = Vec::new();
        for &HeldLane { shard, lane, mark } in held {
            let is_own = lane == self.ours.replica;
            if shard >= shards.shard_count() || (!is_own && mark == Mark::ZERO) {
                return Err(ReceiverError::NotOurs { shard, lane });
            }
            let (admitted, here) = shards.with(shard, |it| {
                let replica = it.replica();
                (replica.admits(lane, mark), replica.held(lane))
            });
            let fork = match admitted {
                Err(fork) => fork,
                Ok(()) if is_own => continue,
                // The other history goes on where this one is not yet: the sender's word is all there
                // is, and a member is trusted with what it relays.
                Ok(()) => Fork {
                    lane,
                    held: here,
                    seen: mark,
                },
            };
            if self.forked.len() >= self.limits.stream_lanes_max {
                return Err(ReceiverError::Lanes {
                    lanes_max: self.limits.stream_lanes_max,
                });
            }
            if self.note_fork(shards, shard, lane) {
                forks.push((shard, fork));
            }
        }
        Ok(forks)
    }

    /// Leaves a lane alone from now on; whether that is news on this stream.
    fn note_fork(&mut self, shards: &impl Shards, shard: ShardIndex, lane: ReplicaId) -> bool {
        shards.with(shard, |it| it.note_fork(lane));
        self.forked.insert((shard, lane))
    }

    /// The message at hand ends all that the sender had to send of its own lane.
    pub fn ends_all(&mut self, now: Time) {
        self.caught_up_with = Some(now);
    }

    /// Since when at most the sender's lane may lack something here: when the message came with
    /// which it had sent all that it had, up to its pace, if that is held by now. Never, where the
    /// lane has another history here.
    #[must_use]
    pub fn caught_up(&mut self) -> Option<(ReplicaId, Time)> {
        if self.awaited.is_none() {
            self.caught_up = self.caught_up_with.or(self.caught_up);
        }
        let peer = self.peer?;
        let is_forked = self.forked.iter().any(|&(_, lane)| lane == peer);
        self.caught_up.filter(|_| !is_forked).map(|at| (peer, at))
    }

    /// Rounds are complete up to this one.
    pub fn completed(&mut self, now: Time, round: Round) {
        if self.awaited.is_some_and(|awaited| awaited <= round) {
            self.awaited = None;
            // While this node was busy nobody could be silent.
            self.last_message = now;
        }
    }

    /// The next thing to do; `has_room` tells whether the last report has been sent.
    pub fn poll(&mut self, now: Time, shards: &impl Shards, has_room: bool) -> ReceiverEffect {
        if now >= self.next_report {
            // When the last report still waits, the next one tells both changes.
            let report = if has_room {
                self.changed(shards)
            } else {
                Vec::new()
            };
            // A report that is full may have left something out: the rest follows at once.
            if report.len() < self.limits.report_lanes_max {
                self.next_report = now.after(self.limits.report_interval);
            }
            if !report.is_empty() {
                return ReceiverEffect::Report(report);
            }
        }
        if let Some(round) = self.awaited {
            return ReceiverEffect::AwaitRound(round);
        }
        let silent_at = self.last_message.after(self.limits.silence_max);
        if now >= silent_at {
            return ReceiverEffect::Close(ReceiverError::Silent {
                silence_ms: self.limits.silence_max.as_millis(),
                heartbeat_ms: self.limits.heartbeat_interval.as_millis(),
            });
        }
        ReceiverEffect::Read {
            until: silent_at.min(self.next_report),
        }
    }

    /// Marks that have changed since the last report, as many as a report may have.
    fn changed(&mut self, shards: &impl Shards) -> Vec<HeldLane> {
        let mut changed = Vec::new();
        for (shard, reported) in (0..).zip(&mut self.reported) {
            let held = shards.with(shard, |it| it.replica().digest());
            for (lane, mark) in held.iter() {
                if changed.len() == self.limits.report_lanes_max {
                    return changed;
                }
                if reported.mark(lane) != mark {
                    reported.note(lane, mark);
                    changed.push(HeldLane { shard, lane, mark });
                }
            }
        }
        changed
    }
}
