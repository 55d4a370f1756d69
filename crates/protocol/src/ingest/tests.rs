//! What is taken is acknowledged, in order, however the stream ends.

use alloc::{string::String, vec};
use core::cell::RefCell;

use crdt_core::{Replica, ReplicaId, StartId};

use super::*;
use crate::Shard;

const BUDGET_BYTES: u64 = 10_000;

const CLUSTER: ClusterHash = ClusterHash(5);

fn acknowledge(sequence: u64) -> IngestEffect {
    IngestEffect::Acknowledge(Acknowledgement {
        sequence,
        ..Acknowledgement::default()
    })
}

/// A node of one shard, and a stream to it.
struct Node {
    shards: RefCell<Vec<Shard>>,
    stream: IngestStream,
    round: Round,
    sequence: u64,
}

impl Node {
    fn new() -> Self {
        Self::with(&Budget::new(BUDGET_BYTES), IngestLimits::new(10))
    }

    fn with(budget: &Budget, limits: IngestLimits) -> Self {
        let replica = Replica::new(ReplicaId::new(1), StartId::new(1));
        Self {
            shards: RefCell::new(vec![Shard::new(replica)]),
            stream: IngestStream::new(limits, budget, CLUSTER),
            round: Round::NONE,
            sequence: 0,
        }
    }

    fn send(&mut self, introduced: &[&str], counters: &[u32], amounts: &[i64]) {
        self.sequence += 1;
        let introduced: Vec<String> = introduced.iter().map(|&name| name.into()).collect();
        let message = IngestMessage {
            sequence: self.sequence,
            introduced: &introduced,
            counters,
            amounts,
            request: None,
        };
        self.stream
            .message(&self.shards, Ok(()), &message, |_| 0, |_| Ok(()));
    }

    /// Makes everything taken durable.
    fn complete_round(&mut self) {
        self.round = self.round.next();
        let shard = &mut self.shards.borrow_mut()[0];
        if shard.collect(self.round).is_some() {
            shard.synced();
        }
        self.stream.completed(self.round);
    }

    fn value(&self, name: &str) -> i128 {
        let shards = self.shards.borrow();
        let replica = shards[0].replica();
        replica.find(name).map_or(0, |index| replica.value(index))
    }

    /// How the stream refuses its last message.
    fn refusal(&mut self) -> IngestError {
        let effect = self.stream.poll();
        let IngestEffect::End(IngestEnd::Refused(error)) = effect else {
            panic!("{effect:?}")
        };
        error
    }
}

#[test]
fn a_message_is_acknowledged_once_its_round_is_complete() {
    let mut node = Node::new();
    node.send(&["a", "b"], &[0, 1, 0], &[]);
    assert_eq!(node.stream.poll(), IngestEffect::ReadOrAwaitRound);
    node.send(&[], &[1], &[-5]);
    node.complete_round();
    assert_eq!(node.stream.poll(), acknowledge(2));
    assert_eq!(node.stream.poll(), IngestEffect::Read);
    assert_eq!((node.value("a"), node.value("b")), (2, -4));
}

#[test]
fn a_message_without_entries_hides_no_acknowledgement() {
    let mut node = Node::new();
    node.send(&["a"], &[0], &[]);
    node.send(&["b"], &[], &[]);
    node.send(&[], &[7], &[]);
    assert_eq!(node.stream.poll(), IngestEffect::AwaitRound);
    node.complete_round();
    assert_eq!(node.stream.poll(), acknowledge(2));
    assert!(matches!(node.refusal(), IngestError::Index { .. }));
}

#[test]
fn nothing_is_acknowledged_before_what_came_before_it() {
    let mut node = Node::new();
    node.send(&["a"], &[0], &[]);
    node.send(&["b"], &[], &[]);
    assert_eq!(node.stream.poll(), IngestEffect::ReadOrAwaitRound);
}

#[test]
fn a_stream_that_ends_tells_everything_that_was_taken() {
    for end in [
        IngestEnd::Closed,
        IngestEnd::Transport,
        IngestEnd::NotWritable(NotWritable::Stopping),
    ] {
        let mut node = Node::new();
        node.send(&["a"], &[0], &[]);
        assert!(!node.stream.is_ending());
        node.stream.ended(end.clone());
        assert!(node.stream.is_ending());
        node.send(&[], &[0], &[]);
        assert_eq!(node.stream.poll(), IngestEffect::AwaitRound);
        node.complete_round();
        assert_eq!(node.stream.poll(), acknowledge(1));
        assert_eq!(node.stream.poll(), IngestEffect::End(end));
        assert_eq!(node.value("a"), 1, "the later message came too late");
    }
}

#[test]
fn a_client_that_reads_nothing_is_not_read_for_ever() {
    let limits = IngestLimits {
        unacknowledged_max: 2,
        ..IngestLimits::new(10)
    };
    let mut node = Node::with(&Budget::new(BUDGET_BYTES), limits);
    node.send(&["a"], &[0], &[]);
    assert_eq!(node.stream.poll(), IngestEffect::ReadOrAwaitRound);
    node.send(&[], &[0], &[]);
    assert_eq!(node.stream.poll(), IngestEffect::AwaitRound);
}

