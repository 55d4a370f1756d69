//! Sessions as clients see them: a request counts once, and what is wrong with one is said.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wire::v1::cluster_service_client::ClusterServiceClient;
use wire::v1::session_service_client::SessionServiceClient;
use wire::v1::{
    AddRequest, AddResponse, BatchAddItem, BatchAddRequest, CloseSessionRequest,
    DeclareMemberGoneRequest, IngestRequest, IngestResponse, OpenSessionRequest,
    OpenSessionResponse, RequestHead,
};

use super::cluster::Cluster;
use super::node::{Node, add_request, eventually, reason, soon};
use super::refusals::check;

async fn open(node: &Node) -> OpenSessionResponse {
    let mut client = SessionServiceClient::new(node.channel());
    let answer = client.open_session(OpenSessionRequest {}).await;
    answer.expect("a session").into_inner()
}

async fn close(node: &Node, session: &[u8], all_is_answered: bool) -> Result<(), Status> {
    let mut client = SessionServiceClient::new(node.channel());
    let session = session.to_vec();
    let request = CloseSessionRequest {
        session,
        all_is_answered,
    };
    client.close_session(request).await.map(|_| ())
}

fn head(session: &[u8], number: u64) -> RequestHead {
    RequestHead {
        session: session.to_vec(),
        number,
        answered_below: 0,
        moved: false,
    }
}

fn moved(head: RequestHead) -> RequestHead {
    RequestHead {
        moved: true,
        ..head
    }
}

async fn add(node: &Node, amount: i64, head: RequestHead) -> Result<AddResponse, Status> {
    let request = AddRequest {
        request: Some(head),
        ..add_request("likes", amount)
    };
    node.counters()
        .add(request)
        .await
        .map(tonic::Response::into_inner)
}

/// A metadata entry of a refusal; empty if there is none.
fn said(refusal: &Status, key: &str) -> String {
    let details = refusal.get_error_details();
    let info = details.error_info();
    let value = info.and_then(|info| info.metadata.get(key).cloned());
    value.unwrap_or_default()
}

async fn single(place: &tempfile::TempDir) -> Node {
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node
}

#[tokio::test]
async fn a_request_counts_once_also_over_a_crash() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = single(&place).await;
    let session = open(&node).await;
    assert_eq!(session.home_replica_id, node.status().await.replica_id);
    assert_eq!(session.home_address, node.address);
    assert_eq!(session.requests_window, 1_024);
    let session = session.session;
    let first = add(&node, 5, head(&session, 1)).await.expect("an add");
    assert!(!first.was_counted);
    assert_eq!(node.value_after("likes", first.token).await, 5);
    let copy = add(&node, 5, head(&session, 1)).await.expect("a copy");
    assert!(copy.was_counted);
    node.kill();
    node.serve().await;
    let copy = add(&node, 5, head(&session, 1)).await.expect("a copy");
    assert!(copy.was_counted);
    assert_eq!(node.value_after("likes", copy.token).await, 5);
    let second = AddRequest {
        return_value: true,
        request: Some(RequestHead {
            answered_below: 2,
            ..head(&session, 2)
        }),
        ..add_request("likes", 1)
    };
    let second = node
        .counters()
        .add(second)
        .await
        .expect("an add")
        .into_inner();
    assert!(!second.was_counted);
    assert_eq!(second.counter.expect("it was asked for").value, 6);
    // It was answered, and a copy that was long on its way changes nothing.
    let late = add(&node, 5, head(&session, 1)).await.expect("a copy");
    assert!(late.was_counted);
    assert_eq!(node.value("likes").await, 6);
    let sessions = node.status().await.sessions.expect("they are told");
    assert_eq!((sessions.open, sessions.closed), (1, 0));
    close(&node, &session, true).await.expect("it is the home");
    close(&node, &session, true).await.expect("again");
    let sessions = node.status().await.sessions.expect("they are told");
    assert_eq!((sessions.open, sessions.closed), (0, 0));
    node.kill();
    node.serve().await;
    let refusal = add(&node, 5, head(&session, 3)).await.expect_err("closed");
    assert_eq!(reason(&refusal), "SESSION_CLOSED");
    assert_eq!(node.value("likes").await, 6);
}

#[tokio::test]
async fn a_batch_counts_once_in_all_its_shards() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let node = single(&place).await;
    let session = open(&node).await.session;
    let batch = || BatchAddRequest {
        items: (0..100)
            .map(|number| BatchAddItem {
                counter: format!("c{}", number % 50),
                amount: 1,
            })
            .collect(),
        request: Some(head(&session, 1)),
    };
    for was_counted in [false, true] {
        let answer = node.counters().batch_add(batch()).await.expect("a batch");
        let answer = answer.into_inner();
        assert_eq!(answer.was_counted, was_counted);
        assert_eq!(node.value_after("c7", answer.token).await, 2);
    }
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
    let id: String = session
        .home_replica_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(said(&refusal, "home"), id);
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
    let sessions = async || a.status().await.sessions.expect("they are told");
    eventually("A tells what to do about B", async || {
        sessions().await.remedy.contains("tally member gone")
    })
    .await;
    let waiting = sessions().await;
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
    declare(&gone).await.expect("it is gone");
    eventually("the session is forgotten", async || {
        let sessions = sessions().await;
        sessions.closed == 0 && sessions.waits_for.is_empty() && sessions.remedy.is_empty()
    })
    .await;
}

