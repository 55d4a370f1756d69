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
//!
//! What an interval needs of other lanes, and the receiver does not hold, goes with it as one set,
//! at once: nothing of that waits until the receiver has lacked it for a while. Of a lane that has
//! forked between the two nodes nothing is sent; the receiver is told so before anything that needs
//! that lane, since it would wait for it otherwise.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec,
    vec::Vec,
};

use crdt_core::{Digest, Fork, IntervalPiece, Mark, Replica, ReplicaId};
use thiserror::Error;

use super::{HeldLane, ReplicationLimits, set::SetUnderWay};
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
    /// follow each other, and so do the intervals of a set.
    Send {
        /// Its shard.
        shard: ShardIndex,
        /// The piece.
        piece: IntervalPiece,
        /// At an interval's end: whether the next interval, of the same shard, is of the same set. A
        /// set is applied as one.
        set_goes_on: bool,
    },
    /// Tells the receiver how far this node holds the receiver's own lane, or of another lane a mark
    /// that shows that it has forked.
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
    /// What was found or read, and is to be given out.
    ready: VecDeque<SenderEffect>,
    lanes_reported: usize,
    /// Lanes that are due.
    due: VecDeque<(ShardIndex, ReplicaId)>,
    set: Option<SetUnderWay>,
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
            ready: VecDeque::new(),
            lanes_reported: 0,
            due: VecDeque::new(),
            set: None,
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
                Err(fork) => self.leave_alone(shard, fork.held, fork),
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

    /// Sends nothing of a lane from now on. The receiver learns of it by a mark of its other history.
    fn leave_alone(&mut self, shard: ShardIndex, mark: Mark, fork: Fork) {
        let lane = fork.lane;
        if !self.forked.insert((shard, lane)) {
            return;
        }
        self.ready
            .push_back(SenderEffect::LaneForked { shard, fork });
        // Of its own lane it is told in any case.
        if lane != self.peer && mark != Mark::ZERO {
            let held = HeldLane { shard, lane, mark };
            self.ready.push_back(SenderEffect::Tell(vec![held]));
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
            if let Some(effect) = self.next_ready(now, shards) {
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

    /// What is ready, or the next piece of what is due.
    fn next_ready(&mut self, now: Time, shards: &impl Shards) -> Option<SenderEffect> {
        loop {
            if let Some(effect) = self.ready.pop_front() {
                if !matches!(effect, SenderEffect::LaneForked { .. }) {
                    self.last_sent = now;
                }
                return Some(effect);
            }
            let mut set = match self.set.take() {
                Some(set) => set,
                None => self.begin_set()?,
            };
            let is_left = shards.with(set.shard, |it| self.read(&mut set, it.replica()));
            self.set = is_left.then_some(set);
        }
    }

    /// A set that begins with the next lane that is due.
    fn begin_set(&mut self) -> Option<SetUnderWay> {
        let (shard, lane) = loop {
            let due = self.due.pop_front()?;
            if !self.forked.contains(&due) {
                break due;
            }
        };
        let after = self.sent[shard as usize].mark(lane);
        Some(SetUnderWay::new(shard, lane, after))
    }

    /// Reads the next piece of a set, or all of it that is to be read at once; whether more of the
    /// set is left.
    fn read(&mut self, set: &mut SetUnderWay, replica: &Replica) -> bool {
        let shard = set.shard;
        loop {
            let piece = match set.read(replica, self.limits.piece_records_max) {
                Ok(Some(piece)) => piece,
                Ok(None) => return false,
                Err(fork) => {
                    self.leave_alone(shard, fork.held, fork);
                    return false;
                }
            };
            if let Some(end) = &piece.end {
                self.sent[shard as usize].note(piece.lane, end.to);
                self.promise(set, replica, &end.needs);
            }
            let set_goes_on = piece.end.is_some() && set.goes_on();
            self.ready.push_back(SenderEffect::Send {
                shard,
                piece,
                set_goes_on,
            });
            if !set.is_closing() {
                return set.is_left();
            }
        }
    }

    /// The set goes on with what is needed and the receiver does not hold.
    fn promise(&mut self, set: &mut SetUnderWay, replica: &Replica, needs: &[(ReplicaId, Mark)]) {
        let shard = set.shard;
        for &(lane, mark) in needs {
            let promised = self.sent[shard as usize].mark(lane);
            // The receiver's own lane it holds itself.
            let is_excluded = lane == self.peer || self.forked.contains(&(shard, lane));
            if is_excluded || promised.version >= mark.version {
                continue;
            }
            let held = replica.held(lane);
            match replica.admits(lane, promised) {
                Err(fork) => self.leave_alone(shard, fork.held, fork),
                // What is held covers its needs, unless the needed lane has forked.
                Ok(()) if held.version < mark.version => {
                    let seen = mark;
                    self.leave_alone(shard, mark, Fork { lane, held, seen });
                }
                Ok(()) => set.promise(lane, promised),
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
