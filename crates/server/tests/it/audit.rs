//! Audits of real processes: nodes that hold the same are found to, under load too; a record that
//! is another one is named, with its lane, its counter and both totals.

use std::time::Duration;

use tally_client::{AuditReport, Client, Options};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use wire::v1::cluster_service_client::ClusterServiceClient;
use wire::v1::{AuditShardRequest, AuditShardResponse, AuditedMark, ListLaneRecordsRequest};

use super::cluster::Cluster;
use super::disk::alter_frames;
use super::load::Load;
use super::node::{Node, eventually, reason, soon};
use super::refusals::check;

/// Audits while the load runs.
const AUDITS_UNDER_LOAD: usize = 3;

async fn audit(nodes: &[Node]) -> AuditReport {
    let addresses = nodes.iter().map(|node| &node.address);
    let client = Client::connect(addresses, Options::default()).expect("a client");
    soon("an audit", client.audit()).await.expect("one cluster")
}

/// Two nodes that hold the same: two counters of A's, one of B's.
async fn pair(place: &TempDir, shards: &str) -> [Node; 2] {
    let [a, b] = ["a", "b"].map(|name| Node::new(place.path(), name).with(&["--shards", shards]));
    let [at_a, at_b] = [&a, &b].map(|node| node.address.clone());
    let mut nodes = [a.with_peers(&[&at_b]), b.with_peers(&[&at_a])];
    for node in &mut nodes {
        node.serve().await;
    }
    let [a, b] = &nodes;
    a.add("likes", 5).await.expect("an add");
    let token = a.add("views", 7).await.expect("an add");
    assert_eq!(b.value_after("views", token).await, 7);
    let token = b.add("likes", 1).await.expect("an add");
    assert_eq!(a.value_after("likes", token).await, 6);
    nodes
}

#[tokio::test]
async fn nodes_under_load_hold_the_same_and_are_all_compared_at_rest() {
    let cluster = Cluster::start().await;
    let load = Load::start(&cluster.nodes);
    let mut equal = 0;
    for _ in 0..AUDITS_UNDER_LOAD {
        sleep(Duration::from_millis(200)).await;
        let report = audit(&cluster.nodes).await;
        assert!(report.differences.is_empty(), "{report:?}");
        equal += report.equal;
    }
    assert!(equal > 0, "busy lanes are compared as well");
    load.finish().await.check(&cluster.converged().await);
    let report = audit(&cluster.nodes).await;
    assert!(report.differences.is_empty(), "{report:?}");
    assert_eq!(report.not_compared, [], "everything is at rest");
    // Each lane of a busy shard on the two nodes that do not own it.
    assert!(report.equal >= 6 && report.equal % 2 == 0, "{report:?}");
}

/// Adds 1 to what B has on disk of A's adds to a counter.
fn alter(b: &Node, owner: &[u8], counter: &str) {
    let altered = alter_frames(&b.data, |part| {
        let index = part.introduced.iter().find(|it| it.name == counter);
        let place = index.and_then(|it| part.counters.iter().position(|at| *at == it.index));
        match place {
            Some(place) if part.replica_id == owner => part.incremented[place] += 1,
            _ => return false,
        }
        true
    });
    assert_eq!(altered, 1, "one record of one lane");
}

#[tokio::test]
async fn an_altered_record_is_named_with_its_lane_its_counter_and_both_totals() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = pair(&place, "1").await;
    let owner = nodes[0].status().await.replica_id;
    nodes[1].kill();
    alter(&nodes[1], &owner, "likes");
    nodes[1].serve().await;
    assert_eq!(nodes[1].value("likes").await, 7, "and nobody else noticed");

    let mut report = AuditReport::default();
    eventually("the nodes are compared", async || {
        report = audit(&nodes).await;
        report.not_compared.is_empty()
    })
    .await;
    let [difference] = &report.differences[..] else {
        panic!("one lane is another one: {report:?}");
    };
    let lane = wire::replica_id_from_bytes(&owner)
        .expect("an id")
        .to_string();
    assert_eq!((&difference.lane, difference.shard), (&lane, 0));
    assert_eq!(difference.node, nodes[1].address);
    assert_eq!(difference.with, nodes[0].address);
    assert!(!difference.is_forked);
    let explanation = difference.explanation.as_ref().expect("both answer");
    let [counter] = &explanation.counters[..] else {
        panic!("one record is another one: {explanation:?}");
    };
    assert_eq!(counter.counter, "likes");
    assert_eq!((counter.total, counter.total_with), ((6, 0), (5, 0)));
    assert_eq!(counter.version, counter.version_with);
    assert_eq!((explanation.compared, explanation.undecided), (2, 0));
    assert_eq!(report.equal, 1, "B's own lane is sound");

    // The next add to it brings the owner's total, and with it the truth.
    let token = nodes[0].add("likes", 1).await.expect("an add");
    assert_eq!(nodes[1].value_after("likes", token).await, 7);
    eventually("the nodes are compared", async || {
        report = audit(&nodes).await;
        report.not_compared.is_empty()
    })
    .await;
    assert!(report.differences.is_empty(), "{report:?}");
}

