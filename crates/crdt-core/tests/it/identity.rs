//! What makes a replica the same as another one, and what does not; and how counters are called.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crdt_core::{
    CounterIndex, CounterName, Interval, Mark, Replica, ReplicaId, StartId, Sum, SumRecord, Version,
};

fn name(text: &str) -> CounterName {
    text.parse().expect("a valid name")
}

fn replica() -> Replica {
    Replica::new(ReplicaId::new(1), StartId::new(1))
}

fn add(replica: &mut Replica, counter: &str, sum: Sum) {
    let index = replica.counter(&name(counter));
    replica.add(index, sum).expect("in range");
}

fn settle(mut replica: Replica) -> Replica {
    replica.commit().expect("something was taken");
    replica.synced();
    replica
}

/// With likes at 5, durable.
fn held() -> Replica {
    let mut replica = replica();
    add(&mut replica, "likes", Sum::of(5));
    settle(replica)
}

/// The first version of a third replica's lane.
fn interval(start: u64, amounts: &[(&str, i64)]) -> Interval<CounterName> {
    let to = Mark {
        version: Version::new(1),
        start: StartId::new(start),
    };
    let record = |&(counter, amount)| SumRecord {
        counter: name(counter),
        version: to.version,
        total: Sum::of(amount).into(),
    };
    Interval {
        lane: ReplicaId::new(3),
        after: Mark::ZERO,
        to,
        starts: vec![(to.version, to.start)],
        sums: amounts.iter().map(record).collect(),
        records: crdt_core::Records::default(),
        needs: Vec::new(),
    }
}

fn received(start: u64, amounts: &[(&str, i64)]) -> Replica {
    let mut replica = held();
    let interval = replica.import(&interval(start, amounts));
    replica.receive(interval).expect("it begins the lane");
    replica
}

fn hash(replica: &Replica) -> u64 {
    let mut hasher = DefaultHasher::new();
    replica.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn replicas_that_differ_in_one_respect_differ() {
    let taken = |sum| {
        let mut replica = held();
        add(&mut replica, "likes", sum);
        replica
    };
    let written = |mut replica: Replica| {
        replica.commit().expect("something was taken");
        replica
    };
    let all = [
        replica(),
        Replica::new(ReplicaId::new(2), StartId::new(1)),
        Replica::new(ReplicaId::new(1), StartId::new(2)),
        held(),
        // Taken; the same, being written; held.
        taken(Sum::of(1)),
        taken(Sum::of(2)),
        // An add of nothing makes a version as well.
        taken(Sum::default()),
        written(taken(Sum::of(1))),
        written(taken(Sum::of(2))),
        settle(taken(Sum::of(1))),
        settle(taken(Sum::of(2))),
        // Received; the same, being written; held.
        received(7, &[("likes", 1)]),
        received(7, &[("likes", 2)]),
        received(8, &[("likes", 1)]),
        written(received(7, &[("likes", 1)])),
        written(received(7, &[("likes", 2)])),
        settle(received(7, &[])),
        settle(received(8, &[])),
        settle(received(7, &[("likes", 1)])),
        settle(received(7, &[("likes", 2)])),
        settle(received(7, &[("views", 1)])),
    ];
    for (at, left) in all.iter().enumerate() {
        for (other, right) in all.iter().enumerate() {
            assert_eq!(left == right, at == other, "{at} and {other}");
            assert_eq!(hash(left) == hash(right), at == other, "{at} and {other}");
        }
    }
}

#[test]
fn the_numbers_of_counters_make_no_difference() {
    let with_names = |names: &[&str]| {
        let mut replica = replica();
        for text in names {
            replica.counter(&name(text));
        }
        add(&mut replica, "likes", Sum::of(1));
        let interval = replica.import(&interval(7, &[("likes", 4), ("views", 2)]));
        replica.receive(interval).expect("it begins the lane");
        replica
    };
    let left = with_names(&["likes", "views"]);
    let right = with_names(&["unused", "views", "likes"]);
    for finish in [|replica| replica, settle] {
        let (left, right) = (finish(left.clone()), finish(right.clone()));
        assert_eq!(left, right);
        assert_eq!(hash(&left), hash(&right));
    }
}

#[test]
fn a_counter_keeps_its_number() {
    let mut replica = replica();
    let names = ["b", "a", "c"].map(name);
    let indices = names.each_ref().map(|name| replica.counter(name));
    assert_eq!(indices, [0, 1, 2].map(CounterIndex::new));
    assert_eq!(names.each_ref().map(|name| replica.counter(name)), indices);
    assert_eq!(indices.map(|index| replica.name(index).clone()), names);
    assert_eq!(replica.counters(), 3);
    assert_eq!(replica.find("a"), Some(indices[1]));
    assert_eq!(replica.find("d"), None);
}

#[test]
fn counters_with_records_are_listed_by_name() {
    let mut replica = replica();
    for text in ["named only", "b", "a", "c"] {
        replica.counter(&name(text));
    }
    add(&mut replica, "c", Sum::of(3));
    add(&mut replica, "b", Sum::of(-2));
    let mut replica = settle(replica);
    add(&mut replica, "a", Sum::of(1));
    let list = |from: &str| -> Vec<_> {
        let values = replica.values_from(from);
        values
            .map(|(name, value)| (name.as_str().to_owned(), value))
            .collect()
    };
    assert_eq!(list(""), [("b".to_owned(), -2), ("c".to_owned(), 3)]);
    assert_eq!(list("c"), [("c".to_owned(), 3)]);
}
