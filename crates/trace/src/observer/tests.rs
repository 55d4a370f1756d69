//! The content that is kept as lanes move is that of the lanes, whatever they say of sessions.

use std::path::PathBuf;

use crdt_core::{RequestId, SessionId};
use tempfile::TempDir;

use super::*;
use crate::Line;

/// A node of one shard, with its trace.
struct Node {
    shard: Shard,
    trace: Trace,
    path: PathBuf,
}

impl Node {
    fn new(place: &TempDir, id: u128) -> Self {
        let path = place.path().join(format!("{id}.trace"));
        let trace = Trace::append_to(&path).expect("a file");
        Self::begin(trace, path, id, Replica::new(ReplicaId::new(id), start(id)))
    }

    fn begin(trace: Trace, path: PathBuf, id: u128, replica: Replica) -> Self {
        let process = (ReplicaId::new(id), start(id));
        let mut shards = begin(&trace, process, [Shard::new(replica)], (0, 0));
        Self {
            shard: shards.remove(0),
            trace,
            path,
        }
    }

    /// The next process, which has read back all that was held.
    fn restarted(self) -> Self {
        let id = self.shard.replica().id().get();
        let mut replica = Replica::new(ReplicaId::new(id), StartId::new(99));
        for (lane, _) in self.shard.replica().digest().iter() {
            let whole = self.shard.replica().interval(lane, Mark::ZERO);
            if let Some(whole) = whole.expect("no fork") {
                let whole = replica.import(&self.shard.replica().export(&whole));
                replica.recover(&whole).expect("it is the first");
            }
        }
        Self::begin(self.trace, self.path, id, replica)
    }

    /// Commits; what the own interval says, and that what is told of all lanes is so.
    fn commit(&mut self) -> Option<Written> {
        let round = self.shard.next_round();
        self.shard.collect(round).expect("something was taken");
        self.shard.synced();
        self.trace.flush();
        let text = std::fs::read_to_string(&self.path).expect("a trace");
        let line = |line| serde_json::from_str::<Line>(line).expect("a line").step;
        let steps: Vec<Step> = text.lines().map(line).collect();
        let [
            ..,
            Step::Commit { group, .. },
            Step::Held { lanes: held, .. },
        ] = &steps[..]
        else {
            panic!("{:?}", steps.last());
        };
        let counted = lanes(0, self.shard.replica());
        for lane in held {
            assert!(counted.contains(lane), "{lane:?} of {counted:?}");
        }
        group.first().copied()
    }

    fn receive(&mut self, from: &Self) {
        let lane = from.shard.replica().id();
        let held = self.shard.replica().held(lane);
        let interval = from.shard.replica().interval(lane, held).expect("no fork");
        let interval = interval.expect("it has changed");
        let interval = from.shard.replica().export(&interval);
        let interval = self.shard.replica_mut().import(&interval);
        self.shard.receive(interval).expect("it continues");
    }

    fn claim(&mut self, number: u64, amount: i64) {
        let name: CounterName = "likes".parse().expect("a name");
        let replica = self.shard.replica_mut();
        let counter = replica.counter(&name);
        let session = SessionId {
            home: ReplicaId::new(1),
            start: start(1),
            count: 0,
        };
        let request = RequestId { session, number };
        replica.take_request(request, 1, &[(counter, Sum::of(amount))]);
    }
}

fn start(id: u128) -> StartId {
    StartId::new(u64::try_from(id).expect("small"))
}

fn likes(amount: i64) -> Content {
    Content::of(&"likes".parse().expect("a name"), Sum::of(amount))
}

#[test]
fn the_content_of_lanes_with_sessions_is_kept_as_it_moves() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let (mut home, mut other) = (Node::new(&place, 1), Node::new(&place, 2));
    home.shard.replica_mut().know(ReplicaId::new(2));
    let known = home.commit().expect("an own interval");
    assert_eq!(known.settled, Some(known.content), "a record, and no adds");

    other.receive(&home);
    other.claim(1, 5);
    other.claim(2, 7);
    let claimed = other.commit().expect("an own interval");
    assert_eq!(claimed.settled, Some(claimed.content));

    // The home takes one itself, and grants the other.
    home.claim(1, 5);
    home.commit();
    home.receive(&other);
    home.commit();
    home.shard
        .collect(home.shard.next_round())
        .expect("a grant");
    home.shard.synced();

    let mut other = other.restarted();
    other.receive(&home);
    other.commit();
    let folded = other.commit().expect("an own interval");
    let replica = other.shard.replica();
    let need = Content::of_need(ReplicaId::new(1), replica.held(ReplicaId::new(1)));
    assert_eq!(folded.content, likes(7) + need, "no claim is left");
    let settled = folded.content - claimed.content;
    assert_eq!(folded.settled, Some(settled));
    assert_eq!(replica.held_claims().count(), 0);
}

#[test]
fn of_an_interval_without_records_nothing_is_settled() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(&place, 1);
    let replica = node.shard.replica_mut();
    let counter = replica.counter(&"likes".parse().expect("a name"));
    replica.add(counter, Sum::of(1)).expect("in range");
    let written = node.commit().expect("an own interval");
    assert_eq!((written.content, written.settled), (likes(1), None));
}
