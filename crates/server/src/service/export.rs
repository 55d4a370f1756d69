//! Exports, over a socket: what is read when is decided by [`ShardExport`].

use std::sync::Arc;
use std::time::Duration;

use crdt_core::{Mark, ReplicaId};
use protocol::{ExportPiece, NotWritable, Reading, ShardExport, ShardIndex};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::replica_id_to_bytes;
use wire::v1::{ExportEnd, ExportShardResponse, ExportedLane};

use super::status;
use super::value::{counter_value, lane_ages};
use crate::node::Node;

/// Pieces that wait for the transport.
const RESPONSES_QUEUED_MAX: usize = 2;

/// Records for which a shard is held at a time: some hundred microseconds' worth. With the longest
/// names that makes a message of about 1 MB.
const PIECE_RECORDS_MAX: usize = 1_024;

/// A client that takes nothing for so long is as good as gone; another one may have its place.
const STALL_MAX: Duration = Duration::from_secs(30);

type Responses = mpsc::Sender<Result<ExportShardResponse, Status>>;

/// Serves a stream in a task of its own.
pub(super) fn spawn(
    node: Arc<Node>,
    shard: ShardIndex,
    permit: OwnedSemaphorePermit,
) -> ReceiverStream<Result<ExportShardResponse, Status>> {
    let (responses, stream) = mpsc::channel(RESPONSES_QUEUED_MAX);
    tokio::spawn(async move {
        let stopped = tokio::select! {
            () = run(&node, shard, &responses) => false,
            () = node.stopped() => true,
        };
        drop(permit);
        if stopped {
            let status = status::not_writable(&NotWritable::Stopping);
            // The client may be gone already; either way this is the end.
            let _ = responses.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

/// Ends early when the client is gone, or takes nothing any more.
async fn run(node: &Node, shard: ShardIndex, responses: &Responses) {
    let mut export = ShardExport::new(shard, PIECE_RECORDS_MAX);
    loop {
        let piece = export.poll(node);
        let is_last = piece.end.is_some();
        let sent = responses.send(Ok(response(node, shard, piece)));
        let is_taken = timeout(STALL_MAX, sent)
            .await
            .is_ok_and(|sent| sent.is_ok());
        if is_last || !is_taken {
            return;
        }
    }
}

fn response(node: &Node, shard: ShardIndex, piece: ExportPiece) -> ExportShardResponse {
    let values = piece.values.iter();
    let lane = |(lane, mark): (ReplicaId, Mark)| ExportedLane {
        replica_id: replica_id_to_bytes(lane),
        mark: Some(mark.into()),
    };
    let end = |reading: Reading| ExportEnd {
        lanes: reading.marks(shard).map(lane).collect(),
        lane_ages: lane_ages(node, &reading, true),
    };
    ExportShardResponse {
        counters: values
            .map(|(name, value)| counter_value(name, *value))
            .collect(),
        end: piece.end.map(end),
    }
}
