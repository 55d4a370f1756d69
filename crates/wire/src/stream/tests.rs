//! Both ends of a stream, with bytes between them.

mod caught_up;

use std::cell::RefCell;

use crdt_core::{CounterName, Mark, Replica, ReplicaId, StartId, Sum, Version};
use prost::Message as _;
use protocol::{
    Adds, HeldLane, Hello, HelloError, ReplicationLimits, Round, Shard, Shards as _, Time,
};

use super::*;
use crate::{PART_BYTES_TARGET, shard_of, v1};

const SHARDS: u32 = 3;

struct Node {
    hello: Hello,
    shards: RefCell<Vec<Shard>>,
    round: Round,
}

impl Node {
    fn new(number: u128) -> Self {
        Self::started(number, 1)
    }

    fn started(number: u128, start: u64) -> Self {
        let replica = ReplicaId::new(number);
        let shard = |_| Shard::new(Replica::new(replica, StartId::new(start)));
        Self {
            hello: Hello::new("likes".into(), SHARDS, replica),
            shards: RefCell::new((0..SHARDS).map(shard).collect()),
            round: Round::NONE,
        }
    }

    fn add(&mut self, counters: std::ops::Range<u32>) {
        let mut adds = Adds::default();
        for number in counters {
            let name: CounterName = format!("counter-{number}").parse().expect("a name");
            adds.add_named(
                shard_of(&name, SHARDS),
                name,
                Sum::of(i64::from(number) + 1),
            );
        }
        adds.take(&self.shards, u64::MAX).expect("in range");
        self.commit();
    }

    fn commit(&mut self) {
        self.round = self.round.next();
        for shard in self.shards.borrow_mut().iter_mut() {
            if shard.collect(self.round).is_some() {
                shard.synced();
            }
        }
    }

    fn values(&self) -> Vec<(CounterName, i128)> {
        let of = |shard| {
            self.shards.with(shard, |it| {
                let values = it.replica().values_from("");
                values
                    .map(|(name, value)| (name.clone(), value))
                    .collect::<Vec<_>>()
            })
        };
        let mut values: Vec<_> = (0..SHARDS).flat_map(of).collect();
        values.sort();
        values
    }
}

/// The message after a journey.
fn travel<M: prost::Message + Default>(message: &M) -> M {
    M::decode(&*message.encode_to_vec()).expect("our own bytes")
}

/// Plays a stream until both ends wait.
fn play(
    (sending, from): (&mut SendingEnd, &Node),
    (receiving, to): (&mut ReceivingEnd, &mut Node),
    now: Time,
) {
    loop {
        match receiving.poll(now, &to.shards, true) {
            Receiving::Request(request) => {
                sending
                    .request(&from.shards, &travel(&request))
                    .expect("sound");
            }
            Receiving::AwaitRound(_) => {
                to.commit();
                receiving.completed(now, to.round);
            }
            Receiving::Close(error) => panic!("{error}"),
            Receiving::Read(_) => match sending.poll(now, &from.shards) {
                Sending::Message(message) => {
                    let message = travel(&message);
                    receiving
                        .response(now, &to.shards, &message)
                        .expect("sound");
                }
                Sending::Wait(_) => return,
                Sending::LaneForked(_, fork) => panic!("{fork}"),
            },
        }
    }
}

fn open(from: &Node, to: &Node, now: Time) -> (SendingEnd, ReceivingEnd) {
    open_with(ReplicationLimits::default(), from, to, now)
}

fn open_with(
    limits: ReplicationLimits,
    from: &Node,
    to: &Node,
    now: Time,
) -> (SendingEnd, ReceivingEnd) {
    let mut receiving = ReceivingEnd::new(limits, to.hello.clone(), now);
    let Receiving::Request(first) = receiving.poll(now, &to.shards, true) else {
        panic!("a stream begins with a request")
    };
    let first = travel(&first);
    let sending = SendingEnd::accept(limits, &from.hello, &first, &from.shards, now);
    (sending.expect("a peer"), receiving)
}

#[test]
fn what_one_node_holds_arrives_at_the_other() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.add(0..20_000);
    let now = Time::from_us(0);
    let (mut sending, mut receiving) = open(&a, &b, now);
    play((&mut sending, &a), (&mut receiving, &mut b), now);
    assert_eq!(b.values(), a.values());
    a.add(5..9);
    sending.completed();
    let now = Time::from_us(10_000);
    play((&mut sending, &a), (&mut receiving, &mut b), now);
    assert_eq!(b.values(), a.values());
    assert_eq!(
        (sending.peer(), receiving.peer()),
        (b.hello.replica, Some(a.hello.replica))
    );
}

/// The records of sessions all stand at an interval's end, however many they are.
#[test]
fn a_long_list_of_records_goes_in_messages_below_the_limit() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    for number in 100_000..115_000 {
        let mut shards = a.shards.borrow_mut();
        shards[1].replica_mut().know(ReplicaId::new(number));
    }
    a.commit();
    let now = Time::from_us(0);
    let (mut sending, mut receiving) = open(&a, &b, now);
    let mut messages = 0;
    while let Sending::Message(message) = sending.poll(now, &a.shards) {
        let bytes = message.encoded_len();
        assert!(bytes < PART_BYTES_TARGET + 1_024, "{bytes}");
        receiving
            .response(now, &b.shards, &travel(&message))
            .expect("sound");
        messages += 1;
    }
    assert!(messages > 2, "{messages} messages");
    b.commit();
    let held = |node: &Node| node.shards.borrow()[1].replica().digest();
    assert_eq!(held(&b), held(&a));
}

