//! Lanes that need each other: what is sent as one, and taken as one.

use alloc::{vec, vec::Vec};

use crdt_core::{ReceiveError, RequestId, RequestState, SessionId, Sum};

use super::pair::{Node, Stream};
use super::*;

/// A session's home, and another node that it knows.
struct Pair {
    home: Node,
    other: Node,
    requests: u64,
}

impl Pair {
    fn new() -> Self {
        let (mut home, mut other) = (Node::new(1, 1), Node::new(2, 2));
        home.shards.with(0, |it| it.replica_mut().know(id(2)));
        home.commit();
        other.copy_from(&home);
        Self {
            home,
            other,
            requests: 0,
        }
    }

    /// A pair whose lanes need each other: the home has granted a claim, and the other has folded it.
    fn folded() -> Self {
        let mut pair = Self::new();
        pair.fold();
        pair
    }

    /// The other node claims a request; the home has not heard of it.
    fn claim(&mut self) {
        self.requests += 1;
        let session = SessionId {
            home: self.home.id,
            start: StartId::new(1),
            count: 0,
        };
        let number = self.requests;
        let request = RequestId { session, number };
        self.other.shards.with(0, |it| {
            let replica = it.replica_mut();
            assert_eq!(replica.request(request), RequestState::Open);
            let counter = replica.counter(&"claimed".parse().expect("a name"));
            replica.take_request(request, 1, &[(counter, Sum::of(10))]);
        });
        self.other.commit();
    }

    fn fold(&mut self) {
        self.claim();
        self.home.copy_from(&self.other);
        self.other.copy_from(&self.home);
    }
}

fn is_due(node: &Node) -> bool {
    node.shards.with(0, |it| it.replica().is_due())
}

fn claims(node: &Node) -> usize {
    node.shards.with(0, |it| it.replica().held_claims().count())
}

fn needs(node: &Node, lane: ReplicaId) -> Vec<(ReplicaId, Mark)> {
    let interval = node.interval(0, lane, Mark::ZERO);
    interval.map_or_else(Vec::new, |it| it.needs)
}

#[test]
fn a_node_that_is_left_alone_settles_what_it_holds_and_its_peers_see_that() {
    let mut pair = Pair::new();
    pair.claim();
    let (home, other) = (&mut pair.home, &mut pair.other);
    let mut to_home = Stream::open(other, home, at_ms(0));
    to_home.run(at_ms(0), other, home).expect("it is taken");
    assert_eq!((claims(home), is_due(home)), (1, false), "it has granted");
    let mut to_other = Stream::open(home, other, at_ms(0));
    to_other.run(at_ms(0), home, other).expect("it is taken");
    assert_eq!((claims(other), is_due(other)), (0, false), "it has folded");
    to_home.sender.completed();
    to_home.run(at_ms(10), other, home).expect("it is taken");
    assert_eq!((claims(home), is_due(home)), (0, false));
    for node in [home, other] {
        assert_eq!(node.value(0, "claimed"), 10);
    }
}

#[test]
fn lanes_that_need_each_other_arrive_as_one_and_at_once() {
    let pair = Pair::folded();
    let (home, other) = (pair.home.id, pair.other.id);
    assert!(needs(&pair.other, home).iter().any(|need| need.0 == other));
    assert!(needs(&pair.other, other).iter().any(|need| need.0 == home));
    let mut c = Node::new(3, 3);
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    stream
        .run(at_ms(0), &pair.other, &mut c)
        .expect("a closed set");
    assert_eq!(stream.sent_sets(), [[other, home]]);
    assert_eq!(c.value(0, "claimed"), 10);
    stream
        .run(at_ms(2_000), &pair.other, &mut c)
        .expect("nothing is left");
    assert_eq!(stream.sent_sets().len(), 1);
}

#[test]
fn a_relay_sends_lanes_that_need_each_other_as_one() {
    let pair = Pair::folded();
    let (mut a, mut c) = (Node::new(4, 4), Node::new(3, 3));
    a.add(0, "own", 1);
    a.copy_from(&pair.other);
    let mut stream = Stream::open(&a, &c, at_ms(0));
    stream.run(at_ms(0), &a, &mut c).expect("the own lane");
    assert_eq!(stream.sent(), [a.id], "nobody needs the others so far");
    stream.run(at_ms(500), &a, &mut c).expect("a closed set");
    let relayed = stream.sent_sets().split_off(1);
    assert_eq!(relayed, [[pair.home.id, pair.other.id]]);
    assert_eq!(c.value(0, "claimed"), 10);
}

