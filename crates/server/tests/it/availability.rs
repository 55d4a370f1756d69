//! Nodes that cannot reach each other: adds and reads go on, and others carry the news.

use super::cluster::Cluster;
use super::node::{Node, Values, eventually};

#[tokio::test]
async fn a_node_that_reaches_no_other_takes_adds_and_answers_reads() {
    let mut cluster = Cluster::start().await;
    let [a, b, c] = &mut cluster.nodes;
    a.add("likes", 1).await.expect("an add");
    b.kill();
    c.kill();
    for value in 2..=50 {
        let token = a.add("likes", 1).await.expect("an add");
        assert_eq!(a.value_after("likes", token).await, value);
    }
    // Also one that starts alone.
    a.kill();
    a.serve().await;
    a.add("likes", 1).await.expect("an add");
    assert_eq!(a.value("likes").await, 51);
    assert!(a.status().await.peers.iter().all(|peer| !peer.connected));

    b.serve().await;
    c.serve().await;
    c.add("likes", 100).await.expect("an add");
    let values = Values::from([("likes".to_owned(), 151)]);
    assert_eq!(cluster.converged().await, values);
}

#[tokio::test]
async fn adds_of_a_dead_node_are_relayed_by_those_that_know_them() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [a, b, c] = ["a", "b", "c"].map(|name| Node::new(place.path(), name));
    let [at_a, at_b, at_c] = [&a, &b, &c].map(|node| node.address.clone());
    // A and C never talk to each other.
    let mut a = a.with_peers(&[&at_b]);
    let mut b = b.with_peers(&[&at_a, &at_c]);
    let mut c = c.with_peers(&[&at_b]);
    for node in [&mut a, &mut b, &mut c] {
        node.serve().await;
    }
    a.add("likes", 7).await.expect("an add");
    eventually("C hears of it while A lives", async || {
        c.value("likes").await == 7
    })
    .await;
    c.kill();
    let token = a.add("likes", 5).await.expect("an add");
    assert_eq!(b.value_after("likes", token.clone()).await, 12);
    a.kill();
    c.serve().await;
    assert_eq!(c.value_after("likes", token).await, 12, "from B alone");
}
