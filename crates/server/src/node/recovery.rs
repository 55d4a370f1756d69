//! Reading a data directory back into a node.

use commit_log::{DataDirectory, FrameSource, Log, OpenError};
use crdt_core::{Replica, ReplicaId, StartId};
use wire::{FrameError, Recovery};

use super::{Node, NodeIdentity, NodeLimits};

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
pub fn open(directory: DataDirectory, limits: NodeLimits) -> Result<(Node, Log), RecoveryError> {
    let identity = NodeIdentity {
        cluster: directory.identity().cluster.clone(),
        replica: ReplicaId::new(directory.identity().replica),
        start: random_start(),
        shard_count: directory.identity().shard_count,
    };
    let replica = |_| Replica::new(identity.replica, identity.start);
    let mut recovery = Recovery::new((0..identity.shard_count).map(replica).collect());
    let mut source = None;
    let log = Log::open(directory, |frame_source: FrameSource, payload| {
        if source != Some(frame_source) {
            source = Some(frame_source);
            recovery.begin_file();
        }
        recovery.frame(payload)
    })?;
    let keep_fork = Box::new(|_: &crdt_core::Fork| Ok(()));
    let node = Node::new(identity, limits, recovery.finish(), None, keep_fork);
    Ok((node, log))
}

/// A number for this start of the process; never 0, which stands for no start.
fn random_start() -> StartId {
    let bits = getrandom::u64().expect("the operating system has randomness");
    StartId::new(bits.max(1))
}
