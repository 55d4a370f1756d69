//! Logs that have outgrown their snapshot: what a restart finds, and what a failed snapshot costs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tally_client::{Client, IngestOptions, Options};
use tokio::time::{Instant, sleep};

use super::node::{Node, eventually, soon};

/// Counters whose names, at 512 bytes each, make more than the 16 MiB of log after which the
/// first snapshot is written.
const COUNTERS: usize = 40_000;

fn name(number: usize) -> String {
    format!("{number:0>512}")
}

/// Adds 1 to the first counter, 2 to the second, and so on.
async fn fill(node: &Node) {
    let client = Client::connect([&node.address], Options::default()).expect("a client");
    let mut stream = client
        .ingest(&IngestOptions::default())
        .expect("valid options");
    for number in 0..COUNTERS {
        let amount = i64::try_from(number + 1).expect("small");
        stream
            .add_amount(&name(number), amount)
            .await
            .expect("an add");
    }
    soon("durable", stream.finish()).await.expect("durable");
}

#[tokio::test]
async fn a_restart_from_a_snapshot_and_segments_finds_the_same_state() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    fill(&node).await;
    // The round that crosses the bound begins the snapshot; a segment goes on behind it.
    node.add("last", 1).await.expect("an add");
    eventually("a snapshot replaces the segments", async || {
        let log = node.status().await.log.expect("a log");
        log.snapshot_bytes > 16 << 20 && log.segment_bytes < 16 << 20
    })
    .await;
    node.add("last", 6).await.expect("an add");
    node.add(&name(3), -3).await.expect("an add");

    let before = node.status().await;
    node.kill();
    node.serve().await;
    let after = node.status().await;
    assert_eq!(
        (after.counters, after.lanes),
        (before.counters, before.lanes)
    );
    let mut values = node.values().await;
    assert_eq!(values.remove("last"), Some(7));
    assert_eq!(values.remove(&name(3)), Some(1));
    assert_eq!(values.len(), COUNTERS - 1);
    for (name, value) in values {
        let number: i64 = name.parse().expect("a number");
        assert_eq!(value, number + 1);
    }
    node.add("last", 1).await.expect("it goes on counting");
    assert_eq!(node.value("last").await, 8);
}

/// Directories in the places of the files that a snapshot would be written to, so that none can be
/// created: whatever frame it is that the first one ends at. A group of one shard is one frame or
/// a few, and the log is as long as that of a few dozen groups.
fn block_snapshots(node: &Node) -> Vec<PathBuf> {
    let place = |frame| node.data.join(format!("snapshot-{frame:020}.snap.tmp"));
    let places: Vec<_> = (2..1_000).map(place).collect();
    for place in &places {
        fs::create_dir(place).expect("no snapshot is written yet");
    }
    places
}

#[tokio::test]
async fn a_snapshot_that_fails_is_tried_again_later_and_adds_go_on() {
    /// The first wait after a failure.
    const RETRY: Duration = Duration::from_secs(10);
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a").with(&["--shards", "1"]);
    node.serve().await;
    let blocks = block_snapshots(&node);
    fill(&node).await;
    node.add("last", 1).await.expect("an add");
    let failures = || node.written().matches("snapshot failed").count();
    eventually("a snapshot fails", async || failures() > 0).await;
    let began = Instant::now();
    while began.elapsed() < RETRY / 2 {
        node.add("last", 1).await.expect("adds go on");
        sleep(Duration::from_millis(10)).await;
    }
    let log = node.status().await.log.expect("a log");
    println!("figure: {} failures, {} segments", failures(), log.segments);
    assert_eq!(failures(), 1, "it is tried again, but not yet");
    assert!(log.segments <= 3, "{log:?}");
    assert_eq!(log.snapshot_bytes, 0, "{log:?}");
    for block in blocks {
        fs::remove_dir(block).expect("it is empty");
    }
    eventually("it is tried again, and replaces the segments", async || {
        let log = node.status().await.log.expect("a log");
        log.snapshot_bytes > 16 << 20 && log.segment_bytes < 16 << 20
    })
    .await;
    let last = node.value("last").await;
    node.kill();
    node.serve().await;
    assert_eq!(node.value("last").await, last);
    assert_eq!(node.value(&name(7)).await, 8);
}
