//! `ClusterService`: what the node says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use commit_log::LogWatcher;
use crdt_core::{Mark, Replica, ReplicaId};
use protocol::check_shard;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::replica_id_to_bytes;
use wire::v1::cluster_service_server::ClusterService;
use wire::v1::{
    AuditShardRequest, AuditShardResponse, DeclareMemberGoneRequest, DeclareMemberGoneResponse,
    ExportShardRequest, ExportShardResponse, GetStatusRequest, GetStatusResponse, LaneStatus,
    ListLaneRecordsRequest, ListLaneRecordsResponse, LogStatus, PeerStatus,
};
use xxhash_rust::xxh3::Xxh3;

use super::{NodeCell, audit, export, sessions, status};
use crate::node::Node;
use crate::replicate::pull::{PeerState, SharedPeerState};

/// What the status tells beside the node itself.
#[derive(Debug)]
pub struct Surroundings {
    /// The connections to the peers.
    pub peers: Vec<SharedPeerState>,
    /// The log.
    pub log: LogWatcher,
}

/// Describes the node.
#[derive(Clone, Debug)]
pub struct ClusterServer {
    node: NodeCell,
    surroundings: Arc<OnceLock<Surroundings>>,
    /// The audits that may be under way.
    audits: Arc<Semaphore>,
    /// The exports that may be under way.
    exports: Arc<Semaphore>,
}

/// One: an audit follows the changes of its shard, and each shard can be followed once.
const AUDITS_MAX: usize = 1;

/// An export whose client is slow keeps a few messages of a megabyte waiting; few ask for one at the
/// same moment.
const EXPORTS_MAX: usize = 4;

impl ClusterServer {
    /// The service of a node; its surroundings are known once it has recovered.
    #[must_use]
    pub fn new(node: NodeCell, surroundings: Arc<OnceLock<Surroundings>>) -> Self {
        Self {
            node,
            surroundings,
            audits: Arc::new(Semaphore::new(AUDITS_MAX)),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        }
    }
}

#[tonic::async_trait]
impl ClusterService for ClusterServer {
    type AuditShardStream = ReceiverStream<Result<AuditShardResponse, Status>>;
    type ExportShardStream = ReceiverStream<Result<ExportShardResponse, Status>>;

    async fn audit_shard(
        &self,
        request: Request<Streaming<AuditShardRequest>>,
    ) -> Result<Response<Self::AuditShardStream>, Status> {
        let node = Arc::clone(self.node.get()?);
        let permit = Arc::clone(&self.audits).try_acquire_owned();
        let permit = permit.map_err(|_| status::audit_under_way(AUDITS_MAX))?;
        let requests = request.into_inner();
        Ok(Response::new(audit::spawn(node, requests, permit)))
    }

    async fn list_lane_records(
        &self,
        request: Request<ListLaneRecordsRequest>,
    ) -> Result<Response<ListLaneRecordsResponse>, Status> {
        let node = self.node.get()?;
        audit::list_records(node, &request.into_inner()).map(Response::new)
    }

    async fn export_shard(
        &self,
        request: Request<ExportShardRequest>,
    ) -> Result<Response<Self::ExportShardStream>, Status> {
        let node = Arc::clone(self.node.get()?);
        let shard = request.into_inner().shard;
        check_shard(&*node, shard).map_err(|error| status::audit(&error))?;
        let permit = Arc::clone(&self.exports).try_acquire_owned();
        let permit = permit.map_err(|_| status::exports_exhausted(EXPORTS_MAX))?;
        Ok(Response::new(export::spawn(node, shard, permit)))
    }

    async fn declare_member_gone(
        &self,
        request: Request<DeclareMemberGoneRequest>,
    ) -> Result<Response<DeclareMemberGoneResponse>, Status> {
        let node = self.node.get()?;
        let connected = connected(self.surroundings.get());
        sessions::declare_gone(node, &connected, &request.into_inner()).await?;
        Ok(Response::new(DeclareMemberGoneResponse {}))
    }

    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        let node = self.node.get()?;
        let surroundings = self.surroundings.get();
        let identity = node.identity();
        let connected = connected(surroundings);
        let refusal = node.ensure_writable().err().map(|error| error.to_string());
        Ok(Response::new(GetStatusResponse {
            cluster: identity.cluster.clone(),
            replica_id: replica_id_to_bytes(identity.replica),
            version: env!("CARGO_PKG_VERSION").into(),
            shard_count: identity.shard_count,
            uptime_ms: milliseconds(node.clock().elapsed()),
            counters: node.counters(),
            lanes: lanes(node),
            peers: surroundings.map_or_else(Vec::new, |s| s.peers.iter().map(peer).collect()),
            log: surroundings.map(|surroundings| log(&surroundings.log)),
            refusal: refusal.unwrap_or_default(),
            sessions: Some(sessions::status(node, &connected)),
        }))
    }
}

/// The peers from which this node receives now.
fn connected(surroundings: Option<&Surroundings>) -> BTreeSet<ReplicaId> {
    let peers = surroundings.into_iter().flat_map(|it| &it.peers);
    let states = peers.map(|state| {
        state
            .lock()
            .expect("nobody panics while holding a peer's state")
            .clone()
    });
    let connected = states.filter(|state| state.is_connected);
    connected.filter_map(|state| state.replica).collect()
}

/// For each lane how far it is held: versions added up over the shards, and a checksum of its
/// marks, equal on two nodes just when they hold the same.
fn lanes(node: &Node) -> Vec<LaneStatus> {
    let mut lanes: BTreeMap<ReplicaId, (u64, Xxh3)> = BTreeMap::new();
    for (shard, digest) in (0u32..).zip(node.each_shard(Replica::digest)) {
        for (lane, Mark { version, start }) in digest.iter() {
            let (version_sum, hash) = lanes.entry(lane).or_default();
            *version_sum += version.get();
            hash.update(&shard.to_be_bytes());
            hash.update(&version.get().to_be_bytes());
            hash.update(&start.get().to_be_bytes());
        }
    }
    let status = |(lane, (version_sum, hash)): (ReplicaId, (u64, Xxh3))| LaneStatus {
        replica_id: replica_id_to_bytes(lane),
        version_sum,
        digest_hash: hash.digest(),
    };
    lanes.into_iter().map(status).collect()
}

fn peer(state: &SharedPeerState) -> PeerStatus {
    let PeerState {
        address,
        replica,
        is_connected,
        last_message,
        intervals_received,
        last_error,
    } = state
        .lock()
        .expect("nobody panics while holding a peer's state")
        .clone();
    PeerStatus {
        address,
        replica_id: replica.map(replica_id_to_bytes).unwrap_or_default(),
        connected: is_connected,
        last_message_age_ms: last_message.map_or(0, |at| milliseconds(at.elapsed())),
        intervals_received,
        last_error: last_error.unwrap_or_default(),
    }
}

fn log(watcher: &LogWatcher) -> LogStatus {
    let status = watcher.status();
    LogStatus {
        segments: status.segment_count as u64,
        segment_bytes: status.segment_bytes,
        snapshot_bytes: status.snapshot_bytes,
        syncs: status.sync_count,
        last_sync_us: u64::try_from(status.last_sync.as_micros()).unwrap_or(u64::MAX),
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
