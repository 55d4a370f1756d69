//! The sending end of a stream: what the receiver lacks, at a pace.
//!
//! For each shard and lane it remembers how far the receiver will be once everything sent has
//! arrived. At most once a pace it reads the own lane after that, so a counter that changes a
//! million times a second is sent a hundred times. Other lanes are *relayed*: when the receiver
//! reports less than this node held a while ago.
//!
//! An interval is read in pieces, so that no shard is held for long, and a piece only when the
//! transport has room: a slow receiver costs no memory, and later changes gather into one
//! interval.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec,
    vec::Vec,
};

use crdt_core::{Digest, Fork, IntervalPiece, IntervalReader, Mark, ReplicaId};
use thiserror::Error;

use super::{HeldLane, ReplicationLimits};
use crate::{ShardIndex, Shards, Time};

/// Why the sender ends a stream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SenderError {
    /// The receiver names a shard that does not exist.
    #[error("shard {found} does not exist; the cluster has {shard_count}, numbered from 0")]
    Shard {
        /// The shard named.
        found: ShardIndex,
        /// Shards there are.
        shard_count: u32,
    },
    /// The receiver reports too many lanes.
    #[error(
        "the stream has reported {found} lanes; at most {lanes_max} are possible, which is more \
         than a cluster of this many shards has incarnations for: a node gone mad, or a stranger"
    )]
    Lanes {
        /// How many.
        found: usize,
        /// How many there may be.
        lanes_max: usize,
    },
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderEffect {
    /// Sends a piece of an interval. Everything in it is durable here. The pieces of an interval
    /// follow each other.
    Send {
        /// Its shard.
        shard: ShardIndex,
        /// The piece.
        piece: IntervalPiece,
    },
    /// Tells the receiver how far this node holds the receiver's own lane.
    Tell(Vec<HeldLane>),
    /// Sends an empty message.
    Heartbeat,
    /// This lane has forked between the two nodes: it is left alone, and all others go on. What
    /// this means when it is the node's own is for [`Standing`](crate::Standing) to say.
    LaneForked {
        /// The shard.
        shard: ShardIndex,
        /// Its two histories.
        fork: Fork,
    },
    /// Nothing is due until then, or until something happens.
    Wait {
        /// When to ask again.
        until: Time,
    },
}

/// One stream's sending end.
#[derive(Clone, Debug)]
pub struct Sender {
    limits: ReplicationLimits,
    own: ReplicaId,
    peer: ReplicaId,
    /// By shard: how far the receiver is, or will be when everything sent has arrived.
    sent: Vec<Digest>,
    /// By shard: what this node held at the last look for lanes to relay.
    held_before: Vec<Digest>,
    /// By shard: how far the receiver was told that its own lane is held here.
    told: Vec<Mark>,
    /// Lanes that have forked between the two nodes.
    forked: BTreeSet<(ShardIndex, ReplicaId)>,
    /// Found, and to be given out.
    forks: VecDeque<(ShardIndex, Fork)>,
    lanes_reported: usize,
    /// Lanes that are due.
    due: VecDeque<(ShardIndex, ReplicaId)>,
    reading: Option<(ShardIndex, IntervalReader)>,
    has_news: bool,
    next_own: Time,
    next_relay: Time,
    last_sent: Time,
}

impl Sender {
    /// The sending end at `own`, of a stream that `peer` has opened now.
    #[must_use]
    pub fn new(
        limits: ReplicationLimits,
        own: ReplicaId,
        peer: ReplicaId,
        shard_count: u32,
        now: Time,
    ) -> Self {
        let nothing = vec![Digest::default(); shard_count as usize];
        Self {
            limits,
            own,
            peer,
            sent: nothing.clone(),
            held_before: nothing,
            told: vec![Mark::ZERO; shard_count as usize],
            forked: BTreeSet::new(),
            forks: VecDeque::new(),
            lanes_reported: 0,
            due: VecDeque::new(),
            reading: None,
            // What is held already is news to a new stream.
            has_news: true,
            next_own: now,
            next_relay: now,
            last_sent: now,
        }
    }

    /// The receiver.
    #[must_use]
    pub fn peer(&self) -> ReplicaId {
        self.peer
    }

    /// Whether the own lane is sent in all shards: it is until it has forked between the two nodes.
    #[must_use]
    pub fn sends_own(&self) -> bool {
        self.forked.iter().all(|&(_, lane)| lane != self.own)
    }