/// Sends messages on a stream of their own; what it answered, and how it ended.
async fn ingest(
    node: &Node,
    messages: Vec<IngestRequest>,
) -> (Vec<IngestResponse>, Result<(), Status>) {
    let answer = node.counters().ingest(tokio_stream::iter(messages)).await;
    let mut answers = answer.expect("a stream").into_inner();
    let mut told = Vec::new();
    loop {
        match soon("an answer", answers.message()).await {
            Ok(Some(answer)) => told.push(answer),
            Ok(None) => return (told, Ok(())),
            Err(status) => return (told, Err(status)),
        }
    }
}

fn message(sequence: u64, request: RequestHead) -> IngestRequest {
    let introduced = match sequence {
        1 => vec!["likes".to_owned()],
        _ => Vec::new(),
    };
    IngestRequest {
        sequence,
        introduced,
        counters: vec![0, 0],
        request: Some(request),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_stream_goes_on_elsewhere_by_the_numbers_of_its_requests() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = single(&place).await;
    let session = open(&node).await.session;
    let of_stream = |number| head(&[], number);
    let messages = vec![message(1, head(&session, 1)), message(2, of_stream(2))];
    let (told, end) = ingest(&node, messages).await;
    end.expect("the client ended it");
    assert_eq!(told.last().expect("all").acknowledged_sequence, 2);
    assert!(told.iter().all(|it| it.counted_before_sequences.is_empty()));
    node.kill();
    node.serve().await;
    let messages = vec![
        message(1, head(&session, 1)),
        message(2, of_stream(2)),
        message(3, of_stream(0)),
        message(4, of_stream(3)),
    ];
    let (told, end) = ingest(&node, messages).await;
    end.expect("the client ended it");
    assert_eq!(told.last().expect("all").acknowledged_sequence, 4);
    let counted = told
        .iter()
        .flat_map(|it| it.counted_before_sequences.clone());
    assert_eq!(counted.collect::<Vec<_>>(), [1, 2]);
    let refused: Vec<_> = told.iter().flat_map(|it| it.refused.clone()).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].sequence, 3);
    assert_eq!(
        refused[0].reason().as_str_name(),
        "ERROR_REASON_REQUEST_NUMBER_INVALID"
    );
    assert!(
        refused[0].message.contains("from 1 on"),
        "{}",
        refused[0].message
    );
    assert_eq!(node.value("likes").await, 6);
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
    for number in 1..=30 {
        let claimed = add(b, 1, away(number)).await.expect("an add");
        assert!(number <= 20 || !claimed.was_counted, "request {number}");
        let again = add(b, 1, away(number)).await.expect("a copy");
        assert!(again.was_counted, "request {number}");
        assert!(b.value_after("likes", again.token).await >= number.try_into().expect("small"));
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
    let waiting = b.status().await.sessions.expect("they are told");
    assert!(
        !waiting.claims.is_empty() && waiting.remedy.contains("start it"),
        "{waiting:?}"
    );
    cluster.nodes[0].serve().await;
    eventually("no claim is left", async || {
        let mut claims = 0;
        for node in &cluster.nodes {
            claims += node
                .status()
                .await
                .sessions
                .expect("they are told")
                .claims
                .len();
        }
        claims == 0
    })
    .await;
    assert_eq!(cluster.converged().await["likes"], 35);
    // The home knows now what was granted away, and says so.
    let late = add(&cluster.nodes[0], 1, head(&session, 30))
        .await
        .expect("a copy");
    assert!(late.was_counted);
    close(&cluster.nodes[0], &session, false)
        .await
        .expect("it is the home");
    eventually("all have heard, and the session is forgotten", async || {
        cluster.nodes[0]
            .status()
            .await
            .sessions
            .expect("they are told")
            .closed
            == 0
    })
    .await;
    cluster.converged().await;
    for (node, head) in [(0, head(&session, 36)), (1, away(36))] {
        let refusal = add(&cluster.nodes[node], 1, head)
            .await
            .expect_err("forgotten");
        assert_eq!(reason(&refusal), "SESSION_CLOSED", "on node {node}");
    }
    assert_eq!(cluster.converged().await["likes"], 35);
    cluster.stopped_with_valid_traces().await;
}