/// The own lane needs the home's, which needs a third one.
#[test]
fn what_is_needed_brings_what_that_needs() {
    let mut pair = Pair::new();
    pair.home.shards.with(0, |it| it.replica_mut().know(id(4)));
    pair.home.commit();
    let mut fourth = Node::new(4, 4);
    fourth.copy_from(&pair.home);
    let mut of_fourth = Pair {
        home: pair.home,
        other: fourth,
        requests: 7,
    };
    of_fourth.fold();
    pair = Pair {
        home: of_fourth.home,
        ..pair
    };
    pair.other.copy_from(&of_fourth.other);
    pair.fold();
    let mut c = Node::new(3, 3);
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    stream
        .run(at_ms(0), &pair.other, &mut c)
        .expect("a closed set");
    assert_eq!(stream.sent_sets(), [[id(2), id(1), id(4)]]);
    assert_eq!(c.value(0, "claimed"), 20);
}

#[test]
fn what_the_receiver_holds_does_not_come_again() {
    let mut pair = Pair::folded();
    let mut c = Node::new(3, 3);
    c.copy_from(&pair.home);
    let held = pair.home.held(0, pair.home.id);
    pair.other.add(0, "own", 1);
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    stream
        .run(at_ms(0), &pair.other, &mut c)
        .expect("a closed set");
    assert_eq!(c.held(0, pair.home.id), held);
    assert_eq!(stream.sent_sets(), [[pair.other.id]]);
    assert_eq!(c.value(0, "claimed"), 10);
}

#[test]
fn a_lane_that_was_promised_comes_even_if_the_receiver_has_got_it_meanwhile() {
    let pair = Pair::folded();
    let mut c = Node::new(3, 3);
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    let goes_on = stream.step(at_ms(0), &pair.other, &mut c);
    assert_eq!(goes_on, Ok(true));
    c.copy_from(&pair.home);
    stream.report(at_ms(100), &pair.other, &c);
    stream
        .run(at_ms(100), &pair.other, &mut c)
        .expect("a closed set");
    assert_eq!(stream.sent_sets(), [[pair.other.id, pair.home.id]]);
    assert_eq!(c.value(0, "claimed"), 10);
}

#[test]
fn lanes_that_change_while_they_are_read_are_sent_until_the_set_is_closed() {
    let mut pair = Pair::folded();
    for number in 0..7 {
        pair.home.add(0, &alloc::format!("c{number}"), 1);
    }
    pair.other.copy_from(&pair.home);
    let mut c = Node::new(3, 3);
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    for _ in 0..2 {
        // The own lane, and the first piece of the home's.
        assert_eq!(stream.step(at_ms(0), &pair.other, &mut c), Ok(true));
    }
    pair.fold();
    stream
        .run(at_ms(0), &pair.other, &mut c)
        .expect("a closed set");
    let (home, other) = (pair.home.id, pair.other.id);
    assert_eq!(stream.sent_sets(), [[other, home, other]]);
    assert_eq!(c.value(0, "claimed"), 20);
}

#[test]
fn a_set_of_lanes_that_never_stop_changing_ends() {
    let mut pair = Pair::folded();
    let mut c = Node::new(3, 3);
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    while stream.step(at_ms(0), &pair.other, &mut c) == Ok(true) && c.value(0, "claimed") == 0 {
        assert!(stream.effects.len() < 100, "it goes on");
        pair.home.add(0, "own", 1);
        pair.fold();
    }
    let set = stream.sent();
    let times = |lane| set.iter().filter(|&&it| it == lane).count();
    // Three times in pieces; and what is left of the first one, before anything can change.
    assert_eq!([times(pair.other.id), times(pair.home.id)], [4, 3]);
    // The last request came once that was read.
    assert_eq!(c.value(0, "claimed"), pair.other.value(0, "claimed") - 10);
}

