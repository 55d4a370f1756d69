//! Which counters explain that two nodes hold different things of a lane.

use crdt_core::{CounterName, ReplicaId};
use protocol::{RecordComparison, RecordDifference, RecordEffect, RecordPage, RecordState};
use wire::v1::{ListLaneRecordsRequest, cluster_service_client::ClusterServiceClient};

use crate::{
    Client, Error, attempt::attempt, error::Effect, error::Unexpected, options::ANSWER_BYTES_MAX,
};

/// Differences that are named, for each lane; the others are counted.
pub const EXPLAINED_MAX: usize = 1_000;

/// What the calls are named in errors.
const CALL: &str = "audit";

/// Which records of a lane differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The counters, at most [`EXPLAINED_MAX`] of them.
    pub counters: Vec<CounterDifference>,
    /// Differences that are not named.
    pub counters_more: u64,
    /// Counters that were compared.
    pub compared: u64,
    /// Counters that have changed in the lane since, so that their records cannot be compared.
    pub undecided: u64,
}

/// A counter of which two nodes say different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterDifference {
    /// The counter.
    pub counter: String,
    /// The version of the lane at which it changed last, on the one node; 0 where that has no
    /// record of it.
    pub version: u64,
    /// What the one node says that the lane's owner added and subtracted.
    pub total: (u128, u128),
    /// The version on the other node.
    pub version_with: u64,
    /// What the other one says.
    pub total_with: (u128, u128),
}

impl CounterDifference {
    fn of(difference: &RecordDifference) -> Self {
        let total = |state: RecordState| (state.total.incremented, state.total.decremented);
        Self {
            counter: difference.counter.as_str().to_owned(),
            version: difference.one.version.get(),
            total: total(difference.one),
            version_with: difference.other.version.get(),
            total_with: total(difference.other),
        }
    }
}

impl Client {
    /// Compares a lane of a shard on two nodes, record by record.
    pub(super) async fn explain(
        &self,
        shard: u32,
        lane: ReplicaId,
        (node, with): (usize, usize),
    ) -> Result<Explanation, Error> {
        let mut comparison = RecordComparison::new(wire::hash_name);
        let mut explanation = Explanation::default();
        loop {
            match comparison.poll() {
                RecordEffect::Read(side, after) => {
                    let node = [node, with][side as usize];
                    let page = self.lane_records(node, shard, lane, after).await?;
                    comparison.page(side, page);
                }
                RecordEffect::Differs(it) if explanation.counters.len() < EXPLAINED_MAX => {
                    explanation.counters.push(CounterDifference::of(&it));
                }
                RecordEffect::Differs(_) => explanation.counters_more += 1,
                RecordEffect::End(summary) => {
                    explanation.compared = summary.compared;
                    explanation.undecided = summary.undecided;
                    return Ok(explanation);
                }
            }
        }
    }

    async fn lane_records(
        &self,
        node: usize,
        shard: u32,
        lane: ReplicaId,
        after: Option<CounterName>,
    ) -> Result<RecordPage, Error> {
        let node = self.node(node);
        let mut stub = ClusterServiceClient::new(node.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let request = ListLaneRecordsRequest {
            shard,
            replica_id: wire::replica_id_to_bytes(lane),
            page_token: after.map_or_else(String::new, |name| name.as_str().to_owned()),
        };
        let patience = self.shared.options.read_attempt_deadline;
        let answer = stub.list_lane_records(request);
        let page = attempt(node, CALL, Effect::Reads, patience, answer).await?;
        wire::audit::records_from_wire(&page).map_err(|error| {
            let unexpected = Unexpected {
                expected: "a page of records".to_owned(),
                found: error.to_string(),
            };
            Error::unexpected(&node.address, CALL, Effect::Reads, unexpected)
        })
    }
}
