//! A node's log on a disk in memory, as the simulator and the transcripts keep it: read back,
//! appended to and replaced by snapshots by the code that `tallyd` runs.
//!
//! It says how bytes get to the disk and back; when they do is for
//! [`CommitRounds`](protocol::CommitRounds), and for whoever drives it.

use std::path::Path;

use commit_log::memory::{MemoryDisk, MemoryFiles};
use commit_log::{
    DataDirectory, ExpectedIdentity, FileError, ForkMark, ForkNote, FrameSource, Log, LogStatus,
    Sequence, SnapshotWriter, WriteError,
};
use crdt_core::{Fork, Group, Mark, Replica, ReplicaId, StartId, Version};
use protocol::{ShardIndex, Shards, SnapshotReader};
use wire::{FrameEncoder, Recovery};

/// Where the log is, on every disk.
pub const DIRECTORY: &str = "/data";

/// The log, with the dictionary of the segment that is being written.
#[derive(Debug)]
pub struct NodeLog {
    log: Log<MemoryFiles>,
    encoder: FrameEncoder,
    replica: ReplicaId,
    shard_count: u32,
}

/// What a directory holds.
#[derive(Debug)]
pub struct ReadBack {
    /// Whose it is.
    pub replica: ReplicaId,
    /// The replicas, one a shard.
    pub replicas: Vec<Replica>,
    /// Their log, to be appended to.
    pub log: NodeLog,
}

impl ReadBack {
    /// Opens a directory, or creates it, and reads it back; `on_frame` sees each frame first.
    ///
    /// # Errors
    ///
    /// Why it cannot be read back, in words.
    pub fn open(
        disk: &MemoryDisk,
        expected: &ExpectedIdentity,
        start: StartId,
        mut on_frame: impl FnMut(FrameSource, &[u8]),
    ) -> Result<Self, String> {
        let files = disk.files();
        let directory = DataDirectory::open_or_create_in(files, Path::new(DIRECTORY), expected)
            .map_err(|error| error.to_string())?;
        let replica = ReplicaId::new(directory.identity().replica);
        let shard_count = expected.shard_count;
        let replicas = (0..shard_count).map(|_| Replica::new(replica, start));
        let mut recovery = Recovery::new(replicas.collect());
        let mut file = None;
        let log = Log::open(directory, |source, payload| {
            on_frame(source, payload);
            if file.replace(source) != Some(source) {
                recovery.begin_file();
            }
            recovery.frame(payload)
        })
        .map_err(|error| error.to_string())?;
        Ok(Self {
            replica,
            replicas: recovery.finish(),
            log: NodeLog {
                log,
                encoder: FrameEncoder::new(replica, shard_count),
                replica,
                shard_count,
            },
        })
    }
}

impl NodeLog {
    /// Appends a group of a shard; how many bytes that is.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    pub fn append(
        &mut self,
        shards: &impl Shards,
        shard: ShardIndex,
        group: &Group,
    ) -> Result<u64, WriteError> {
        let Self { log, encoder, .. } = self;
        let name = |counter| shards.with(shard, |it| it.replica().name(counter).clone());
        let mut bytes = 0;
        encoder.group(shard, group, name, |payload| {
            bytes += payload.len() as u64;
            log.append(payload).map(|_| ())
        })?;
        Ok(bytes)
    }

    /// Makes durable what was appended.
    ///
    /// # Errors
    ///
    /// As [`Log::sync`].
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.log.sync()
    }

    /// Seals the last group.
    ///
    /// # Errors
    ///
    /// As [`Log::seal`].
    pub fn seal(&mut self) -> Result<(), WriteError> {
        self.log.seal()
    }

    /// Lets the next frame begin a new segment; the frame's number.
    ///
    /// # Errors
    ///
    /// As [`Log::rotate`].
    pub fn cut(&mut self) -> Result<Sequence, WriteError> {
        let below = self.log.rotate()?;
        self.encoder = FrameEncoder::new(self.replica, self.shard_count);
        Ok(below)
    }

    /// Begins a snapshot of all frames below this one, in pieces of so many records.
    ///
    /// # Errors
    ///
    /// As [`Log::snapshot`].
    pub fn begin_snapshot(
        &self,
        shards: &impl Shards,
        below: Sequence,
        piece_records_max: usize,
    ) -> Result<RunningSnapshot, WriteError> {
        Ok(RunningSnapshot {
            writer: self.log.snapshot(below)?,
            reader: SnapshotReader::new(shards, piece_records_max),
            encoder: FrameEncoder::new(self.replica, self.shard_count),
            bytes: 0,
        })
    }

    /// Keeps a fork of the node's own lane, for every later start.
    ///
    /// # Errors
    ///
    /// As [`DataDirectory::note_fork`].
    pub fn note_fork(&self, &Fork { lane, held, seen }: &Fork) -> Result<(), FileError> {
        let mark = |mark: Mark| ForkMark {
            version: mark.version.get(),
            start: mark.start.get(),
        };
        self.log.directory().note_fork(ForkNote {
            lane: lane.get(),
            held: mark(held),
            seen: mark(seen),
        })
    }

    /// The fork that was kept, if there is one.
    #[must_use]
    pub fn forked(&self) -> Option<Fork> {
        let mark = |mark: ForkMark| Mark {
            version: Version::new(mark.version),
            start: StartId::new(mark.start),
        };
        let note = self.log.directory().forked()?;
        Some(Fork {
            lane: ReplicaId::new(note.lane),
            held: mark(note.held),
            seen: mark(note.seen),
        })
    }

    /// What is on disk.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        self.log.watcher().status()
    }
}

/// A snapshot that is being written, beside the commits.
#[derive(Debug)]
pub struct RunningSnapshot {
    reader: SnapshotReader,
    writer: SnapshotWriter<MemoryFiles>,
    encoder: FrameEncoder,
    bytes: u64,
}

impl RunningSnapshot {
    /// Writes the next piece; whether there was one.
    ///
    /// # Errors
    ///
    /// As [`SnapshotWriter::append`]. It is to be dropped then.
    pub fn write_piece(&mut self, shards: &impl Shards) -> Result<bool, WriteError> {
        let Some((shard, piece)) = self.reader.poll(shards) else {
            return Ok(false);
        };
        let Self {
            writer,
            encoder,
            bytes,
            ..
        } = self;
        let name = |counter| shards.with(shard, |it| it.replica().name(counter).clone());
        encoder.piece(shard, &piece, name, |payload| {
            *bytes += payload.len() as u64;
            writer.append(payload)
        })?;
        Ok(true)
    }

    /// Makes it durable, and removes what it stands for; its bytes.
    ///
    /// # Errors
    ///
    /// As [`SnapshotWriter::finish`].
    pub fn finish(self) -> Result<u64, WriteError> {
        self.writer.finish()?;
        Ok(self.bytes)
    }
}
