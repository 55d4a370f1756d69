//! What ingest streams may make a node remember: the dictionaries of all streams have one budget.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use wire::v1::{IngestRequest, IngestResponse};

use super::node::{Node, reason, soon};

/// Streams of one client.
const STREAMS: usize = 40;

/// Names of a stream. It might have 1,048,576, and the streams together about four million.
const NAMES: usize = 160_000;

/// The budget of all dictionaries is 256 MiB. The rest is for what allocations cost beside their
/// bytes, and for the message that is read, whose names are a text each.
const GROWTH_BYTES_MAX: u64 = 512 << 20;

struct Stream {
    requests: mpsc::Sender<IngestRequest>,
    responses: Streaming<IngestResponse>,
}

impl Stream {
    async fn open(node: &Node) -> Self {
        let (requests, stream) = mpsc::channel(1);
        let answer = node.counters().ingest(ReceiverStream::new(stream)).await;
        Self {
            requests,
            responses: answer.expect("a stream").into_inner(),
        }
    }

    /// Sends a message, which is acknowledged or refused.
    async fn send(&mut self, message: IngestRequest) -> Result<(), Status> {
        let sequence = message.sequence;
        // A stream that has ended says why.
        let _ = self.requests.send(message).await;
        while let Some(answer) = soon("an answer", self.responses.message()).await? {
            if answer.acknowledged_sequence == sequence {
                return Ok(());
            }
        }
        panic!("a stream that is refused says why");
    }
}

#[tokio::test]
async fn names_of_many_streams_have_one_budget() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let before = node.memory_peak_bytes();
    let message = IngestRequest {
        sequence: 1,
        introduced: vec!["x".to_owned(); NAMES],
        ..Default::default()
    };
    let mut streams = Vec::new();
    let mut refused = 0;
    for _ in 0..STREAMS {
        let mut stream = Stream::open(&node).await;
        match stream.send(message.clone()).await {
            Ok(()) => streams.push(stream),
            Err(refusal) => {
                assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
                assert_eq!(reason(&refusal), "DICTIONARY_FULL", "{refusal}");
                assert!(refusal.message().contains("268435456"), "{refusal}");
                refused += 1;
            }
        }
    }
    let growth = node.memory_peak_bytes() - before;
    let taken = streams.len();
    println!(
        "figure: {} MiB more memory, {taken} streams taken",
        growth >> 20
    );
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused");
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes");

    // Who adds by other means is not refused, and a stream that ends gives its share back.
    node.add("x", 1).await.expect("an add");
    let end = streams.pop().expect("one was taken");
    drop(end.requests);
    let mut responses = end.responses;
    let end = soon("the stream ends", responses.message()).await;
    assert_eq!(end.expect("in order"), None);
    let mut stream = Stream::open(&node).await;
    stream.send(message).await.expect("there is room again");
}
