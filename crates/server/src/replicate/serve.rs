//! The sending side of replication: what a peer lacks, at a pace.
//!
//! For each stream a task remembers, for each shard and lane, how far the receiver will be once
//! everything sent has arrived. At most once a pace it asks each shard for the own lane's interval
//! after that, so a counter that changes a million times a second is sent a hundred times. Other
//! lanes are relayed: when the receiver reports less than this node held a while ago.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crdt_core::{Digest, Fork, Interval, ReplicaId};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::v1::replication_service_server::ReplicationService;
use wire::v1::{HeldLane, IntervalPart, PullRequest, PullResponse};
use wire::{IntervalEncoder, PART_BYTES_TARGET};

use super::{HEARTBEAT_INTERVAL, RELAY_INTERVAL, check_hello, hello};
use crate::node::{Node, ShardIndex};
use crate::service::{NodeCell, refuse};

/// Messages that wait for the transport. With each at about [`PART_BYTES_TARGET`], a slow peer
/// costs a few megabytes; while they wait, later changes gather into one interval.
const MESSAGES_QUEUED_MAX: usize = 4;

/// Serves lanes to peers.
#[derive(Clone, Debug)]
pub struct ReplicationServer {
    node: NodeCell,
    pace: Duration,
}

impl ReplicationServer {
    /// A server that sends to each peer at most once a `pace`.
    #[must_use]
    pub fn new(node: NodeCell, pace: Duration) -> Self {
        Self { node, pace }
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
        let mut requests = request.into_inner();
        let first = requests
            .message()
            .await?
            .ok_or_else(|| Status::invalid_argument("the stream ended before its hello"))?;
        let peer = check_hello(&node, first.hello)
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        let (responses, stream) = mpsc::channel(MESSAGES_QUEUED_MAX);
        let mut sender = Sender::new(node, peer, responses.clone());
        sender.note_held(&first.held)?;
        let pace = self.pace;
        tokio::spawn(async move {
            if let Err(status) = sender.run(requests, pace).await {
                tracing::info!(%peer, %status, "a peer's stream ended");
                // The receiver may be gone, and that ends the stream just as well.
                let _ = responses.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// One stream's sending side.
struct Sender {
    node: Arc<Node>,
    peer: ReplicaId,
    responses: mpsc::Sender<Result<PullResponse, Status>>,
    encoder: IntervalEncoder,
    /// By shard: how far the receiver is, or will be when everything sent has arrived.
    sent: Vec<Digest>,
    /// By shard: what this node held at the last look for lanes to relay.
    held_before: Vec<Digest>,
    /// Lanes of others of which the receiver holds another history: they are not relayed.
    forked: BTreeSet<(ShardIndex, ReplicaId)>,
    last_sent: Instant,
}

impl Sender {
    fn new(
        node: Arc<Node>,
        peer: ReplicaId,
        responses: mpsc::Sender<Result<PullResponse, Status>>,
    ) -> Self {
        let shard_count = node.identity().shard_count;
        let nothing = vec![Digest::default(); shard_count as usize];
        Self {
            node,
            peer,
            responses,
            encoder: IntervalEncoder::new(shard_count),
            sent: nothing.clone(),
            held_before: nothing,
            forked: BTreeSet::new(),
            last_sent: Instant::now(),
        }
    }

    async fn run(
        &mut self,
        mut requests: Streaming<PullRequest>,
        pace: Duration,
    ) -> Result<(), Status> {
        let first = PullResponse {
            hello: Some(hello(&self.node)),
            parts: Vec::new(),
        };
        self.send(first).await?;
        let mut completed = self.node.completed();
        completed.mark_changed();
        let stopped = self.node.stopped();
        tokio::pin!(stopped);
        let mut relays = time::interval(RELAY_INTERVAL);
        relays.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_send = Instant::now();
        let mut has_news = false;
        loop {
            tokio::select! {
                changed = completed.changed(), if !has_news => {
                    changed.expect("the node lives as long as its streams");
                    has_news = true;
                }
                // Everything durable so far, at most once a pace.
                () = time::sleep_until(next_send), if has_news => {
                    has_news = false;
                    next_send = Instant::now() + pace;
                    completed.mark_unchanged();
                    self.send_own_lane().await?;
                }
                _ = relays.tick() => self.relay_and_heartbeat().await?,
                request = requests.message() => match request? {
                    Some(request) => self.note_held(&request.held)?,
                    None => return Ok(()),
                },
                () = &mut stopped => {
                    return Err(Status::unavailable("this node is stopping"));
                }
            }
        }
    }

    /// Notes what the receiver reports. A mark of this node's own lane that is not on its history
    /// shows that its directory was rolled back or copied, and ends the stream. Another lane's fork
    /// is its owner's to mend: that lane is not relayed, and all others go on.
    fn note_held(&mut self, held: &[HeldLane]) -> Result<(), Status> {
        for report in held {
            let lane = wire::replica_id_from_bytes(&report.lane)
                .map_err(|error| Status::invalid_argument(error.to_string()))?;
            let sent = self.sent.get_mut(report.shard as usize).ok_or_else(|| {
                Status::invalid_argument(format!("shard {} does not exist", report.shard))
            })?;
            let mark = report.mark.unwrap_or_default().into();
            let admitted = self
                .node
                .with_shard(report.shard, |replica| replica.admits(lane, mark));
            match admitted {
                Ok(()) => sent.note(lane, mark),
                Err(fork) if lane == self.node.identity().replica => {
                    return Err(refuse_fork(&self.node, fork));
                }
                Err(fork) => {
                    if self.forked.insert((report.shard, lane)) {
                        tracing::warn!(peer = %self.peer, %fork, "a lane is not relayed");
                    }
                }
            }
        }
        Ok(())
    }

    async fn send_own_lane(&mut self) -> Result<(), Status> {
        let lane = self.node.identity().replica;
        let mut message = Outgoing::default();
        for shard in 0..self.node.identity().shard_count {
            self.encode(shard, lane, &mut message)
                .map_err(|fork| refuse_fork(&self.node, fork))?;
            if message.bytes >= PART_BYTES_TARGET {
                self.send_parts(&mut message).await?;
            }
        }
        self.send_parts(&mut message).await
    }

    /// Sends lanes of others that this node held at the last look and the receiver still lacks.
    async fn relay_and_heartbeat(&mut self) -> Result<(), Status> {
        let mut message = Outgoing::default();
        let own = self.node.identity().replica;
        for shard in 0..self.node.identity().shard_count {
            let now = self.node.with_shard(shard, |replica| replica.digest());
            let before = std::mem::replace(&mut self.held_before[shard as usize], now);
            for (lane, mark) in before.iter() {
                let arrives = self.sent[shard as usize].mark(lane);
                let is_excluded =
                    lane == own || lane == self.peer || self.forked.contains(&(shard, lane));
                if is_excluded || arrives.version >= mark.version {
                    continue;
                }
                if let Err(fork) = self.encode(shard, lane, &mut message) {
                    tracing::warn!(peer = %self.peer, %fork, "a lane is not relayed");
                    self.forked.insert((shard, lane));
                }
                if message.bytes >= PART_BYTES_TARGET {
                    self.send_parts(&mut message).await?;
                }
            }
        }
        self.send_parts(&mut message).await?;
        if self.last_sent.elapsed() >= HEARTBEAT_INTERVAL {
            self.send(PullResponse::default()).await?;
        }
        Ok(())
    }

    /// Adds to the message what the receiver lacks of a lane.
    fn encode(
        &mut self,
        shard: ShardIndex,
        lane: ReplicaId,
        message: &mut Outgoing,
    ) -> Result<(), Fork> {
        let sent = &mut self.sent[shard as usize];
        let encoder = &mut self.encoder;
        self.node.with_shard(shard, |replica| {
            let Some(interval) = replica.interval(lane, sent.mark(lane))? else {
                return Ok(());
            };
            sent.note(lane, interval.to);
            let name = |counter| replica.name(counter).clone();
            message.add(encoder.encode(shard, &interval, name), &interval);
            Ok(())
        })
    }

    /// Sends a message's parts, if there are any, in messages of about the target size.
    async fn send_parts(&mut self, message: &mut Outgoing) -> Result<(), Status> {
        for parts in std::mem::take(message).into_messages() {
            self.send(PullResponse { hello: None, parts }).await?;
        }
        Ok(())
    }

    async fn send(&mut self, response: PullResponse) -> Result<(), Status> {
        self.last_sent = Instant::now();
        self.responses
            .send(Ok(response))
            .await
            .map_err(|_| Status::cancelled("the receiver closed the stream"))
    }
}

/// Parts that are about to be sent.
#[derive(Default)]
struct Outgoing {
    parts: Vec<IntervalPart>,
    /// Their size, about.
    bytes: usize,
}

impl Outgoing {
    fn add(&mut self, parts: Vec<IntervalPart>, interval: &Interval) {
        // An estimate will do for cutting: a record's columns are rarely longer.
        const RECORD_BYTES: usize = 16;
        self.bytes += interval.sums.len() * RECORD_BYTES;
        self.bytes += parts
            .iter()
            .flat_map(|part| &part.introduced)
            .map(|introduced| introduced.name.len())
            .sum::<usize>();
        self.parts.extend(parts);
    }

    /// The parts, a message's worth each.
    fn into_messages(self) -> Vec<Vec<IntervalPart>> {
        let mut messages = Vec::new();
        let mut current = Vec::new();
        let mut bytes = 0;
        for part in self.parts {
            let part_bytes = part.encoded_len();
            if bytes > 0 && bytes + part_bytes > 2 * PART_BYTES_TARGET {
                messages.push(std::mem::take(&mut current));
                bytes = 0;
            }
            bytes += part_bytes;
            current.push(part);
        }
        if !current.is_empty() {
            messages.push(current);
        }
        messages
    }
}

/// A fork of this node's lane stops it; in any case the stream ends with the reason.
fn refuse_fork(node: &Node, fork: Fork) -> Status {
    let status = refuse::fork(&fork);
    node.note_fork(fork);
    status
}
