//! Two nodes without disks, and a stream between them.

use alloc::{collections::VecDeque, vec, vec::Vec};
use core::cell::RefCell;

use crdt_core::{
    CounterName, Fork, Interval, IntervalPiece, Mark, Replica, ReplicaId, StartId, Sum, Sums,
};

use super::{LIMITS, SHARDS, at_ms, hello, id};
use crate::{
    CommitEffect, CommitLimits, CommitRounds, Receiver, ReceiverEffect, ReceiverError, Round,
    Sender, SenderEffect, Shard, ShardIndex, Shards as _, Time,
};

/// A node without a disk: what it takes it holds.
pub(super) struct Node {
    pub(super) id: ReplicaId,
    pub(super) shards: RefCell<Vec<Shard>>,
    pub(super) round: Round,
    rounds: CommitRounds,
}

impl Node {
    pub(super) fn new(number: u128, start: u64) -> Self {
        let shard = |_| Shard::new(Replica::new(id(number), StartId::new(start)));
        Self {
            id: id(number),
            shards: RefCell::new((0..SHARDS).map(shard).collect()),
            round: Round::NONE,
            rounds: CommitRounds::new(CommitLimits::default(), 0, 0),
        }
    }

    /// Something was taken: does what the commit rounds say, until they wait.
    pub(super) fn commit(&mut self) {
        self.rounds.taken();
        let mut collected = Vec::new();
        loop {
            match self.rounds.poll(at_ms(0)) {
                CommitEffect::Append { round } => {
                    collected.extend(self.shards.indices().into_iter().filter(|&shard| {
                        let group = self.shards.with(shard, |it| it.collect(round));
                        group.is_some()
                    }));
                    self.rounds.appended(collected.len() as u64);
                }
                CommitEffect::Sync => self.rounds.synced(at_ms(0)),
                CommitEffect::Complete { round } => {
                    for shard in collected.drain(..) {
                        if self.shards.with(shard, Shard::synced) {
                            self.rounds.taken();
                        }
                    }
                    self.round = round;
                }
                CommitEffect::Wait { .. } => return,
                CommitEffect::Cut
                | CommitEffect::BeginSnapshot { .. }
                | CommitEffect::Seal
                | CommitEffect::End
                | CommitEffect::Failed => unreachable!("nothing else is due"),
            }
        }
    }

    pub(super) fn add(&mut self, shard: ShardIndex, name: &str, amount: i64) {
        self.shards.with(shard, |it| {
            let name = name.parse().expect("a name");
            let counter = it.replica_mut().counter(&name);
            it.replica_mut()
                .add(counter, Sum::of(amount))
                .expect("in range");
        });
        self.commit();
    }

    pub(super) fn held(&self, shard: ShardIndex, lane: ReplicaId) -> Mark {
        self.shards.with(shard, |it| it.replica().held(lane))
    }

    pub(super) fn value(&self, shard: ShardIndex, name: &str) -> i128 {
        self.shards.with(shard, |it| {
            let replica = it.replica();
            replica
                .find(name)
                .map_or(0, |counter| replica.value(counter))
        })
    }

    pub(super) fn sender(&self, to: &Self, now: Time) -> Sender {
        Sender::new(LIMITS, self.id, to.id, SHARDS, now)
    }

    pub(super) fn receiver(&self, now: Time) -> Receiver {
        Receiver::new(LIMITS, hello(self.id), now)
    }

    /// Takes all lanes from another node as they are, as one and without a stream.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for shard in 0..SHARDS {
            let digest = other.shards.with(shard, |it| it.replica().digest());
            let lanes = digest.iter().map(|(lane, _)| lane);
            let set = lanes.filter_map(|lane| other.interval(shard, lane, self.held(shard, lane)));
            let mut set: Vec<_> = set.map(|it| self.import(shard, &it)).collect();
            self.shards.with(shard, |it| {
                it.receive_set(&mut set).expect("it continues");
            });
        }
        self.commit();
    }

    /// What changed in a lane after a mark, with the names of counters.
    pub(super) fn interval(
        &self,
        shard: ShardIndex,
        lane: ReplicaId,
        after: Mark,
    ) -> Option<Interval<CounterName>> {
        self.shards.with(shard, |it| {
            let interval = it.replica().interval(lane, after).expect("no fork")?;
            Some(it.replica().export(&interval))
        })
    }

    pub(super) fn import(&self, shard: ShardIndex, interval: &Interval<CounterName>) -> Interval {
        self.shards
            .with(shard, |it| it.replica_mut().import(interval))
    }
}

/// A stream from one node to another.
pub(super) struct Stream {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    assembling: Option<Interval<CounterName>>,
    /// The whole intervals of the set under way.
    set: Vec<Interval>,
    /// Forks that the receiver was told of.
    pub(super) told_forks: Vec<(ShardIndex, Fork)>,
    /// Forks that sets have shown.
    pub(super) set_forks: Vec<Fork>,
    /// What the sender did.
    pub(super) effects: VecDeque<SenderEffect>,
}

