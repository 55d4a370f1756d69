//! The audit of a cluster: all nodes are asked what they hold, shard by shard, and compared.
//!
//! What can be compared, and what comes of it, is decided by [`ShardAudit`] and
//! [`RecordComparison`](protocol::RecordComparison) of `protocol`; here nodes are asked. All nodes
//! follow the same shard at the same time. Where a lane moves so fast, or a node is so far behind,
//! that no mark is common, they are asked again, a few times; then the report says so.
//!
//! This is the one place where the client knows of replicas and lanes: it serves operators, and not
//! applications.

mod explain;
mod stream;

use std::{collections::BTreeSet, time::Duration};

use crdt_core::ReplicaId;
use protocol::{Compared, NodeHolds, PastQuestion, ShardAudit, Verdict};
use tokio::time::sleep;

use self::stream::NodeStream;
use crate::{Client, Error, NodeStatus};

pub use self::explain::{CounterDifference, EXPLAINED_MAX, Explanation};

/// How often the nodes are asked for one shard, at most. A lane that moves is compared at the first
/// try, unless a node is behind by more than its owner remembers.
const TRIES_MAX: u32 = 5;

/// Between two tries: some paces of replication.
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// What an audit has found.
#[derive(Debug, Default)]
pub struct AuditReport {
    /// The nodes, in the order of the client.
    pub nodes: Vec<String>,
    /// Shards that were looked at.
    pub shards: u32,
    /// Comparisons that found the same on both sides: one of a lane of a shard on a node.
    pub equal: u64,
    /// Comparisons that could not be made, by reason and node, with their number.
    pub not_compared: Vec<NotCompared>,
    /// Lanes that are not the same on two nodes.
    pub differences: Vec<AuditDifference>,
}

/// Lanes of a node that were not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCompared {
    /// The node's address.
    pub node: String,
    /// Why, and what can be done.
    pub reason: String,
    /// In how many shards and lanes; where the node did not answer, in how many shards.
    pub count: u64,
}

/// A lane of a shard that is not the same on two nodes.
#[derive(Debug)]
pub struct AuditDifference {
    /// The shard.
    pub shard: u32,
    /// The lane: its owner's replica id, as 32 hexadecimal digits.
    pub lane: String,
    /// One node.
    pub node: String,
    /// The other one: the lane's owner, where it answers.
    pub with: String,
    /// The version of the lane at which both were compared.
    pub version: u64,
    /// The lane has two histories. Then nothing else explains it.
    pub is_forked: bool,
    /// Which records differ, or why that cannot be said.
    pub explanation: Result<Explanation, Error>,
}

impl AuditReport {
    fn not_compared(&mut self, node: &str, reason: String) {
        let known = self.not_compared.iter_mut();
        let mut known = known.filter(|it| it.node == node && it.reason == reason);
        match known.next() {
            Some(known) => known.count += 1,
            None => self.not_compared.push(NotCompared {
                node: node.to_owned(),
                reason,
                count: 1,
            }),
        }
    }
}

/// The nodes that take part.
struct Cluster {
    shard_count: u32,
    nodes: Vec<(usize, ReplicaId)>,
}

impl Client {
    /// Compares what all nodes hold, counter by counter, however busy they are. While it lasts a
    /// node rests 199 times as long as it reads, so it takes the longer the more counters there are.
    ///
    /// Nodes that do not answer are named in the report; so are lanes that could not be compared.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// let report = client.audit().await?;
    /// for it in &report.differences {
    ///     println!("{} and {} hold different things of lane {}", it.node, it.with, it.lane);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the nodes are not of one cluster, or one is named twice. Nothing else fails it.
    pub async fn audit(&self) -> Result<AuditReport, Error> {
        let mut report = AuditReport {
            nodes: self.nodes().map(str::to_owned).collect(),
            ..AuditReport::default()
        };
        let statuses = self.status().await;
        let mut answered = Vec::new();
        for (place, (address, status)) in statuses.into_iter().enumerate() {
            match status {
                Ok(status) => answered.push((place, address, status)),
                Err(error) => report.not_compared(&address, error.to_string()),
            }
        }
        let cluster = cluster_of(&answered)?;
        for shard in 0..cluster.shard_count {
            self.audit_shard(&cluster, shard, &mut report).await;
            report.shards += 1;
        }
        Ok(report)
    }