#[test]
fn a_node_that_takes_no_adds_takes_none_of_a_stream() {
    let mut node = Node::new();
    let message = IngestMessage {
        sequence: 1,
        introduced: &["a".into()],
        counters: &[0],
        amounts: &[],
        request: None,
    };
    let stopping = Err(NotWritable::Stopping);
    node.stream
        .message(&node.shards, stopping, &message, |_| 0, |_| Ok(()));
    let refused = TakeError::NotWritable(NotWritable::Stopping);
    assert_eq!(node.refusal(), IngestError::Take(refused));
}

#[test]
fn names_that_nobody_adds_to_use_up_no_counters() {
    let mut node = Node::new();
    let names: Vec<String> = (0..50).map(|n| alloc::format!("name-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    node.send(&names, &[], &[]);
    node.send(&[], &[3, 4], &[]);
    node.complete_round();
    assert_eq!(node.stream.poll(), acknowledge(2));
    assert_eq!(node.shards.borrow()[0].replica().counters(), 2);
    let all: Vec<u32> = (0..50).collect();
    node.send(&[], &all, &[]);
    let IngestError::Take(TakeError::CountersExhausted { found: 2, .. }) = node.refusal() else {
        panic!("ten counters fit")
    };
    assert_eq!(node.shards.borrow()[0].replica().counters(), 2);
}

#[test]
fn the_dictionaries_of_all_streams_together_are_bounded_and_given_back() {
    let budget = Budget::new(3 * (ENTRY_BYTES + 1));
    let mut first = Node::with(&budget, IngestLimits::new(10));
    first.send(&["a", "b"], &[0], &[]);
    first.complete_round();
    // A name that has its place is the shard's, not the stream's.
    assert_eq!(budget.used(), 2 * ENTRY_BYTES + 1);
    let mut second = Node::with(&budget, IngestLimits::new(10));
    second.send(&["a", "b"], &[], &[]);
    let IngestError::DictionariesFull { bytes_max, .. } = second.refusal() else {
        panic!("only one fits")
    };
    assert_eq!(bytes_max, 3 * (ENTRY_BYTES + 1));
    drop(first);
    let mut third = Node::with(&budget, IngestLimits::new(10));
    third.send(&["a", "b", "c"], &[], &[]);
    third.complete_round();
    assert_eq!(third.stream.poll(), acknowledge(1));
}

#[test]
fn whatever_is_wrong_with_a_message_is_said_and_nothing_of_it_is_taken() {
    type Send = fn(&mut Node);
    let cases: [(Send, &str); 7] = [
        (|node| node.sequence = 3, "message 4 came where 2 was due"),
        (
            |node| node.send(&[], &[0, 2], &[]),
            "index 2 was not introduced",
        ),
        (
            |node| node.send(&[], &[0, 1], &[1]),
            "1 amounts for 2 counters",
        ),
        (|node| node.send(&[], &[0], &[0]), "the amount is 0"),
        (|node| node.send(&["c", ""], &[0], &[]), "name is empty"),
        (
            |node| node.send(&[], &[0; 20], &[1; 20]),
            "20 entries; a message may have 10",
        ),
        (
            |node| node.send(&["1", "2", "3"], &[0], &[]),
            "would have introduced 5 names; at most 4",
        ),
    ];
    for (send, expected) in cases {
        let limits = IngestLimits {
            entries_max: 10,
            dictionary_names_max: 4,
            ..IngestLimits::new(10)
        };
        let mut node = Node::with(&Budget::new(BUDGET_BYTES), limits);
        node.send(&["a", "b"], &[0, 1], &[]);
        node.complete_round();
        assert_eq!(node.stream.poll(), acknowledge(1));
        send(&mut node);
        if node.sequence == 3 {
            node.send(&[], &[0], &[]);
        }
        let text = alloc::format!("{}", node.refusal());
        assert!(text.contains(expected), "{text}");
        node.complete_round();
        assert_eq!((node.value("a"), node.value("b")), (1, 1), "{expected}");
    }
}

#[test]
fn a_message_may_have_as_much_as_its_bounds_say() {
    let limits = IngestLimits {
        entries_max: 3,
        dictionary_names_max: 2,
        ..IngestLimits::new(10)
    };
    let mut node = Node::with(&Budget::new(BUDGET_BYTES), limits);
    node.send(&["a", "b"], &[0, 1, 0], &[]);
    node.complete_round();
    assert_eq!(node.stream.poll(), acknowledge(1));
    assert_eq!((node.value("a"), node.value("b")), (2, 1));
}

#[test]
fn amounts_of_one_message_that_overflow_are_refused() {
    let mut node = Node::new();
    node.send(&["a"], &[0; 3], &[i64::MAX; 3]);
    assert!(matches!(
        node.refusal(),
        IngestError::Overflow { index: 0 } | IngestError::Take(TakeError::OutOfRange { .. })
    ));
}
