//! What is taken is taken as a whole, in whatever way, and leaves nothing behind when it is not.

use core::cell::RefCell;

use alloc::{collections::BTreeMap, format};
use crdt_core::{Replica, ReplicaId, StartId};
use proptest::prelude::*;

use super::*;

const COUNTERS_MAX: u64 = 40;

fn shards(count: u32) -> RefCell<Vec<Shard>> {
    let replica = |_| Shard::new(Replica::new(ReplicaId::new(1), StartId::new(1)));
    RefCell::new((0..count).map(replica).collect())
}

fn name(number: usize) -> CounterName {
    format!("counter-{number}").parse().expect("a short name")
}

/// Values by shard and counter.
type Values = BTreeMap<(ShardIndex, CounterName), i128>;

/// What the counters would show if everything taken were durable.
fn values(shards: &RefCell<Vec<Shard>>) -> Values {
    let mut shards = shards.borrow().clone();
    for shard in &mut shards {
        if shard.collect(Round::FIRST).is_some() {
            shard.synced();
        }
    }
    let of = |(index, shard): (ShardIndex, &Shard)| -> Vec<_> {
        let values = shard.replica().values_from("");
        let value = |(name, value): (&CounterName, _)| ((index, name.clone()), value);
        values.map(value).collect()
    };
    (0..).zip(&shards).flat_map(of).collect()
}

fn shard_of(number: usize) -> ShardIndex {
    ShardIndex::try_from(number % 3).expect("small")
}

fn request(items: &[(usize, i64)]) -> Adds {
    let mut adds = Adds::default();
    for &(number, amount) in items {
        adds.add_named(shard_of(number), name(number), Sum::of(amount));
    }
    adds
}

proptest! {
    /// Taking in turn and taking together do the same: what was asked for, or nothing.
    #[test]
    fn both_ways_of_taking_are_one(
        requests in proptest::collection::vec(
            proptest::collection::vec((0..150usize, prop_oneof![-5..5i64, Just(i64::MAX)]), 1..30),
            1..8,
        ),
    ) {
        let (together, in_turn) = (shards(3), shards(3));
        let mut expected = Values::new();
        for items in requests {
            let items: Vec<_> = items.into_iter().filter(|&(_, amount)| amount != 0).collect();
            let mut adds = request(&items);
            adds.place_known(&together);
            let merged = adds.merge(&together);
            let first = merged.clone().and_then(|()| adds.take_together(&together, COUNTERS_MAX));
            let mut adds = request(&items);
            adds.place_known(&in_turn);
            let second = adds
                .merge(&in_turn)
                .and_then(|()| adds.take_in_turn(&in_turn, COUNTERS_MAX));
            prop_assert_eq!(&first, &second);
            if first.is_ok() {
                for (number, amount) in items {
                    let value = expected.entry((shard_of(number), name(number))).or_default();
                    *value += i128::from(amount);
                }
            }
            prop_assert_eq!(&values(&together), &expected);
            prop_assert_eq!(&values(&in_turn), &expected);
            let reserved = |shards: &RefCell<Vec<Shard>>| -> u64 {
                shards.borrow().iter().map(|shard| shard.reserved_counters).sum()
            };
            prop_assert_eq!((reserved(&together), reserved(&in_turn)), (0, 0));
        }
    }
}

#[test]
fn a_refused_request_gives_no_name_a_place() {
    let shards = shards(3);
    let too_much = [(0, i64::MAX), (3, 1), (0, 1), (6, 1)];
    let error = request(&too_much).take(&shards, 10).expect_err("too much");
    assert!(matches!(error, TakeError::OutOfRange { .. }), "{error}");
    let counters = |shard: &Shard| shard.replica().counters();
    assert!(shards.borrow().iter().all(|shard| counters(shard) == 0));
}

#[test]
fn a_request_that_brings_too_many_counters_is_refused_whole() {
    let shards = shards(1);
    let items: Vec<_> = (0..9).map(|number| (number * 3, 1)).collect();
    request(&items).take(&shards, 9).expect("nine fit");
    let error = request(&[(0, 1), (27, 1)])
        .take(&shards, 9)
        .expect_err("ten do not");
    let text = format!("{error}");
    assert!(
        text.contains("counter-27") && text.contains("holds 9 of at most 9"),
        "{text}"
    );
    request(&[(0, 1)])
        .take(&shards, 9)
        .expect("known ones are taken");
}

#[test]
fn counters_that_are_known_need_no_room_in_any_shard() {
    let shards = shards(3);
    let all: Vec<_> = (0..9).map(|number| (number, 1)).collect();
    request(&all).take(&shards, 3).expect("three a shard");
    let receipt = request(&all).take(&shards, 3).expect("they are known");
    let of: Vec<_> = receipt.marks.iter().map(|&(shard, _)| shard).collect();
    assert_eq!(of, [0, 1, 2]);
}

#[test]
fn a_large_request_finds_no_room_twice() {
    let shards = shards(1);
    let items: Vec<_> = (0..=TAKEN_AT_ONCE_MAX)
        .map(|number| (number * 3, 1))
        .collect();
    let counters_max = TAKEN_AT_ONCE_MAX as u64;
    let error = request(&items).take(&shards, counters_max);
    let found = counters_max;
    assert!(
        matches!(error, Err(TakeError::CountersExhausted { found: it, .. }) if it == found),
        "{error:?}"
    );
    assert_eq!(shards.borrow()[0].replica().counters(), 0);
    request(&items)
        .take(&shards, counters_max + 1)
        .expect("they fit");
}

#[test]
fn amounts_for_one_counter_are_taken_as_their_sum_whether_it_is_known_or_not() {
    let shards = shards(1);
    for taken in [4, 8] {
        let amounts = [(0, 5), (3, 1), (0, -1)];
        request(&amounts).take(&shards, 9).expect("it fits");
        assert_eq!(values(&shards)[&(0, name(0))], taken);
    }
}

#[test]
fn amounts_for_one_counter_that_overflow_are_refused_whether_it_is_known_or_not() {
    let shards = shards(1);
    let too_much = [(0, i64::MAX), (0, i64::MAX), (3, 1), (0, i64::MAX)];
    let overflow = Err(TakeError::RequestOverflow { counter: name(0) });
    assert_eq!(request(&too_much).take(&shards, 9), overflow);
    request(&[(0, 1)]).take(&shards, 9).expect("it fits");
    assert_eq!(request(&too_much).take(&shards, 9), overflow);
}

#[test]
fn a_large_request_holds_no_shard_for_all_of_it() {
    struct Watched(RefCell<Vec<Shard>>, RefCell<usize>);
    impl Shards for Watched {
        fn shard_count(&self) -> u32 {
            self.0.shard_count()
        }
        fn with<T>(&self, shard: ShardIndex, run: impl FnOnce(&mut Shard) -> T) -> T {
            *self.1.borrow_mut() += 1;
            self.0.with(shard, run)
        }
        fn with_several<T>(&self, _: &[ShardIndex], _: impl FnOnce(&mut [&mut Shard]) -> T) -> T {
            panic!("a large request is taken in turn")
        }
    }
    let watched = Watched(shards(1), RefCell::new(0));
    let items: Vec<_> = (0..3 * TAKEN_AT_ONCE_MAX)
        .map(|number| (number * 3, 1))
        .collect();
    let receipt = request(&items)
        .take(&watched, u64::MAX)
        .expect("it is taken");
    assert_eq!((receipt.round, receipt.marks.len()), (Round::FIRST, 1));
    assert!(*watched.1.borrow() >= 9, "{}", watched.1.borrow());
}
