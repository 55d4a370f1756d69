//! When a receiver knows that it has all that its sender had.

use super::*;

#[test]
fn a_receiver_has_caught_up_once_all_that_the_sender_had_is_durable() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.add(0..60_000);
    let (began, limits) = (Time::from_us(0), ReplicationLimits::default());
    let (mut sending, mut receiving) = open_with(limits, &a, &b, began);
    let mut ends = Vec::new();
    let mut now = began;
    while let Sending::Message(message) = sending.poll(began, &a.shards) {
        assert_eq!(receiving.caught_up(), None, "after {} messages", ends.len());
        now = now.after(std::time::Duration::from_millis(1));
        let received = receiving.response(now, &b.shards, &travel(&message));
        received.expect("sound");
        ends.push(message.ends_all);
        assert_eq!(receiving.caught_up(), None, "nothing is durable yet");
        b.commit();
        receiving.completed(now, b.round);
    }
    assert_eq!(ends.pop(), Some(true));
    assert!(!ends.is_empty() && !ends.contains(&true), "{ends:?}");
    assert_eq!(receiving.caught_up(), Some((a.hello.replica, now)));
    // Who has nothing to send says that as well.
    let later = now.after(limits.heartbeat_interval);
    let Sending::Message(heartbeat) = sending.poll(later, &a.shards) else {
        panic!("a heartbeat is due")
    };
    let received = receiving.response(later, &b.shards, &travel(&heartbeat));
    assert!(!received.expect("sound").is_news());
    assert_eq!(receiving.caught_up(), Some((a.hello.replica, later)));
}

#[test]
fn what_is_said_before_all_is_sent_does_not_end_it() {
    let (mut a, mut b, mut c) = (Node::new(1), Node::new(2), Node::new(3));
    let now = Time::from_us(0);
    c.add(0..9);
    let (mut sending, mut receiving) = open(&c, &a, now);
    play((&mut sending, &c), (&mut receiving, &mut a), now);
    let mut rolled_back = Node::started(3, 5);
    rolled_back.add(0..9);
    let (mut sending, mut receiving) = open(&rolled_back, &b, now);
    play((&mut sending, &rolled_back), (&mut receiving, &mut b), now);
    // That a third lane has forked is found before the own lane is sent.
    a.add(0..9);
    let (mut sending, _) = open(&a, &b, now);
    let mut ends = Vec::new();
    loop {
        match sending.poll(now, &a.shards) {
            Sending::Message(message) => ends.push((message.parts.is_empty(), message.ends_all)),
            Sending::LaneForked(_, fork) => assert_eq!(fork.lane, c.hello.replica),
            Sending::Wait(_) => break,
        }
    }
    // What it tells of the fork has no parts.
    let (last, before) = ends.split_last().expect("the own lane is sent");
    assert_eq!(*last, (false, true));
    assert!(before.iter().all(|&it| it == (true, false)) && !before.is_empty());
}

/// One whose owner was rolled back, and one that says nothing of it.
#[test]
fn nobody_catches_up_with_a_lane_of_another_history() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.add(0..9);
    let now = Time::from_us(0);
    let (mut sending, mut receiving) = open(&a, &b, now);
    play((&mut sending, &a), (&mut receiving, &mut b), now);
    let mut rolled_back = Node::started(1, 5);
    rolled_back.add(0..9);
    let (mut sending, mut receiving) = open(&rolled_back, &b, now);
    let mut forks = Vec::new();
    loop {
        match sending.poll(now, &rolled_back.shards) {
            Sending::Message(message) => {
                assert!(!message.ends_all);
                let all = v1::PullResponse {
                    ends_all: true,
                    ..message
                };
                let received = receiving.response(now, &b.shards, &all);
                forks.extend(received.expect("sound").forks);
            }
            Sending::LaneForked(..) => {}
            Sending::Wait(_) => break,
        }
    }
    let later = now.after(ReplicationLimits::default().heartbeat_interval);
    let Sending::Message(heartbeat) = sending.poll(later, &rolled_back.shards) else {
        panic!("a heartbeat is due")
    };
    assert!(!heartbeat.ends_all);
    // What of the lane the receiver itself finds to be forked, it does not take the word for.
    let interval = rolled_back.shards.borrow()[0]
        .replica()
        .interval(ReplicaId::new(1), Mark::ZERO);
    let mut encoder = crate::IntervalEncoder::new(SHARDS);
    let interval = interval.expect("one history").expect("it has adds");
    let parts = encoder.encode(0, &interval, |counter| {
        rolled_back
            .shards
            .with(0, |it| it.replica().name(counter).clone())
    });
    let lane = v1::PullResponse {
        parts,
        ends_all: true,
        ..Default::default()
    };
    let received = receiving.response(now, &b.shards, &lane).expect("sound");
    forks.extend(received.forks);
    let of_first = forks.iter().filter(|(shard, _)| *shard == 0);
    assert_eq!(of_first.count(), 1, "told once, or found once: {forks:?}");
    assert_eq!(receiving.caught_up(), None);
}
