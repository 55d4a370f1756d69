//! One node's state: its shards, and the rounds in which what they took becomes durable.
//!
//! A node is a fixed number of independent shards, each a [`Replica`] behind its own lock. The
//! commit thread ([`commit`]) goes round them: it collects what was taken, writes it as one group,
//! syncs once, and completes the round. Whoever took something waits for its round; nothing
//! else ever waits, and no lock is held across a write, a sync or an await.
//!
//! This module does not know gRPC. It speaks of names, sums and marks.

/// The commit thread.
pub mod commit;
/// Reading a data directory back into shards.
pub mod recovery;
mod refusal;
mod rounds;
/// Read tokens.
pub mod token;

use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use crdt_core::{
    CounterIndex, CounterName, Fork, Interval, Mark, ReceiveError, Received, Replica, ReplicaId,
    StartId, Sum,
};
use tokio::sync::watch;

pub use refusal::{AddRefusal, Refusing};
pub use rounds::Round;
use rounds::Rounds;

/// A shard, from 0 to the cluster's shard count.
pub type ShardIndex = u32;

/// Most shards a cluster can have: enough for the cores of a large machine, few enough that an
/// idle round over all of them costs microseconds.
pub const SHARD_COUNT_MAX: u32 = 256;

/// A counter as this node addresses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its shard.
    pub shard: ShardIndex,
    /// Its index there.
    pub counter: CounterIndex,
}

/// A promise: the adds are durable once the round is complete.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The round that makes them durable.
    pub round: Round,
    /// Where the own lanes will be then, by shard.
    pub marks: Vec<(ShardIndex, Mark)>,
}

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

/// One shard: its replica, and the round that will make durable what it takes now.
#[derive(Debug)]
struct Shard {
    replica: Replica,
    round: Round,
}

/// The state of a node. Shared by the services, the replication streams and the commit thread.
#[derive(Debug)]
pub struct Node {
    identity: NodeIdentity,
    shards: Box<[Mutex<Shard>]>,
    rounds: Rounds,
    counters_max: u64,
    stopping: watch::Sender<bool>,
    forked: OnceLock<Fork>,
    started: Instant,
}

impl Node {
    /// A node with these replicas, one a shard.
    ///
    /// # Panics
    ///
    /// When there are not as many replicas as shards.
    #[must_use]
    pub fn new(identity: NodeIdentity, replicas: Vec<Replica>, counters_max: u64) -> Self {
        assert_eq!(
            replicas.len(),
            identity.shard_count as usize,
            "one replica a shard"
        );
        let shard = |replica| {
            Mutex::new(Shard {
                replica,
                round: Round::FIRST,
            })
        };
        Self {
            identity,
            shards: replicas.into_iter().map(shard).collect(),
            rounds: Rounds::new(),
            counters_max,
            stopping: watch::Sender::new(false),
            forked: OnceLock::new(),
            started: Instant::now(),
        }
    }

    /// What the node is.
    #[must_use]
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// When the process began to serve.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Completed rounds, as they complete.
    #[must_use]
    pub fn completed(&self) -> watch::Receiver<Round> {
        self.rounds.completed()
    }

    /// Waits until a round is complete, and so everything taken for it durable.
    pub async fn durable(&self, round: Round) {
        self.rounds.wait(round).await;
    }

    // Adds.

    /// The place of a counter that is about to be added to, given now if it had none.
    ///
    /// # Errors
    ///
    /// When the counter is new and there is no room for another.
    pub fn place(&self, name: &CounterName) -> Result<Place, AddRefusal> {
        let shard = self.shard_of(name);
        let mut locked = self.lock(shard);
        if locked.replica.find(name.as_str()).is_none() {
            let shard_counters_max = self
                .counters_max
                .div_ceil(u64::from(self.identity.shard_count));
            if locked.replica.counters() as u64 >= shard_counters_max {
                let (counter, counters_max) = (name.clone(), self.counters_max);
                return Err(AddRefusal::CountersExhausted {
                    counter,
                    counters_max,
                });
            }
        }
        Ok(Place {
            shard,
            counter: locked.replica.counter(name),
        })
    }

    /// Takes adds, all or none; several for one counter are taken as their sum. They are durable,
    /// and may be acknowledged, once the receipt's round is complete. `adds` is left sorted.
    ///
    /// # Errors
    ///
    /// When one of them cannot be taken.
    pub fn add_all(&self, adds: &mut Vec<(Place, Sum)>) -> Result<Receipt, AddRefusal> {
        self.refusing()?;
        self.merge_by_place(adds)?;
        // Shards are always locked in ascending order, so two calls cannot wait for each other.
        let by_shard = || adds.chunk_by(|a, b| a.0.shard == b.0.shard);
        let mut locked: Vec<_> = by_shard()
            .map(|chunk| self.lock(chunk[0].0.shard))
            .collect();
        for (shard, chunk) in locked.iter().zip(by_shard()) {
            for &(place, sum) in chunk {
                shard.replica.check(place.counter, sum).map_err(|reason| {
                    let counter = shard.replica.name(place.counter).clone();
                    AddRefusal::OutOfRange { counter, reason }
                })?;
            }
        }
        let mut receipt = Receipt {
            round: Round::FIRST,
            marks: Vec::with_capacity(locked.len()),
        };
        for (shard, chunk) in locked.iter_mut().zip(by_shard()) {
            let mut mark = Mark::ZERO;
            for &(place, sum) in chunk {
                mark = shard
                    .replica
                    .add(place.counter, sum)
                    .expect("checked under the same lock");
            }
            receipt.round = receipt.round.max(shard.round);
            receipt.marks.push((chunk[0].0.shard, mark));
        }
        drop(locked);
        self.rounds.wake();
        Ok(receipt)
    }

