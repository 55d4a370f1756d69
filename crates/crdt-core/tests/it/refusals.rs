//! What a replica refuses, and that a refusal changes nothing.

use crdt_core::{
    AddError, CounterName, Interval, Mark, ReceiveError, Received, Replica, ReplicaId, StartId,
    Sum, Version,
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
