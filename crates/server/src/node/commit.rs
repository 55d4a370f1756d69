//! The commit thread: does what `CommitRounds` says, on a log.
//!
//! A second thread writes snapshots, beside the commits, and reports how that ended.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use commit_log::{Log, LogWatcher, Sequence, SnapshotWriter, WriteError};
use crdt_core::{Group, Replica};
use protocol::{
    CommitEffect, CommitLimits, CommitRounds, Round, Shard, ShardIndex, Shards as _, SnapshotReader,
};
use tokio::sync::oneshot;
use trace::Step;
use wire::FrameEncoder;

use super::{Node, locked};
use crate::traced;

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
                if let Err(error) = CommitLoop::new(node, log).run() {
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

/// Why a snapshot was not written. The log goes on without it.
#[derive(Debug, thiserror::Error)]
enum SnapshotError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a snapshot has ended: its bytes, where it was written.
type SnapshotEnd = Result<u64, SnapshotError>;

struct CommitLoop {
    node: Arc<Node>,
    log: Log,
    watcher: LogWatcher,
    machine: CommitRounds,
    /// The dictionary of the segment being written.
    encoder: FrameEncoder,
    /// What shards have given for the round.
    written: Vec<(ShardIndex, Group)>,
    snapshots: (Sender<SnapshotEnd>, Receiver<SnapshotEnd>),
}

impl CommitLoop {
    fn new(node: Arc<Node>, log: Log) -> Self {
        let watcher = log.watcher();
        let status = watcher.status();
        let limits = CommitLimits::default();
        Self {
            machine: CommitRounds::new(limits, status.segment_bytes, status.snapshot_bytes),
            encoder: FrameEncoder::new(node.identity.replica, node.identity.shard_count),
            node,
            log,
            watcher,
            written: Vec::new(),
            snapshots: mpsc::channel(),
        }
    }

    fn run(mut self) -> Result<(), WriteError> {
        // What was read back may let a shard settle something.
        if self.node.each_shard(Replica::is_due).any(|is_due| is_due) {
            self.machine.taken();
        }
        loop {
            self.listen();
            let now = self.node.clock.now();
            let effect = self.machine.poll(now);
            self.node.trace.due(now, effect);
            match effect {
                CommitEffect::Append { round } => {
                    let bytes = self.append(round)?;
                    self.machine.appended(bytes);
                    self.node.trace.line(|| Step::Appended { bytes });
                }
                CommitEffect::Sync => {
                    self.log.sync()?;
                    let now = self.node.clock.now();
                    self.machine.synced(now);
                    self.node.trace.line(|| Step::Synced { us: now.us() });
                }
                CommitEffect::Complete { round } => {
                    for &(shard, _) in &self.written {
                        if self.node.with(shard, Shard::synced) {
                            self.machine.taken();
                        }
                    }
                    self.node.note_held(&self.written);
                    self.node.note_sessions(&self.written);
                    self.written.clear();
                    self.node
                        .trace
                        .told(|| Step::Complete { round: round.get() });
                    self.node.rounds.complete(round);
                }
                CommitEffect::Cut => {
                    let below = self.log.rotate()?;
                    self.encoder = FrameEncoder::new(
                        self.node.identity.replica,
                        self.node.identity.shard_count,
                    );
                    self.machine.cut(below.get());
                    self.node.trace.line(|| Step::Cut { below: below.get() });
                }
                CommitEffect::BeginSnapshot { below } => self.begin_snapshot(below),
                CommitEffect::Seal => {
                    if let Err(error) = self.log.seal() {
                        tracing::warn!(%error, "the log is not sealed; the next group does it");
                    }
                }
                CommitEffect::Wait { until } => {
                    let until = until.map(|until| self.node.clock.instant(until).into_std());
                    self.node.rounds.sleep(until);
                }
                CommitEffect::End => return Ok(()),
                CommitEffect::Failed => return Err(WriteError::Failed),
            }
        }
    }

    /// Tells the machine what has happened meanwhile.
    fn listen(&mut self) {
        let now = self.node.clock.now();
        while let Ok(ended) = self.snapshots.1.try_recv() {
            match ended {
                Ok(bytes) => {
                    tracing::info!(bytes, "snapshot written");
                    let segment_bytes = self.watcher.status().segment_bytes;
                    self.machine.snapshot_written(bytes, segment_bytes);
                    self.node.trace.line(|| Step::SnapshotWritten {
                        bytes,
                        segment_bytes,
                    });
                }
                Err(error) => {
                    tracing::error!(%error, "snapshot failed; the log grows on until it is tried again");
                    self.machine.snapshot_failed(now);
                    self.node
                        .trace
                        .line(|| Step::SnapshotFailed { us: now.us() });
                }
            }
        }
        // Before the round: what was taken until now is in it.
        if self.node.rounds.is_closing() {
            self.machine.close();
            self.node.trace.line(|| Step::Closing);
        } else if self.node.rounds.had_work() {
            self.machine.taken();
        }
    }

    /// Appends what every shard has taken; how many bytes that is.
    fn append(&mut self, round: Round) -> Result<u64, WriteError> {
        let mut bytes = 0;
        for (index, shard) in (0..).zip(&self.node.shards) {
            let Some(group) = locked(shard).collect(round) else {
                continue;
            };
            // What may be found on the disk is in the trace before.
            self.node.trace.flush();
            let name = |counter| locked(shard).replica().name(counter).clone();
            let log = &mut self.log;
            self.encoder.group(index, &group, name, |payload| {
                bytes += payload.len() as u64;
                log.append(payload).map(|_| ())
            })?;
            self.written.push((index, group));
        }
        Ok(bytes)
    }

    fn begin_snapshot(&mut self, below: u64) {
        if let Err(error) = self.try_snapshot(below) {
            // As if it had failed later.
            let _ = self.snapshots.0.send(Err(error));
        }
    }

    fn try_snapshot(&self, below: u64) -> Result<(), SnapshotError> {
        let (node, report) = (Arc::clone(&self.node), self.snapshots.0.clone());
        let snapshot = self.log.snapshot(Sequence::new(below))?;
        let thread = thread::Builder::new().name("snapshot".into());
        thread.spawn(move || {
            // The commit thread is gone only when the process ends.
            let _ = report.send(copy_shards(&node, snapshot));
            node.rounds.interrupt();
        })?;
        Ok(())
    }
}

/// Writes all lanes into a snapshot; its bytes.
fn copy_shards(node: &Node, mut snapshot: SnapshotWriter) -> SnapshotEnd {
    let mut bytes = 0;
    let mut encoder = FrameEncoder::new(node.identity.replica, node.identity.shard_count);
    let records_max = node.limits.replication.piece_records_max;
    let mut reader = SnapshotReader::new(node, records_max);
    while let Some((shard, piece)) = reader.poll(node) {
        let name = |counter| node.with(shard, |it| it.replica().name(counter).clone());
        encoder.piece(shard, &piece, name, |payload| {
            bytes += payload.len() as u64;
            snapshot.append(payload)
        })?;
        traced::copied(&node.trace, shard, &piece);
    }
    node.trace.flush();
    snapshot.finish()?;
    Ok(bytes)
}
