//! Reading a data directory back: every frame is a part of an interval, and every interval is
//! applied to its shard's replica, whole. Parts of an interval that was not written to its end
//! are dropped: it was never synced.

use crdt_core::{ReceiveError, Replica, ReplicaId, StartId};
use prost::Message as _;
use wire::{DecodeError, DecodeLimits, IntervalDecoder, v1::IntervalPart};

use super::{Node, NodeIdentity};
use crate::log::{DataDirectory, FrameSource, Log, OpenError};

/// Why a frame of the log cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is not a protobuf message.
    #[error("it is no interval: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// It is a message, but not a well-formed one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It does not continue the lane.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

/// Why a node could not be opened.
pub type RecoveryError = OpenError<FrameError>;

/// Opens the log of a directory and reads it into a node. Everything read is durable when this
/// returns.
///
/// # Errors
///
/// When the log is damaged or was not written by this replica.
///
/// # Panics
///
/// When the operating system has no randomness, without which no start can be told from another.
pub fn open(directory: DataDirectory, counters_max: u64) -> Result<(Node, Log), RecoveryError> {
    let identity = NodeIdentity {
        cluster: directory.identity().cluster.clone(),
        replica: ReplicaId::new(directory.identity().replica),
        start: random_start(),
        shard_count: directory.identity().shard_count,
    };
    let replica = |_| Replica::new(identity.replica, identity.start);
    let mut replicas: Vec<_> = (0..identity.shard_count).map(replica).collect();
    let mut source = None;
    let mut decoder = IntervalDecoder::new(identity.shard_count, DecodeLimits::FILE);
    let log = Log::open(directory, |frame_source: FrameSource, payload| {
        if source != Some(frame_source) {
            // Every file has a dictionary of its own.
            source = Some(frame_source);
            decoder = IntervalDecoder::new(identity.shard_count, DecodeLimits::FILE);
        }
        apply_frame(&mut replicas, &mut decoder, payload)
    })?;
    Ok((Node::new(identity, replicas, counters_max), log))
}

fn apply_frame(
    replicas: &mut [Replica],
    decoder: &mut IntervalDecoder,
    payload: &[u8],
) -> Result<(), FrameError> {
    let part = IntervalPart::decode(payload)?;
    let shard = decoder.shard_of(&part)?;
    let replica = &mut replicas[shard as usize];
    if let Some((_, interval)) = decoder.decode(&part, |name| replica.counter(name))? {
        replica.recover(&interval)?;
    }
    Ok(())
}

/// A number for this start of the process; never 0, which stands for no start.
fn random_start() -> StartId {
    let bits = getrandom::u64().expect("the operating system has randomness");
    StartId::new(bits.max(1))
}
