//! The sending side of replication: a task for each stream that a peer has opened.

use std::sync::Arc;

use crdt_core::{Fork, ReplicaId};
use protocol::{Budget, Claim, Lease, SenderError, ShardIndex};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::stream::{Sending, SendingEnd, SendingError};
use wire::v1::replication_service_server::ReplicationService;
use wire::v1::{PullRequest, PullResponse};

use crate::node::Node;
use crate::service::{NodeCell, status};
use crate::traced::Sent;

/// Messages that wait for the transport. With each at about 128 KiB, a slow peer costs half a
/// mebibyte; while they wait, later changes gather into one interval.
const MESSAGES_QUEUED_MAX: usize = 4;

/// Streams served at a time: several times as many as a cluster has members, and a bound on what
/// strangers can make this node remember.
const STREAMS_MAX: u64 = 64;

/// Serves lanes to peers.
#[derive(Clone, Debug)]
pub struct ReplicationServer {
    node: NodeCell,
    streams: Budget,
}

impl ReplicationServer {
    /// The service of a node.
    #[must_use]
    pub fn new(node: NodeCell) -> Self {
        Self {
            node,
            streams: Budget::new(STREAMS_MAX),
        }
    }
}

#[tonic::async_trait]
impl ReplicationService for ReplicationServer {
    type PullStream = ReceiverStream<Result<PullResponse, Status>>;

    async fn pull(
        &self,
        request: Request<Streaming<PullRequest>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let node = Arc::clone(self.node.get()?);
        let mut place = self.streams.lease();
        place.grow(1).map_err(status::streams_exhausted)?;
        let mut requests = request.into_inner();
        let limits = node.replication_limits();
        let first = timeout(limits.silence_max, requests.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello came; a peer sends it at once"))??
            .ok_or_else(|| Status::invalid_argument("the stream ended before its hello"))?;
        let (ours, now) = (node.identity().hello(), node.clock().now());
        let end = SendingEnd::accept(limits, &ours, &first, &*node, now)
            .map_err(|error| refuse(&error))?;
        let (responses, stream) = mpsc::channel(MESSAGES_QUEUED_MAX);
        tokio::spawn(serve(node, end, requests, responses, place));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Serves one stream until it ends, and says why.
async fn serve(
    node: Arc<Node>,
    mut end: SendingEnd,
    requests: Streaming<PullRequest>,
    responses: mpsc::Sender<Result<PullResponse, Status>>,
    _place: Lease,
) {
    if let Err(status) = run(&node, &mut end, requests, &responses).await {
        tracing::info!(peer = %end.peer(), %status, "a peer's stream ended");
        // The receiver may be gone, and that ends the stream just as well.
        let _ = responses.send(Err(status)).await;
    }
}

async fn run(
    node: &Node,
    end: &mut SendingEnd,
    mut requests: Streaming<PullRequest>,
    responses: &mpsc::Sender<Result<PullResponse, Status>>,
) -> Result<(), Status> {
    let mut completed = node.completed();
    let mut sent = Sent::default();
    let stopped = node.stopped();
    tokio::pin!(stopped);
    // A stranger may become known by what its peers relay.
    let mut is_known = node.know_acquaintance(end.peer());
    // Until when nothing is due; `None`: something may be.
    let mut idle_until = None;
    loop {
        tokio::select! {
            changed = completed.changed() => {
                changed.expect("the node lives as long as its streams");
                end.completed();
                idle_until = None;
            }
            request = requests.message() => match request? {
                Some(request) => {
                    end.request(node, &request).map_err(|error| refuse(&error))?;
                    is_known = is_known || node.know_acquaintance(end.peer());
                    idle_until = None;
                }
                None => return Ok(()),
            },
            room = responses.reserve(), if idle_until.is_none() => {
                let room = room.map_err(|_| Status::cancelled("the receiver closed the stream"))?;
                match end.poll(node.clock().now(), node) {
                    Sending::Message(message) => {
                        sent.message(node.trace(), end.peer(), &message);
                        room.send(Ok(message));
                        // There may be many more, and others wait for this thread.
                        yield_now().await;
                    }
                    Sending::Wait(until) => idle_until = Some(until),
                    Sending::LaneForked(shard, fork) => note_fork(node, end.peer(), shard, &fork)?,
                }
            }
            () = sleep_until(node.clock().instant(idle_until.unwrap_or_default())),
                if idle_until.is_some() => idle_until = None,
            () = &mut stopped => {
                return Err(Status::unavailable("this node is stopping"));
            }
        }
    }
}

/// A lane has forked between the two nodes: it is not sent. Who is not believed is not served.
fn note_fork(node: &Node, peer: ReplicaId, shard: ShardIndex, fork: &Fork) -> Result<(), Status> {
    tracing::warn!(%peer, shard, %fork, "a lane is not sent");
    match node.forked_by_reporter(peer, fork) {
        Claim::Disbelieved => Err(status::fork(fork)),
        Claim::Believed | Claim::Known | Claim::OfOther => Ok(()),
    }
}

/// Ends a stream with the reason.
fn refuse(error: &SendingError) -> Status {
    let message = error.to_string();
    match error {
        SendingError::Hello(_) => Status::failed_precondition(message),
        SendingError::Decode(_) | SendingError::Sender(SenderError::Shard { .. }) => {
            Status::invalid_argument(message)
        }
        SendingError::Sender(SenderError::Lanes { .. }) => Status::resource_exhausted(message),
    }
}