    async fn audit_shard(&self, cluster: &Cluster, shard: u32, report: &mut AuditReport) {
        let mut streams = Vec::new();
        for opened in self.open_streams(cluster, shard).await {
            match opened {
                Ok(stream) => streams.push(stream),
                Err((node, error)) => {
                    report.not_compared(&self.node(node).address, error.to_string());
                }
            }
        }
        let mut found = Vec::new();
        for left in (0..TRIES_MAX).rev() {
            found = compare(&mut streams).await;
            let is_difference = |it: &Compared| it.verdict.is_difference();
            let is_done = found.iter().all(|it| it.verdict.is_compared());
            if is_done || left == 0 || found.iter().any(is_difference) {
                break;
            }
            sleep(TRY_PAUSE).await;
            stream::ask_again(&mut streams).await;
        }
        for (node, error) in streams.iter().filter_map(NodeStream::failure) {
            report.not_compared(&self.node(node).address, error.to_string());
        }
        stream::close(streams).await;
        for it in found {
            match it.verdict {
                Verdict::Equal => report.equal += 1,
                Verdict::Differs | Verdict::Forked => {
                    let difference = self.explained(shard, &it).await;
                    report.differences.push(difference);
                }
                Verdict::NotHeld | Verdict::NotKept | Verdict::NoCommonMark => {
                    let reason = reason(it.verdict).to_owned();
                    report.not_compared(&self.node(it.node).address, reason);
                }
            }
        }
    }

    async fn explained(&self, shard: u32, it: &Compared) -> AuditDifference {
        let with = it.with.unwrap_or(it.node);
        let is_forked = it.verdict == Verdict::Forked;
        let explanation = if is_forked {
            Ok(Explanation::default())
        } else {
            self.explain(shard, it.lane, (it.node, with)).await
        };
        AuditDifference {
            shard,
            lane: it.lane.to_string(),
            node: self.node(it.node).address.clone(),
            with: self.node(with).address.clone(),
            version: it.mark.version.get(),
            is_forked,
            explanation,
        }
    }
}

fn reason(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotHeld => "it holds nothing of the lane yet",
        Verdict::NotKept => {
            "it is further behind than the lane's owner remembers; ask again when it has caught up"
        }
        Verdict::NoCommonMark => {
            "the lane's owner did not answer, and no other node holds the lane to the same mark; \
             name the owner's address too, or ask again"
        }
        Verdict::Equal | Verdict::Differs | Verdict::Forked => "it was compared",
    }
}

/// Asks everybody, and the owners for what others hold.
async fn compare(streams: &mut [NodeStream]) -> Vec<Compared> {
    let holds: Vec<NodeHolds> = streams.iter().filter_map(NodeStream::holds).collect();
    let mut audit = ShardAudit::new(&holds);
    let questions = audit.questions();
    for stream in streams {
        let mine = |it: &&PastQuestion| it.node == stream.node();
        let mine: Vec<PastQuestion> = questions.iter().filter(mine).copied().collect();
        for (question, answer) in stream.ask(&mine).await {
            audit.answer(&question, answer);
        }
    }
    audit.compared().to_vec()
}

fn cluster_of(answered: &[(usize, String, NodeStatus)]) -> Result<Cluster, Error> {
    let Some((_, first, expected)) = answered.first() else {
        let shard_count = 0;
        let nodes = Vec::new();
        return Ok(Cluster { shard_count, nodes });
    };
    let mut nodes = Vec::new();
    let mut seen = BTreeSet::new();
    for (place, address, status) in answered {
        let of = |status: &NodeStatus| (status.cluster.clone(), status.shard_count);
        if of(status) != of(expected) {
            return Err(Error::argument(format!(
                "{address} is of cluster {:?} with {} shards, and {first} of {:?} with {}; name the \
                 nodes of one cluster",
                status.cluster, status.shard_count, expected.cluster, expected.shard_count
            )));
        }
        let replica = wire::replica_id_from_bytes(&status.replica_id);
        let replica = replica.map_err(|error| Error::argument(format!("{address}: {error}")))?;
        if !seen.insert(replica) {
            return Err(Error::argument(format!(
                "{address} is replica {replica}, which another address is too; name each node once"
            )));
        }
        nodes.push((*place, replica));
    }
    Ok(Cluster {
        shard_count: expected.shard_count,
        nodes,
    })
}
