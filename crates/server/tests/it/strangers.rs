//! Streams that pretend to be a peer's: whatever they say, the node goes on, within its memory.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::v1::replication_service_client::ReplicationServiceClient;
use wire::v1::{HeldLane, Hello, Mark, PullRequest, PullResponse};

use super::node::{Node, reason, soon};
use super::refusals::check;

/// A stream that a stranger has opened to a node of the default cluster.
struct Stranger {
    requests: mpsc::Sender<PullRequest>,
    responses: tonic::Streaming<PullResponse>,
}

impl Stranger {
    /// Opens a stream with a report.
    async fn open(channel: Channel, held: Vec<HeldLane>) -> Result<Self, Status> {
        let (requests, stream) = mpsc::channel(1);
        let hello = Hello {
            cluster: "tally".into(),
            protocol_version_min: 3,
            protocol_version: 3,
            shard_count: 16,
            replica_id: vec![7; 16],
        };
        let first = PullRequest {
            hello: Some(hello),
            held,
        };
        requests.send(first).await.expect("there is room");
        let mut client = ReplicationServiceClient::new(channel);
        let answer = client.pull(ReceiverStream::new(stream)).await?;
        let responses = answer.into_inner();
        Ok(Self {
            requests,
            responses,
        })
    }

    /// Sends a report; false when the stream has ended.
    async fn report(&self, held: Vec<HeldLane>) -> bool {
        let hello = None;
        self.requests
            .send(PullRequest { hello, held })
            .await
            .is_ok()
    }

    /// Waits until the node ends the stream.
    async fn end(mut self) -> Status {
        let end = async {
            loop {
                match self.responses.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the stream ends with a reason"),
                    Err(end) => return end,
                }
            }
        };
        soon("the stream ends", end).await
    }
}

fn held(replica_id: Vec<u8>, version: u64) -> HeldLane {
    let mark = Some(Mark { version, start: 9 });
    HeldLane {
        shard: 0,
        replica_id,
        mark,
    }
}

/// Lanes that nobody has.
fn unknown_lanes(numbers: std::ops::Range<u128>) -> Vec<HeldLane> {
    let lane = |number: u128| held(number.to_be_bytes().to_vec(), 1);
    numbers.map(lane).collect()
}

#[tokio::test]
async fn a_stranger_that_knows_more_of_a_nodes_lane_stops_nobody() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node.add("likes", 1).await.expect("an add");
    let own = node.status().await.replica_id;
    let forged = || vec![held(own.clone(), 1 << 40)];
    let says = ["rolled back or copied"];
    let conflict = "INCARNATION_CONFLICT";
    let code = Code::FailedPrecondition;
    // With its hello, and later.
    for held in [forged(), vec![]] {
        let stranger = Stranger::open(node.channel(), held).await;
        let stranger = stranger.expect("a stream");
        // When the hello was enough the stream has ended.
        stranger.report(forged()).await;
        check(
            "a forged mark",
            &stranger.end().await,
            code,
            conflict,
            &says,
        );
    }

    node.add("likes", 1).await.expect("the node is well");
    assert_eq!(node.status().await.refusal, "");
    assert_eq!(node.value("likes").await, 2);
}

#[tokio::test]
async fn what_strangers_report_is_bounded_in_memory() {
    /// Strangers that report as much as they may.
    const STRANGERS: usize = 4;
    /// Streams that are served at a time.
    const STREAMS_MAX: usize = 64;
    const GROWTH_BYTES_MAX: u64 = 64 << 20;
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let before = node.memory_peak_bytes();

    // 300,000 lanes in one request of 12 MB.
    let large = unknown_lanes(0..300_000);
    let refusal = Stranger::open(node.channel(), large).await.err();
    let refusal = refusal.expect("too large");
    let possible = [Code::OutOfRange, Code::ResourceExhausted];
    assert!(possible.contains(&refusal.code()), "{refusal}");

    let mut idle = Vec::new();
    while idle.len() < STREAMS_MAX {
        let stranger = Stranger::open(node.channel(), vec![]).await;
        idle.push(stranger.expect("a stream"));
    }
    let refusal = Stranger::open(node.channel(), vec![]).await.err();
    let refusal = refusal.expect("one too many");
    assert_eq!(reason(&refusal), "STREAMS_EXHAUSTED", "{refusal}");

    let greedy: Vec<_> = idle.drain(..STRANGERS).collect();
    for (number, stranger) in (1..).zip(&greedy) {
        let mut lane: u128 = number << 64;
        for _ in 0..8 {
            assert!(stranger.report(unknown_lanes(lane..lane + 8_000)).await);
            lane += 8_000;
        }
    }
    for (number, stranger) in (1..).zip(greedy) {
        let mut lane: u128 = (number << 64) + 64_000;
        let refused = async {
            // What is under way when the node ends the stream, 4 MiB, is sent too.
            while stranger.report(unknown_lanes(lane..lane + 1_000)).await {
                lane += 1_000;
                assert!(lane - (number << 64) < 500_000, "so many were taken");
            }
        };
        soon("the stream ends", refused).await;
        let end = stranger.end().await;
        assert_eq!(end.code(), Code::ResourceExhausted, "{end}");
        assert!(end.message().contains("65536"), "{end}");
    }
    let growth = node.memory_peak_bytes() - before;
    println!(
        "figure: {} KiB more memory for {STRANGERS} streams",
        growth >> 10
    );
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes");
    drop(idle);
    // The places of those that are gone are free again.
    sleep(Duration::from_millis(100)).await;
    let stranger = Stranger::open(node.channel(), vec![]).await;
    stranger.map(drop).expect("a stream");
    node.add("likes", 1).await.expect("the node is well");
}
