//! Watching a shard: for traces of what a node really did.
//!
//! An observer is told of each step of a shard while whoever makes it still holds the shard, so
//! the order in which it hears of them is the order in which they happened. It sees, and changes
//! nothing; a shard without one pays for a branch.

use core::fmt;

use crdt_core::{CounterName, Group, Mark, ReceiveError, ReplicaId, Sum};

use crate::{Round, Shard};

/// An interval without what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lane's owner.
    pub lane: ReplicaId,
    /// Where the interval begins.
    pub after: Mark,
    /// Where it ends.
    pub to: Mark,
}

/// Told of each step of one shard.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Adds of one request were taken, each counter once. They are durable with the shard's
    /// [next round](Shard::next_round), once the own lane is at this mark.
    fn taken(&self, shard: &Shard, mark: Mark, adds: &mut dyn Iterator<Item = (&CounterName, Sum)>);

    /// An interval was received, and this became of it.
    fn received(&self, shard: &Shard, span: Span, outcome: &Result<Option<Round>, ReceiveError>);

    /// What was taken was collected for a round: a group, if it was anything. The lanes are still
    /// as they were before it.
    fn collected(&self, shard: &Shard, round: Round, group: Option<&Group>);

    /// The group that was collected last is held now.
    fn held(&self, shard: &Shard);
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, sync::Arc, vec::Vec};
    use core::cell::RefCell;
    use std::sync::Mutex;

    use crdt_core::{Interval, Replica, StartId, Version};

    use super::*;
    use crate::Adds;

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Heard {
        fn note(&self, step: String) {
            self.0.lock().expect("nobody panics").push(step);
        }
    }

    impl Observer for Heard {
        fn taken(
            &self,
            shard: &Shard,
            mark: Mark,
            adds: &mut dyn Iterator<Item = (&CounterName, Sum)>,
        ) {
            let adds: Vec<_> = adds
                .map(|(name, sum)| (name.as_str(), sum.value()))
                .collect();
            let (round, version) = (shard.next_round().get(), mark.version.get());
            self.note(format!("taken for {round}, up to {version}: {adds:?}"));
        }

        fn received(&self, _: &Shard, span: Span, outcome: &Result<Option<Round>, ReceiveError>) {
            let is_taken = matches!(outcome, Ok(Some(_)));
            self.note(format!(
                "received up to {}: {is_taken}",
                span.to.version.get()
            ));
        }

        fn collected(&self, shard: &Shard, round: Round, group: Option<&Group>) {
            let held = shard.replica().held(shard.replica().id()).version.get();
            let intervals = group.map_or(0, |group| group.len());
            self.note(format!(
                "collected {intervals} for {} at {held}",
                round.get()
            ));
        }

        fn held(&self, shard: &Shard) {
            let held = shard.replica().held(shard.replica().id()).version.get();
            self.note(format!("held {held}"));
        }
    }

    #[test]
    fn every_step_of_a_shard_is_heard_in_its_order() {
        let heard = Arc::new(Heard::default());
        let shard = Shard::new(Replica::new(ReplicaId::new(1), StartId::new(1)));
        let shards = RefCell::new(alloc::vec![shard.observed(heard.clone())]);
        let mut adds = Adds::default();
        for (name, amount) in [("likes", 2), ("views", 5), ("likes", 1)] {
            adds.add_named(0, name.parse().expect("a name"), Sum::of(amount));
        }
        adds.take(&shards, 10).expect("they fit");
        let shard = &mut shards.borrow_mut()[0];
        let to = Mark {
            version: Version::new(1),
            start: StartId::new(7),
        };
        let interval = Interval {
            lane: ReplicaId::new(2),
            after: Mark::ZERO,
            to,
            starts: alloc::vec![(to.version, to.start)],
            sums: crdt_core::Sums::new(),
            records: crdt_core::Records::default(),
            needs: alloc::vec::Vec::new(),
        };
        shard.receive(interval.clone()).expect("it is the first");
        shard.collect(Round::FIRST).expect("something was taken");
        shard.receive(interval).expect("it is known");
        shard.synced();
        shard.collect(Round::new(2));
        let expected = [
            "taken for 1, up to 1: [(\"likes\", 3), (\"views\", 5)]",
            "received up to 1: true",
            "collected 2 for 1 at 0",
            "received up to 1: false",
            "held 1",
            "collected 0 for 2 at 1",
        ];
        assert_eq!(*heard.0.lock().expect("nobody panics"), expected);
    }
}