#[test]
fn a_stream_that_is_opened_again_brings_nothing_that_is_held() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.add(0..9);
    let now = Time::from_us(0);
    let (mut sending, mut receiving) = open(&a, &b, now);
    play((&mut sending, &a), (&mut receiving, &mut b), now);
    let (mut sending, _) = open(&a, &b, now);
    let Sending::Message(hello) = sending.poll(now, &a.shards) else {
        panic!("a stream begins with a hello")
    };
    assert_eq!(hello.parts, []);
    assert!(matches!(sending.poll(now, &a.shards), Sending::Wait(_)));
}

#[test]
fn a_receiver_that_was_rolled_back_is_told_how_far_its_lane_is_held() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    b.add(0..9);
    let now = Time::from_us(0);
    let (mut sending, mut receiving) = open(&b, &a, now);
    play((&mut sending, &b), (&mut receiving, &mut a), now);
    let rolled_back = Node::started(2, 5);
    let (mut sending, mut receiving) = open(&a, &rolled_back, now);
    let Sending::Message(first) = sending.poll(now, &a.shards) else {
        panic!("it is told at once")
    };
    let received = receiving.response(now, &rolled_back.shards, &travel(&first));
    let received = received.expect("sound");
    let forked: Vec<_> = received.forks.iter().map(|(shard, _)| *shard).collect();
    assert_eq!(forked, (0..SHARDS).collect::<Vec<_>>());
    assert!(!received.is_news());
}

#[test]
fn news_are_for_the_next_round() {
    let (mut a, b) = (Node::new(1), Node::new(2));
    a.add(0..1);
    let now = Time::from_us(0);
    let (mut sending, mut receiving) = open(&a, &b, now);
    let Sending::Message(mut first) = sending.poll(now, &a.shards) else {
        panic!("an add is sent")
    };
    for is_news in [true, false] {
        let received = receiving.response(now, &b.shards, &first);
        assert_eq!(received.expect("sound").is_news(), is_news);
        first.hello.take();
    }
}

#[test]
fn a_message_has_about_the_bytes_that_it_is_to_have() {
    let (mut a, mut b) = (Node::new(1), Node::new(2));
    a.add(0..60_000);
    let limits = ReplicationLimits {
        piece_records_max: 2_000,
        ..ReplicationLimits::default()
    };
    let now = Time::from_us(0);
    let (mut sending, mut receiving) = open_with(limits, &a, &b, now);
    let mut bytes = Vec::new();
    while let Sending::Message(message) = sending.poll(now, &a.shards) {
        bytes.push(message.encoded_len());
        let received = receiving.response(now, &b.shards, &message);
        received.expect("sound");
        b.commit();
        receiving.completed(now, b.round);
    }
    assert_eq!(b.values(), a.values());
    bytes.pop();
    assert!(!bytes.is_empty(), "one message");
    for bytes in bytes {
        let over = bytes.checked_sub(PART_BYTES_TARGET);
        assert!(over.is_some_and(|over| over < 100_000), "{bytes}");
    }
}

/// So that no server refuses what a machine may say.
#[test]
fn the_largest_messages_fit() {
    let limits = ReplicationLimits::default();
    let last = Mark {
        version: Version::new(u64::MAX),
        start: StartId::new(u64::MAX),
    };
    let lane = HeldLane {
        shard: u32::MAX,
        lane: ReplicaId::new(u128::MAX),
        mark: last,
    };
    let report = v1::PullRequest {
        hello: Some(hello_to_wire(&Node::new(1).hello)),
        held: held_to_wire(&vec![lane; limits.report_lanes_max]),
    };
    assert!(report.encoded_len() <= REPORT_BYTES_MAX);
    let introduced = v1::IntroducedCounter {
        index: u32::MAX,
        name: "x".repeat(CounterName::BYTES_MAX),
    };
    let longest = v1::IntervalPart {
        introduced: vec![introduced; limits.piece_records_max],
        ..v1::IntervalPart::default()
    };
    // And a record's numbers, at most 67 bytes.
    let piece = longest.encoded_len() + 67 * limits.piece_records_max;
    assert!(PART_BYTES_TARGET + piece <= RESPONSE_BYTES_MAX, "{piece}");
}

#[test]
fn a_node_without_anything_opens_a_stream_all_the_same() {
    let b = Node::new(2);
    let mut receiving = ReceivingEnd::new(
        ReplicationLimits::default(),
        b.hello.clone(),
        Time::default(),
    );
    let first = receiving.poll(Time::default(), &b.shards, true);
    let expected = v1::PullRequest {
        hello: Some(hello_to_wire(&b.hello)),
        held: vec![],
    };
    assert_eq!(first, Receiving::Request(expected));
}

#[test]
fn a_first_request_that_is_not_sound_is_refused() {
    let a = Node::new(1);
    let accept = |request: &v1::PullRequest| {
        let limits = ReplicationLimits::default();
        let accepted = SendingEnd::accept(limits, &a.hello, request, &a.shards, Time::default());
        accepted.expect_err("not sound")
    };
    let absent = SendingError::Hello(HelloError::Absent);
    assert_eq!(accept(&v1::PullRequest::default()), absent);
    let mut hello = hello_to_wire(&Node::new(2).hello);
    let bad_lane = v1::HeldLane {
        replica_id: vec![1],
        ..Default::default()
    };
    let request = v1::PullRequest {
        hello: Some(hello.clone()),
        held: vec![bad_lane],
    };
    assert!(matches!(accept(&request), SendingError::Decode(_)));
    hello.replica_id.pop();
    let request = v1::PullRequest {
        hello: Some(hello),
        held: vec![],
    };
    assert!(matches!(accept(&request), SendingError::Decode(_)));
}