    // Reads: of durable state only.

    /// A counter's value; 0 where nobody added to it.
    #[must_use]
    pub fn value(&self, name: &CounterName) -> i128 {
        let shard = self.lock(self.shard_of(name));
        shard
            .replica
            .find(name.as_str())
            .map_or(0, |counter| shard.replica.value(counter))
    }

    /// Up to `limit` counters with their values, in the order of names, of those that begin with
    /// `prefix` and come after `after` (exclusively, where it is given).
    #[must_use]
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(CounterName, i128)> {
        let from = after.unwrap_or(prefix).max(prefix);
        let mut page = Vec::new();
        for shard in 0..self.identity.shard_count {
            let locked = self.lock(shard);
            let values = locked.replica.values_from(from);
            page.extend(
                values
                    .skip_while(|(name, _)| Some(name.as_str()) == after)
                    .take_while(|(name, _)| name.as_str().starts_with(prefix))
                    .take(limit)
                    .map(|(name, value)| (name.clone(), value)),
            );
        }
        page.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        page.truncate(limit);
        page
    }

    /// How many counters have a place.
    #[must_use]
    pub fn counters(&self) -> u64 {
        self.each_shard(|replica| replica.counters() as u64).sum()
    }

    /// The shard that a name belongs to.
    #[must_use]
    pub fn shard_of(&self, name: &CounterName) -> ShardIndex {
        wire::shard_of(name, self.identity.shard_count)
    }

    // Lanes, for replication and status.

    /// Runs a question on each shard's replica, in the order of shards.
    pub fn each_shard<'a, T: 'a>(
        &'a self,
        ask: impl Fn(&Replica) -> T + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        self.shards
            .iter()
            .map(move |shard| ask(&locked(shard).replica))
    }

    /// Runs something on one shard's replica. What it takes must be waited for with
    /// [`receive`](Self::receive) or [`add_all`](Self::add_all), not through this.
    ///
    /// # Panics
    ///
    /// When the shard does not exist.
    pub fn with_shard<T>(&self, shard: ShardIndex, run: impl FnOnce(&mut Replica) -> T) -> T {
        run(&mut self.lock(shard).replica)
    }

    /// Takes an interval that a peer sent; the round that makes it durable, unless it tells
    /// nothing new.
    ///
    /// # Errors
    ///
    /// As [`Replica::receive`].
    pub fn receive(
        &self,
        shard: ShardIndex,
        interval: Interval,
    ) -> Result<Option<Round>, ReceiveError> {
        let mut locked = self.lock(shard);
        let received = locked.replica.receive(interval)?;
        let round = locked.round;
        drop(locked);
        if received == Received::Known {
            return Ok(None);
        }
        self.rounds.wake();
        Ok(Some(round))
    }

    // Stopping.

    /// Whether adds are refused now.
    ///
    /// # Errors
    ///
    /// The reason, when they are.
    pub fn refusing(&self) -> Result<(), Refusing> {
        if let Some(fork) = self.forked.get() {
            return Err(Refusing::Forked(fork.clone()));
        }
        if *self.stopping.borrow() {
            Err(Refusing::Stopping)
        } else {
            Ok(())
        }
    }

    /// Notes that this node's own lane has another history elsewhere: it takes no more adds, since
    /// its peers would not see them. Others' forks are their owners' business.
    pub fn note_fork(&self, fork: Fork) {
        if fork.lane == self.identity.replica {
            tracing::error!(%fork, "this node's own lane has forked; no more adds are taken");
            // Only the first fork is kept; one is enough to stop.
            let _ = self.forked.set(fork);
        }
    }

    /// Takes no more adds, and tells everybody who waits for [`stopped`](Self::stopped).
    pub fn stop(&self) {
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

    fn lock(&self, shard: ShardIndex) -> MutexGuard<'_, Shard> {
        locked(&self.shards[shard as usize])
    }

    /// Sorts adds by place, and makes one of several for the same.
    fn merge_by_place(&self, adds: &mut Vec<(Place, Sum)>) -> Result<(), AddRefusal> {
        adds.sort_unstable_by_key(|&(place, _)| place);
        let mut overflow = None;
        adds.dedup_by(|(place, more), (kept, sum)| {
            if place != kept {
                return false;
            }
            match sum.checked_add(*more) {
                Some(total) => *sum = total,
                None => overflow = Some(*place),
            }
            true
        });
        match overflow {
            None => Ok(()),
            Some(Place { shard, counter }) => {
                let counter = self.lock(shard).replica.name(counter).clone();
                Err(AddRefusal::BatchOverflow { counter })
            }
        }
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().expect("nobody panics while holding a shard")
}

#[cfg(test)]
mod tests;
