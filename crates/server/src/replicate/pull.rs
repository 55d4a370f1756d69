//! The receiving side of replication: one task a peer, which connects, says what this node holds,
//! and takes what comes.
//!
//! A message's intervals are part of the next commit round, and the next message is read once that
//! is complete: so what a peer can make this node buffer is one message, and what this node
//! reports as held is durable. Whatever goes wrong ends the stream; the next one begins, after a
//! back-off, with what is held.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crdt_core::{Digest, Interval, ReceiveError, ReplicaId};
use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use wire::v1::replication_service_client::ReplicationServiceClient;
use wire::v1::{HeldLane, IntervalPart, PullRequest, PullResponse};
use wire::{DecodeLimits, IntervalDecoder};

use super::{HEARTBEAT_INTERVAL, HelloError, REPORT_INTERVAL, check_hello, hello};
use crate::node::{Node, Round, ShardIndex};
use crate::server::STREAM_WINDOW_BYTES;

/// The first wait after a stream ended; doubles up to [`BACK_OFF_MAX`] while streams fail at once.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);

/// The longest wait: a peer that comes back is found within seconds.
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// A peer that does not answer is given up after this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A stream on which nothing comes for so long is dead, whatever TCP thinks of it: heartbeats
/// come every second.
const SILENCE_MAX: Duration = HEARTBEAT_INTERVAL.saturating_mul(8);

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
    Hello(#[from] HelloError),
    #[error(transparent)]
    Decode(#[from] wire::DecodeError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error("nothing came for {} s", SILENCE_MAX.as_secs())]
    Silent,
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
    let mut back_off = BACK_OFF_MIN;
    loop {
        let began = Instant::now();
        let Err(error) = Puller::new(node, state).run(address).await;
        tracing::info!(peer = address, %error, "the stream from a peer ended");
        with(state, |state| {
            state.is_connected = false;
            state.last_error = Some(error.to_string());
        });
        if let PullError::Receive(ReceiveError::Fork(fork)) = error {
            node.note_fork(fork);
        }
        // A stream that held for a while failed by accident, not by configuration.
        let healthy = began.elapsed() > SILENCE_MAX;
        back_off = if healthy {
            BACK_OFF_MIN
        } else {
            (back_off * 2).min(BACK_OFF_MAX)
        };
        let jitter = rand::rng().random_range(0.5..1.0);
        time::sleep(back_off.mul_f64(jitter)).await;
    }
}

/// One stream's receiving side.
struct Puller<'a> {
    node: &'a Arc<Node>,
    state: &'a SharedPeerState,
    decoder: IntervalDecoder,
    /// By shard: what was last reported as held.
    reported: Vec<Digest>,
    /// Lanes of others of which the sender holds another history.
    forked: BTreeSet<(ShardIndex, ReplicaId)>,
}

/// No value: a stream only ever ends with a reason.
type Never = std::convert::Infallible;

impl<'a> Puller<'a> {
    fn new(node: &'a Arc<Node>, state: &'a SharedPeerState) -> Self {
        let shard_count = node.identity().shard_count;
        Self {
            node,
            state,
            decoder: IntervalDecoder::new(shard_count, DecodeLimits::STREAM),
            reported: vec![Digest::default(); shard_count as usize],
            forked: BTreeSet::new(),
        }
    }

