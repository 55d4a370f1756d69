//! Restarts from a log that has outgrown its snapshot: the state is the one before.

use tally_client::{Client, IngestOptions, Options};

use super::node::{Node, eventually, soon};

/// Counters whose names, at 512 bytes each, make more than the 16 MiB of log after which the
/// first snapshot is written.
const COUNTERS: usize = 40_000;

#[tokio::test]
async fn a_restart_from_a_snapshot_and_segments_finds_the_same_state() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let name = |number: usize| format!("{number:0>512}");
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
