//! Intervals as bytes and back: with the names of all counters, as the first time on a stream, and
//! without, as ever after.

use benches::{COUNTERS, OWNER, empty_replica, replica_of};
use crdt_core::{Mark, ReplicaId};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use prost::Message as _;
use wire::v1::IntervalPart;
use wire::{DecodeLimits, IntervalDecoder, IntervalEncoder};

const SHARDS: u32 = 1;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    for counters in COUNTERS {
        group.throughput(Throughput::Elements(counters as u64));
        let owner = replica_of(counters);
        let lane = owner.interval(OWNER, Mark::ZERO);
        let lane = lane.expect("one history").expect("it has adds");
        let encode = |encoder: &mut IntervalEncoder| -> Vec<Vec<u8>> {
            let parts = encoder.encode(0, &lane, |counter| owner.name(counter).clone());
            parts.iter().map(IntervalPart::encode_to_vec).collect()
        };
        let mut peer = empty_replica(ReplicaId::new(2));
        let mut decode = |decoder: &mut IntervalDecoder, parts: &[Vec<u8>]| {
            let mut whole = None;
            for part in parts {
                let part = IntervalPart::decode(&**part).expect("as it was encoded");
                let decoded = decoder.decode(&part, |name| peer.counter(name));
                whole = decoded.expect("as it was encoded");
            }
            whole.expect("the last part ends it")
        };

        let mut encoder = IntervalEncoder::new(SHARDS);
        let with_names = encode(&mut encoder);
        let without_names = encode(&mut encoder);
        group.bench_function(BenchmarkId::new("encode_with_names", counters), |bencher| {
            let setup = || IntervalEncoder::new(SHARDS);
            bencher.iter_batched_ref(setup, encode, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("encode", counters), |bencher| {
            bencher.iter(|| encode(&mut encoder));
        });
        let mut decoder = IntervalDecoder::new(SHARDS, DecodeLimits::STREAM);
        decode(&mut decoder, &with_names);
        group.bench_function(BenchmarkId::new("decode_with_names", counters), |bencher| {
            let setup = || IntervalDecoder::new(SHARDS, DecodeLimits::STREAM);
            let decode = |decoder: &mut IntervalDecoder| decode(decoder, &with_names);
            bencher.iter_batched_ref(setup, decode, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("decode", counters), |bencher| {
            bencher.iter(|| decode(&mut decoder, &without_names));
        });
    }
}
