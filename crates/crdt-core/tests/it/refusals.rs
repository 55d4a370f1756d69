//! What a replica refuses, and that a refusal changes nothing.

use crdt_core::{
    AddError, CounterName, Interval, Mark, ReceiveError, Received, Replica, ReplicaId, StartId,
    Sum, SumRecord, Version,
};

fn replica(id: u128, start: u64) -> Replica {
    Replica::new(ReplicaId::new(id), StartId::new(start))
}

fn likes() -> CounterName {
    "likes".parse().expect("a valid name")
}

fn add(replica: &mut Replica, amount: i64) -> Result<Mark, AddError> {
    let index = replica.counter(&likes());
    replica.add(index, Sum::of(amount))
}

fn settle(replica: &mut Replica) {
    replica.commit().expect("something was taken");
    replica.synced();
}

fn value(replica: &Replica) -> i128 {
    replica
        .find("likes")
        .map_or(0, |index| replica.value(index))
}

fn whole_lane(of: &Replica, lane: ReplicaId) -> Interval<CounterName> {
    of.export(
        &of.interval(lane, Mark::ZERO)
            .expect("one history")
            .expect("not empty"),
    )
}

fn give(to: &mut Replica, interval: &Interval<CounterName>) -> Result<Received, ReceiveError> {
    let interval = to.import(interval);
    to.receive(interval)
}

#[test]
fn an_add_past_the_range_is_refused_and_changes_nothing() {
    let mut a = replica(1, 1);
    add(&mut a, i64::MAX).expect("just fits");
    settle(&mut a);
    let before = a.clone();
    let error = add(&mut a, 1).expect_err("one more does not fit");
    assert_eq!(
        error,
        AddError::ValueOutOfRange {
            value: i128::from(i64::MAX),
            would_be: i128::from(i64::MAX) + 1
        }
    );
    assert_eq!(a, before);
    add(&mut a, -1).expect("back into the range is always possible");
}

#[test]
fn an_add_counts_what_is_not_yet_durable_towards_the_range() {
    let mut a = replica(1, 1);
    add(&mut a, i64::MAX).expect("just fits");
    add(&mut a, 1).expect_err("although nothing is visible yet");
    a.commit().expect("the first add");
    add(&mut a, 1).expect_err("although the first add is only being written");
}

#[test]
fn a_lane_that_is_full_refuses_even_if_the_value_is_small() {
    let mut a = replica(1, 1);
    for _ in 0..2 {
        add(&mut a, i64::MAX).expect("in range");
        add(&mut a, -i64::MAX).expect("in range");
    }
    add(&mut a, 1).expect("in range");
    add(&mut a, -1).expect("in range");
    let error = add(&mut a, i64::MAX).expect_err("2^64 - 1 increments are the most");
    assert!(
        matches!(
            error,
            AddError::LaneFull {
                taken: u64::MAX,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn concurrent_adds_may_leave_the_range_and_only_the_way_back_is_open() {
    let (mut a, mut b) = (replica(1, 1), replica(2, 2));
    for r in [&mut a, &mut b] {
        add(r, i64::MAX).expect("each alone fits");
        settle(r);
    }
    give(&mut a, &whole_lane(&b, b.id())).expect("it continues");
    settle(&mut a);
    assert_eq!(value(&a), 2 * i128::from(i64::MAX));
    add(&mut a, 1).expect_err("further out");
    add(&mut a, -1).expect("towards the range");
}

#[test]
fn a_gap_is_refused_with_what_is_held() {
    let (mut a, mut b) = (replica(1, 1), replica(2, 2));
    add(&mut a, 1).expect("in range");
    settle(&mut a);
    let reached = a.held(a.id());
    add(&mut a, 2).expect("in range");
    settle(&mut a);
    let later = a
        .interval(a.id(), reached)
        .expect("one history")
        .expect("one more version");
    let before = b.clone();
    let error = give(&mut b, &a.export(&later)).expect_err("version 1 is missing");
    assert_eq!(
        error,
        ReceiveError::Gap {
            lane: a.id(),
            after: Version::new(1),
            held: Version::ZERO
        }
    );
    assert_eq!(b, before);
}

#[test]
fn an_owner_that_was_rolled_back_is_told_by_the_first_peer_that_asks() {
    let (mut a, mut b) = (replica(1, 1), replica(2, 2));
    add(&mut a, 1).expect("in range");
    settle(&mut a);
    let backup = whole_lane(&a, a.id());
    add(&mut a, 2).expect("in range");
    settle(&mut a);
    give(&mut b, &whole_lane(&a, a.id())).expect("it continues");
    settle(&mut b);

    let mut rolled_back = replica(1, 3);
    let backup = rolled_back.import(&backup);
    rolled_back.recover(&backup).expect("an own log");
    rolled_back
        .interval(a.id(), b.held(a.id()))
        .expect_err("the peer knows version 2");

    // Writing on does not hide it: the versions meet again, the starts do not.
    for amount in [10, 20] {
        add(&mut rolled_back, amount).expect("in range");
        settle(&mut rolled_back);
    }
    let fork = rolled_back
        .interval(a.id(), b.held(a.id()))
        .expect_err("another version 2");
    assert_eq!(fork.seen, b.held(a.id()));
    let forked = give(&mut b, &whole_lane(&rolled_back, a.id()));
    assert!(matches!(forked, Err(ReceiveError::Fork(_))), "{forked:?}");
}

#[test]
fn a_lost_disk_that_reuses_its_id_is_a_fork() {
    let (mut a, mut b) = (replica(1, 1), replica(2, 2));
    add(&mut a, 1).expect("in range");
    settle(&mut a);
    give(&mut b, &whole_lane(&a, a.id())).expect("it continues");
    settle(&mut b);
    let mut reborn = replica(1, 3);
    add(&mut reborn, 5).expect("in range");
    settle(&mut reborn);
    reborn
        .interval(a.id(), b.held(a.id()))
        .expect_err("another version 1");
    give(&mut reborn, &whole_lane(&b, a.id())).expect_err("the own lane as it never was");
}

#[test]
fn a_malformed_interval_is_refused() {
    let mut b = replica(2, 2);
    let start = StartId::new(1);
    let to = Mark {
        version: Version::new(2),
        start,
    };
    let record = |version| SumRecord {
        counter: likes(),
        version: Version::new(version),
        sum: Sum::of(1),
    };
    let good = Interval {
        lane: ReplicaId::new(1),
        after: Mark::ZERO,
        to,
        starts: vec![(Version::new(1), start)],
        sums: vec![record(1), record(2)],
    };
    let bad = [
        Interval {
            to: Mark::ZERO,
            ..good.clone()
        },
        Interval {
            starts: vec![],
            ..good.clone()
        },
        Interval {
            starts: vec![(Version::new(3), start)],
            ..good.clone()
        },
        Interval {
            sums: vec![record(3)],
            ..good.clone()
        },
        Interval {
            sums: vec![record(2), record(1)],
            ..good.clone()
        },
    ];
    for interval in bad {
        let error = give(&mut b, &interval).expect_err("malformed");
        assert!(matches!(error, ReceiveError::Malformed { .. }), "{error}");
    }
    assert_eq!(give(&mut b, &good), Ok(Received::Taken));
    assert_eq!(give(&mut b, &good), Ok(Received::Known));
}
