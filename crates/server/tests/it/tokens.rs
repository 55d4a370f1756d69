//! Reads with tokens that their node does not cover: how long they wait, and what they are told
//! (guarantee `read_your_writes`; that covered ones see the add is shown in `counting`).

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Request, Status};
use wire::v1::{GetRequest, ListCountersRequest, WatchRequest};

use super::disk::copy_directory;
use super::node::{Node, soon};
use super::refusals::check;

/// A read that does not wait has failed within this time, also on a busy machine: half of what one
/// without a deadline waits.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Reads "likes" with a token that is not covered: why it failed, and after how long.
async fn fail(node: &Node, token: &[u8], timeout: Option<Duration>) -> (Status, Duration) {
    let (counter, token) = ("likes".to_owned(), token.to_vec());
    let mut request = Request::new(GetRequest {
        counter,
        token,
        ..Default::default()
    });
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    let mut client = node.counters();
    let began = Instant::now();
    let answer = soon("an answer", client.get(request)).await;
    (answer.expect_err("not covered"), began.elapsed())
}

/// A token of a lane that nobody has.
fn of_nobody(good: &[u8]) -> Vec<u8> {
    let mut token = good.to_vec();
    token[10..26].copy_from_slice(&[7; 16]);
    token
}

#[tokio::test]
async fn a_read_waits_for_its_token_until_a_little_before_its_deadline() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let token = of_nobody(&node.add("likes", 1).await.expect("an add"));
    let waits = async |deadline_s: Option<u64>, wait_ms| {
        let timeout = deadline_s.map(Duration::from_secs);
        let (refusal, took) = fail(&node, &token, timeout).await;
        let says = ["has not arrived", "retry"];
        let code = Code::DeadlineExceeded;
        check("of nobody", &refusal, code, "TOKEN_NOT_COVERED", &says);
        assert!(took >= Duration::from_millis(wait_ms), "{took:?}");
        assert!(timeout.is_none_or(|timeout| took < timeout), "{took:?}");
    };
    tokio::join!(
        waits(None, 10_000),
        waits(Some(4), 3_750),
        waits(Some(13), 12_750),
    );
}

#[tokio::test]
async fn a_token_of_a_history_that_was_lost_fails_at_once() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    let backup = place.path().join("backup");
    node.serve().await;
    node.add("likes", 1).await.expect("an add");
    node.kill();
    copy_directory(&node.data, &backup);
    node.serve().await;
    let token = node.add("likes", 2).await.expect("an add");
    node.kill();
    std::fs::remove_dir_all(&node.data).expect("it exists");
    copy_directory(&backup, &node.data);
    node.serve().await;
    // The lane gets as far as the token says, in another history.
    node.add("likes", 4).await.expect("nobody knows yet");
    let (refusal, took) = fail(&node, &token, None).await;
    let says = ["never be covered", "rolled back"];
    let code = Code::FailedPrecondition;
    check("a lost add", &refusal, code, "INCARNATION_CONFLICT", &says);
    assert!(took < AT_ONCE, "{took:?}");
    // Lists and watches of it fail likewise.
    let (mut client, began) = (node.counters(), Instant::now());
    let list = ListCountersRequest {
        token: token.clone(),
        ..Default::default()
    };
    let watch = WatchRequest {
        prefix: Some(String::new()),
        token,
        ..Default::default()
    };
    let lists = soon("an answer", client.list_counters(list)).await;
    let watches = soon("an answer", client.watch(watch)).await;
    for refusal in [
        lists.expect_err("never covered"),
        watches.expect_err("never covered"),
    ] {
        check("a lost add", &refusal, code, "INCARNATION_CONFLICT", &says);
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_of_another_cluster_is_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let north = Node::new(place.path(), "north");
    let mut north = north.with(&["--cluster", "north"]);
    let south = Node::new(place.path(), "south");
    let mut south = south.with(&["--cluster", "south"]);
    north.serve().await;
    south.serve().await;
    let token = north.add("likes", 1).await.expect("an add");
    assert_eq!(north.value_after("likes", token.clone()).await, 1);
    let (refusal, took) = fail(&south, &token, None).await;
    let says = ["token: ", "another cluster"];
    let code = Code::InvalidArgument;
    check("of the north", &refusal, code, "TOKEN_INVALID", &says);
    assert!(took < AT_ONCE, "{took:?}");
}
