//! One node: its disk, and the process on it, which does what `CommitRounds` says.

use std::rc::Rc;

use commit_log::memory::{Contents, MemoryDisk};
use commit_log::{ExpectedIdentity, FrameSource, Sequence, WriteError};
use crdt_core::{CounterName, Fork, StartId};
use model_checker::node_log::ReadBack;
use prost::Message as _;
use protocol::{
    Claim, CommitEffect, CommitLimits, ReplicationLimits, Round, Shard, Shards as _, Time,
};

use super::disk::{has_died, segment_bytes};
use super::output::{Output, PartReader, abridge, fork};
use super::process::{CLUSTER, Process};

/// What all nodes have in common: the deployed limits, but for what the transcript sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) shard_count: u32,
    pub(super) replication: ReplicationLimits,
    pub(super) commit: CommitLimits,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) disk: MemoryDisk,
    pub(super) process: Option<Process>,
    /// Numbers the starts of its process.
    pub(super) life: u32,
    pub(super) peers: Vec<String>,
    pub(super) is_dial_only: bool,
    pub(super) backup: Option<Contents>,
    pub(super) output: Rc<Output>,
}

impl Node {
    pub(super) fn new(name: &str, disk: MemoryDisk, output: Rc<Output>) -> Self {
        Self {
            name: name.to_owned(),
            disk,
            process: None,
            life: 0,
            peers: Vec::new(),
            is_dial_only: false,
            backup: None,
            output,
        }
    }

    fn say(&self, text: impl AsRef<str>) {
        self.output.say(format!("{} {}", self.name, text.as_ref()));
    }

    pub(super) fn process(&mut self) -> Result<&mut Process, String> {
        let name = &self.name;
        let process = self.process.as_mut();
        process.ok_or_else(|| format!("{name} is down"))
    }

    // Lives.

    /// Starts on what the directory holds.
    pub(super) fn start(&mut self, settings: Settings, start: StartId, now: Time) {
        let expected = ExpectedIdentity {
            cluster: CLUSTER.to_owned(),
            shard_count: settings.shard_count,
        };
        let is_new = self.disk.cached().is_empty();
        let before = segment_bytes(&self.disk.cached());
        let mut frames: Vec<(FrameSource, Vec<u8>)> = Vec::new();
        let read = ReadBack::open(&self.disk, &expected, start, |source, payload| {
            frames.push((source, payload.to_vec()));
        });
        if let Ok(read) = &read {
            self.output.introduce(read.replica, &self.name);
        }
        self.say_frames(&frames);
        let read = match read {
            Ok(read) => read,
            Err(error) => return self.say(format!("does not start: {error}")),
        };
        let after = segment_bytes(&self.disk.cached());
        for (segment, bytes) in before {
            let left = after.get(&segment).copied().unwrap_or_default();
            if left < bytes && left > 0 {
                self.say(format!(
                    "cuts a torn tail off {segment}: {bytes} bytes were there, {left} stay"
                ));
            }
        }
        let replica = read.replica;
        let process = Process::new(read, settings, start, &self.peers, now);
        let lane = self.output.name(replica);
        let on = if is_new {
            "on an empty directory".to_owned()
        } else {
            format!("and holds {}", self.output.held(&process.held()))
        };
        self.say(format!("starts as {lane}, start s{}, {on}", start.get()));
        if let Some(forked) = process.standing.forked() {
            let forked = fork(&self.output.name(forked.lane), forked);
            self.say(format!("has noted on disk: {forked}"));
        }
        self.life += 1;
        self.process = Some(process);
    }

    fn say_frames(&self, frames: &[(FrameSource, Vec<u8>)]) {
        let mut parts = PartReader::default();
        let mut file = None;
        for (source, payload) in frames {
            if file.replace(*source) != Some(*source) {
                parts = PartReader::default();
            }
            let name = match source {
                FrameSource::Snapshot(below) => format!("snapshot-{below}"),
                FrameSource::Segment(first) => format!("segment-{first}"),
            };
            let part = wire::v1::IntervalPart::decode(payload.as_slice()).expect("our own frame");
            self.say(format!("reads {name}: {}", parts.part(&self.output, &part)));
        }
    }

    /// The process is no more. What it had open does nothing any more.
    pub(super) fn die(&mut self, power: Option<&mut dyn FnMut() -> u64>) {
        match power {
            Some(random) => self.disk.lose_power(random),
            None => self.disk.kill(),
        }
        self.process = None;
        self.life += 1;
    }

    // The commit loop.

    /// Does the next thing that is due; false where that is to wait.
    pub(super) fn step(&mut self, settings: Settings, now: Time) -> Result<bool, String> {
        let process = self.process()?;
        match process.rounds.poll(now) {
            CommitEffect::Append { round } => self.append(round),
            CommitEffect::Sync => {
                let synced = process.log.sync();
                if let Err(error) = synced {
                    self.fail(&error);
                } else {
                    process.rounds.synced(now);
                    self.say("syncs");
                }
            }
            CommitEffect::Complete { round } => self.complete(round),
            CommitEffect::Cut => match process.log.cut() {
                Ok(below) => {
                    process.rounds.cut(below.get());
                    self.say(format!("cuts its log before frame {below}"));
                }
                Err(error) => self.fail(&error),
            },
            CommitEffect::BeginSnapshot { below } => self.begin_snapshot(settings, below, now),
            CommitEffect::Seal => match process.log.seal() {
                Ok(()) => self.say("seals its log"),
                Err(error) => self.say(format!("cannot seal its log: {error}")),
            },
            CommitEffect::Wait { until } => {
                process.rounds_due = until;
                return Ok(false);
            }
            CommitEffect::End => {
                self.say("ends in order");
                self.die(None);
                return Ok(false);
            }
            CommitEffect::Failed => return Ok(false),
        }
        Ok(self.process.is_some())
    }

