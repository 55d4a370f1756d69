//! Sessions where several nodes have a part: what is moved, and whom a closing waits for.

use tally_client::{Client, Options};
use tonic::Code;
use wire::v1::cluster_service_client::ClusterServiceClient;
use wire::v1::{DeclareMemberGoneRequest, RequestHead, SessionsStatus};

use super::super::cluster::Cluster;
use super::super::node::{Node, eventually, reason};
use super::super::refusals::check;
use super::{add, close, head, moved, open};

#[tokio::test]
async fn sessions_of_which_all_is_not_answered_wait_for_those_that_are_known() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [mut a, mut b] = ["a", "b"].map(|name| Node::new(place.path(), name));
    let address = b.address.clone();
    a = a.with_peers(&[&address]);
    b.serve().await;
    a.serve().await;
    let gone = b.status().await.replica_id;
    eventually("A has met B", async || {
        a.status().await.peers.iter().all(|peer| peer.connected)
    })
    .await;
    let declare = async |replica_id: &[u8]| {
        let mut client = ClusterServiceClient::new(a.channel());
        let replica_id = replica_id.to_vec();
        let request = DeclareMemberGoneRequest { replica_id };
        client.declare_member_gone(request).await.map(|_| ())
    };
    let connected = declare(&gone).await.expect_err("it is there");
    check(
        "there",
        &connected,
        Code::FailedPrecondition,
        "MEMBER_NOT_GONE",
        &["connected"],
    );
    b.kill();
    let session = open(&a).await.session;
    add(&a, 1, head(&session, 1)).await.expect("an add");
    close(&a, &session, false).await.expect("it is the home");
    eventually("A tells what to do about B", async || {
        sessions(&a).await.remedy.contains("tally member gone")
    })
    .await;
    let waiting = sessions(&a).await;
    assert_eq!((waiting.open, waiting.closed), (0, 1));
    assert_eq!(waiting.waits_for.len(), 1);
    assert_eq!(
        (
            &waiting.waits_for[0].replica_id,
            waiting.waits_for[0].sessions
        ),
        (&gone, 1)
    );
    let own = a.status().await.replica_id;
    for (replica, code) in [
        (&own[..], Code::InvalidArgument),
        (&[1; 15], Code::InvalidArgument),
        (&[1; 16], Code::NotFound),
    ] {
        let refusal = declare(replica).await.expect_err("not gone");
        assert_eq!(
            (refusal.code(), &*reason(&refusal)),
            (code, "MEMBER_NOT_GONE")
        );
    }
    let operator = Client::connect([&a.address], Options::default()).expect("an address");
    let told = operator.declare_member_gone(gone.clone()).await;
    told[0].1.as_ref().expect("it is gone");
    let again = operator.declare_member_gone(gone.clone()).await;
    let refusal = again[0].1.as_ref().expect_err("it is forgotten");
    assert!(refusal.to_string().contains("does not know"), "{refusal}");
    eventually("the session is forgotten", async || {
        let left = sessions(&a).await;
        left.closed == 0 && left.waits_for.is_empty() && left.remedy.is_empty()
    })
    .await;
}

async fn sessions(node: &Node) -> SessionsStatus {
    node.status().await.sessions.expect("they are told")
}

/// Requests 1 to 30 are moved to B, some of which the home has counted, and 25 to 35 to C.
async fn move_away(b: &Node, c: &Node, away: impl Fn(u64) -> RequestHead) {
    for number in 1..=30 {
        let claimed = add(b, 1, away(number)).await.expect("an add");
        assert!(number <= 20 || !claimed.was_counted, "request {number}");
        let again = add(b, 1, away(number)).await.expect("a copy");
        assert!(again.was_counted, "request {number}");
        let value = b.value_after("likes", again.token).await;
        assert!(
            value >= number.try_into().expect("small"),
            "request {number}"
        );
    }
    let other = add(b, 2, away(30)).await.expect_err("another content");
    assert_eq!(reason(&other), "REQUEST_HAS_OTHER_ADDS");
    for number in 25..=35 {
        add(c, 1, away(number)).await.expect("an add");
    }
    eventually("B and C count each request once", async || {
        b.value("likes").await == 35 && c.value("likes").await == 35
    })
    .await;
    let waiting = sessions(b).await;
    assert!(!waiting.claims.is_empty(), "{waiting:?}");
    assert!(waiting.remedy.contains("start it"), "{waiting:?}");
}

/// Some requests the home has counted, some nobody, some two others: each counts once in the end.
#[tokio::test]
async fn what_is_moved_away_from_a_dead_home_counts_once_on_all_nodes() {
    let mut cluster = Cluster::start().await;
    for node in &cluster.nodes {
        node.add("views", 1).await.expect("an add");
    }
    // Whoever holds all of the home's lane knows that it is known there.
    cluster.converged().await;
    let session = open(&cluster.nodes[0]).await.session;
    for number in 1..=20 {
        let taken = add(&cluster.nodes[0], 1, head(&session, number)).await;
        assert!(!taken.expect("an add").was_counted);
    }
    cluster.nodes[0].kill();
    let away = |number| moved(head(&session, number));
    let [_, b, c] = &cluster.nodes;
    move_away(b, c, away).await;
    cluster.nodes[0].serve().await;
    eventually("no claim is left", async || {
        let mut claims = 0;
        for node in &cluster.nodes {
            claims += sessions(node).await.claims.len();
        }
        claims == 0
    })
    .await;
    assert_eq!(cluster.converged().await["likes"], 35);
    // The home knows now what was granted away, and says so.
    let home = &cluster.nodes[0];
    let late = add(home, 1, head(&session, 30)).await.expect("a copy");
    assert!(late.was_counted);
    close(home, &session, false).await.expect("it is the home");
    eventually("all have heard, and the session is forgotten", async || {
        sessions(home).await.closed == 0
    })
    .await;
    cluster.converged().await;
    for (node, head) in [(0, head(&session, 36)), (1, away(36))] {
        let refusal = add(&cluster.nodes[node], 1, head).await;
        let refusal = refusal.expect_err("forgotten");
        assert_eq!(reason(&refusal), "SESSION_CLOSED", "on node {node}");
    }
    assert_eq!(cluster.converged().await["likes"], 35);
    cluster.stopped_with_valid_traces().await;
}
