//! The receiving side of replication: one task a peer, which dials it, opens a stream, and dials
//! again when that has ended.

use std::sync::{Arc, Mutex};

use crdt_core::ReplicaId;
use protocol::{DialLimits, Dialer, ReplicationLimits, Time};
use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use wire::stream::{RESPONSE_BYTES_MAX, Received, Receiving, ReceivingEnd, ReceivingError};
use wire::v1::replication_service_client::ReplicationServiceClient;

use crate::connections::STREAM_WINDOW_BYTES;
use crate::node::Node;
use crate::traced;

/// Reports that wait for the transport: a report tells all that changed since the last one that
/// was sent, so one in the queue is enough.
const REPORTS_QUEUED_MAX: usize = 1;

/// What a node knows of its connection to a peer.
#[derive(Clone, Debug, Default)]
pub struct PeerState {
    /// Where it is looked for.
    pub address: String,
    /// Its incarnation, once it was reached.
    pub replica: Option<ReplicaId>,
    /// Whether a stream is open.
    pub is_connected: bool,
    /// When the last message came.
    pub last_message: Option<Instant>,
    /// Intervals received.
    pub intervals_received: u64,
    /// Why the last stream ended.
    pub last_error: Option<String>,
}

/// A peer's state, shared with the status service.
pub type SharedPeerState = Arc<Mutex<PeerState>>;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("the address is not usable: {0}")]
    Address(tonic::transport::Error),
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] Box<Status>),
    #[error(transparent)]
    Receiving(#[from] ReceivingError),
    #[error("the peer ended the stream")]
    Ended,
}

impl From<Status> for PullError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Pulls from a peer until the node stops. `address` is "host:port".
pub fn spawn(node: Arc<Node>, address: String) -> (SharedPeerState, JoinHandle<()>) {
    let state = SharedPeerState::default();
    with(&state, |state| state.address.clone_from(&address));
    let shared = Arc::clone(&state);
    let task = tokio::spawn(async move {
        tokio::select! {
            () = pull_for_ever(&node, &address, &shared) => {}
            () = node.stopped() => {}
        }
    });
    (state, task)
}

async fn pull_for_ever(node: &Arc<Node>, address: &str, state: &SharedPeerState) {
    let clock = node.clock();
    let limits = DialLimits::default();
    let mut dialer = Dialer::new(limits, clock.now());
    loop {
        dialer.dialled(clock.now());
        let Err(error) = pull(node, address, state, limits).await;
        tracing::info!(peer = address, %error, "the stream from a peer ended");
        with(state, |state| {
            state.is_connected = false;
            state.last_error = Some(error.to_string());
        });
        let jitter = rand::rng().random_range(0..=u16::MAX);
        let again = dialer.ended(clock.now(), jitter);
        sleep_until(clock.instant(again)).await;
    }
}

/// No value: a stream only ever ends with a reason.
type Never = std::convert::Infallible;

async fn pull(
    node: &Arc<Node>,
    address: &str,
    state: &SharedPeerState,
    dial: DialLimits,
) -> Result<Never, PullError> {
    let clock = node.clock();
    let limits = node.replication_limits();
    let channel = connect(address, dial, limits).await?;
    let mut client =
        ReplicationServiceClient::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    let mut end = ReceivingEnd::new(limits, node.identity().hello(), clock.now());
    let (requests, stream) = mpsc::channel(REPORTS_QUEUED_MAX);
    let mut stream = Some(ReceiverStream::new(stream));
    let mut responses = None;
    loop {
        if let Some((lane, at)) = end.caught_up() {
            node.note_caught_up(lane, at);
        }
        match end.poll(clock.now(), &**node, requests.capacity() > 0) {
            Receiving::Request(request) => {
                traced::reported(node.trace(), &request.held);
                requests.try_send(request).map_err(|_| PullError::Ended)?;
                if let Some(stream) = stream.take() {
                    responses = Some(client.pull(stream).await?.into_inner());
                }
            }
            Receiving::AwaitRound(round) => {
                node.durable(round).await;
                end.completed(clock.now(), round);
            }
            Receiving::Close(error) => return Err(ReceivingError::from(error).into()),
            Receiving::Read(until) => {
                let responses = responses
                    .as_mut()
                    .expect("the first thing due is a request");
                let response = tokio::select! {
                    response = responses.message() => response?.ok_or(PullError::Ended)?,
                    () = sleep_until(clock.instant(until)) => continue,
                };
                take(node, &mut end, state, clock.now(), &response)?;
            }
        }
    }
}

/// Gives a message to the machine, and notes what came of it.
fn take(
    node: &Arc<Node>,
    end: &mut ReceivingEnd,
    state: &SharedPeerState,
    now: Time,
    response: &wire::v1::PullResponse,
) -> Result<(), PullError> {
    let was_known = end.peer().is_some();
    let received = end.response(now, &**node, response);
    // What was taken before an error stays taken.
    if received.as_ref().map_or(true, Received::is_news) {
        node.wake();
    }
    let received = received?;
    if let (false, Some(peer)) = (was_known, end.peer()) {
        let address = with(state, |state| state.address.clone());
        node.meet(peer, &address);
    }
    for (shard, fork) in &received.forks {
        tracing::warn!(shard, %fork, "a lane is not taken from this peer");
        node.forked_by_dialled(fork);
    }
    with(state, |state| {
        state.replica = end.peer();
        state.is_connected = true;
        state.last_message = Some(Instant::now());
        state.intervals_received += received.taken.len() as u64;
        if let Some((_, fork)) = received.forks.first() {
            state.last_error = Some(fork.to_string());
        }
    });
    Ok(())
}

async fn connect(
    address: &str,
    dial: DialLimits,
    limits: ReplicationLimits,
) -> Result<Channel, PullError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(PullError::Address)?
        .connect_timeout(dial.connect_timeout)
        .http2_keep_alive_interval(limits.silence_max / 2)
        .keep_alive_timeout(limits.silence_max / 2)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .tcp_nodelay(true);
    endpoint.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        PullError::Connect(cause.unwrap_or_else(|| error.to_string()))
    })
}

fn with<T>(state: &SharedPeerState, change: impl FnOnce(&mut PeerState) -> T) -> T {
    change(
        &mut state
            .lock()
            .expect("nobody panics while holding a peer's state"),
    )
}
