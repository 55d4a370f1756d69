//! Messages that are requests: each is answered in its place, and the stream goes on.

use alloc::{string::String, vec, vec::Vec};
use core::cell::RefCell;

use crdt_core::{CounterName, Replica, ReplicaId, StartId};

use super::*;
use crate::{Budget, IngestEffect, IngestLimits, RequestNumberError, Shard, TakeError};

const CLUSTER: ClusterHash = ClusterHash(5);
const HOME: ReplicaId = ReplicaId::new(1);

/// A home of two shards: names that begin with "0" are in the first.
struct Home {
    shards: RefCell<Vec<Shard>>,
    stream: IngestStream,
    round: Round,
    sequence: u64,
}

fn shard_of(name: &CounterName) -> ShardIndex {
    u32::from(!name.as_str().starts_with('0'))
}

fn session() -> SessionId {
    SessionId {
        home: HOME,
        start: StartId::new(7),
        count: 0,
    }
}

fn token() -> Vec<u8> {
    let session = session();
    let cluster = CLUSTER;
    SessionToken { cluster, session }.to_bytes()
}

impl Home {
    fn new() -> Self {
        let shard = || Shard::new(Replica::new(HOME, StartId::new(7)));
        Self {
            shards: RefCell::new(vec![shard(), shard()]),
            stream: Self::stream(),
            round: Round::NONE,
            sequence: 0,
        }
    }

    fn stream() -> IngestStream {
        IngestStream::new(IngestLimits::new(10), &Budget::new(10_000), CLUSTER)
    }

    /// The client has lost its stream, and opens another one.
    fn reconnect(&mut self) {
        (self.stream, self.sequence) = (Self::stream(), 0);
        self.stream.completed(self.round);
    }

    fn send(&mut self, introduced: &[&str], adds: &[(u32, i64)], session: &[u8], number: u64) {
        self.sequence += 1;
        let introduced: Vec<String> = introduced.iter().map(|&name| name.into()).collect();
        let counters: Vec<u32> = adds.iter().map(|&(index, _)| index).collect();
        let amounts: Vec<i64> = adds.iter().map(|&(_, amount)| amount).collect();
        let message = IngestMessage {
            sequence: self.sequence,
            introduced: &introduced,
            counters: &counters,
            amounts: &amounts,
            request: Some(IngestRequest {
                session,
                number,
                answered_below: 0,
                is_moved: false,
            }),
        };
        let admit = |_| Ok(());
        self.stream
            .message(&self.shards, Ok(()), &message, shard_of, admit);
    }

    fn complete_in(&mut self, shards: &[usize]) {
        self.round = self.round.next();
        for &at in shards {
            let shard = &mut self.shards.borrow_mut()[at];
            if shard.collect(self.round).is_some() {
                shard.synced();
            }
        }
        self.stream.completed(self.round);
    }

    fn complete(&mut self) {
        self.complete_in(&[0, 1]);
    }

    fn told(&mut self) -> Acknowledgement {
        let effect = self.stream.poll();
        let IngestEffect::Acknowledge(told) = effect else {
            panic!("{effect:?}")
        };
        told
    }

    fn value(&self, name: &str) -> i128 {
        let name: CounterName = name.parse().expect("a name");
        let shards = self.shards.borrow();
        let replica = shards[shard_of(&name) as usize].replica();
        let counter = replica.find(name.as_str());
        counter.map_or(0, |counter| replica.value(counter))
    }
}

#[test]
fn a_stream_that_is_sent_again_is_told_what_had_been_counted() {
    let mut home = Home::new();
    home.send(&["0/a", "1/b"], &[(0, 2), (1, 3)], &token(), 1);
    home.send(&[], &[(0, 1)], &[], 2);
    assert_eq!(home.stream.poll(), IngestEffect::ReadOrAwaitRound);
    home.complete();
    assert_eq!((home.told().sequence, home.told_nothing()), (2, true));
    home.reconnect();
    home.send(&["0/a", "1/b"], &[(0, 2), (1, 3)], &token(), 1);
    home.send(&[], &[(0, 1)], &[], 2);
    home.send(&[], &[(1, 1)], &[], 3);
    // Those that were counted are durable already.
    let before = Acknowledgement {
        sequence: 2,
        counted_before: vec![1, 2],
        refused: None,
    };
    assert_eq!(home.told(), before);
    home.complete();
    assert_eq!(home.told().sequence, 3);
    assert_eq!((home.value("0/a"), home.value("1/b")), (3, 4));
}

