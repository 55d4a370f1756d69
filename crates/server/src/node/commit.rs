//! The commit thread: collect, write, sync, complete, and again.
//!
//! The next group begins when the last one is done, so under load groups grow, and idle they are
//! immediate (group commit; DeWitt et al., "Implementation Techniques for Main Memory Database
//! Systems", 1984). One sync serves all shards, and all waiting adds and intervals.
//!
//! When the log has outgrown its snapshot, a new segment begins and a second thread writes a
//! snapshot: the lanes are durable state by construction, so it copies one shard after the other
//! under its lock and needs no pause.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crdt_core::{Fork, Mark};
use prost::Message as _;
use tokio::sync::oneshot;
use wire::{IntervalEncoder, PartsOf};

use super::{Node, Round, ShardIndex, locked};
use crate::log::{Log, LogWatcher, Sequence, Snapshot, Store, WriteError};

/// Segments may grow to this size before a snapshot, however small the last one was. A restart
/// reads 16 MiB in about half a second, and at full load they are written in a few seconds; the
/// snapshot of a small state, which then follows, is written in milliseconds.
const SNAPSHOT_LOG_BYTES_MIN: u64 = 16 << 20;

/// The running commit thread.
#[derive(Debug)]
pub struct Committer {
    thread: JoinHandle<()>,
    /// Resolves when the log has failed; the process must end then.
    pub failed: oneshot::Receiver<WriteError>,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn spawn(node: Arc<Node>, log: Log) -> std::io::Result<Self> {
        let (report, failed) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("commit".into())
            .spawn(move || {
                if let Err(error) = CommitLoop::new(&node, log).run() {
                    tracing::error!(%error, "the log failed; nothing more is acknowledged");
                    // The receiver is gone only when the process already ends.
                    let _ = report.send(error);
                }
            })?;
        Ok(Self { thread, failed })
    }

    /// Makes everything durable that was taken before this call, and ends the thread. Call it
    /// when nobody takes anything any more.
    pub fn close(self, node: &Node) {
        node.rounds.close();
        if self.thread.join().is_err() {
            tracing::error!("the commit thread panicked");
        }
    }
}

struct CommitLoop<'a> {
    node: &'a Arc<Node>,
    log: Log,
    watcher: LogWatcher,
    /// The dictionary of the segment being written.
    encoder: IntervalEncoder,
    round: Round,
}

impl<'a> CommitLoop<'a> {
    fn new(node: &'a Arc<Node>, log: Log) -> Self {
        let encoder = IntervalEncoder::new(node.identity.shard_count);
        Self {
            node,
            watcher: log.watcher(),
            log,
            encoder,
            round: Round::NONE,
        }
    }

    fn run(mut self) -> Result<(), WriteError> {
        loop {
            self.node.rounds.sleep();
            // Before the round: what was taken until now is in it.
            let is_last = self.node.rounds.is_closing();
            self.round = self.round.next();
            let written = self.collect()?;
            self.log.sync()?;
            for shard in written {
                locked(&self.node.shards[shard]).replica.synced();
            }
            self.node.rounds.complete(self.round);
            if is_last {
                return Ok(());
            }
            self.snapshot_if_due()?;
        }
    }

    /// Appends what every shard has taken; the shards that had anything.
    fn collect(&mut self) -> Result<Vec<usize>, WriteError> {
        let mut written = Vec::new();
        for (index, shard) in self.node.shards.iter().enumerate() {
            let mut shard = locked(shard);
            shard.round = self.round.next();
            let Some(group) = shard.replica.commit() else {
                continue;
            };
            written.push(index);
            for interval in group.iter() {
                let shard_index = ShardIndex::try_from(index).expect("at most 256 shards");
                let name = |counter| shard.replica.name(counter).clone();
                let mut parts = PartsOf::interval(shard_index, interval);
                while let Some(part) = parts.next(&mut self.encoder, name) {
                    self.log.append(&part.encode_to_vec())?;
                }
            }
        }
        Ok(written)
    }

    /// Starts a snapshot once the segments outweigh the last one.
    fn snapshot_if_due(&mut self) -> Result<(), WriteError> {
        let status = self.watcher.status();
        let is_due = status.segment_bytes >= SNAPSHOT_LOG_BYTES_MIN.max(status.snapshot_bytes);
        if !is_due || status.snapshot_is_running {
            return Ok(());
        }
        let below = self.log.rotate()?;
        self.encoder = IntervalEncoder::new(self.node.identity.shard_count);
        let snapshot = self.log.snapshot(below)?;
        let node = Arc::clone(self.node);
        let spawned = thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || write_snapshot(&node, snapshot, below));
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread for a snapshot; the log grows on");
        }
        Ok(())
    }
}

/// Why a snapshot was not written. The log goes on; the next one is tried when it has grown.
#[derive(Debug, thiserror::Error)]
enum SnapshotError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Fork(#[from] Fork),
}

fn write_snapshot(node: &Node, snapshot: impl Snapshot, below: Sequence) {
    match copy_shards(node, snapshot) {
        Ok(()) => tracing::info!(below = below.get(), "snapshot written"),
        Err(error) => tracing::error!(%error, "snapshot failed; the log grows on"),
    }
}

fn copy_shards(node: &Node, mut snapshot: impl Snapshot) -> Result<(), SnapshotError> {
    let mut encoder = IntervalEncoder::new(node.identity.shard_count);
    for shard in 0..node.identity.shard_count {
        // Encoded under the lock, lane by lane; written after.
        let mut parts = Vec::new();
        node.with_shard(shard, |replica| -> Result<(), Fork> {
            for (lane, _) in replica.digest().iter() {
                if let Some(interval) = replica.interval(lane, Mark::ZERO)? {
                    let name = |counter| replica.name(counter).clone();
                    parts.extend(encoder.encode(shard, &interval, name));
                }
            }
            Ok(())
        })?;
        for part in parts {
            snapshot.append(&part.encode_to_vec())?;
        }
    }
    snapshot.finish()?;
    Ok(())
}
