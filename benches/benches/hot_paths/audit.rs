//! What an audit costs a shard: the walk that reads all records, and commits that are followed.

use std::time::{Duration, Instant};

use benches::{COUNTERS, add_to_all, commit, replica_of};
use criterion::{BenchmarkId, Criterion, Throughput};

/// Counters for which a shard is held at a time, as a node does it.
const COUNTERS_AT_ONCE: usize = 1_024;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("audit");
    for counters in COUNTERS {
        group.throughput(Throughput::Elements(counters as u64));
        let mut replica = replica_of(counters);
        group.bench_function(BenchmarkId::new("walk", counters), |bencher| {
            bencher.iter(|| {
                replica.follow(wire::hash_name);
                while !replica.walk(COUNTERS_AT_ONCE) {}
            });
        });
        group.bench_function(BenchmarkId::new("commit_followed", counters), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    add_to_all(&mut replica);
                    let began = Instant::now();
                    let committed = commit(&mut replica);
                    spent += began.elapsed();
                    assert_eq!(committed[0].sums.len(), counters);
                }
                spent
            });
        });
    }
}
