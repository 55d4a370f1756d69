//! Exports of real processes: the values of one digest, with the ages of each lane as reads tell them.

use tally_client::{Client, Options};
use wire::v1::cluster_service_client::ClusterServiceClient;
use wire::v1::{BatchAddItem, BatchAddRequest, ExportShardRequest};

use super::cluster::Cluster;
use super::load::Load;
use super::node::{Node, Values, eventually, reason};
use super::refusals::check;

async fn export(node: &Node) -> Vec<tally_client::ExportedShard> {
    let client = Client::connect([&node.address], Options::default()).expect("a client");
    let mut shards = Vec::new();
    for shard in 0..node.status().await.shard_count {
        shards.push(client.export_shard(shard).await.expect("an export"));
    }
    shards
}

#[tokio::test]
async fn equal_digests_are_exported_with_equal_values_and_the_ages_of_each_lane() {
    let mut cluster = Cluster::start().await;
    let load = Load::start(&cluster.nodes);
    for node in &cluster.nodes {
        assert!(!export(node).await.is_empty(), "under load too");
    }
    load.finish().await;
    let values = cluster.converged().await;
    cluster.nodes[2].kill();
    cluster.nodes[2].serve().await;
    let mut exports = Vec::new();
    for node in &cluster.nodes {
        exports.push(export(node).await);
    }
    let counters = exports[0].iter().flat_map(|it| &it.counters);
    let exported: Values = counters.map(|it| (it.counter.clone(), it.value)).collect();
    assert_eq!(exported, values);
    let mut lanes = 0;
    for (one, other) in exports[0].iter().zip(&exports[1]) {
        assert_eq!(one.counters, other.counters);
        for (one, other) in one.lanes.iter().zip(&other.lanes) {
            assert_eq!(
                (&one.lane, one.version, one.start),
                (&other.lane, other.version, other.start)
            );
            lanes += 1;
        }
        assert_eq!(one.lane_ages.len(), 3, "each connected replica");
        for age in &one.lane_ages {
            assert!(!age.newest_is_least, "heard of since the start: {age:?}");
            assert!(age.complete.is_some(), "{age:?}");
        }
    }
    assert!(lanes >= 3, "every node has counted");
    let restarted = exports[2].iter();
    assert_eq!(restarted.clone().flat_map(|it| &it.lanes).count(), lanes);
    let own = cluster.nodes[2].status().await.replica_id;
    let own = wire::replica_id_from_bytes(&own)
        .expect("an id")
        .to_string();
    for age in restarted.flat_map(|it| &it.lane_ages) {
        let is_own = age.replica_id == own;
        let is_held = age.newest.is_some();
        assert_eq!(
            age.newest_is_least,
            !is_own && is_held,
            "older than the process: {age:?}"
        );
    }
}

#[tokio::test]
async fn a_shard_that_does_not_exist_is_not_exported() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a").with(&["--shards", "4"]);
    node.serve().await;
    let mut client = ClusterServiceClient::new(node.channel());
    let refused = client.export_shard(ExportShardRequest { shard: 4 }).await;
    let refused = refused.expect_err("there is none");
    let (code, reason) = (tonic::Code::InvalidArgument, "AUDIT_INVALID");
    check("a shard", &refused, code, reason, &["shard 4", "has 4"]);
}

/// Clients that have asked and take nothing hold their places, and no more than these.
#[tokio::test]
async fn exports_have_a_bound_and_give_their_places_back() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a").with(&["--shards", "1"]);
    node.serve().await;
    // Names that make the answer longer than what the transport takes ahead of its reader.
    for batch in 0..8 {
        let item = |at: usize| BatchAddItem {
            counter: format!("{batch}/{at}/{}", "x".repeat(490)),
            amount: 1,
        };
        let items = (0..5_000).map(item).collect();
        let added = node
            .counters()
            .batch_add(BatchAddRequest {
                items,
                request: None,
            })
            .await;
        added.expect("a batch");
    }
    let mut client = ClusterServiceClient::new(node.channel());
    let mut open = Vec::new();
    for _ in 0..4 {
        let export = client.export_shard(ExportShardRequest { shard: 0 }).await;
        open.push(export.expect("there is a place").into_inner());
    }
    let refused = client.export_shard(ExportShardRequest { shard: 0 }).await;
    let status = refused.expect_err("four are under way");
    assert_eq!(reason(&status), "EXPORTS_EXHAUSTED", "{status}");
    assert!(status.message().contains("4 exports"), "{status}");
    open.clear();
    eventually("a place is given back", async || {
        let export = client.export_shard(ExportShardRequest { shard: 0 }).await;
        export.is_ok()
    })
    .await;
}