    fn append(&mut self, round: Round) {
        let output = Rc::clone(&self.output);
        let process = self.process.as_mut().expect("it commits");
        let mut bytes = 0;
        let mut intervals = Vec::new();
        for shard in process.shards.indices() {
            let Some(group) = process.shards.with(shard, |it| it.collect(round)) else {
                continue;
            };
            process.collected.push(shard);
            for interval in group.iter() {
                let named = process
                    .shards
                    .with(shard, |it| it.replica().export(interval));
                intervals.push(output.interval(shard, &named));
            }
            match process.log.append(&process.shards, shard, &group) {
                Ok(appended) => bytes += appended,
                Err(error) => return self.fail(&error),
            }
        }
        process.rounds.appended(bytes);
        if intervals.is_empty() {
            intervals.push("nothing".to_owned());
        }
        self.say(format!(
            "appends for round {}: {}",
            round.get(),
            intervals.join("; ")
        ));
    }

    fn complete(&mut self, round: Round) {
        let process = self.process.as_mut().expect("it commits");
        process.completed = round;
        for shard in std::mem::take(&mut process.collected) {
            if process.shards.with(shard, Shard::synced) {
                process.rounds.taken();
            }
        }
        let held = self.output.held(&process.held());
        self.say(format!("completes round {}: holds {held}", round.get()));
    }

    /// What the disk holds now nobody knows, so the process ends.
    fn fail(&mut self, error: &WriteError) {
        if let Some(process) = &mut self.process {
            process.rounds.failed();
        }
        if has_died(error) {
            self.say("dies within a file operation");
        } else {
            self.say(format!("ends, since its log failed: {error}"));
        }
        self.die(None);
    }

    // Snapshots.

    fn begin_snapshot(&mut self, settings: Settings, below: u64, now: Time) {
        let records_max = settings.replication.piece_records_max;
        let process = self.process.as_mut().expect("it commits");
        let (log, shards) = (&process.log, &process.shards);
        match log.begin_snapshot(shards, Sequence::new(below), records_max) {
            Ok(snapshot) => {
                process.snapshot = Some(snapshot);
                self.say(format!("begins a snapshot of all frames below {below}"));
            }
            Err(error) => {
                process.rounds.snapshot_failed(now);
                self.say(format!("cannot begin a snapshot below {below}: {error}"));
            }
        }
    }

    /// Goes on with the snapshot, if one is under way.
    pub(super) fn piece(&mut self, now: Time) -> Result<bool, String> {
        let process = self.process()?;
        let Some(mut snapshot) = process.snapshot.take() else {
            return Ok(false);
        };
        let failed = match snapshot.write_piece(&process.shards) {
            Ok(true) => {
                process.snapshot = Some(snapshot);
                self.say("writes a piece of the snapshot");
                return Ok(true);
            }
            Ok(false) => match snapshot.finish() {
                Ok(bytes) => {
                    let segment_bytes = process.log.status().segment_bytes;
                    process.rounds.snapshot_written(bytes, segment_bytes);
                    self.say("has written the snapshot");
                    return Ok(true);
                }
                Err(error) => error,
            },
            Err(error) => {
                drop(snapshot);
                error
            }
        };
        if has_died(&failed) {
            self.say("dies within the snapshot");
            self.die(None);
        } else {
            process.rounds.snapshot_failed(now);
            self.say(format!("gives the snapshot up: {failed}"));
        }
        Ok(true)
    }

    // Standing.

    /// A mark shows that a lane has forked: what this means for the node, and the note on disk.
    pub(super) fn note_claim(&mut self, claim: Claim, fork: &Fork) {
        match claim {
            Claim::Believed | Claim::Known => {}
            Claim::Disbelieved => return self.say("does not believe a stranger"),
            Claim::OfOther => return,
        }
        let process = self.process.as_mut().expect("it was told");
        match process.log.note_fork(fork) {
            Ok(()) if claim == Claim::Believed => {
                self.say("takes no more adds, and notes that on disk");
            }
            Ok(()) => {}
            Err(error) => self.say(format!("cannot note the fork: {error}")),
        }
    }

    // Looking.

    pub(super) fn say_state(&mut self) -> Result<(), String> {
        let output = Rc::clone(&self.output);
        let process = self.process()?;
        let held = output.held(&process.held());
        let mut values = Vec::new();
        for shard in process.shards.borrow().iter() {
            let all = shard.replica().values_from("");
            let shown = |(name, value): (&CounterName, i128)| {
                format!("{}={value}", name.as_str().trim_end_matches('.'))
            };
            values.extend(all.map(shown));
        }
        values.sort();
        let values = abridge(values);
        let writable = match process.standing.ensure_writable() {
            Ok(()) => "takes adds".to_owned(),
            Err(_) => "takes no adds".to_owned(),
        };
        let values = if values.is_empty() {
            "nothing".to_owned()
        } else {
            values.join(", ")
        };
        self.say(format!("holds {held}; shows {values}; {writable}"));
        Ok(())
    }
}
