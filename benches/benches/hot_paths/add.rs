//! Taking an add into memory: always the same counter, or any of them.

use std::hint::black_box;

use benches::{MANY_COUNTERS, index, replica_of, scattered};
use crdt_core::Sum;
use criterion::{BenchmarkId, Criterion, Throughput};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("add");
    group.throughput(Throughput::Elements(1));
    for counters in MANY_COUNTERS {
        let mut replica = replica_of(counters);
        let mut add = |number| {
            let added = replica.add(black_box(index(number)), Sum::of(1));
            added.expect("far from any bound")
        };
        group.bench_function(BenchmarkId::new("hot", counters), |bencher| {
            bencher.iter(|| add(0));
        });
        let mut numbers = scattered(counters);
        group.bench_function(BenchmarkId::new("uniform", counters), |bencher| {
            bencher.iter(|| add(numbers.next().expect("endless")));
        });
    }
}
