//! A running process: the machines of `protocol` with the log under them. All of it is gone when
//! the process dies.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crdt_core::StartId;
use model_checker::node_log::{NodeLog, ReadBack, RunningSnapshot};
use protocol::{
    Budget, ClusterHash, CommitRounds, DialLimits, Dialer, HeldLane, Hello, Round, Shard,
    ShardIndex, Shards as _, Standing, Time,
};

use super::clients::Clients;
use super::node::Settings;

pub(super) const CLUSTER: &str = "likes";
pub(super) const CLUSTER_HASH: ClusterHash = ClusterHash(1);

/// Memory for the dictionaries of ingest streams: more than any transcript needs.
const DICTIONARY_BYTES_MAX: u64 = 1 << 20;

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) hello: Hello,
    pub(super) start: StartId,
    pub(super) shards: RefCell<Vec<Shard>>,
    pub(super) standing: Standing,
    pub(super) rounds: CommitRounds,
    pub(super) completed: Round,
    /// When the commit loop asks again.
    pub(super) rounds_due: Option<Time>,
    pub(super) log: NodeLog,
    /// The shards that have a part in the round under way.
    pub(super) collected: Vec<ShardIndex>,
    pub(super) snapshot: Option<RunningSnapshot>,
    pub(super) dials: BTreeMap<String, Dial>,
    pub(super) dictionaries: Budget,
    pub(super) clients: Clients,
}

/// The waits between the streams from one peer.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) dialer: Dialer,
    /// When it is dialled; never, while there is a stream.
    pub(super) at: Option<Time>,
}

impl Dial {
    pub(super) fn new(now: Time) -> Self {
        Self {
            dialer: Dialer::new(DialLimits::default(), now),
            at: Some(now),
        }
    }
}

impl Process {
    pub(super) fn new(
        read: ReadBack,
        settings: Settings,
        start: StartId,
        peers: &[String],
        now: Time,
    ) -> Self {
        let status = read.log.status();
        let forked = read.log.forked();
        let dials = peers.iter().map(|peer| (peer.clone(), Dial::new(now)));
        Self {
            hello: Hello::new(CLUSTER.to_owned(), settings.shard_count, read.replica),
            start,
            shards: RefCell::new(read.replicas.into_iter().map(Shard::new).collect()),
            standing: Standing::new(read.replica, forked),
            rounds: CommitRounds::new(settings.commit, status.segment_bytes, status.snapshot_bytes),
            completed: Round::NONE,
            rounds_due: None,
            log: read.log,
            collected: Vec::new(),
            snapshot: None,
            dials: dials.collect(),
            dictionaries: Budget::new(DICTIONARY_BYTES_MAX),
            clients: Clients::default(),
        }
    }

    /// How far it holds all lanes.
    pub(super) fn held(&self) -> Vec<HeldLane> {
        let mut held = Vec::new();
        for shard in self.shards.indices() {
            let digest = self.shards.with(shard, |it| it.replica().digest());
            held.extend(
                digest
                    .iter()
                    .map(|(lane, mark)| HeldLane { shard, lane, mark }),
            );
        }
        held
    }
}
