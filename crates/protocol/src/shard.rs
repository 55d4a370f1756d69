//! A shard of a node, and how machines reach the shards.
//!
//! A shard is a [`Replica`] and the [`Round`] that will collect what it takes next. Both are read
//! and changed together, under one lock where there are threads, so whoever gave the shard
//! something learns exactly the round that makes it durable.

use alloc::{sync::Arc, vec::Vec};

use crdt_core::{
    CounterIndex, Group, Interval, Mark, ReceiveError, Received, Replica, ReplicaId, RequestId,
    SessionId, Sum,
};

use crate::{Observer, Span};

/// A shard, from 0 to the cluster's shard count.
pub type ShardIndex = u32;

/// Most shards a cluster can have: enough for the cores of a large machine, few enough that an
/// idle round over all of them costs microseconds.
pub const SHARD_COUNT_MAX: u32 = 256;

/// A commit round of one process: what was taken before it was collected is durable once it is
/// complete. See [`CommitRounds`](crate::CommitRounds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Round(u64);

impl Round {
    /// Before the first round. It is complete from the beginning.
    pub const NONE: Self = Self(0);
    /// The first round of a process.
    pub const FIRST: Self = Self(1);

    /// The round with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The round after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        // A round a microsecond reaches 2^64 after 584,000 years.
        Self(self.0 + 1)
    }
}

/// A counter as one node addresses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Its shard.
    pub shard: ShardIndex,
    /// Its index there.
    pub counter: CounterIndex,
}

/// One shard: its replica, and the round that will make durable what it takes now.
#[derive(Clone, Debug)]
pub struct Shard {
    replica: Replica,
    next_round: Round,
    /// New counters that adds under way will bring, and that have a place kept for them.
    pub(crate) reserved_counters: u64,
    observer: Option<Arc<dyn Observer>>,
}

impl Shard {
    /// A shard of a process that has completed no round.
    #[must_use]
    pub fn new(replica: Replica) -> Self {
        Self {
            replica,
            next_round: Round::FIRST,
            reserved_counters: 0,
            observer: None,
        }
    }

    /// The same shard, watched from now on.
    #[must_use]
    pub fn observed(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.observer.as_deref()
    }

    /// The replica, to be read.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The replica, to give names their indices. What it *takes* must go through the shard, or
    /// nobody knows when that is durable.
    pub fn replica_mut(&mut self) -> &mut Replica {
        &mut self.replica
    }

    /// The round that will make durable what is taken now.
    #[must_use]
    pub fn next_round(&self) -> Round {
        self.next_round
    }

    /// Takes an add that may leave its range only if others' adds have moved the value since it
    /// was checked. The mark of the own lane that has it.
    pub(crate) fn take(&mut self, counter: CounterIndex, sum: Sum) -> Mark {
        self.replica.take(counter, sum)
    }

    /// Takes a request that is open here, and whose adds were checked: the mark of the own lane that
    /// has it. Whoever watches hears of the adds where they go into the own sums.
    pub(crate) fn take_request(
        &mut self,
        request: RequestId,
        answered_below: u64,
        adds: &[(CounterIndex, Sum)],
    ) -> Mark {
        let mark = self.replica.take_request(request, answered_below, adds);
        if let Some(observer) = self.observer() {
            let is_home = request.session.home == self.replica.id();
            let summed = if is_home { adds } else { &[] };
            let summed = summed.iter();
            let mut named = summed.map(|&(counter, sum)| (self.replica.name(counter), sum));
            observer.taken(self, mark, &mut named);
        }
        mark
    }

    /// Refuses an open request of an own session for good; the round that makes it so.
    pub(crate) fn refuse_request(&mut self, request: RequestId, answered_below: u64) -> Round {
        let mark = self.replica.refuse_request(request, answered_below);
        self.noted(mark)
    }

    /// Closes an own session in this shard, as [`Replica::close_session`]; the round that makes it
    /// durable.
    ///
    /// # Panics
    ///
    /// When this node is not the session's home.
    pub fn close_session(&mut self, session: SessionId, all_is_answered: bool) -> Round {
        let mark = self.replica.close_session(session, all_is_answered);
        if mark == self.replica.next_mark() {
            self.noted(mark)
        } else {
            self.durable_round(mark)
        }
    }

    /// Notes that this node knows a replica; the round that makes it durable, where it is news.
    pub fn know(&mut self, replica: ReplicaId) -> Option<Round> {
        let mark = self.replica.know(replica)?;
        Some(self.noted(mark))
    }

    /// A replica never comes back, as an operator has promised; the round that makes it durable that
    /// it is waited for no more, where it was.
    pub fn forget_replica(&mut self, replica: ReplicaId) -> Option<Round> {
        let mark = self.replica.forget_replica(replica)?;
        Some(self.noted(mark))
    }