    async fn run(&mut self, address: &str) -> Result<Never, PullError> {
        let mut client = ReplicationServiceClient::new(connect(address).await?)
            .max_decoding_message_size(crate::server::MESSAGE_BYTES_MAX);
        let (requests, stream) = mpsc::channel(REPORTS_QUEUED_MAX);
        let first = PullRequest {
            hello: Some(hello(self.node)),
            held: self.changed_marks(),
        };
        requests.try_send(first).expect("the queue is empty");
        let mut responses = client.pull(ReceiverStream::new(stream)).await?.into_inner();
        let mut reports = time::interval(REPORT_INTERVAL);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut peer = None;
        let mut last_message = Instant::now();
        loop {
            tokio::select! {
                response = responses.message() => {
                    let response = response?.ok_or(PullError::Ended)?;
                    last_message = Instant::now();
                    if peer.is_none() {
                        peer = Some(check_hello(self.node, response.hello.clone())?);
                    }
                    let intervals = self.take(&response).await?;
                    with(self.state, |state| {
                        state.replica = peer;
                        state.is_connected = true;
                        state.last_message = Some(last_message);
                        state.intervals_received += intervals;
                    });
                }
                _ = reports.tick() => {
                    // When the last report still waits, the next tick tells both changes.
                    if let Ok(slot) = requests.try_reserve() {
                        let held = self.changed_marks();
                        if !held.is_empty() {
                            slot.send(PullRequest { hello: None, held });
                        }
                    }
                }
                () = time::sleep_until(last_message + SILENCE_MAX) => {
                    return Err(PullError::Silent);
                }
            }
        }
    }

    /// Takes a message's intervals, and waits until they are durable; how many there were.
    async fn take(&mut self, response: &PullResponse) -> Result<u64, PullError> {
        let mut round: Option<Round> = None;
        for part in &response.parts {
            round = round.max(self.take_part(part)?);
        }
        if let Some(round) = round {
            self.node.durable(round).await;
        }
        Ok(response.parts.iter().filter(|part| part.last).count() as u64)
    }

    /// Takes a part; when it completes an interval that is new here, the round in which that
    /// becomes durable. An interval of another history than the one held is left alone, so that
    /// other lanes go on; of this node's own lane it ends the stream, and the node's adds.
    fn take_part(&mut self, part: &IntervalPart) -> Result<Option<Round>, PullError> {
        let shard = self.decoder.shard_of(part)?;
        let decoder = &mut self.decoder;
        let interval = self.node.with_shard(shard, |replica| {
            decoder.decode(part, |name| replica.counter(name))
        })?;
        match interval {
            Some((shard, interval)) => self.receive(shard, interval),
            None => Ok(None),
        }
    }

    fn receive(
        &mut self,
        shard: ShardIndex,
        interval: Interval,
    ) -> Result<Option<Round>, PullError> {
        let lane = interval.lane;
        match self.node.receive(shard, interval) {
            Err(ReceiveError::Fork(fork)) if lane != self.node.identity().replica => {
                if self.forked.insert((shard, lane)) {
                    tracing::warn!(%fork, "intervals of a lane are not taken");
                    with(self.state, |state| {
                        state.last_error = Some(fork.to_string());
                    });
                }
                Ok(None)
            }
            received => Ok(received?),
        }
    }

    /// Marks that have changed since the last report.
    fn changed_marks(&mut self) -> Vec<HeldLane> {
        let mut changed = Vec::new();
        for (shard, reported) in (0..).zip(&mut self.reported) {
            let held = self.node.with_shard(shard, |replica| replica.digest());
            for (lane, mark) in held
                .iter()
                .filter(|&(lane, mark)| reported.mark(lane) != mark)
            {
                changed.push(held_lane(shard, lane, mark));
            }
            *reported = held;
        }
        changed
    }
}

fn held_lane(shard: ShardIndex, lane: ReplicaId, mark: crdt_core::Mark) -> HeldLane {
    HeldLane {
        shard,
        lane: wire::replica_id_to_bytes(lane),
        mark: Some(mark.into()),
    }
}

async fn connect(address: &str) -> Result<Channel, PullError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(PullError::Address)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(SILENCE_MAX / 2)
        .keep_alive_timeout(SILENCE_MAX / 2)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(STREAM_WINDOW_BYTES)
        .tcp_nodelay(true);
    endpoint.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        PullError::Connect(cause.unwrap_or_else(|| error.to_string()))
    })
}

fn with(state: &SharedPeerState, change: impl FnOnce(&mut PeerState)) {
    change(
        &mut state
            .lock()
            .expect("nobody panics while holding a peer's state"),
    );
}
