//! The log on a real disk: appending and syncing a group, and reading a node back.
//!
//! The files are under `target/`, since a temporary directory may lie in memory, where a sync
//! costs nothing.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use benches::name;
use commit_log::{DataDirectory, DirectoryError, ExpectedIdentity, Log};
use crdt_core::Sum;
use criterion::{BenchmarkId, Criterion, Throughput};
use protocol::{Adds, ReplicationLimits};
use tally_server::node::{Node, NodeLimits, commit::Committer, recovery};
use tempfile::TempDir;

/// One small group, one of a thousand counters, and one as large as a frame usually gets.
const GROUP_BYTES: [usize; 3] = [100, 10_000, 1_000_000];

/// Counters of a node that is read back.
const COUNTERS: [usize; 3] = [1_000, 100_000, 1_000_000];

/// Rounds in which a node's counters were added to: a segment holds each of them so often.
const ROUNDS: usize = 3;

pub(crate) fn all(criterion: &mut Criterion) {
    append_and_sync(criterion);
    replay(criterion);
}

fn append_and_sync(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/append_and_sync");
    for bytes in GROUP_BYTES {
        group.throughput(Throughput::Bytes(bytes as u64));
        let place = place();
        let payload = vec![0x5a; bytes];
        let opened = Log::open(directory(place.path()), |_, _| {
            Ok::<(), std::convert::Infallible>(())
        });
        let mut log = opened.expect("a new log");
        group.bench_function(BenchmarkId::new("bytes", bytes), |bencher| {
            bencher.iter(|| {
                log.append(&payload).expect("a sound disk");
                log.sync().expect("a sound disk");
            });
        });
    }
}

fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/replay");
    for counters in COUNTERS {
        group.throughput(Throughput::Elements(counters as u64));
        let place = place();
        write_node(place.path(), counters);
        group.bench_function(BenchmarkId::new("counters", counters), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let began = Instant::now();
                    let (node, _log) = open(place.path());
                    spent += began.elapsed();
                    assert_eq!(node.counters(), counters as u64);
                }
                spent
            });
        });
    }
}

/// Writes a directory as a node does that counts.
fn write_node(path: &Path, counters: usize) {
    let (node, log) = open(path);
    let node = Arc::new(node);
    let committer = Committer::spawn(Arc::clone(&node), log).expect("a thread");
    let mut completed = node.completed();
    for _ in 0..ROUNDS {
        let mut adds = Adds::default();
        for name in (0..counters).map(name) {
            adds.add_named(node.shard_of(&name), name, Sum::of(1));
        }
        let round = node.take(&mut adds).expect("far from any bound").round;
        while *completed.borrow_and_update() < round {
            thread::sleep(Duration::from_millis(1));
        }
    }
    committer.close(&node);
    // A snapshot that was begun keeps the directory until it is finished.
    while let Err(DirectoryError::InUse { .. }) = try_directory(path) {
        thread::sleep(Duration::from_millis(1));
    }
}

fn open(path: &Path) -> (Node, Log) {
    let limits = NodeLimits {
        counters_max: u64::MAX,
        replication: ReplicationLimits::default(),
    };
    recovery::open(directory(path), limits).expect("a sound log")
}

fn directory(path: &Path) -> DataDirectory {
    try_directory(path).expect("a directory")
}

fn try_directory(path: &Path) -> Result<DataDirectory, DirectoryError> {
    let expected = ExpectedIdentity {
        cluster: "bench".into(),
        shard_count: 16,
    };
    DataDirectory::open_or_create(path, &expected)
}

fn place() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory under target")
}
