//! A home has room for so many sessions, and learns from its own lane which are closed.

use crdt_core::{CounterName, StartId, Sum};
use protocol::{ReplicationLimits, RequestError, SESSIONS_MAX};

use super::*;
use crate::node::NodeLimits;

const SHARDS: u32 = 2;

/// A node whose rounds are completed by hand.
fn node(replicas: Vec<Replica>, start: StartId) -> Node {
    let identity = NodeIdentity {
        cluster: "test".into(),
        replica: ReplicaId::new(1),
        start,
        shard_count: SHARDS,
    };
    let limits = NodeLimits {
        counters_max: 1_000,
        replication: ReplicationLimits::default(),
    };
    Node::new(identity, limits, replicas, None, Box::new(|_| Ok(())))
}

fn fresh() -> Node {
    let start = StartId::new(7);
    let replica = |_| Replica::new(ReplicaId::new(1), start);
    node((0..SHARDS).map(replica).collect(), start)
}

fn request(node: &Node, session: SessionId, number: u64) -> Result<RequestReceipt, RequestError> {
    let head = RequestHead::new(session, number, 0, false).expect("a number");
    let mut adds = Adds::default();
    for name in ["likes", "views", "shares", "follows"] {
        let name: CounterName = name.parse().expect("a name");
        adds.add_named(node.shard_of(&name), name, Sum::of(1));
    }
    let taken = node.take_request(&mut adds, &head);
    taken.map_err(|refusal| refusal.error)
}

/// Does what the commit thread does, but for the disk.
fn complete(node: &Node, round: u64) {
    let collect = |shard| {
        node.with(shard, |it| {
            let group = it.collect(Round::new(round))?;
            it.synced();
            Some((shard, group))
        })
    };
    let written: Vec<_> = (0..SHARDS).filter_map(collect).collect();
    node.note_sessions(&written);
}

#[test]
fn the_session_that_was_idle_longest_is_closed_when_there_are_too_many() {
    let node = fresh();
    let open = || node.open_session().expect("there is room").session;
    let first = open();
    request(&node, first, 1).expect("it is open");
    complete(&node, 1);
    for _ in 0..SESSIONS_MAX {
        open();
    }
    assert_eq!(node.sessions_state().open, SESSIONS_MAX);
    let session = first;
    let closed = Err(RequestError::Closed { session });
    assert_eq!(request(&node, first, 2), closed);
    complete(&node, 2);
    // Nobody is known who could have heard of it: it is closed, and forgotten with the next round.
    complete(&node, 3);
    let state = node.sessions_state();
    assert_eq!((state.open, state.closed), (SESSIONS_MAX, 0));
    assert_eq!(request(&node, first, 2), closed);
}

#[test]
fn sessions_that_are_read_back_are_open() {
    let before = fresh();
    let session = before.open_session().expect("there is room").session;
    request(&before, session, 1).expect("it is open");
    complete(&before, 1);
    let replicas: Vec<Replica> = before.each_shard(Replica::clone).collect();
    let after = node(replicas, StartId::new(8));
    assert_eq!(after.sessions_state().open, 1);
    let copy = request(&after, session, 1).expect("it counts");
    assert!(copy.was_counted);
    let next = after.open_session().expect("there is room").session;
    assert_ne!(next, session, "never given twice");
}
