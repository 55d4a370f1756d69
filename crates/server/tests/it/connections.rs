//! Connections on which nothing happens, more than a node has places for: they shut out nobody,
//! neither probes nor clients nor peers.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use wire::v1::IngestRequest;

use super::node::{Node, soon};

/// A node has 768 places.
const IDLE: usize = 900;

/// A connection is made, and a probe answered, within this time, also on a busy machine. A client
/// that does not even answer pings is given up after 20 s, and nobody is to wait for that.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How a client of HTTP/2 begins: the preface, and empty settings.
pub(crate) const HTTP2_BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Opens connections that say this, and then nothing.
async fn open_idle(node: &Node, begin: &[u8]) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let connected = timeout(TIME_MAX, TcpStream::connect(&node.address)).await;
        let stream = connected.expect("a connection is made in time");
        let mut stream = stream.expect("the node listens");
        // It fails when the connection has made room for another already.
        let _ = stream.write_all(begin).await;
        idle.push(stream);
    }
    idle
}

/// A probe with a connection of its own.
async fn probe(node: &Node) {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).expect("an address");
    let answer = timeout(TIME_MAX, async {
        let channel = endpoint.connect().await.expect("a connection");
        let mut health = HealthClient::new(channel);
        health.check(HealthCheckRequest::default()).await
    });
    let answer = answer.await.expect("a probe is answered in time");
    answer.expect("a probe is answered");
}

async fn idle_connections_shut_nobody_out(begin: &[u8]) {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [a, b] = ["a", "b"].map(|name| Node::new(place.path(), name));
    let [at_a, at_b] = [&a, &b].map(|node| node.address.clone());
    let (mut a, mut b) = (a.with_peers(&[&at_b]), b.with_peers(&[&at_a]));
    a.serve().await;
    b.serve().await;
    let token = a.add("likes", 1).await.expect("an add");
    assert_eq!(b.value_after("likes", token).await, 1);
    let (messages, requests) = mpsc::channel(1);
    let stream = a.counters().ingest(ReceiverStream::new(requests)).await;
    let mut stream = stream.expect("a stream").into_inner();

    let idle = open_idle(&a, begin).await;
    for _ in 0..5 {
        probe(&a).await;
    }
    // Peers that have a stream, in both directions.
    let token = a.add("likes", 1).await.expect("an add");
    assert_eq!(soon("from A", b.value_after("likes", token)).await, 2);
    let token = b.add("likes", 1).await.expect("an add");
    assert_eq!(soon("from B", a.value_after("likes", token)).await, 3);
    // A peer that comes back.
    b.kill();
    b.serve().await;
    let token = a.add("likes", 1).await.expect("an add");
    assert_eq!(soon("from A", b.value_after("likes", token)).await, 4);
    // A stream that was open before.
    let message = IngestRequest {
        sequence: 1,
        introduced: vec!["likes".into()],
        counters: vec![0],
        ..Default::default()
    };
    messages.send(message).await.expect("the stream is open");
    let answer = soon("an answer", stream.message()).await.expect("taken");
    assert_eq!(answer.expect("one").acknowledged_sequence, 1);
    drop(idle);
}

#[tokio::test]
async fn idle_tcp_connections_shut_nobody_out() {
    idle_connections_shut_nobody_out(b"").await;
}

#[tokio::test]
async fn idle_http2_connections_shut_nobody_out() {
    idle_connections_shut_nobody_out(HTTP2_BEGIN).await;
}
