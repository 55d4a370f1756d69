//! What the machines say, as protobuf and back.

use protocol::{HeldLane, Hello, IngestMessage, IngestRequest};

use crate::{DecodeError, replica_id_from_bytes, replica_id_to_bytes, v1};

/// A hello as protobuf.
#[must_use]
pub fn hello_to_wire(hello: &Hello) -> v1::Hello {
    v1::Hello {
        cluster: hello.cluster.clone(),
        protocol_version_min: hello.protocol_version_min,
        protocol_version: hello.protocol_version,
        shard_count: hello.shard_count,
        replica_id: replica_id_to_bytes(hello.replica),
    }
}

/// A hello from protobuf.
///
/// # Errors
///
/// When its replica id is none.
pub fn hello_from_wire(hello: &v1::Hello) -> Result<Hello, DecodeError> {
    Ok(Hello {
        cluster: hello.cluster.clone(),
        protocol_version_min: hello.protocol_version_min,
        protocol_version: hello.protocol_version,
        shard_count: hello.shard_count,
        replica: replica_id_from_bytes(&hello.replica_id)?,
    })
}

/// Marks as protobuf.
#[must_use]
pub fn held_to_wire(held: &[HeldLane]) -> Vec<v1::HeldLane> {
    let to_wire = |held: &HeldLane| v1::HeldLane {
        shard: held.shard,
        replica_id: replica_id_to_bytes(held.lane),
        mark: Some(held.mark.into()),
    };
    held.iter().map(to_wire).collect()
}

/// Marks from protobuf.
///
/// # Errors
///
/// When a replica id is none.
pub fn held_from_wire(held: &[v1::HeldLane]) -> Result<Vec<HeldLane>, DecodeError> {
    let from_wire = |held: &v1::HeldLane| {
        Ok(HeldLane {
            shard: held.shard,
            lane: replica_id_from_bytes(&held.replica_id)?,
            mark: held.mark.unwrap_or_default().into(),
        })
    };
    held.iter().map(from_wire).collect()
}

/// A message of an ingest stream, as the machine reads it.
#[must_use]
pub fn ingest_message(request: &v1::IngestRequest) -> IngestMessage<'_> {
    IngestMessage {
        sequence: request.sequence,
        introduced: &request.introduced,
        counters: &request.counters,
        amounts: &request.amounts,
        request: request.request.as_ref().map(|request| IngestRequest {
            session: &request.session,
            number: request.number,
            answered_below: request.answered_below,
            is_moved: request.moved,
        }),
    }
}