impl Home {
    fn told_nothing(&mut self) -> bool {
        self.stream.poll() == IngestEffect::Read
    }
}

#[test]
fn a_copy_of_what_is_not_durable_yet_waits_for_it() {
    let mut home = Home::new();
    home.send(&["0/a"], &[(0, 2)], &token(), 1);
    home.send(&[], &[(0, 2)], &token(), 1);
    assert_eq!(home.stream.poll(), IngestEffect::ReadOrAwaitRound);
    home.complete();
    let told = home.told();
    assert_eq!((told.sequence, told.counted_before), (2, vec![2]));
    assert_eq!(home.value("0/a"), 2);
}

#[test]
fn a_refused_message_is_answered_in_its_place_and_the_stream_goes_on() {
    let mut home = Home::new();
    home.send(&["0/a"], &[(0, 1)], &[], 1);
    home.send(&[], &[(0, 1)], &token(), 0);
    home.send(&[], &[(0, i64::MAX), (0, i64::MAX), (0, i64::MAX)], &[], 1);
    home.send(&[], &[(0, i64::MAX)], &[], 2);
    home.send(&[], &[(0, 1)], &[], 3);
    home.send(&["0/c"], &[(1, 1)], &[], 4);
    let refused = |home: &mut Home, sequence| {
        let told = home.told();
        assert_eq!(told.sequence, sequence);
        let refused = told.refused.expect("it is refused");
        assert_eq!(refused.sequence, sequence);
        refused.error
    };
    let no_session = IngestRequestError::Session(SessionError::Length(0));
    assert_eq!(refused(&mut home, 1), no_session);
    let zero = IngestRequestError::Number(RequestNumberError::Zero);
    assert_eq!(refused(&mut home, 2), zero);
    assert_eq!(
        refused(&mut home, 3),
        IngestRequestError::Overflow { index: 0 }
    );
    // The refusal of what the home could have counted is durable first.
    assert_eq!(home.stream.poll(), IngestEffect::ReadOrAwaitRound);
    home.complete();
    let error = refused(&mut home, 5);
    let IngestRequestError::Request(RequestError::Take(error)) = error else {
        panic!("{error:?}")
    };
    assert!(matches!(*error, TakeError::OutOfRange { .. }), "{error:?}");
    assert_eq!(home.told().sequence, 6);
    assert_eq!(home.value("0/a"), i128::from(i64::MAX));
    assert_eq!(home.value("0/c"), 1);
}

#[test]
fn a_message_that_counts_in_part_names_the_counters_that_do() {
    let mut home = Home::new();
    home.send(&["1/b", "0/a"], &[(0, 1), (1, 1)], &token(), 1);
    home.complete_in(&[0]);
    // The second shard has lost its part, and is full.
    let full = Replica::new(HOME, StartId::new(8));
    home.shards.borrow_mut()[1] = Shard::new(full);
    home.reconnect();
    home.send(&["1/b"], &[(0, i64::MAX)], &token(), 2);
    home.send(&["0/a"], &[(0, 1), (1, 1)], &[], 1);
    home.complete();
    let told = home.told();
    let refused = told.refused.expect("it counts in part");
    assert_eq!((refused.sequence, refused.counted_counters), (2, vec![1]));
}

#[test]
fn a_session_that_is_not_admitted_is_told_so() {
    let mut home = Home::new();
    let exhausted = SessionsExhausted { closed: 9 };
    let message = IngestMessage {
        sequence: 1,
        introduced: &[],
        counters: &[],
        amounts: &[],
        request: Some(IngestRequest {
            session: &token(),
            number: 1,
            answered_below: 0,
            is_moved: false,
        }),
    };
    let admit = |of| (of != session()).then_some(()).ok_or(exhausted);
    home.stream
        .message(&home.shards, Ok(()), &message, shard_of, admit);
    let refused = home.told().refused.expect("it is refused");
    let error = RequestError::SessionsExhausted(exhausted);
    assert_eq!(refused.error, IngestRequestError::Request(error));
}
