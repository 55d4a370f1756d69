//! One node's state, as its threads share it: the shards, each behind its own lock, and the
//! machines of `protocol` that belong to the whole node.
//!
//! The commit thread ([`commit`]) goes round the shards: it collects what was taken, writes it,
//! syncs once, and completes the round. Whoever took something waits for its round; nothing else
//! ever waits, and no lock is held across a write, a sync or an await.
//!
//! What this leaves out: gRPC, and every decision. It speaks of names, sums, marks and rounds, and
//! what becomes of them is decided by the machines.

/// The commit thread.
pub mod commit;
mod list;
mod reads;
/// Reading a data directory back into shards.
pub mod recovery;
mod rounds;
mod sessions;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use commit_log::LogStatus;
use crdt_core::{CounterName, Fork, Replica, ReplicaId, StartId};
use protocol::{
    Adds, Budget, Claim, ClusterHash, Freshness, Hello, IngestLimits, NotWritable, Receipt,
    ReplicationLimits, Round, Shard, ShardIndex, Shards, Standing, TakeError, Token, WatchBudgets,
};
use tokio::sync::watch;
use trace::{Step, Trace};
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Clock;
use rounds::Rounds;
use sessions::Sessions;
pub use sessions::{OpenSessionError, SessionsState};

/// Memory that the dictionaries of all ingest streams may have together, in bytes: about four
/// million names of usual length.
const DICTIONARY_BYTES_MAX: u64 = 256 << 20;

/// What a node is, for good.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// The cluster's name.
    pub cluster: String,
    /// The incarnation.
    pub replica: ReplicaId,
    /// This start of the process.
    pub start: StartId,
    /// Shards of the cluster.
    pub shard_count: u32,
}

impl NodeIdentity {
    /// How the node introduces itself to others.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello::new(self.cluster.clone(), self.shard_count, self.replica)
    }

    /// The cluster, as tokens name it.
    #[must_use]
    pub fn cluster_hash(&self) -> ClusterHash {
        ClusterHash(xxh3_64(self.cluster.as_bytes()))
    }
}

/// What a node may use.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// Counters that clients may make.
    pub counters_max: u64,
    /// Of replication.
    pub replication: ReplicationLimits,
}

/// Keeps the fork of the own lane, so that the next start knows of it. When one is kept already it
/// does nothing.
pub type KeepFork = Box<dyn Fn(&Fork) -> Result<(), String> + Send + Sync>;

/// The state of a node. Shared by the services, the replication streams and the commit thread.
pub struct Node {
    identity: NodeIdentity,
    limits: NodeLimits,
    clock: Clock,
    shards: Box<[Mutex<Shard>]>,
    standing: RwLock<Standing>,
    keep_fork: KeepFork,
    forked: watch::Sender<bool>,
    rounds: Rounds,
    dictionaries: Budget,
    watches: WatchBudgets,
    freshness: RwLock<Freshness>,
    sessions: Sessions,
    /// Where peers at configured addresses were found.
    addresses: RwLock<BTreeMap<ReplicaId, String>>,
    stopping: watch::Sender<bool>,
    trace: Trace,
}

impl Node {
    /// A node with these replicas, one a shard. `forked` is what an earlier process has kept with
    /// `keep_fork`.
    ///
    /// # Panics
    ///
    /// When there are not as many replicas as shards.
    #[must_use]
    pub fn new(
        identity: NodeIdentity,
        limits: NodeLimits,
        replicas: Vec<Replica>,
        forked: Option<Fork>,
        keep_fork: KeepFork,
    ) -> Self {
        assert_eq!(
            replicas.len(),
            identity.shard_count as usize,
            "one replica a shard"
        );
        let shard = |replica| Mutex::new(Shard::new(replica));
        let clock = Clock::start();
        Self {
            freshness: RwLock::new(Freshness::new(identity.replica, clock.now())),
            sessions: Sessions::recovered(&identity, &replicas, clock.now()),
            addresses: RwLock::default(),
            forked: watch::Sender::new(forked.is_some()),
            standing: RwLock::new(Standing::new(identity.replica, forked)),
            identity,
            limits,
            clock,
            shards: replicas.into_iter().map(shard).collect(),
            keep_fork,
            rounds: Rounds::new(),
            dictionaries: Budget::new(DICTIONARY_BYTES_MAX),
            watches: reads::watch_budgets(),
            stopping: watch::Sender::new(false),
            trace: Trace::off(),
        }
    }

    /// The same node, which has a trace from now on.
    #[must_use]
    pub fn traced(self, trace: Trace, log: &LogStatus) -> Self {
        let shards = self.shards.into_iter();
        let shards = shards.map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        let process = (self.identity.replica, self.identity.start);
        let read_back = (log.segment_bytes, log.snapshot_bytes);
        let shards = trace::begin(&trace, process, shards, read_back);
        Self {
            shards: shards.into_iter().map(Mutex::new).collect(),
            trace,
            ..self
        }
    }

    /// Its trace, which may be none.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Ends the trace of a process that ends in order: counts what it holds.
    pub(crate) fn end_trace(&self) {
        if self.trace.is_on() {
            for shard in self.indices() {
                for lane in self.with(shard, |it| trace::lanes(shard, it.replica())) {
                    self.trace.line(|| trace::Step::Counted(lane));
                }
            }
            self.trace.flush();
        }
    }

    /// What the node is.
    #[must_use]
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The bounds of its replication streams.
    #[must_use]
    pub fn replication_limits(&self) -> ReplicationLimits {
        self.limits.replication
    }

    /// The bounds of its ingest streams ...
    #[must_use]
    pub fn ingest_limits(&self) -> IngestLimits {
        IngestLimits::new(self.shard_counters_max())
    }

