//! Two nodes without disks, and a stream between them.

use alloc::{collections::VecDeque, vec, vec::Vec};
use core::cell::RefCell;

use crdt_core::{Fork, Interval, Mark, Replica, ReplicaId, StartId, Sum, Sums};

use super::{LIMITS, SHARDS, at_ms, hello, id};
use crate::{
    Outcome, Receiver, ReceiverEffect, ReceiverError, Round, Sender, SenderEffect, Shard,
    ShardIndex, Shards as _, Time,
};

/// A node without a disk: what it takes it holds.
pub(super) struct Node {
    pub(super) id: ReplicaId,
    pub(super) shards: RefCell<Vec<Shard>>,
    pub(super) round: Round,
}

impl Node {
    pub(super) fn new(number: u128, start: u64) -> Self {
        let shard = |_| Shard::new(Replica::new(id(number), StartId::new(start)));
        Self {
            id: id(number),
            shards: RefCell::new((0..SHARDS).map(shard).collect()),
            round: Round::NONE,
        }
    }

    pub(super) fn commit(&mut self) {
        self.round = self.round.next();
        for shard in self.shards.borrow_mut().iter_mut() {
            if shard.collect(self.round).is_some() {
                shard.synced();
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

    /// Takes all lanes from another node as they are, without a stream.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for shard in 0..SHARDS {
            let digest = other.shards.with(shard, |it| it.replica().digest());
            for (lane, _) in digest.iter() {
                let after = self.held(shard, lane);
                let interval = other.shards.with(shard, |it| {
                    let interval = it.replica().interval(lane, after).expect("no fork")?;
                    Some(it.replica().export(&interval))
                });
                if let Some(interval) = interval {
                    self.shards.with(shard, |it| {
                        let interval = it.replica_mut().import(&interval);
                        it.receive(interval).expect("it continues");
                    });
                }
            }
        }
        self.commit();
    }
}

/// A stream from one node to another.
pub(super) struct Stream {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    assembling: Option<Interval<crdt_core::CounterName>>,
    /// Forks that the receiver was told of.
    pub(super) told_forks: Vec<(ShardIndex, Fork)>,
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
            told_forks: Vec::new(),
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
        loop {
            let effect = self.sender.poll(now, &from.shards);
            if let SenderEffect::Wait { .. } = effect {
                return Ok(());
            }
            self.effects.push_back(effect.clone());
            match effect {
                SenderEffect::Send { shard, piece } => self.deliver(from, to, shard, &piece)?,
                SenderEffect::Tell(held) => {
                    self.receiver.message(now, None)?;
                    self.told_forks
                        .extend(self.receiver.told(&to.shards, &held)?);
                }
                SenderEffect::Heartbeat => self.receiver.message(now, None)?,
                SenderEffect::LaneForked { .. } => {}
                SenderEffect::Wait { .. } => unreachable!("seen above"),
            }
        }
    }

    pub(super) fn report(&mut self, now: Time, from: &Node, to: &Node) {
        while let ReceiverEffect::Report(held) = self.receiver.poll(now, &to.shards, true) {
            assert!(held.len() <= LIMITS.report_lanes_max);
            self.sender
                .report(&from.shards, &held)
                .expect("a sound report");
        }
    }

    pub(super) fn deliver(
        &mut self,
        from: &Node,
        to: &mut Node,
        shard: ShardIndex,
        piece: &crdt_core::IntervalPiece,
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
        interval.sums.extend(piece.sums.into_records());
        let Some(end) = piece.end else { return Ok(()) };
        (interval.to, interval.starts) = (end.to, end.starts);
        (interval.records, interval.needs) = (end.records, end.needs);
        let interval = self.assembling.take().expect("it was put there");
        let interval = to
            .shards
            .with(shard, |it| it.replica_mut().import(&interval));
        if let Outcome::Taken(round) = self.receiver.interval(&to.shards, shard, interval)? {
            let awaits = self.receiver.poll(at_ms(0), &to.shards, false);
            assert_eq!(awaits, ReceiverEffect::AwaitRound(round));
            to.commit();
            self.receiver.completed(at_ms(0), to.round);
        }
        Ok(())
    }

    pub(super) fn sent(&self) -> Vec<ReplicaId> {
        let mut sent = Vec::new();
        for effect in &self.effects {
            if let SenderEffect::Send { piece, .. } = effect
                && piece.end.is_some()
            {
                sent.push(piece.lane);
            }
        }
        sent
    }
}
