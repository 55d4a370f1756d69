//! Exports, over a socket: what is read when is decided by [`ShardExport`].

use std::sync::Arc;

use protocol::{ExportPiece, KnownLane, NotWritable, ShardExport, ShardIndex};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::replica_id_to_bytes;
use wire::v1::{ExportEnd, ExportShardResponse, ExportedLane};

use super::status;
use super::value::counter_value;
use crate::node::Node;

/// Pieces that wait for the transport.
const RESPONSES_QUEUED_MAX: usize = 2;

/// Records for which a shard is held at a time: some hundred microseconds' worth. With the longest
/// names that makes a message of about 1 MB.
const PIECE_RECORDS_MAX: usize = 1_024;

type Responses = mpsc::Sender<Result<ExportShardResponse, Status>>;

/// Serves a stream in a task of its own.
pub(super) fn spawn(
    node: Arc<Node>,
    shard: ShardIndex,
) -> ReceiverStream<Result<ExportShardResponse, Status>> {
    let (responses, stream) = mpsc::channel(RESPONSES_QUEUED_MAX);
    tokio::spawn(async move {
        let stopped = tokio::select! {
            () = run(&node, shard, &responses) => false,
            () = node.stopped() => true,
        };
        if stopped {
            let status = status::not_writable(&NotWritable::Stopping);
            // The client may be gone already; either way this is the end.
            let _ = responses.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

/// Ends early when the client is gone.
async fn run(node: &Node, shard: ShardIndex, responses: &Responses) {
    let mut export = ShardExport::new(shard, PIECE_RECORDS_MAX);
    loop {
        let piece = export.poll(node, node.clock().now());
        let is_last = piece.end.is_some();
        if responses.send(Ok(response(piece))).await.is_err() || is_last {
            return;
        }
    }
}

fn response(piece: ExportPiece) -> ExportShardResponse {
    let values = piece.values.iter();
    let lane = |known: &KnownLane| ExportedLane {
        replica_id: replica_id_to_bytes(known.lane),
        mark: Some(known.mark.into()),
        age_ms: known
            .age
            .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    };
    ExportShardResponse {
        counters: values
            .map(|(name, value)| counter_value(name, *value))
            .collect(),
        end: piece.end.map(|lanes| ExportEnd {
            lanes: lanes.iter().map(lane).collect(),
        }),
    }
}
