//! Requests of sessions count once, under any schedule that the client's rules allow.
//!
//! Three replicas, two sessions with different homes, and a client that retries, moves and closes.
//! Each request adds its own power of 8 to one counter, so that what counts twice shows as a digit
//! above 1 wherever it is read. Everything ever sent arrives again at any time: copies of requests,
//! and sets of intervals.

mod world;

use crdt_core::{
    CounterName, Mark, NameHash, Received, Replica, RequestId, RequestState, StartId, Sum,
};
use proptest::{collection::vec, prelude::*};

use world::{Step, World, any_step, id, likes, session_id};

fn run(sessions: usize, steps: &[Step]) {
    let mut world = World::new(sessions);
    for step in steps {
        world.step(step);
    }
    world.heal();
    world.check_rest();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_counts_once_under_any_schedule(steps in vec(any_step(1), 1..60)) {
        run(1, &steps);
    }

    #[test]
    fn requests_of_two_homes_count_once_under_any_schedule(steps in vec(any_step(2), 1..90)) {
        run(2, &steps);
    }
}

/// Its lane would be refused by everybody otherwise: a mark lists no request that was answered.
#[test]
fn a_client_is_believed_up_to_the_request_that_it_still_sends() {
    let mut home = Replica::new(id(0), StartId::new(1));
    let mut other = Replica::new(id(1), StartId::new(2));
    let counter = home.counter(&likes());
    let request = |number| RequestId {
        session: session_id(0),
        number,
    };
    home.take_request(request(1), 9, &[(counter, Sum::of(1))]);
    home.refuse_request(request(3), 9);
    home.commit();
    home.synced();
    let lane = home.interval(id(0), Mark::ZERO).expect("no fork");
    let lane = other.import(&home.export(&lane.expect("it has taken something")));
    assert_eq!(other.receive(lane), Ok(Received::Taken));
    assert!(matches!(
        home.request(request(2)),
        RequestState::Counted { .. }
    ));
    assert!(matches!(home.request(request(3)), RequestState::Refused(_)));
}

/// It may hold the closing before it holds that the home knows it, and so waits for it.
#[test]
fn a_replica_that_the_home_meets_after_a_close_reports_it() {
    let mut home = Replica::new(id(0), StartId::new(1));
    let mut other = Replica::new(id(1), StartId::new(2));
    let tell = |from: &mut Replica, to: &mut Replica| {
        while from.commit().is_some() {
            from.synced();
        }
        let lane = from.interval(from.id(), to.held(from.id()));
        let lane = to.import(&from.export(&lane.expect("no fork").expect("there is news")));
        assert_eq!(to.receive(lane), Ok(Received::Taken));
        while to.commit().is_some() {
            to.synced();
        }
    };
    home.know(id(2));
    home.close_session(session_id(0), false);
    tell(&mut home, &mut other);
    home.know(id(1));
    home.forget_replica(id(2));
    tell(&mut home, &mut other);
    tell(&mut other, &mut home);
    assert_eq!(home.own_sessions().next(), None, "it is forgotten");
}

/// What is claimed counts towards the end of a counter's range at once, and once only while it is
/// folded; a counter that only a claim counts for is listed.
#[test]
fn claims_reserve_the_range_of_their_counters() {
    let mut home = Replica::new(id(0), StartId::new(1));
    let mut other = Replica::new(id(1), StartId::new(2));
    home.know(id(1));
    rest(&mut home);
    pull(&home, &mut other);
    let counter = other.counter(&likes());
    let request = |number| RequestId {
        session: session_id(0),
        number,
    };
    let most = Sum::of(i64::MAX);
    assert_eq!(other.request(request(1)), RequestState::Open);
    other.take_request(request(1), 1, &[(counter, most)]);
    other.check(counter, Sum::of(1)).expect_err("it is taken");
    other.commit();
    let being_written = other.check(counter, Sum::of(1));
    being_written.expect_err("it is being written");
    other.synced();
    assert_eq!(other.values_from("").count(), 1);
    other.check(counter, Sum::of(1)).expect_err("it is held");
    pull(&other, &mut home);
    pull(&home, &mut other);
    assert_eq!(other.held_claims().next(), None, "it is folded");
    other.check(counter, Sum::of(-1)).expect("it counts once");
    assert_eq!(other.value(counter), i128::from(i64::MAX));
}

/// All that is due becomes durable.
fn rest(replica: &mut Replica) {
    while replica.commit().is_some() {
        replica.synced();
    }
}

/// One hears all that another holds, and settles what follows.
fn pull(from: &Replica, to: &mut Replica) {
    let mut set = Vec::new();
    for (lane, _) in from.digest().iter() {
        let interval = from.interval(lane, to.held(lane)).expect("no fork");
        set.extend(interval.map(|it| to.import(&from.export(&it))));
    }
    to.receive_set(set).expect("it covers its needs");
    rest(to);
}

#[test]
fn replicas_that_say_different_things_of_sessions_differ() {
    let of = |known: usize, is_committed: bool| {
        let mut replica = Replica::new(id(0), StartId::new(1));
        replica.know(id(known));
        if is_committed {
            rest(&mut replica);
        }
        replica
    };
    for is_committed in [false, true] {
        assert_eq!(of(1, is_committed), of(1, is_committed));
        assert_ne!(of(1, is_committed), of(2, is_committed), "{is_committed}");
    }
}

/// What changes before the walk has begun is added up once.
#[test]
fn a_change_between_following_and_walking_is_added_up_once() {
    let hash_name = |_: &CounterName| NameHash::new(1);
    let mut replica = Replica::new(id(0), StartId::new(1));
    replica.follow(hash_name);
    replica.know(id(1));
    rest(&mut replica);
    while !replica.walk(1) {}
    let mut again = replica.clone();
    again.follow(hash_name);
    while !again.walk(1) {}
    assert_eq!(replica.fingerprints(), again.fingerprints());
}
