//! Reading a value: the sum over the lanes of three replicas.

use std::hint::black_box;

use benches::{
    MANY_COUNTERS, OWNER, add_to_all, commit, empty_replica, index, replica_of, scattered,
};
use crdt_core::{Mark, ReplicaId};
use criterion::{BenchmarkId, Criterion, Throughput};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("value");
    group.throughput(Throughput::Elements(1));
    for counters in MANY_COUNTERS {
        let mut replica = replica_of(counters);
        for peer in [2, 3] {
            let peer = ReplicaId::new(peer);
            let mut other = empty_replica(peer);
            let whole = replica.interval(OWNER, Mark::ZERO);
            let whole = replica.export(&whole.expect("one history").expect("it has adds"));
            other.import(&whole);
            add_to_all(&mut other);
            let group = commit(&mut other);
            let news = other.export(&group[0]);
            let news = replica.import(&news);
            replica.receive(news).expect("it continues the lane");
            commit(&mut replica);
        }
        assert_eq!(replica.value(index(0)), 3);
        let mut numbers = scattered(counters);
        group.bench_function(BenchmarkId::new("uniform", counters), |bencher| {
            bencher.iter(|| replica.value(black_box(index(numbers.next().expect("endless")))));
        });
    }
}
