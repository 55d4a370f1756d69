//! Two ends of a stream, and nothing between them.

mod pair;
mod sets;

use alloc::vec::Vec;
use core::time::Duration;

use crdt_core::{StartId, Version};

use super::*;
use crate::{Hello, HelloError, Round, Shards as _, Time};
use pair::{Node, Stream};

const SHARDS: u32 = 2;
const LIMITS: ReplicationLimits = ReplicationLimits {
    pace: Duration::from_millis(10),
    report_interval: Duration::from_millis(100),
    relay_interval: Duration::from_millis(500),
    heartbeat_interval: Duration::from_secs(1),
    silence_max: Duration::from_secs(8),
    piece_records_max: 3,
    report_lanes_max: 3,
    stream_lanes_max: 20,
};

fn id(number: u128) -> ReplicaId {
    ReplicaId::new(number)
}

fn at_ms(ms: u64) -> Time {
    Time::from_us(ms * 1000)
}

fn hello(replica: ReplicaId) -> Hello {
    Hello::new("likes".into(), SHARDS, replica)
}

#[test]
fn the_own_lane_arrives_at_a_pace_and_in_pieces() {
    let (mut a, mut b) = (Node::new(1, 1), Node::new(2, 2));
    for number in 0..10 {
        a.add(0, &alloc::format!("c{number}"), 1);
    }
    let mut stream = Stream::open(&a, &b, at_ms(0));
    stream.run(at_ms(0), &a, &mut b).expect("no fork");
    assert_eq!(b.held(0, a.id), a.held(0, a.id));
    a.add(0, "c0", 5);
    stream.sender.completed();
    stream.run(at_ms(9), &a, &mut b).expect("no fork");
    assert_eq!(b.value(0, "c0"), 1, "not before the pace");
    stream.run(at_ms(10), &a, &mut b).expect("no fork");
    assert_eq!(b.value(0, "c0"), 6);
    assert_eq!(stream.sent(), [a.id, a.id]);
}

#[test]
fn a_lane_of_another_is_relayed_when_the_receiver_has_lacked_it_for_a_while() {
    let (mut a, mut b, mut c) = (Node::new(1, 1), Node::new(2, 2), Node::new(3, 3));
    c.add(1, "x", 4);
    a.copy_from(&c);
    let mut stream = Stream::open(&a, &b, at_ms(0));
    stream.run(at_ms(0), &a, &mut b).expect("no fork");
    stream.run(at_ms(499), &a, &mut b).expect("no fork");
    assert_eq!(b.value(1, "x"), 0);
    stream.run(at_ms(500), &a, &mut b).expect("no fork");
    assert_eq!(b.value(1, "x"), 4);
    assert_eq!(stream.sent(), [c.id]);
}

#[test]
fn a_lane_that_the_receiver_has_from_its_owner_is_not_relayed() {
    let (mut a, mut b, mut c) = (Node::new(1, 1), Node::new(2, 2), Node::new(3, 3));
    let mut stream = Stream::open(&a, &b, at_ms(0));
    for ms in (0..3_000).step_by(100) {
        if ms % 300 == 0 {
            c.add(0, "x", 1);
            a.copy_from(&c);
            b.copy_from(&c);
        }
        stream.run(at_ms(ms), &a, &mut b).expect("no fork");
    }
    assert_eq!(stream.sent(), []);
}

#[test]
fn what_a_receiver_lacks_is_relayed_only_once_it_is_old() {
    let (mut a, mut b, mut c) = (Node::new(1, 1), Node::new(2, 2), Node::new(3, 3));
    let mut stream = Stream::open(&a, &b, at_ms(0));
    c.add(0, "x", 1);
    a.copy_from(&c);
    b.copy_from(&c);
    stream.run(at_ms(0), &a, &mut b).expect("no fork");
    stream.run(at_ms(100), &a, &mut b).expect("no fork");
    c.add(0, "x", 1);
    a.copy_from(&c);
    stream.run(at_ms(500), &a, &mut b).expect("no fork");
    assert_eq!(b.value(0, "x"), 1);
    stream.run(at_ms(1_000), &a, &mut b).expect("no fork");
    assert_eq!(b.value(0, "x"), 2);
}

#[test]
fn an_idle_sender_sends_heartbeats_and_a_silent_one_is_given_up() {
    let (a, mut b) = (Node::new(1, 1), Node::new(2, 2));
    let mut stream = Stream::open(&a, &b, at_ms(0));
    for ms in (0..10_000).step_by(100) {
        stream.run(at_ms(ms), &a, &mut b).expect("no fork");
    }
    assert_eq!(stream.effects.len(), 9);
    let last = at_ms(9_000);
    let next = stream
        .receiver
        .poll(last.after(Duration::from_millis(7_999)), &b.shards, true);
    assert!(matches!(next, ReceiverEffect::Read { .. }), "{next:?}");
    let next = stream
        .receiver
        .poll(last.after(Duration::from_secs(8)), &b.shards, true);
    let ReceiverEffect::Close(ReceiverError::Silent { .. }) = next else {
        panic!("{next:?}")
    };
}

