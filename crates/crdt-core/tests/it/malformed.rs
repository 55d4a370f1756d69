//! Intervals that contradict themselves are refused, whether they come from a peer or from a log.

use crdt_core::{
    CounterIndex, CounterName, Interval, Mark, ReceiveError, Received, Replica, ReplicaId, StartId,
    Sum, SumRecord, Sums, Total, Version,
};

const FIRST: StartId = StartId::new(1);
const SECOND: StartId = StartId::new(2);

fn mark(version: u64, start: StartId) -> Mark {
    Mark {
        version: Version::new(version),
        start,
    }
}

fn starts(starts: &[(u64, StartId)]) -> Vec<(Version, StartId)> {
    let start = |&(version, start)| (Version::new(version), start);
    starts.iter().map(start).collect()
}

fn record(version: u64) -> SumRecord {
    SumRecord {
        counter: CounterIndex::new(0),
        version: Version::new(version),
        total: Sum::of(1).into(),
    }
}

fn sums(versions: &[u64]) -> Sums {
    versions.iter().map(|&version| record(version)).collect()
}

/// What makes of a good interval a bad one.
type Damage = fn(&mut Interval);

const DAMAGES: [(&str, Damage); 12] = [
    ("it does not end after it begins", |it| {
        (it.to, it.starts, it.sums) = (mark(1, FIRST), vec![], Sums::new());
    }),
    ("its starts do not lead to its end", |it| it.starts = vec![]),
    ("its starts do not lead to its end", |it| {
        it.starts = starts(&[(3, FIRST)]);
    }),
    ("its starts do not lead to its end", |it| {
        (it.to, it.starts) = (mark(3, StartId::NONE), starts(&[(3, StartId::NONE)]));
    }),
    ("a start lies outside of it", |it| {
        it.starts = starts(&[(1, SECOND)]);
    }),
    ("a start lies outside of it", |it| {
        it.starts = starts(&[(4, SECOND)]);
    }),
    ("its starts are not in order", |it| {
        it.starts = starts(&[(3, FIRST), (2, SECOND)]);
    }),
    ("its starts are not in order", |it| {
        it.starts = starts(&[(3, FIRST), (3, SECOND)]);
    }),
    ("a record lies outside of it", |it| it.sums = sums(&[1, 2])),
    ("a record lies outside of it", |it| it.sums = sums(&[3, 4])),
    ("its records are not in the order of their versions", |it| {
        it.sums = sums(&[3, 2]);
    }),
    ("a total passes 2^120, which no adds can have made", |it| {
        let mut record = record(2);
        record.total.decremented = Total::PART_MAX + 1;
        it.sums.push(record);
    }),
];

#[test]
fn a_malformed_interval_is_refused() {
    let likes: CounterName = "likes".parse().expect("a valid name");
    let lane = ReplicaId::new(1);
    let mut b = Replica::new(ReplicaId::new(2), StartId::new(3));
    b.counter(&likes);
    let before = Interval {
        lane,
        after: Mark::ZERO,
        to: mark(1, FIRST),
        starts: starts(&[(1, FIRST)]),
        sums: sums(&[1]),
        records: crdt_core::Records::default(),
        needs: Vec::new(),
    };
    assert_eq!(b.receive(before), Ok(Received::Taken));
    let good = Interval {
        lane,
        after: mark(1, FIRST),
        to: mark(3, SECOND),
        starts: starts(&[(3, SECOND)]),
        sums: sums(&[2, 2]),
        records: crdt_core::Records::default(),
        needs: Vec::new(),
    };
    for (what, damage) in DAMAGES {
        let mut bad = good.clone();
        damage(&mut bad);
        let error = Err(ReceiveError::Malformed { lane, what });
        let unchanged = b.clone();
        assert_eq!(b.recover(&bad), error.clone().map(drop));
        assert_eq!(b.receive(bad), error);
        assert_eq!(b, unchanged);
    }
    let mut largest = good.clone();
    let mut record = record(2);
    record.total.incremented = Total::PART_MAX;
    largest.sums.push(record);
    assert_eq!(b.clone().receive(largest), Ok(Received::Taken));
    assert_eq!(b.receive(good.clone()), Ok(Received::Taken));
    assert_eq!(b.receive(good), Ok(Received::Known));
}
