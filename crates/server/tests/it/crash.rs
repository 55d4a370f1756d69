//! kill -9 under load: no acknowledged add is lost, and nothing is counted that nobody added. And
//! every step of every process was one that the machines would have made.
//!
//! A few rounds, so that every test run has them; `cargo xtask chaos` makes many.

use std::time::Duration;

use tokio::time::sleep;

use super::cluster::Cluster;
use super::load::Load;

/// How long the load runs between two faults, and how long a killed node stays away.
const BETWEEN_FAULTS: Duration = Duration::from_millis(300);

#[tokio::test]
async fn no_acknowledged_add_is_lost_when_nodes_are_killed_under_load() {
    let mut cluster = Cluster::start().await;
    let load = Load::start(&cluster.nodes);
    for victim in [0, 1, 2, 0] {
        sleep(BETWEEN_FAULTS).await;
        cluster.nodes[victim].kill();
        sleep(BETWEEN_FAULTS).await;
        cluster.nodes[victim].serve().await;
    }
    sleep(BETWEEN_FAULTS).await;
    let ledger = load.finish().await;
    ledger.check(&cluster.converged().await);
    let (replayed, _) = cluster.stopped_with_valid_traces().await;
    assert_eq!(replayed.starts, 3 + 4);
}

#[tokio::test]
async fn no_acknowledged_add_is_lost_when_all_nodes_are_killed_at_once() {
    let mut cluster = Cluster::start().await;
    let load = Load::start(&cluster.nodes);
    for _ in 0..2 {
        sleep(BETWEEN_FAULTS).await;
        for node in &mut cluster.nodes {
            node.kill();
        }
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.ready().await;
    }
    sleep(BETWEEN_FAULTS).await;
    let ledger = load.finish().await;
    ledger.check(&cluster.converged().await);
    let (replayed, _) = cluster.stopped_with_valid_traces().await;
    assert_eq!(replayed.starts, 3 + 2 * 3);
}
