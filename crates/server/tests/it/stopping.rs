//! Starting and stopping in order: what probes are told, and how streams end.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use wire::v1::counter_service_client::CounterServiceClient;
use wire::v1::{GetRequest, IngestRequest, WatchRequest};

use super::connections::HTTP2_BEGIN;
use super::load::Load;
use super::node::{Node, eventually, reason, soon};

/// An orderly stop, which gives connections 5 s, has ended by then.
const STOP_TIME_MAX: Duration = Duration::from_secs(8);

/// A stop that waits for nobody has ended by then, on a busy machine.
const STOP_AT_ONCE_MAX: Duration = Duration::from_secs(3);

/// A stop that waits for the last round, and for streams that are told to end.
const STOP_BUSY_MAX: Duration = Duration::from_secs(4);

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
        ..Default::default()
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
async fn a_stop_is_heard_during_recovery() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node.kill();
    hold_recovery(&node);
    node.start();
    eventually("probes are answered", async || {
        node.health().await.is_some()
    })
    .await;
    let began = Instant::now();
    node.terminate();
    assert!(node.ended().await.success());
    assert!(began.elapsed() < STOP_AT_ONCE_MAX, "{:?}", began.elapsed());
}

/// A stop waits 5 s for calls that do not end, but not when it is asked for twice.
#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node.add("likes", 1).await.expect("an add");
    // Reflection answers for as long as its client asks.
    let (questions, requests) = mpsc::channel::<ServerReflectionRequest>(1);
    let mut client = ServerReflectionClient::new(node.channel());
    let stream = ReceiverStream::new(requests);
    let _answers = client.server_reflection_info(stream).await.expect("open");
    node.terminate();
    sleep(Duration::from_millis(500)).await;
    assert!(!node.has_ended(), "it waits for the call");
    let began = Instant::now();
    node.terminate();
    let status = node.ended().await;
    assert!(!status.success(), "it has not ended in order");
    assert!(began.elapsed() < STOP_AT_ONCE_MAX, "{:?}", began.elapsed());
    drop(questions);
    node.serve().await;
    assert_eq!(node.value("likes").await, 1);
}

/// Connections without calls, a read whose token is not covered, and a watch of the health.
#[tokio::test]
async fn a_stop_waits_for_nobody_who_only_waits() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let silent = TcpStream::connect(&node.address).await.expect("a place");
    let mut idle = TcpStream::connect(&node.address).await.expect("a place");
    idle.write_all(HTTP2_BEGIN).await.expect("it is open");
    let mut token = node.add("likes", 1).await.expect("an add");
    token[10..26].copy_from_slice(&[7; 16]);
    let mut client = node.counters();
    let request = GetRequest {
        counter: "likes".to_owned(),
        token,
        ..Default::default()
    };
    let read = tokio::spawn(async move { client.get(request).await });
    let mut health = HealthClient::new(node.channel());
    let watch = health.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.expect("a watch").into_inner();
    let first = soon("an answer", watch.message()).await.expect("one");
    assert_eq!(first.expect("one").status(), ServingStatus::Serving);
    sleep(Duration::from_millis(100)).await;

    let began = Instant::now();
    node.terminate();
    let last = soon("an answer", watch.message()).await.expect("one");
    assert_eq!(last.expect("one").status(), ServingStatus::NotServing);
    let refusal = soon("an answer", read).await.expect("no panic");
    assert_eq!(reason(&refusal.expect_err("it stops")), "STOPPING");
    assert!(node.ended().await.success());
    assert!(began.elapsed() < STOP_AT_ONCE_MAX, "{:?}", began.elapsed());
    drop((silent, idle));
}

/// Many counters are made by this many streams.
const STREAMS: usize = 100;

/// Counters a stream. An unoptimised program would need minutes for as many as the optimised one.
const COUNTERS: usize = if cfg!(debug_assertions) {
    1_000
} else {
    10_000
};

/// A stop of a node on which everything goes on. The bound is for an unoptimised program on a busy
/// machine; the figure for an optimised one is printed by `cargo test --release`.
#[tokio::test]
async fn a_stop_is_quick_beside_watches_and_streams() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let mut watches = Vec::new();
    for number in 0..STREAMS {
        let watch = WatchRequest {
            counter: format!("{number}/0"),
            interval_ms_min: 60_000,
            ..Default::default()
        };
        let watch = node.counters().watch(watch).await.expect("a watch");
        let mut watch = watch.into_inner();
        soon("a value", watch.message()).await.expect("a value");
        watches.push(watch);
    }
    let streams: Vec<_> = (0..STREAMS)
        .map(|number| tokio::spawn(add_until_the_end(node.counters(), number)))
        .collect();
    eventually("all counters are made", async || {
        node.status().await.counters >= (STREAMS * COUNTERS) as u64
    })
    .await;
    let began = Instant::now();
    node.terminate();
    let status = node.ended().await;
    let took = began.elapsed();
    println!(
        "figure: stopped in {took:?}, {} counters",
        STREAMS * COUNTERS
    );
    assert!(status.success(), "{status}");
    assert!(took < STOP_BUSY_MAX, "{took:?}");
    node.serve().await;
    let values = node.values().await;
    for (number, stream) in streams.into_iter().enumerate() {
        let (sent, acknowledged) = soon("a stream ends", stream).await.expect("no panic");
        assert!(acknowledged > 0, "nothing was acknowledged");
        for counter in 0..COUNTERS {
            let value = values.get(&format!("{number}/{counter}")).copied();
            let value = value.unwrap_or(0);
            assert!((acknowledged..=sent).contains(&value), "{value}");
        }
    }
}

/// Sends messages that add 1 to each counter of a stream: how many, and how many are acknowledged.
async fn add_until_the_end(mut client: CounterServiceClient<Channel>, number: usize) -> (i64, i64) {
    let (messages, requests) = mpsc::channel(1);
    let answer = client.ingest(ReceiverStream::new(requests)).await;
    let mut answers = answer.expect("a stream").into_inner();
    let (mut sent, mut acknowledged) = (0, 0);
    let mut introduced: Vec<_> = (0..COUNTERS).map(|at| format!("{number}/{at}")).collect();
    loop {
        let message = IngestRequest {
            sequence: sent + 1,
            introduced: std::mem::take(&mut introduced),
            counters: (0..u32::try_from(COUNTERS).expect("small")).collect(),
            ..Default::default()
        };
        tokio::select! {
            taken = messages.send(message) => sent += u64::from(taken.is_ok()),
            answer = answers.message() => match answer {
                Ok(Some(answer)) => acknowledged = answer.acknowledged_sequence,
                Ok(None) => panic!("the stream ends with a reason"),
                Err(_) => break,
            },
        }
        sleep(Duration::from_millis(100)).await;
    }
    let number = |sequence: u64| i64::try_from(sequence).expect("small");
    (number(sent), number(acknowledged))
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
