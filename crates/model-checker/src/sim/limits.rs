//! The limits of simulated nodes: deployed ones, made smaller so that a run reaches all of them.

use std::time::Duration;

use protocol::{ClusterHash, CommitLimits, DialLimits, ReplicationLimits};

/// The cluster, by name and as tokens name it.
pub(super) const CLUSTER: &str = "sim";
pub(super) const CLUSTER_HASH: ClusterHash = ClusterHash(7);
/// Counters that each shard may have: more than there are.
pub(super) const SHARD_COUNTERS_MAX: u64 = 100;
/// Sessions that a node keeps open, and closed ones that it remembers: so few that both are reached.
pub(super) const SESSIONS_MAX: (usize, usize) = (8, 4);
/// Memory that ingest streams may have for their dictionaries: more than they need.
pub(super) const DICTIONARY_BYTES_MAX: u64 = 1 << 20;

/// Deployed limits a few times shorter, so that all of them are reached within a run; pieces and
/// reports are so small that most intervals have several.
pub(super) const REPLICATION: ReplicationLimits = ReplicationLimits {
    pace: Duration::from_millis(10),
    report_interval: Duration::from_millis(40),
    relay_interval: Duration::from_millis(120),
    heartbeat_interval: Duration::from_millis(300),
    silence_max: Duration::from_millis(1_500),
    piece_records_max: 2,
    report_lanes_max: 3,
    stream_lanes_max: 1_000,
};
pub(super) const DIAL: DialLimits = DialLimits {
    back_off_min: Duration::from_millis(10),
    back_off_max: Duration::from_millis(200),
    healthy_after: Duration::from_millis(500),
    connect_timeout: Duration::from_millis(100),
};
/// A snapshot after so little that every schedule has some.
pub(super) const COMMIT: CommitLimits = CommitLimits {
    snapshot_log_bytes_min: 3_000,
    snapshot_retry_min: Duration::from_millis(40),
    snapshot_retry_max: Duration::from_millis(200),
    seal_after: Duration::from_millis(20),
};
