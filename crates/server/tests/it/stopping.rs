//! Starting and stopping in order: what probes are told, and how streams end.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use wire::v1::{IngestRequest, WatchRequest};

use super::load::Load;
use super::node::{Node, eventually, reason, soon};

/// An orderly stop, which gives connections 5 s, has ended by then.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_orderly_stop_under_load_keeps_what_was_acknowledged() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = [Node::new(place.path(), "a")];
    nodes[0].serve().await;
    let load = Load::start(&nodes);
    sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    nodes[0].terminate();
    let status = nodes[0].ended().await;
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < STOP_TIME_MAX, "{:?}", began.elapsed());
    let ledger = load.finish().await;
    nodes[0].serve().await;
    ledger.check(&nodes[0].values().await);
}

#[tokio::test]
async fn open_streams_end_with_the_reason_when_the_node_stops() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let watch = WatchRequest {
        counter: "likes".into(),
        ..Default::default()
    };
    let mut watch = node
        .counters()
        .watch(watch)
        .await
        .expect("a watch")
        .into_inner();
    let (messages, requests) = mpsc::channel(1);
    let ingest = node.counters().ingest(ReceiverStream::new(requests)).await;
    let mut ingest = ingest.expect("a stream").into_inner();
    let message = IngestRequest {
        sequence: 1,
        introduced: vec!["likes".into()],
        counters: vec![0],
        amounts: Vec::new(),
    };
    messages.send(message).await.expect("the stream is open");
    let answer = soon("an answer", ingest.message()).await.expect("taken");
    assert_eq!(answer.expect("one").acknowledged_sequence, 1);

    node.terminate();
    let is_stopping = |end: &Status| end.code() == Code::Unavailable && reason(end) == "STOPPING";
    let end = soon("the end of the stream", ingest.message()).await;
    let end = end.expect_err("the stream ends");
    assert!(is_stopping(&end), "{end}");
    let end = loop {
        // Values that were on their way come first.
        match soon("the end of the watch", watch.message()).await {
            Ok(value) => assert!(value.is_some(), "a watch ends with a reason"),
            Err(end) => break end,
        }
    };
    assert!(is_stopping(&end), "{end}");
    assert!(node.ended().await.success());
}

/// The lock file is replaced by a pipe, which the node cannot open to write until somebody reads
/// it: so it recovers, as it would with a long log, until the test lets it go on.
fn hold_recovery(node: &Node) -> PathBuf {
    let lock = node.data.join("lock");
    fs::remove_file(&lock).expect("it exists");
    mkfifoat(CWD, &lock, Mode::RUSR | Mode::WUSR).expect("a pipe");
    lock
}

#[tokio::test]
async fn a_node_that_recovers_says_so_until_it_serves() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node.add("likes", 1).await.expect("an add");
    node.kill();
    let lock = hold_recovery(&node);
    node.start();
    eventually("probes are answered", async || {
        node.health().await.is_some()
    })
    .await;
    assert_eq!(node.health().await, Some(ServingStatus::NotServing));
    let refusal = node.add("likes", 1).await.expect_err("it recovers");
    assert_eq!(
        (refusal.code(), &*reason(&refusal)),
        (Code::Unavailable, "RECOVERING")
    );
    let details = tonic_types::StatusExt::get_error_details(&refusal);
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some(), "it says when to retry");

    let _reader = File::open(&lock).expect("the node waits for it");
    eventually("the node serves", async || {
        node.health().await == Some(ServingStatus::Serving)
    })
    .await;
    assert_eq!(node.value("likes").await, 1);
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(node.channel());
    let answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = soon("an answer", answers.expect("a stream").get_mut().message()).await;
    let answer = answer.expect("an answer").expect("one");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("another answer: {answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for service in [
        "tally.v1.CounterService",
        "tally.v1.ClusterService",
        "tally.v1.ReplicationService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ] {
        assert!(names.contains(&service), "no {service} in {names:?}");
    }
}
