//! What is wrong with a session or a request is said, and nothing has changed.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wire::v1::RequestHead;

use super::super::node::{Node, eventually, reason};
use super::super::refusals::check;
use super::{add, close, head, moved, open, single};

/// A metadata entry of a refusal; empty if there is none.
fn said(refusal: &Status, key: &str) -> String {
    let details = refusal.get_error_details();
    let info = details.error_info();
    let value = info.and_then(|info| info.metadata.get(key).cloned());
    value.unwrap_or_default()
}

/// What is wrong with a request, and what is said of it.
async fn refused(
    node: &Node,
    what: &str,
    head: RequestHead,
    (code, expected): (Code, &str),
    names: &[&str],
) -> Status {
    let refusal = add(node, 1, head).await.expect_err(what);
    check(what, &refusal, code, expected, names);
    assert_eq!(node.value("likes").await, 0, "{what}");
    refusal
}

#[tokio::test]
async fn what_is_no_session_or_no_number_is_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let node = single(&place).await;
    let mut elsewhere = Node::new(place.path(), "z").with(&["--cluster", "other"]);
    elsewhere.serve().await;
    let session = open(&node).await.session;
    let foreign = open(&elsewhere).await.session;
    let malformed = (Code::InvalidArgument, "SESSION_MALFORMED");
    let mut altered = session.clone();
    altered[17] ^= 1;
    let cases: [(&str, &[u8], &[&str]); 4] = [
        ("none", &[], &["request.session", "0"]),
        ("cut", &session[1..], &["request.session"]),
        ("altered", &altered, &["altered"]),
        ("long", &[1; 65], &["65"]),
    ];
    for (what, session, names) in cases {
        refused(&node, what, head(session, 1), malformed, names).await;
    }
    let other = (Code::InvalidArgument, "SESSION_OF_OTHER_CLUSTER");
    refused(
        &node,
        "foreign",
        head(&foreign, 1),
        other,
        &["another cluster"],
    )
    .await;
    let number = (Code::InvalidArgument, "REQUEST_NUMBER_INVALID");
    let with = |number, answered_below| RequestHead {
        answered_below,
        ..head(&session, number)
    };
    let numbers: [(&str, RequestHead, &[&str]); 4] = [
        ("0", with(0, 0), &["request.number", "from 1 on"]),
        ("answered", with(4, 5), &["request 4", "answered_below, 5"]),
        ("more in flight than the window", with(1_025, 0), &["1024"]),
        ("too far above", with(1_030, 6), &["1030", "1029"]),
    ];
    for (what, head, names) in numbers {
        refused(&node, what, head, number, names).await;
    }
    add(&node, 1, with(1_029, 6))
        .await
        .expect("the last of the window");
}

#[tokio::test]
async fn a_request_goes_to_its_home_unless_it_is_moved() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [mut a, mut b] = ["a", "b"].map(|name| Node::new(place.path(), name));
    let address = a.address.clone();
    b = b.with_peers(&[&address]);
    a.serve().await;
    b.serve().await;
    let session = open(&a).await;
    eventually("B has met A", async || {
        b.status().await.peers.iter().all(|peer| peer.connected)
    })
    .await;
    let home = (Code::FailedPrecondition, "NOT_SESSIONS_HOME");
    let refusal = refused(
        &b,
        "not home",
        head(&session.session, 1),
        home,
        &["not the home"],
    )
    .await;
    assert_eq!(said(&refusal, "address"), address);
    let id = wire::replica_id_from_bytes(&session.home_replica_id).expect("an id");
    assert_eq!(said(&refusal, "home"), id.to_string());
    let closing = close(&b, &session.session, true)
        .await
        .expect_err("not home");
    assert_eq!(reason(&closing), "NOT_SESSIONS_HOME");
    let to_home = (Code::InvalidArgument, "MOVED_TO_HOME");
    let at_home = moved(head(&session.session, 1));
    refused(
        &a,
        "moved to the home",
        at_home,
        to_home,
        &["any other node"],
    )
    .await;
    // A has not met B: whoever dials is not known by that alone.
    let unknown = (Code::FailedPrecondition, "NODE_UNKNOWN_TO_HOME");
    let away = moved(head(&session.session, 1));
    refused(&b, "unknown", away, unknown, &["does not know this node"]).await;
    // The replica that was the home is gone, and another one has its place.
    a.kill();
    std::fs::remove_dir_all(&a.data).expect("a directory");
    a.serve().await;
    let gone = head(&session.session, 1);
    refused(
        &a,
        "a home that is gone",
        gone.clone(),
        home,
        &["not the home"],
    )
    .await;
    refused(&a, "gone, moved", moved(gone), unknown, &["does not know"]).await;
}

#[tokio::test]
async fn a_refusal_of_the_home_is_for_good() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = single(&place).await;
    let session = open(&node).await.session;
    node.add("likes", i64::MAX).await.expect("an add");
    let refusal = add(&node, 1, head(&session, 1))
        .await
        .expect_err("too much");
    assert_eq!(reason(&refusal), "VALUE_OUT_OF_RANGE");
    node.kill();
    node.serve().await;
    node.add("likes", -10).await.expect("an add");
    let late = add(&node, 1, head(&session, 1))
        .await
        .expect_err("for good");
    check(
        "late",
        &late,
        Code::FailedPrecondition,
        "REQUEST_REFUSED",
        &["for good"],
    );
    add(&node, 1, head(&session, 2))
        .await
        .expect("a new request");
}