#[test]
fn a_busy_receiver_does_not_take_itself_for_a_silent_sender() {
    let (mut a, b) = (Node::new(1, 1), Node::new(2, 2));
    a.add(0, "x", 1);
    let mut stream = Stream::open(&a, &b, at_ms(0));
    let interval = a.interval(0, a.id, Mark::ZERO).expect("an add");
    let set = alloc::vec![b.import(0, &interval)];
    let outcome = stream.receiver.set(&b.shards, 0, set).expect("it fits");
    assert_eq!(outcome.intervals, [Outcome::Taken(Round::FIRST)]);
    let next = stream.receiver.poll(at_ms(20_000), &b.shards, false);
    assert_eq!(next, ReceiverEffect::AwaitRound(Round::FIRST));
    stream.receiver.completed(at_ms(20_000), Round::FIRST);
    let next = stream.receiver.poll(at_ms(20_001), &b.shards, false);
    assert!(matches!(next, ReceiverEffect::Read { .. }), "{next:?}");
}

/// Two nodes that hold different histories of a third one's lane: see the track record.
#[test]
fn a_fork_of_a_third_nodes_lane_leaves_all_other_lanes_alone() {
    let (mut a, mut b) = (Node::new(1, 1), Node::new(2, 2));
    let (mut before, mut after) = (Node::new(3, 3), Node::new(3, 4));
    before.add(0, "x", 1);
    before.add(0, "x", 1);
    after.add(0, "x", 7);
    a.copy_from(&before);
    b.copy_from(&after);
    let mut stream = Stream::open(&a, &b, at_ms(0));
    for ms in (0..2_000).step_by(100) {
        if ms == 1_000 {
            a.add(0, "y", 5);
            stream.sender.completed();
        }
        stream.run(at_ms(ms), &a, &mut b).expect("not their fork");
    }
    assert_eq!(b.value(0, "y"), 5);
    assert_eq!(b.value(0, "x"), 7);
    let is_fork = |effect: &&SenderEffect| matches!(effect, SenderEffect::LaneForked { .. });
    assert_eq!(
        stream.effects.iter().filter(is_fork).count(),
        1,
        "said once"
    );
}

#[test]
fn a_receiver_that_meets_another_history_of_a_third_lane_leaves_it_alone() {
    let (mut a, mut b) = (Node::new(1, 1), Node::new(2, 2));
    let (mut before, mut after) = (Node::new(3, 3), Node::new(3, 4));
    before.add(0, "x", 1);
    after.add(0, "x", 7);
    after.add(0, "x", 7);
    b.copy_from(&before);
    a.add(0, "y", 1);
    let mut stream = Stream::open(&a, &b, at_ms(0));
    let interval = after.interval(0, id(3), Mark::ZERO).expect("adds");
    let mut outcomes = Vec::new();
    for forks in [1, 0] {
        let set = alloc::vec![b.import(0, &interval)];
        let outcome = stream.receiver.set(&b.shards, 0, set).expect("no end");
        outcomes.extend(outcome.intervals);
        assert_eq!(outcome.forks.len(), forks);
    }
    assert_eq!(outcomes, [Outcome::LaneForked, Outcome::LeftAlone]);
    stream.run(at_ms(0), &a, &mut b).expect("other lanes go on");
    assert_eq!(b.value(0, "y"), 1);
}

/// A node that was rolled back, and that nobody can dial, learns of it from those it dials.
#[test]
fn a_rolled_back_receiver_is_told_how_far_its_lane_is_held() {
    let (mut a, mut b) = (Node::new(1, 1), Node::new(2, 2));
    b.add(1, "x", 3);
    a.copy_from(&b);
    let mut rolled_back = Node::new(2, 5);
    a.add(0, "y", 1);
    let mut stream = Stream::open(&a, &rolled_back, at_ms(0));
    for ms in [0, 600] {
        stream
            .run(at_ms(ms), &a, &mut rolled_back)
            .expect("it goes on");
    }
    let [(1, fork)] = &stream.told_forks[..] else {
        panic!("{:?}", stream.told_forks)
    };
    assert_eq!((fork.lane, fork.seen), (b.id, b.held(1, b.id)));
    assert_eq!(rolled_back.value(0, "y"), 1, "all other lanes go on");
    assert_eq!(stream.sent(), [a.id], "nobody is sent its own lane");
    // Also when it has written on, past what the peer holds.
    let mut rolled_back = Node::new(2, 5);
    rolled_back.add(1, "x", 1);
    rolled_back.add(1, "x", 1);
    let mut stream = Stream::open(&a, &rolled_back, at_ms(0));
    stream
        .run(at_ms(0), &a, &mut rolled_back)
        .expect("it goes on");
    assert_eq!(stream.told_forks.len(), 1);
}

