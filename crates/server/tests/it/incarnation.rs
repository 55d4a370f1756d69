//! Data directories that were rolled back or copied: noticed by comparing histories, and adds
//! are refused, since others would swallow them (guarantee `incarnation_safety`; `riak_kv`#679 is
//! the bug that this prevents).

use std::fs;

use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use super::disk::copy_directory;
use super::node::{Node, eventually, reason};
use super::refusals::check;

/// Two nodes that know each other; the first one's directory is what is tampered with.
struct Pair {
    a: Node,
    b: Node,
    place: TempDir,
}

impl Pair {
    /// Both hold 5, and so does the backup of the first one's directory.
    async fn with_backup() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let [a, b] = ["a", "b"].map(|name| Node::new(place.path(), name));
        let [at_a, at_b] = [&a, &b].map(|node| node.address.clone());
        let (mut a, mut b) = (a.with_peers(&[&at_b]), b.with_peers(&[&at_a]));
        a.serve().await;
        b.serve().await;
        let token = a.add("likes", 5).await.expect("an add");
        assert_eq!(b.value_after("likes", token).await, 5);
        a.kill();
        copy_directory(&a.data, &place.path().join("backup"));
        Self { a, b, place }
    }

    /// Puts the backup in the place of the first one's directory.
    fn roll_back(&self) {
        fs::remove_dir_all(&self.a.data).expect("it exists");
        copy_directory(&self.place.path().join("backup"), &self.a.data);
    }
}

/// Adds until the node refuses, which it must; meanwhile `other` never falls below `value`.
async fn adds_are_refused(node: &Node, other: &Node, value: i64) {
    let mut refusal = None;
    eventually("adds are refused", async || {
        assert!(other.value("likes").await >= value, "a value went down");
        refusal = node.add("likes", 100).await.err();
        refusal.is_some()
    })
    .await;
    let refusal = refusal.expect("it was awaited");
    let status = node.status().await;
    let says = [&*status.replica_id, "rolled back or copied", "empty one"];
    check(
        "a fork",
        &refusal,
        Code::FailedPrecondition,
        "INCARNATION_CONFLICT",
        &says,
    );
    assert!(
        status.refusal.contains("rolled back or copied"),
        "{status:?}"
    );
    let ingest = node.counters().ingest(tokio_stream::empty()).await;
    assert_eq!(
        reason(&ingest.expect_err("no adds")),
        "INCARNATION_CONFLICT"
    );
    for (service, expected) in [
        ("", NotServing),
        ("tally.v1.CounterService", NotServing),
        ("tally.v1.ClusterService", Serving),
        ("tally.v1.ReplicationService", Serving),
    ] {
        eventually("probes are told", async || {
            node.health_of(service).await == Some(expected)
        })
        .await;
    }
    // What it holds can still be read.
    node.value("likes").await;
    assert!(other.value("likes").await >= value, "a value went down");
}

#[tokio::test]
async fn a_directory_that_was_rolled_back_is_noticed() {
    let mut pair = Pair::with_backup().await;
    pair.a.serve().await;
    let token = pair.a.add("likes", 10).await.expect("an add");
    assert_eq!(pair.b.value_after("likes", token).await, 15);
    pair.a.kill();
    pair.roll_back();
    pair.a.recover().await;
    adds_are_refused(&pair.a, &pair.b, 15).await;
    // A restart does not make it well again.
    pair.a.kill();
    pair.a.recover().await;
    adds_are_refused(&pair.a, &pair.b, 15).await;
}

#[tokio::test]
async fn a_rolled_back_directory_that_was_written_on_is_noticed() {
    let mut pair = Pair::with_backup().await;
    pair.a.serve().await;
    let token = pair.a.add("likes", 10).await.expect("an add");
    assert_eq!(pair.b.value_after("likes", token).await, 15);
    pair.a.kill();
    pair.b.kill();
    pair.roll_back();
    // Alone, it gets to a later version than the one that B knows of: the numbers say nothing.
    pair.a.serve().await;
    for _ in 0..10 {
        pair.a.add("likes", 1).await.expect("nobody knows yet");
    }
    pair.b.serve().await;
    assert_eq!(pair.b.value("likes").await, 15);
    adds_are_refused(&pair.a, &pair.b, 15).await;
    pair.b.add("likes", 1).await.expect("B is well");
}

