//! Exporting all counters of one node, shard by shard, each as it was at one instant.

use std::collections::BTreeMap;

use wire::v1::{ExportShardRequest, cluster_service_client::ClusterServiceClient};

use crate::{
    Client, CounterValue, Error, LaneAge, error::Effect, error::Unexpected,
    options::ANSWER_BYTES_MAX,
};

/// What the call is named in errors.
const CALL: &str = "export";

/// All counters of a shard, as a node had them at one instant, and what it knew then.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedShard {
    /// The shard.
    pub shard: u32,
    /// The values, in the order of their names' bytes.
    pub counters: Vec<CounterValue>,
    /// How far each lane was held: the digest of which all values are.
    pub lanes: Vec<ExportedLane>,
    /// How old the values may be, as reads tell it: for each lane held, and for those of connected
    /// peers.
    pub lane_ages: Vec<LaneAge>,
}

/// How far a lane was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedLane {
    /// The lane's owner: its replica id, as 32 hexadecimal digits.
    pub lane: String,
    /// The version that was held ...
    pub version: u64,
    /// ... and the start of the owner's process that wrote it.
    pub start: u64,
}

impl Client {
    /// All counters of one shard of the first node. It holds them in memory: about a hundred bytes
    /// and the name, for each.
    ///
    /// # Errors
    /// When the node does not answer to the end. Nothing is retried, and no other node is asked: the
    /// shards of an export are of one node.
    pub async fn export_shard(&self, shard: u32) -> Result<ExportedShard, Error> {
        let node = self.node(0);
        let failed = |status| Error::from_status(&node.address, CALL, Effect::Reads, status);
        let patience = self.shared.options.read_attempt_deadline;
        let late = || Error::deadline(&node.address, CALL, Effect::Reads, patience);
        let unexpected = |expected: &str, found: String| {
            let expected = expected.to_owned();
            let unexpected = Unexpected { expected, found };
            Error::unexpected(&node.address, CALL, Effect::Reads, unexpected)
        };
        let mut stub = ClusterServiceClient::new(node.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let opening = stub.export_shard(ExportShardRequest { shard });
        let opening = tokio::time::timeout(patience, opening).await;
        let mut pieces = opening.map_err(|_| late())?.map_err(failed)?.into_inner();
        let mut values = BTreeMap::new();
        loop {
            let piece = tokio::time::timeout(patience, pieces.message()).await;
            let piece = piece.map_err(|_| late())?.map_err(failed)?;
            let piece = piece.ok_or_else(|| unexpected("what was known", "the end".to_owned()))?;
            for value in piece.counters {
                let value = CounterValue::from(value);
                values.insert(value.counter.clone(), value);
            }
            let Some(end) = piece.end else { continue };
            let mut lanes = Vec::new();
            for lane in end.lanes {
                let id = wire::replica_id_from_bytes(&lane.replica_id);
                let id = id.map_err(|error| unexpected("a lane", error.to_string()))?;
                let mark = lane.mark.unwrap_or_default();
                lanes.push(ExportedLane {
                    lane: id.to_string(),
                    version: mark.version,
                    start: mark.start,
                });
            }
            return Ok(ExportedShard {
                shard,
                counters: values.into_values().collect(),
                lanes,
                lane_ages: end.lane_ages.into_iter().map(LaneAge::from).collect(),
            });
        }
    }
}