impl Stream {
    pub(super) fn open(from: &Node, to: &Node, now: Time) -> Self {
        let mut receiver = to.receiver(now);
        let hello = hello(from.id);
        receiver.message(now, Some(&hello)).expect("a peer");
        Self {
            sender: from.sender(to, now),
            receiver,
            assembling: None,
            set: Vec::new(),
            told_forks: Vec::new(),
            set_forks: Vec::new(),
            effects: VecDeque::new(),
        }
    }

    /// Lets both ends do all that is due now.
    pub(super) fn run(
        &mut self,
        now: Time,
        from: &Node,
        to: &mut Node,
    ) -> Result<(), ReceiverError> {
        self.report(now, from, to);
        while self.step(now, from, to)? {}
        Ok(())
    }

    /// Lets the sender do one thing, unless it is to wait.
    pub(super) fn step(
        &mut self,
        now: Time,
        from: &Node,
        to: &mut Node,
    ) -> Result<bool, ReceiverError> {
        let effect = self.sender.poll(now, &from.shards);
        if let SenderEffect::Wait { .. } = effect {
            assert!(
                self.assembling.is_none() && self.set.is_empty(),
                "it waits within a set"
            );
            return Ok(false);
        }
        self.effects.push_back(effect.clone());
        match effect {
            SenderEffect::Send {
                shard,
                piece,
                set_goes_on,
            } => self.deliver((from, to), shard, &piece, set_goes_on)?,
            SenderEffect::Tell(held) => {
                self.receiver.message(now, None)?;
                self.told_forks
                    .extend(self.receiver.told(&to.shards, &held)?);
            }
            SenderEffect::Heartbeat => self.receiver.message(now, None)?,
            SenderEffect::LaneForked { .. } => {}
            SenderEffect::Wait { .. } => unreachable!("seen above"),
        }
        Ok(true)
    }

    pub(super) fn report(&mut self, now: Time, from: &Node, to: &Node) {
        while let ReceiverEffect::Report(held) = self.receiver.poll(now, &to.shards, true) {
            assert!(held.len() <= LIMITS.report_lanes_max);
            self.sender
                .report(&from.shards, &held)
                .expect("a sound report");
        }
    }

    fn deliver(
        &mut self,
        (from, to): (&Node, &mut Node),
        shard: ShardIndex,
        piece: &IntervalPiece,
        set_goes_on: bool,
    ) -> Result<(), ReceiverError> {
        let name = |counter: &crdt_core::CounterIndex| {
            from.shards
                .with(shard, |it| it.replica().name(*counter).clone())
        };
        assert!(piece.end.is_some() || piece.sums.len() <= LIMITS.piece_records_max);
        let piece = piece.map_counters(name);
        let interval = self.assembling.get_or_insert_with(|| Interval {
            lane: piece.lane,
            after: piece.after,
            to: piece.after,
            starts: vec![],
            sums: Sums::new(),
            records: crdt_core::Records::default(),
            needs: alloc::vec::Vec::new(),
        });
        assert_eq!(interval.lane, piece.lane, "its pieces follow each other");
        interval.sums.extend(piece.sums.into_records());
        let Some(end) = piece.end else {
            assert!(!set_goes_on, "only an end says so");
            return Ok(());
        };
        (interval.to, interval.starts) = (end.to, end.starts);
        (interval.records, interval.needs) = (end.records, end.needs);
        let interval = self.assembling.take().expect("it was put there");
        self.set.push(to.import(shard, &interval));
        if set_goes_on {
            return Ok(());
        }
        let set = core::mem::take(&mut self.set);
        let outcome = self.receiver.set(&to.shards, shard, set)?;
        self.set_forks.extend(outcome.forks);
        if let ReceiverEffect::AwaitRound(_) = self.receiver.poll(at_ms(0), &to.shards, false) {
            to.commit();
            self.receiver.completed(at_ms(0), to.round);
        }
        Ok(())
    }

    /// The lanes of the intervals that were sent, set by set.
    pub(super) fn sent_sets(&self) -> Vec<Vec<ReplicaId>> {
        let mut sets = vec![Vec::new()];
        for effect in &self.effects {
            if let SenderEffect::Send {
                piece, set_goes_on, ..
            } = effect
                && piece.end.is_some()
            {
                sets.last_mut().expect("never empty").push(piece.lane);
                if !set_goes_on {
                    sets.push(Vec::new());
                }
            }
        }
        assert_eq!(sets.pop(), Some(vec![]), "the last set is whole");
        sets
    }

    /// The lanes of the intervals that were sent.
    pub(super) fn sent(&self) -> Vec<ReplicaId> {
        self.sent_sets().concat()
    }
}
