//! The ingest stream, over a socket: what it takes, and what is told when, is decided by
//! [`IngestStream`].

use std::sync::Arc;

use protocol::{Acknowledgement, IngestEffect, IngestEnd, IngestStream, NotWritable, Round};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use wire::v1::{IngestRequest, IngestResponse};

use super::status;
use crate::node::Node;

/// Acknowledgements that wait for the transport; they are cumulative.
const RESPONSES_QUEUED_MAX: usize = 4;

type Responses = mpsc::Sender<Result<IngestResponse, Status>>;

/// Serves a stream in a task of its own.
pub(super) fn spawn(
    node: Arc<Node>,
    requests: Streaming<IngestRequest>,
) -> ReceiverStream<Result<IngestResponse, Status>> {
    let (responses, stream) = mpsc::channel(RESPONSES_QUEUED_MAX);
    tokio::spawn(async move {
        if let Err(status) = run(&node, requests, &responses).await {
            // The client may be gone already; either way this is the end.
            let _ = responses.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

async fn run(
    node: &Node,
    mut requests: Streaming<IngestRequest>,
    responses: &Responses,
) -> Result<(), Status> {
    let cluster = node.identity().cluster_hash();
    let mut stream = IngestStream::new(node.ingest_limits(), node.dictionaries(), cluster);
    let mut completed = node.completed();
    let stopped = node.stopped();
    tokio::pin!(stopped);
    let mut failed = None;
    loop {
        match stream.poll() {
            IngestEffect::Acknowledge(acknowledgement) => {
                let response = response(node, acknowledgement);
                let sent = responses.send(Ok(response)).await;
                sent.map_err(|_| Status::cancelled("the client closed the stream"))?;
            }
            effect @ (IngestEffect::Read | IngestEffect::ReadOrAwaitRound) => tokio::select! {
                round = next_round(&mut completed), if effect == IngestEffect::ReadOrAwaitRound => {
                    stream.completed(round);
                }
                request = requests.message() => match request {
                    Ok(Some(request)) => take(node, &mut stream, &request),
                    Ok(None) => stream.ended(IngestEnd::Closed),
                    Err(status) => {
                        failed = Some(status);
                        stream.ended(IngestEnd::Transport);
                    }
                },
                () = &mut stopped => {
                    stream.ended(IngestEnd::NotWritable(NotWritable::Stopping));
                }
            },
            IngestEffect::AwaitRound => stream.completed(next_round(&mut completed).await),
            IngestEffect::End(end) => return ended(end, failed),
        }
    }
}

fn take(node: &Node, stream: &mut IngestStream, request: &IngestRequest) {
    let message = wire::stream::ingest_message(request);
    let writable = node.ensure_writable();
    stream.message(
        node,
        writable,
        &message,
        |name| node.shard_of(name),
        |session| node.admit(session),
    );
    node.wake();
}

fn response(node: &Node, acknowledgement: Acknowledgement) -> IngestResponse {
    let refused = acknowledgement.refused.into_iter();
    IngestResponse {
        acknowledged_sequence: acknowledgement.sequence,
        counted_before_sequences: acknowledgement.counted_before,
        refused: refused
            .map(|refusal| status::ingest_refusal(refusal, node))
            .collect(),
    }
}

async fn next_round(completed: &mut watch::Receiver<Round>) -> Round {
    let changed = completed.changed().await;
    changed.expect("the node outlives its streams");
    *completed.borrow_and_update()
}

/// How the stream ends for the client.
fn ended(end: IngestEnd, failed: Option<Status>) -> Result<(), Status> {
    match end {
        IngestEnd::Closed => Ok(()),
        IngestEnd::Refused(error) => Err(status::ingest(&error)),
        IngestEnd::NotWritable(error) => Err(status::not_writable(&error)),
        IngestEnd::Transport => failed.map_or(Ok(()), Err),
    }
}