/// Nobody has to tell it again.
#[tokio::test]
async fn a_fork_is_remembered_by_a_node_that_starts_alone() {
    let mut pair = Pair::with_backup().await;
    pair.a.serve().await;
    let token = pair.a.add("likes", 10).await.expect("an add");
    assert_eq!(pair.b.value_after("likes", token).await, 15);
    pair.a.kill();
    pair.roll_back();
    pair.a.recover().await;
    adds_are_refused(&pair.a, &pair.b, 15).await;
    pair.a.kill();
    pair.b.kill();
    for _ in 0..2 {
        pair.a.recover().await;
        let refusal = pair.a.add("likes", 100).await.expect_err("it knows");
        assert_eq!(reason(&refusal), "INCARNATION_CONFLICT");
        assert_eq!(pair.a.health().await, Some(NotServing));
        assert!(pair.a.status().await.refusal.contains("rolled back"));
        pair.a.kill();
    }
    // Whatever B knows of it.
    pair.b.serve().await;
    pair.a.recover().await;
    adds_are_refused(&pair.a, &pair.b, 15).await;
}

/// The peer, which does not dial it, tells it how far it holds its lane.
#[tokio::test]
async fn a_rolled_back_node_that_nobody_can_dial_is_told_by_those_it_dials() {
    let mut pair = Pair::with_backup().await;
    pair.a.serve().await;
    let token = pair.a.add("likes", 10).await.expect("an add");
    assert_eq!(pair.b.value_after("likes", token).await, 15);
    pair.a.kill();
    pair.b.kill();
    pair.roll_back();
    let mut without_peers = Node::new(pair.place.path(), "b, which dials nobody");
    without_peers.data.clone_from(&pair.b.data);
    without_peers.serve().await;
    let mut a = pair.a.with_peers(&[&without_peers.address]);
    a.recover().await;
    adds_are_refused(&a, &without_peers, 15).await;
    without_peers.add("likes", 1).await.expect("B is well");
}

#[tokio::test]
async fn a_copy_that_runs_as_another_node_is_noticed() {
    let Pair { mut a, b, place } = Pair::with_backup().await;
    let mut copy = Node::new(place.path(), "backup").with_peers(&[&b.address, &a.address]);
    let mut b = b.with_peers(&[&copy.address]);
    b.kill();
    for node in [&mut a, &mut b, &mut copy] {
        node.recover().await;
    }
    eventually("the copy hears that it meets itself", async || {
        let peers = copy.status().await.peers;
        peers[1].last_error.contains("copy of its data directory")
    })
    .await;
    let token = a.add("likes", 10).await.expect("an add");
    assert_eq!(b.value_after("likes", token).await, 15);
    adds_are_refused(&copy, &b, 15).await;
}

#[tokio::test]
async fn nodes_that_hold_different_histories_of_a_third_go_on_with_all_other_lanes() {
    let mut pair = Pair::with_backup().await;
    pair.a.serve().await;
    let token = pair.a.add("likes", 10).await.expect("an add");
    assert_eq!(pair.b.value_after("likes", token).await, 15);
    pair.a.kill();
    pair.b.kill();
    pair.roll_back();
    // C learns what A wrote after the roll-back, B holds what it wrote before; then A is gone.
    let c = Node::new(pair.place.path(), "c");
    let mut c = c.with_peers(&[&pair.a.address, &pair.b.address]);
    pair.a.serve().await;
    c.serve().await;
    let token = pair.a.add("likes", 20).await.expect("nobody knows yet");
    assert_eq!(c.value_after("likes", token).await, 25);
    pair.a.kill();
    let Pair { b, .. } = pair;
    let mut b = b.with_peers(&[&c.address]);
    b.serve().await;
    // The same counter, so the same shard as the lane that has forked.
    let token = b.add("likes", 1).await.expect("B is well");
    assert_eq!(c.value_after("likes", token).await, 26);
    let token = c.add("likes", 2).await.expect("C is well");
    assert_eq!(b.value_after("likes", token).await, 18);
}
