//! Reading a data directory back into a node.

use std::sync::Arc;

use commit_log::{DataDirectory, ForkMark, ForkNote, FrameSource, Log, OpenError};
use crdt_core::{Fork, Mark, Replica, ReplicaId, StartId, Version};
use wire::{FrameError, Recovery};

use super::{Node, NodeIdentity, NodeLimits};

/// Why a node could not be opened.
pub type RecoveryError = OpenError<FrameError>;

/// Opens the log of a directory and reads it into a node. Everything read is durable when this
/// returns. A fork of the node's own lane is kept beside the log, and found again here.
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
    let directory = Arc::clone(log.directory());
    let forked = directory.forked().map(fork_of_note);
    if let Some(fork) = &forked {
        tracing::error!(%fork, "this node's own lane had forked before; no adds are taken");
    }
    let keep_fork = Box::new(move |fork: &Fork| {
        let kept = directory.note_fork(note_of_fork(fork));
        kept.map_err(|error| error.to_string())
    });
    let node = Node::new(identity, limits, recovery.finish(), forked, keep_fork);
    Ok((node, log))
}

fn note_of_fork(&Fork { lane, held, seen }: &Fork) -> ForkNote {
    let mark = |mark: Mark| ForkMark {
        version: mark.version.get(),
        start: mark.start.get(),
    };
    ForkNote {
        lane: lane.get(),
        held: mark(held),
        seen: mark(seen),
    }
}

fn fork_of_note(ForkNote { lane, held, seen }: ForkNote) -> Fork {
    let mark = |mark: ForkMark| Mark {
        version: Version::new(mark.version),
        start: StartId::new(mark.start),
    };
    Fork {
        lane: ReplicaId::new(lane),
        held: mark(held),
        seen: mark(seen),
    }
}

/// A number for this start of the process; never 0, which stands for no start.
fn random_start() -> StartId {
    let bits = getrandom::u64().expect("the operating system has randomness");
    StartId::new(bits.max(1))
}