    /// ... and that of all their dictionaries together.
    #[must_use]
    pub fn dictionaries(&self) -> &Budget {
        &self.dictionaries
    }

    /// Completed rounds, as they complete.
    #[must_use]
    pub fn completed(&self) -> watch::Receiver<Round> {
        self.rounds.completed()
    }

    /// Waits until a round is complete, and so everything taken for it durable.
    pub async fn durable(&self, round: Round) {
        self.rounds.wait(round).await;
        self.trace.line(|| Step::Awaited { round: round.get() });
    }

    /// Something was taken: a round is due.
    pub fn wake(&self) {
        self.rounds.wake();
    }

    // Adds.

    /// Takes adds, all or none. They are durable, and may be acknowledged, once the receipt's round
    /// is complete.
    ///
    /// # Errors
    ///
    /// When one of them cannot be taken.
    pub fn take(&self, adds: &mut Adds) -> Result<Receipt, TakeError> {
        self.ensure_writable()?;
        let receipt = adds.take(self, self.shard_counters_max())?;
        self.wake();
        Ok(receipt)
    }

    fn shard_counters_max(&self) -> u64 {
        let shard_count = u64::from(self.identity.shard_count);
        self.limits.counters_max.div_ceil(shard_count)
    }

    /// The token of what was taken.
    #[must_use]
    pub fn token(&self, receipt: &Receipt) -> Token {
        let NodeIdentity { replica, start, .. } = self.identity;
        Token::of(self.identity.cluster_hash(), replica, start, receipt)
    }

    /// How many counters have a place.
    #[must_use]
    pub fn counters(&self) -> u64 {
        self.each_shard(|replica| replica.counters() as u64).sum()
    }

    /// The shard that a name hashes to.
    #[must_use]
    pub fn shard_of(&self, name: &CounterName) -> ShardIndex {
        wire::shard_of(name, self.identity.shard_count)
    }

    /// Runs a question on each shard's replica, in the order of shards.
    pub fn each_shard<'a, T: 'a>(
        &'a self,
        ask: impl Fn(&Replica) -> T + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        self.shards
            .iter()
            .map(move |shard| ask(locked(shard).replica()))
    }

    // Standing.

    /// Whether adds are taken now.
    ///
    /// # Errors
    ///
    /// The reason, when they are not.
    pub fn ensure_writable(&self) -> Result<(), NotWritable> {
        let standing = self.standing.read();
        standing
            .unwrap_or_else(PoisonError::into_inner)
            .ensure_writable()
    }

    /// A peer that was dialled shows that a lane has forked.
    pub fn forked_by_dialled(&self, fork: &Fork) {
        let claim = self.change_standing(|standing| standing.forked_by_dialled(fork.clone()));
        self.note_claim(claim, fork);
    }

    /// Somebody who has dialled this node shows that a lane has forked.
    pub fn forked_by_reporter(&self, reporter: ReplicaId, fork: &Fork) -> Claim {
        let claim = self
            .change_standing(|standing| standing.forked_by_reporter(self, reporter, fork.clone()));
        self.note_claim(claim, fork);
        claim
    }

    fn note_claim(&self, claim: Claim, fork: &Fork) {
        match claim {
            // When it could not be kept the last time, it may be now.
            Claim::Known => self.keep(fork),
            Claim::OfOther => {}
            Claim::Disbelieved => tracing::warn!(
                %fork,
                "a stranger says that this node's own lane has forked, and is not believed"
            ),
            Claim::Believed => {
                tracing::error!(%fork, "this node's own lane has forked; no more adds are taken");
                self.forked.send_replace(true);
                self.keep(fork);
            }
        }
    }

    fn keep(&self, fork: &Fork) {
        if let Err(error) = (self.keep_fork)(fork) {
            tracing::error!(
                error,
                "the fork is not kept: after a restart this node takes adds until a peer tells it"
            );
        }
    }

    fn change_standing<T>(&self, change: impl FnOnce(&mut Standing) -> T) -> T {
        // A standing is changed in one step, so a panic elsewhere leaves it sound.
        let mut standing = self
            .standing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut standing)
    }

    /// Whether the own lane has forked, as it becomes known.
    #[must_use]
    pub fn forked(&self) -> watch::Receiver<bool> {
        self.forked.subscribe()
    }

    /// Takes no more adds, and tells everybody who waits for [`stopped`](Self::stopped).
    pub fn stop(&self) {
        self.change_standing(Standing::stop);
        self.stopping.send_replace(true);
    }

    /// Resolves when the node stops.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // An error says that the node is gone, which is a stop as well.
            let _ = stopping.wait_for(|&stopping| stopping).await;
        }
    }
}

impl Shards for Node {
    fn shard_count(&self) -> u32 {
        self.identity.shard_count
    }

    fn with<T>(&self, shard: ShardIndex, run: impl FnOnce(&mut Shard) -> T) -> T {
        run(&mut locked(&self.shards[shard as usize]))
    }

    fn with_several<T>(
        &self,
        shards: &[ShardIndex],
        run: impl FnOnce(&mut [&mut Shard]) -> T,
    ) -> T {
        // Always in ascending order, so that two calls cannot wait for each other.
        let lock = |&shard: &ShardIndex| locked(&self.shards[shard as usize]);
        let mut guards: Vec<_> = shards.iter().map(lock).collect();
        let mut several: Vec<&mut Shard> = guards.iter_mut().map(|guard| &mut **guard).collect();
        run(&mut several)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().expect("nobody panics while holding a shard")
}

#[cfg(test)]
mod tests;