#[test]
fn a_sender_that_does_not_send_what_is_needed_is_left() {
    let pair = Pair::folded();
    let c = Node::new(3, 3);
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    let own = pair.other.interval(0, pair.other.id, Mark::ZERO);
    let set = vec![c.import(0, &own.expect("a claim"))];
    let error = stream.receiver.set(&c.shards, 0, set);
    let Err(ReceiverError::Receive(ReceiveError::Needs { lane, needed, .. })) = error else {
        panic!("{error:?}")
    };
    assert_eq!((lane, needed), (pair.other.id, pair.home.id));
}

/// A node that holds another history of the home's lane, and no more of it than that.
fn with_another_history() -> Node {
    let (mut c, mut fork) = (Node::new(3, 3), Node::new(1, 9));
    fork.add(0, "of the fork", 7);
    c.copy_from(&fork);
    c
}

#[test]
fn a_receiver_is_told_of_a_fork_before_anything_that_needs_the_lane() {
    let pair = Pair::folded();
    let mut c = with_another_history();
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    stream
        .run(at_ms(0), &pair.other, &mut c)
        .expect("the fork blocks no other lane");
    assert_eq!(stream.sent(), [pair.other.id]);
    let forks: Vec<_> = stream.told_forks.iter().map(|(_, it)| it.lane).collect();
    assert_eq!(forks, [pair.home.id]);
    assert_eq!(c.held(0, pair.other.id), pair.other.held(0, pair.other.id));
}

#[test]
fn a_lane_of_a_set_that_has_forked_leaves_the_rest_alone() {
    let pair = Pair::folded();
    let c = with_another_history();
    let mut stream = Stream::open(&pair.other, &c, at_ms(0));
    let lanes = [pair.other.id, pair.home.id, pair.home.id];
    let set = lanes.map(|lane| {
        let interval = pair.other.interval(0, lane, Mark::ZERO);
        c.import(0, &interval.expect("it is held"))
    });
    let outcome = stream.receiver.set(&c.shards, 0, set.to_vec());
    let outcome = outcome.expect("the other lane is taken");
    let [Outcome::Taken(_), Outcome::LaneForked, Outcome::LaneForked] = outcome.intervals[..]
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(outcome.forks.len(), 1);
    let again = stream.receiver.set(&c.shards, 0, set.to_vec());
    let outcome = again.expect("nothing is new");
    let left = [Outcome::Known, Outcome::LeftAlone, Outcome::LeftAlone];
    assert_eq!(
        (&outcome.intervals[..], &outcome.forks[..]),
        (&left[..], &[][..])
    );
}

/// The sender itself had to do without the lane that has forked.
#[test]
fn who_cannot_send_what_is_needed_says_that_the_lane_has_forked() {
    let pair = Pair::folded();
    let mut a = with_another_history();
    let mut to_a = Stream::open(&pair.other, &a, at_ms(0));
    to_a.run(at_ms(0), &pair.other, &mut a)
        .expect("the fork blocks no other lane");
    let mut d = Node::new(4, 4);
    let mut stream = Stream::open(&a, &d, at_ms(0));
    for ms in [0, 500, 1_000] {
        stream
            .run(at_ms(ms), &a, &mut d)
            .expect("the fork blocks no other lane");
    }
    assert_eq!(d.held(0, pair.other.id), pair.other.held(0, pair.other.id));
    let forks: Vec<_> = stream.told_forks.iter().map(|(_, it)| it.lane).collect();
    assert_eq!(forks, [pair.home.id]);
}

#[test]
fn a_node_that_was_rolled_back_takes_what_needs_more_of_its_lane_than_there_is() {
    let pair = Pair::folded();
    let mut rolled_back = Node::new(1, 9);
    let mut stream = Stream::open(&pair.other, &rolled_back, at_ms(0));
    stream
        .run(at_ms(0), &pair.other, &mut rolled_back)
        .expect("other lanes go on");
    let held = rolled_back.held(0, pair.other.id);
    assert_eq!(held, pair.other.held(0, pair.other.id));
    let forks = stream.set_forks.iter().map(|fork| fork.lane);
    assert_eq!(forks.collect::<Vec<_>>(), [rolled_back.id]);
    assert_eq!(stream.told_forks, [], "each is told once");
}
