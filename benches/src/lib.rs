//! What the benchmarks of the hot paths share: replicas of a given size, and how long to measure.
//!
//! `cargo bench -p benches` runs all of them in about a minute; `cargo bench -p benches --
//! commit` runs those of one subject. The subjects are files of `benches/hot_paths`. What a
//! node costs those who wait for it is timed by another program, in `benches/tails`; what whole
//! clusters count, by `cargo xtask loadtest`.

use std::time::Duration;

use crdt_core::{CounterIndex, CounterName, Group, Replica, ReplicaId, StartId, Sum};
use criterion::Criterion;

/// Counters of a shard: one hot counter, a busy shard, and a full one.
pub const COUNTERS: [usize; 3] = [1, 1_000, 100_000];

/// Also more than a processor's caches hold, where setting it up is quick.
pub const MANY_COUNTERS: [usize; 4] = [1, 1_000, 100_000, 1_000_000];

/// Short enough to run all of it between two thoughts; a change of a tenth still shows.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .nresamples(10_000)
        .without_plots()
        .configure_from_args()
}

/// The replica that owns the lanes measured.
pub const OWNER: ReplicaId = ReplicaId::new(1);

/// An empty replica.
#[must_use]
pub fn empty_replica(id: ReplicaId) -> Replica {
    Replica::new(id, StartId::new(1))
}

/// The owner with this many counters, each at 1, all durable.
#[must_use]
pub fn replica_of(counters: usize) -> Replica {
    let mut replica = empty_replica(OWNER);
    for number in 0..counters {
        replica.counter(&name(number));
    }
    add_to_all(&mut replica);
    commit(&mut replica);
    replica
}

/// A name as an application might choose it.
///
/// # Panics
///
/// Never: the name is short.
#[must_use]
pub fn name(number: usize) -> CounterName {
    CounterName::new(&format!("post/{number:07}/likes")).expect("a short name")
}

/// The counter with this number.
///
/// # Panics
///
/// When it is above 2^32.
#[must_use]
pub fn index(number: usize) -> CounterIndex {
    CounterIndex::new(u32::try_from(number).expect("few counters"))
}

/// Adds 1 to every counter: all are dirty then.
///
/// # Panics
///
/// After 2^63 times.
pub fn add_to_all(replica: &mut Replica) {
    for number in 0..replica.counters() {
        replica
            .add(index(number), Sum::of(1))
            .expect("far from any bound");
    }
}

/// Commits without a disk; what was to be written.
///
/// # Panics
///
/// When nothing was taken.
pub fn commit(replica: &mut Replica) -> Group {
    let group = replica.commit().expect("something was taken");
    replica.synced();
    group
}

/// Numbers below `bound` in an order that no cache can foresee; the same each time.
pub fn scattered(bound: usize) -> impl Iterator<Item = usize> {
    // The constants of Knuth's MMIX generator; its high bits are random enough to pick counters.
    let mut state: u64 = 1;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    })
}
