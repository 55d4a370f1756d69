//! A few nodes in memory, which do what they are told and write traces of it.
//!
//! They have the real machines, the real observer and the real writer; a vector is their disk. A
//! kill loses what the trace has not handed over, and any part of what is not synced.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crdt_core::{CounterName, Interval, Replica, ReplicaId, StartId, Sum};
use protocol::{
    Adds, CommitEffect, CommitLimits, CommitRounds, Round, Shard, ShardIndex, Shards as _,
    SnapshotReader, Time,
};
use tempfile::TempDir;
use trace::{Step, Trace, lanes};

pub(crate) const NODES: usize = 3;
pub(crate) const SHARDS: ShardIndex = 2;

/// What an appended interval is said to have: so many that snapshots come soon.
const INTERVAL_BYTES: u64 = 3 << 20;

/// Something that a node does, or that is done to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// It takes an add.
    Add {
        node: usize,
        counter: u8,
        amount: i32,
    },
    /// Its commit thread makes a step.
    Commit { node: usize },
    /// One reports to the other what it holds, and gets all that the other has beyond it.
    Pull { from: usize, to: usize },
    /// It is killed, and of what it had appended and not synced this part is found again.
    Kill { node: usize, found: u8 },
    /// It ends in order, and is started again.
    Restart { node: usize },
}

/// The nodes.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    starts: u64,
    _place: TempDir,
}

struct Node {
    id: ReplicaId,
    trace_path: PathBuf,
    disk: Disk,
    process: Process,
}

/// Intervals as they were appended.
#[derive(Default)]
struct Disk {
    intervals: Vec<(ShardIndex, Interval<CounterName>)>,
    synced: usize,
}

struct Process {
    trace: Trace,
    shards: RefCell<Vec<Shard>>,
    rounds: CommitRounds,
    now_us: u64,
    /// The shards with a part in the round.
    written: Vec<ShardIndex>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut starts = 0;
        let node = |number: usize| {
            starts += 1;
            let id = ReplicaId::new(number as u128 + 1);
            let trace_path = place.path().join(format!("{number}.trace"));
            let disk = Disk::default();
            let process = Process::start((id, StartId::new(starts)), &trace_path, &disk);
            Node {
                id,
                trace_path,
                disk,
                process,
            }
        };
        let nodes = (0..NODES).map(node).collect();
        Self {
            nodes,
            starts,
            _place: place,
        }
    }

    /// The traces, with every line that a node has.
    pub(crate) fn traces(&self) -> Vec<PathBuf> {
        for node in &self.nodes {
            node.process.trace.flush();
        }
        self.nodes
            .iter()
            .map(|node| node.trace_path.clone())
            .collect()
    }

    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Add {
                node,
                counter,
                amount,
            } => self.nodes[node].process.add(counter, amount),
            Action::Commit { node } => self.commit(node),
            Action::Pull { from, to } if from == to => {}
            Action::Pull { from, to } => self.pull(from, to),
            Action::Kill { node, found } => {
                let disk = &mut self.nodes[node].disk;
                let appended = disk.intervals.len() - disk.synced;
                let found = usize::from(found) % (appended + 1);
                disk.intervals.truncate(disk.synced + found);
                self.start(node);
            }
            Action::Restart { node } => {
                self.finish(node);
                self.start(node);
            }
        }
    }

    fn commit(&mut self, node: usize) {
        let Node { process, disk, .. } = &mut self.nodes[node];
        process.commit(disk);
    }

    /// Does what is due, and counts what it holds.
    fn finish(&mut self, node: usize) {
        let Node { process, disk, .. } = &mut self.nodes[node];
        process.rounds.close();
        process.trace.line(|| Step::Closing);
        while process.commit(disk) {}
        for shard in 0..SHARDS {
            for lane in process.shards.with(shard, |it| lanes(shard, it.replica())) {
                process.trace.line(|| Step::Counted(lane));
            }
        }
        process.trace.flush();
    }

    fn start(&mut self, node: usize) {
        self.starts += 1;
        let Node {
            id,
            trace_path,
            disk,
            process,
        } = &mut self.nodes[node];
        *process = Process::start((*id, StartId::new(self.starts)), trace_path, disk);
        disk.synced = disk.intervals.len();
    }

    fn pull(&mut self, from: usize, to: usize) {
        let (sender, receiver) = (&self.nodes[from], &self.nodes[to]);
        for shard in 0..SHARDS {
            let digest = |node: &Node| node.process.shards.with(shard, |it| it.replica().digest());
            let held = digest(receiver);
            for (lane, mark) in held.iter() {
                receiver
                    .process
                    .trace
                    .told(|| Step::Report { shard, lane, mark });
            }
            for (lane, _) in digest(sender)
                .iter()
                .filter(|&(lane, _)| lane != receiver.id)
            {
                let after = held.mark(lane);
                let read = sender.process.shards.with(shard, |it| {
                    let replica = it.replica();
                    let interval = replica.interval(lane, after).expect("no lane forks");
                    interval.map(|interval| replica.export(&interval))
                });
                let Some(interval) = read else { continue };
                let (peer, to) = (receiver.id, interval.to);
                sender.process.trace.told(|| Step::Send {
                    peer,
                    shard,
                    lane,
                    after,
                    to,
                });
                receiver.process.shards.with(shard, |it| {
                    let interval = it.replica_mut().import(&interval);
                    it.receive(interval).expect("it continues the lane");
                });
            }
        }
        self.nodes[to].process.rounds.taken();
    }
}