    /// The round with which the own lane is held up to a mark that it has, or will have with the
    /// next commit.
    pub(crate) fn durable_round(&self, mark: Mark) -> Round {
        let held = self.replica.held(self.replica.id());
        if mark.version <= held.version {
            Round::NONE
        } else if mark == self.replica.next_mark() {
            self.next_round
        } else {
            // What is being written was collected for the round before.
            Round(self.next_round.0 - 1)
        }
    }

    /// Something was taken that is no add.
    fn noted(&self, mark: Mark) -> Round {
        if let Some(observer) = self.observer() {
            observer.taken(self, mark, &mut core::iter::empty());
        }
        self.next_round
    }

    /// Takes an interval that a peer sent; the round that makes it durable, unless it tells
    /// nothing new.
    ///
    /// # Errors
    ///
    /// As [`Replica::receive`].
    pub fn receive(&mut self, interval: Interval) -> Result<Option<Round>, ReceiveError> {
        let rounds = self.receive_set(&mut Vec::from([interval]))?;
        Ok(rounds.into_iter().next().flatten())
    }

    /// Takes intervals that a peer sent, all or none, and leaves the set empty: for each the round
    /// that makes it durable, unless it tells nothing new.
    ///
    /// # Errors
    ///
    /// As [`Replica::receive_set`]. The set is as it was then.
    pub fn receive_set(
        &mut self,
        set: &mut Vec<Interval>,
    ) -> Result<Vec<Option<Round>>, ReceiveError> {
        let span = |it: &Interval| Span {
            lane: it.lane,
            after: it.after,
            to: it.to,
        };
        let is_observed = self.observer.is_some();
        let spans: Vec<Span> = set.iter().filter(|_| is_observed).map(span).collect();
        let received = self.replica.try_receive_set(set);
        let round = |it: &Received| (*it == Received::Taken).then_some(self.next_round);
        let rounds = received.map(|received| received.iter().map(round).collect::<Vec<_>>());
        if let Some(observer) = self.observer() {
            match &rounds {
                Ok(rounds) => spans.iter().zip(rounds).for_each(|(span, round)| {
                    observer.received(self, *span, &Ok(*round));
                }),
                Err(error) => spans
                    .iter()
                    .filter(|span| span.lane == error.lane())
                    .for_each(|span| observer.received(self, *span, &Err(error.clone()))),
            }
        }
        rounds
    }

    /// Collects for `round` what was taken; what is taken from now on is for the next one.
    pub fn collect(&mut self, round: Round) -> Option<Group> {
        self.next_round = round.next();
        let group = self.replica.commit();
        if let Some(observer) = self.observer() {
            observer.collected(self, round, group.as_ref());
        }
        group
    }

    /// What was collected is durable: it takes effect. Whether that lets the shard settle something
    /// by itself, in a next round: the driver says [`taken`](crate::CommitRounds::taken) then.
    pub fn synced(&mut self) -> bool {
        self.replica.synced();
        if let Some(observer) = self.observer() {
            observer.held(self);
        }
        self.replica.is_due()
    }

    /// Notes that a lane has forked: see [`Replica::note_fork`].
    pub(crate) fn note_fork(&mut self, lane: ReplicaId) {
        self.replica.note_fork(lane);
    }
}

/// The shards of a node, as machines reach them: each behind a lock, or whatever the driver has.
///
/// A machine asks for little at a time: what it does in one call is bounded by the limits it was
/// given.
pub trait Shards {
    /// How many there are.
    fn shard_count(&self) -> u32;

    /// Runs something on one shard, alone.
    ///
    /// # Panics
    ///
    /// When the shard does not exist.
    fn with<T>(&self, shard: ShardIndex, run: impl FnOnce(&mut Shard) -> T) -> T;

    /// Runs something on several shards at once, alone; `shards` ascend.
    ///
    /// # Panics
    ///
    /// When one of the shards does not exist.
    fn with_several<T>(&self, shards: &[ShardIndex], run: impl FnOnce(&mut [&mut Shard]) -> T)
    -> T;

    /// All shards, in order.
    fn indices(&self) -> Vec<ShardIndex> {
        (0..self.shard_count()).collect()
    }
}

/// The shards of a driver without threads.
impl Shards for core::cell::RefCell<Vec<Shard>> {
    fn shard_count(&self) -> u32 {
        u32::try_from(self.borrow().len()).expect("at most 256 shards")
    }

    fn with<T>(&self, shard: ShardIndex, run: impl FnOnce(&mut Shard) -> T) -> T {
        run(&mut self.borrow_mut()[shard as usize])
    }

    fn with_several<T>(
        &self,
        shards: &[ShardIndex],
        run: impl FnOnce(&mut [&mut Shard]) -> T,
    ) -> T {
        let mut all = self.borrow_mut();
        let wanted = all
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| shards.iter().any(|&shard| shard as usize == *index));
        let mut several: Vec<&mut Shard> = wanted.map(|(_, shard)| shard).collect();
        assert_eq!(several.len(), shards.len(), "every shard exists");
        run(&mut several)
    }
}
