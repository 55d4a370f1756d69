//! Building the interval that a peer lacks, and applying it there.

use std::time::{Duration, Instant};

use benches::{COUNTERS, OWNER, add_to_all, commit, empty_replica, index, replica_of};
use crdt_core::{Mark, Received, ReplicaId, Sum};
use criterion::{BenchmarkId, Criterion, Throughput};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("interval");
    for counters in COUNTERS {
        group.throughput(Throughput::Elements(counters as u64));
        let mut owner = replica_of(counters);
        group.bench_function(BenchmarkId::new("build_whole_lane", counters), |bencher| {
            bencher.iter(|| owner.interval(OWNER, Mark::ZERO));
        });

        let mut peer = empty_replica(ReplicaId::new(2));
        group.bench_function(BenchmarkId::new("apply", counters), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    add_to_all(&mut owner);
                    commit(&mut owner);
                    let news = owner.interval(OWNER, peer.held(OWNER));
                    let news = owner.export(&news.expect("one history").expect("news"));
                    let news = peer.import(&news);
                    let began = Instant::now();
                    assert_eq!(peer.receive(news), Ok(Received::Taken));
                    commit(&mut peer);
                    spent += began.elapsed();
                }
                spent
            });
        });

        // What a pace usually sends: little of much.
        let before = owner.held(OWNER);
        owner.add(index(0), Sum::of(1)).expect("far from any bound");
        commit(&mut owner);
        group.throughput(Throughput::Elements(1));
        group.bench_function(
            BenchmarkId::new("build_one_change_of", counters),
            |bencher| {
                bencher.iter(|| owner.interval(OWNER, before));
            },
        );
    }
}