#[test]
fn a_healthy_receiver_is_told_and_finds_nothing() {
    let (mut a, mut b) = (Node::new(1, 1), Node::new(2, 2));
    let mut stream = Stream::open(&a, &b, at_ms(0));
    for ms in (0..3_000).step_by(250) {
        b.add(0, "x", 1);
        a.copy_from(&b);
        b.add(0, "x", 1);
        stream.run(at_ms(ms), &a, &mut b).expect("no fork");
    }
    let told = |effect: &SenderEffect| matches!(effect, SenderEffect::Tell(_));
    assert!(stream.effects.iter().any(told));
    assert_eq!(stream.told_forks, []);
}

#[test]
fn a_report_beyond_the_own_lane_is_a_fork_and_other_lanes_go_on() {
    let (mut a, mut b) = (Node::new(1, 1), Node::new(2, 2));
    let mark = Mark {
        version: Version::new(9),
        start: StartId::new(1),
    };
    let forged = HeldLane {
        shard: 0,
        lane: a.id,
        mark,
    };
    a.add(0, "x", 1);
    a.add(1, "y", 1);
    let mut stream = Stream::open(&a, &b, at_ms(0));
    stream
        .sender
        .report(&a.shards, &[forged])
        .expect("it says what it says");
    stream.run(at_ms(0), &a, &mut b).expect("it goes on");
    let SenderEffect::LaneForked { shard: 0, fork } = &stream.effects[0] else {
        panic!("{:?}", stream.effects)
    };
    assert_eq!((fork.lane, fork.seen), (a.id, mark));
    assert_eq!((b.value(0, "x"), b.value(1, "y")), (0, 1));
}

#[test]
fn a_report_of_lanes_without_end_is_refused() {
    let (a, b) = (Node::new(1, 1), Node::new(2, 2));
    let mut sender = a.sender(&b, at_ms(0));
    let mark = Mark {
        version: Version::new(1),
        start: StartId::new(1),
    };
    let lane = |number: u128| HeldLane {
        shard: 0,
        lane: id(100 + number),
        mark,
    };
    let twenty: Vec<_> = (0..20).map(lane).collect();
    sender.report(&a.shards, &twenty).expect("within the bound");
    sender
        .report(&a.shards, &twenty)
        .expect("the same lanes again");
    let error = sender.report(&a.shards, &[lane(20)]);
    let bound = SenderError::Lanes {
        found: 21,
        lanes_max: 20,
    };
    assert_eq!(error, Err(bound));
    let nowhere = HeldLane {
        shard: SHARDS,
        ..lane(0)
    };
    let error = sender.report(&a.shards, &[nowhere]);
    assert!(matches!(error, Err(SenderError::Shard { found: 2, .. })));
}

#[test]
fn a_receiver_is_told_of_its_own_lane_and_of_no_other() {
    let b = Node::new(2, 2);
    let mut receiver = b.receiver(at_ms(0));
    for (shard, lane) in [(0, id(7)), (SHARDS, b.id)] {
        let mark = Mark::ZERO;
        let error = receiver.told(&b.shards, &[HeldLane { shard, lane, mark }]);
        assert_eq!(error, Err(ReceiverError::NotOurs { shard, lane }));
    }
}

#[test]
fn a_stranger_is_refused_at_its_first_message() {
    let b = Node::new(2, 2);
    let mut receiver = b.receiver(at_ms(0));
    let absent = ReceiverError::Hello(HelloError::Absent);
    assert_eq!(receiver.message(at_ms(0), None), Err(absent));
    let oneself = receiver.message(at_ms(0), Some(&hello(b.id)));
    let expected = ReceiverError::Hello(HelloError::Oneself(b.id));
    assert_eq!(oneself, Err(expected));
    assert_eq!(receiver.message(at_ms(0), Some(&hello(id(9)))), Ok(()));
    assert_eq!(receiver.peer(), Some(id(9)));
}

#[test]
fn what_does_not_fit_a_report_follows_at_once() {
    let mut b = Node::new(2, 2);
    for number in 3..5 {
        let mut other = Node::new(number, 3);
        other.add(0, "x", 1);
        other.add(1, "y", 1);
        b.copy_from(&other);
    }
    let mut receiver = b.receiver(at_ms(0));
    let mut lanes = Vec::new();
    while let ReceiverEffect::Report(held) = receiver.poll(at_ms(0), &b.shards, true) {
        lanes.push(held.len());
    }
    assert_eq!(lanes, [LIMITS.report_lanes_max, 1]);
}

#[test]
fn what_changes_while_a_report_waits_is_in_the_next_one() {
    let mut b = Node::new(2, 2);
    let mut receiver = b.receiver(at_ms(0));
    b.add(0, "x", 1);
    let first = receiver.poll(at_ms(0), &b.shards, true);
    assert!(
        matches!(&first, ReceiverEffect::Report(held) if held.len() == 1),
        "{first:?}"
    );
    b.add(0, "x", 1);
    let until = at_ms(200);
    assert_eq!(
        receiver.poll(at_ms(100), &b.shards, false),
        ReceiverEffect::Read { until }
    );
    b.add(1, "y", 1);
    let both = receiver.poll(at_ms(200), &b.shards, true);
    assert!(
        matches!(&both, ReceiverEffect::Report(held) if held.len() == 2),
        "{both:?}"
    );
}