#[tokio::test]
async fn copies_of_a_dead_nodes_lane_are_compared_with_each_other() {
    let mut cluster = Cluster::start().await;
    for node in &cluster.nodes {
        node.add("likes", 1).await.expect("an add");
    }
    cluster.converged().await;
    cluster.nodes[0].kill();
    let report = audit(&cluster.nodes).await;
    assert!(report.differences.is_empty(), "{report:?}");
    // In each shard the lanes of B and C on each other, and A's on one beside the other: all say
    // whom they know.
    assert_eq!(report.equal, 3 * u64::from(report.shards), "{report:?}");
    let [silent] = &report.not_compared[..] else {
        panic!("one node is dead: {report:?}");
    };
    assert_eq!(silent.node, cluster.nodes[0].address);
}

/// An audit of a shard that is under way.
async fn stream(node: &Node, first: AuditShardRequest) -> Result<Asked, tonic::Status> {
    let (questions, requests) = mpsc::channel(1);
    questions.send(first).await.expect("it has a place");
    let mut client = ClusterServiceClient::new(node.channel());
    let answers = client.audit_shard(ReceiverStream::new(requests)).await?;
    Ok(Asked {
        questions,
        answers: answers.into_inner(),
    })
}

#[derive(Debug)]
struct Asked {
    questions: mpsc::Sender<AuditShardRequest>,
    answers: Streaming<AuditShardResponse>,
}

fn first(shard: u32) -> AuditShardRequest {
    let at = Vec::new();
    AuditShardRequest { shard, at }
}

#[tokio::test]
async fn one_audit_at_a_time_is_served_and_each_bound_is_told() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a").with(&["--shards", "4"]);
    node.serve().await;
    let mut asked = stream(&node, first(3)).await.expect("nobody audits");
    asked.answers.message().await.expect("an answer");
    let second = stream(&node, first(3)).await.expect_err("one at a time");
    let (code, reason) = (Code::ResourceExhausted, "AUDIT_UNDER_WAY");
    check(
        "a second audit",
        &second,
        code,
        reason,
        &["1 audit", "over"],
    );

    let at = vec![AuditedMark::default(); 4_097];
    let question = AuditShardRequest { shard: 3, at };
    asked.questions.send(question).await.expect("it is served");
    let no_ids = asked.answers.message().await.expect_err("ids of no bytes");
    invalid("ids of no bytes", &no_ids, &["16"]);

    let again = async |request: AuditShardRequest| {
        let mut refused = None;
        eventually("the audit before is over", async || {
            let opened = stream(&node, request.clone()).await;
            let answer = match opened {
                Ok(mut asked) => asked.answers.message().await,
                Err(status) => Err(status),
            };
            refused = answer.err();
            !refused
                .iter()
                .any(|it| self::reason(it) == "AUDIT_UNDER_WAY")
        })
        .await;
        refused.expect("it is refused")
    };
    let no_shard = again(first(4)).await;
    invalid("a shard", &no_shard, &["shard 4", "has 4", "from 0"]);
    let replica_id = vec![7; 16];
    let at = vec![
        AuditedMark {
            replica_id,
            mark: None
        };
        4_097
    ];
    let many = again(AuditShardRequest { shard: 3, at }).await;
    invalid("many marks", &many, &["4097 marks", "at most 4096"]);
}

fn invalid(what: &str, status: &tonic::Status, says: &[&str]) {
    check(what, status, Code::InvalidArgument, "AUDIT_INVALID", says);
}

#[tokio::test]
async fn records_of_no_shard_or_no_lane_are_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a").with(&["--shards", "4"]);
    node.serve().await;
    let mut client = ClusterServiceClient::new(node.channel());
    let request = ListLaneRecordsRequest {
        shard: 4,
        ..ListLaneRecordsRequest::default()
    };
    let no_shard = client.list_lane_records(request).await;
    invalid(
        "a shard",
        &no_shard.expect_err("there is none"),
        &["shard 4"],
    );
    let request = ListLaneRecordsRequest {
        replica_id: vec![0; 3],
        ..ListLaneRecordsRequest::default()
    };
    let no_id = client.list_lane_records(request).await;
    invalid(
        "a replica id",
        &no_id.expect_err("it is none"),
        &["16", "3"],
    );
}

#[tokio::test]
async fn nodes_of_two_clusters_are_not_compared() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut nodes = [("a", "4"), ("b", "5")]
        .map(|(name, shards)| Node::new(place.path(), name).with(&["--shards", shards]));
    for node in &mut nodes {
        node.serve().await;
    }
    let client = |nodes: [&Node; 2]| {
        let addresses = nodes.map(|node| &node.address);
        Client::connect(addresses, Options::default()).expect("a client")
    };
    let [a, b] = &nodes;
    let error = client([a, b]).audit().await.expect_err("two clusters");
    assert!(error.is_invalid(), "{error}");
    let text = error.to_string();
    assert!(text.contains("with 5 shards"), "{text}");
}