    /// The receiver reports how far it holds some lanes.
    ///
    /// # Errors
    ///
    /// When the report makes no sense. A mark that is not on its lane's history is none: what it
    /// says is given out by [`poll`](Self::poll).
    pub fn report(&mut self, shards: &impl Shards, report: &[HeldLane]) -> Result<(), SenderError> {
        for &HeldLane { shard, lane, mark } in report {
            if shard >= shards.shard_count() {
                return Err(SenderError::Shard {
                    found: shard,
                    shard_count: shards.shard_count(),
                });
            }
            match shards.with(shard, |it| it.replica().admits(lane, mark)) {
                Ok(()) => self.note(shard, lane, mark)?,
                Err(fork) => self.leave_alone(shard, fork),
            }
        }
        Ok(())
    }

    fn note(&mut self, shard: ShardIndex, lane: ReplicaId, mark: Mark) -> Result<(), SenderError> {
        let sent = &mut self.sent[shard as usize];
        if sent.mark(lane) == Mark::ZERO {
            self.lanes_reported += 1;
            let lanes_max = self.limits.stream_lanes_max;
            if self.lanes_reported > lanes_max {
                return Err(SenderError::Lanes {
                    found: self.lanes_reported,
                    lanes_max,
                });
            }
        }
        sent.note(lane, mark);
        Ok(())
    }

    fn leave_alone(&mut self, shard: ShardIndex, fork: Fork) {
        if self.forked.insert((shard, fork.lane)) {
            self.forks.push_back((shard, fork));
        }
    }

    /// A round is complete: there may be something to send.
    pub fn completed(&mut self) {
        self.has_news = true;
    }

    /// The next thing to do. The driver asks again until it is told to wait, as long as its
    /// transport has room.
    pub fn poll(&mut self, now: Time, shards: &impl Shards) -> SenderEffect {
        loop {
            if let Some((shard, fork)) = self.forks.pop_front() {
                return SenderEffect::LaneForked { shard, fork };
            }
            if let Some(effect) = self.next_piece(now, shards) {
                return effect;
            }
            if self.has_news && now >= self.next_own {
                self.has_news = false;
                self.next_own = now.after(self.limits.pace);
                let own = shards.indices().into_iter().map(|shard| (shard, self.own));
                self.due
                    .extend(own.filter(|lane| !self.forked.contains(lane)));
                continue;
            }
            if now >= self.next_relay {
                self.next_relay = now.after(self.limits.relay_interval);
                let tell = self.look_around(shards);
                if !tell.is_empty() {
                    self.last_sent = now;
                    return SenderEffect::Tell(tell);
                }
                continue;
            }
            let heartbeat_at = self.last_sent.after(self.limits.heartbeat_interval);
            if now >= heartbeat_at {
                self.last_sent = now;
                return SenderEffect::Heartbeat;
            }
            let own_at = self.has_news.then_some(self.next_own);
            let timers = [Some(self.next_relay), Some(heartbeat_at), own_at];
            let until = timers.into_iter().flatten().min().expect("a heartbeat");
            return SenderEffect::Wait { until };
        }
    }

    /// The next piece of what is due.
    fn next_piece(&mut self, now: Time, shards: &impl Shards) -> Option<SenderEffect> {
        loop {
            let (shard, mut reader) = if let Some(reading) = self.reading.take() {
                reading
            } else {
                let (shard, lane) = self.due.pop_front()?;
                let after = self.sent[shard as usize].mark(lane);
                (shard, IntervalReader::new(lane, after))
            };
            let records_max = self.limits.piece_records_max;
            match shards.with(shard, |it| it.replica().read(&mut reader, records_max)) {
                Ok(None) => {}
                Ok(Some(piece)) => {
                    self.last_sent = now;
                    match &piece.end {
                        Some(end) => self.sent[shard as usize].note(piece.lane, end.to),
                        None => self.reading = Some((shard, reader)),
                    }
                    return Some(SenderEffect::Send { shard, piece });
                }
                Err(fork) => {
                    self.forked.insert((shard, fork.lane));
                    return Some(SenderEffect::LaneForked { shard, fork });
                }
            }
        }
    }

    /// Notes which lanes of others are due, and tells the receiver of its own.
    fn look_around(&mut self, shards: &impl Shards) -> Vec<HeldLane> {
        let mut tell = Vec::new();
        for shard in shards.indices() {
            let index = shard as usize;
            let held = shards.with(shard, |it| it.replica().digest());
            let of_peer = held.mark(self.peer);
            if of_peer != self.told[index] {
                self.told[index] = of_peer;
                tell.push(HeldLane {
                    shard,
                    lane: self.peer,
                    mark: of_peer,
                });
            }
            let before = core::mem::replace(&mut self.held_before[index], held);
            for (lane, mark) in before.iter() {
                // The own lane has been sent long before.
                let is_excluded = lane == self.peer || self.forked.contains(&(shard, lane));
                if !is_excluded && self.sent[index].mark(lane).version < mark.version {
                    self.due.push_back((shard, lane));
                }
            }
        }
        tell
    }
}
