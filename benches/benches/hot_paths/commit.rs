//! Closing a group of dirty counters and letting it take effect; the disk is another subject.

use std::time::{Duration, Instant};

use benches::{COUNTERS, add_to_all, commit, replica_of};
use criterion::{BenchmarkId, Criterion, Throughput};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    for dirty in COUNTERS {
        group.throughput(Throughput::Elements(dirty as u64));
        let mut replica = replica_of(dirty);
        group.bench_function(BenchmarkId::new("dirty", dirty), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    add_to_all(&mut replica);
                    let began = Instant::now();
                    let committed = commit(&mut replica);
                    spent += began.elapsed();
                    assert_eq!(committed[0].sums.len(), dirty);
                }
                spent
            });
        });
    }
}