impl Process {
    fn start((id, start): (ReplicaId, StartId), path: &Path, disk: &Disk) -> Self {
        let trace = Trace::append_to(path).expect("a file");
        let mut replicas: Vec<_> = (0..SHARDS).map(|_| Replica::new(id, start)).collect();
        for (shard, interval) in &disk.intervals {
            let replica = &mut replicas[*shard as usize];
            let interval = replica.import(interval);
            replica.recover(&interval).expect("it was written so");
        }
        let shards = replicas.into_iter().map(Shard::new);
        let shards = trace::begin(&trace, (id, start), shards, (0, 0));
        Self {
            trace,
            shards: RefCell::new(shards),
            rounds: CommitRounds::new(CommitLimits::default(), 0, 0),
            now_us: 0,
            written: Vec::new(),
        }
    }

    fn add(&mut self, counter: u8, amount: i32) {
        let name: CounterName = format!("c{counter}").parse().expect("a name");
        let mut adds = Adds::default();
        adds.add_named(u32::from(counter) % SHARDS, name, Sum::of(amount.into()));
        adds.take(&self.shards, u64::MAX).expect("it fits");
        self.rounds.taken();
    }

    /// Does what is due, if that is anything.
    fn commit(&mut self, disk: &mut Disk) -> bool {
        self.now_us += 1_000;
        let now = Time::from_us(self.now_us);
        let effect = self.rounds.poll(now);
        self.trace.due(now, effect);
        match effect {
            CommitEffect::Append { round } => {
                let bytes = self.append(disk, round);
                self.rounds.appended(bytes);
                self.trace.line(|| Step::Appended { bytes });
            }
            CommitEffect::Sync => {
                disk.synced = disk.intervals.len();
                self.rounds.synced(now);
                self.trace.line(|| Step::Synced { us: now.us() });
            }
            CommitEffect::Complete { round } => {
                for shard in self.written.drain(..) {
                    if self.shards.with(shard, Shard::synced) {
                        self.rounds.taken();
                    }
                }
                self.trace.told(|| Step::Complete { round: round.get() });
                self.trace.line(|| Step::Awaited { round: round.get() });
            }
            CommitEffect::Cut => {
                let below = disk.intervals.len() as u64;
                self.rounds.cut(below);
                self.trace.line(|| Step::Cut { below });
            }
            CommitEffect::BeginSnapshot { .. } => self.write_snapshot(),
            CommitEffect::Wait { .. } | CommitEffect::End | CommitEffect::Failed => return false,
            CommitEffect::Seal => {}
        }
        true
    }

    fn append(&mut self, disk: &mut Disk, round: Round) -> u64 {
        let mut bytes = 0;
        for shard in 0..SHARDS {
            let group = self.shards.with(shard, |it| {
                let group = it.collect(round)?;
                let export = |interval| it.replica().export(interval);
                Some(group.iter().map(export).collect::<Vec<_>>())
            });
            let Some(group) = group else { continue };
            self.written.push(shard);
            self.trace.flush();
            bytes += INTERVAL_BYTES * group.len() as u64;
            disk.intervals
                .extend(group.into_iter().map(|interval| (shard, interval)));
        }
        bytes
    }

    /// At once, as if no commit came between.
    fn write_snapshot(&mut self) {
        let mut reader = SnapshotReader::new(&self.shards, 1);
        while let Some((shard, piece)) = reader.poll(&self.shards) {
            if let Some(end) = piece.end {
                let (lane, mark) = (piece.lane, end.to);
                self.trace.line(|| Step::Copied { shard, lane, mark });
            }
        }
        let (bytes, segment_bytes) = (INTERVAL_BYTES, 0);
        self.rounds.snapshot_written(bytes, segment_bytes);
        self.trace.line(|| Step::SnapshotWritten {
            bytes,
            segment_bytes,
        });
    }
}
