//! One node: a process, its disk, and its surroundings.
//!
//! The process is what `tallyd` is without sockets and threads: the machines of `protocol`, a log
//! on a disk in memory, and the streams of `wire`. All of it is gone when the process dies.

use std::cell::RefCell;

use commit_log::ExpectedIdentity;
use commit_log::memory::{Contents, MemoryDisk};
use crdt_core::{Group, Mark, ReplicaId, StartId};
use protocol::{
    Budget, CommitRounds, Dialer, Hello, IngestStream, OpenSessions, Round, Shard, Standing, Time,
};

use super::calls::call::Told;
use super::ledger::Incarnation;
use super::limits::{CLUSTER, COMMIT, DIAL, DICTIONARY_BYTES_MAX, SESSIONS_MAX};
use super::queue::SimTime;
use super::schedule::CrashPoint;
use crate::node_log::{NodeLog, ReadBack, RunningSnapshot};

/// A call, waiting for what its answer rests on to be durable.
pub(super) struct Waiting {
    pub(super) request: usize,
    pub(super) round: Round,
    /// Own marks that have any of it, by shard.
    pub(super) marks: Vec<(usize, Mark)>,
    pub(super) told: Told,
}

/// An ingest stream at its node.
pub(super) struct Ingest {
    pub(super) number: u64,
    pub(super) stream: IngestStream,
    pub(super) op: usize,
    pub(super) session: usize,
    /// By message that was not the stream's end: its request, if it adds anything.
    pub(super) taken: Vec<Option<usize>>,
    pub(super) acknowledged: usize,
    /// Names that the client has introduced.
    pub(super) introduced: Vec<usize>,
    /// The client is gone: nothing is told any more.
    pub(super) is_cut: bool,
}

/// A running process.
pub(super) struct Process {
    pub(super) hello: Hello,
    pub(super) start: StartId,
    pub(super) shards: RefCell<Vec<Shard>>,
    pub(super) standing: Standing,
    pub(super) rounds: CommitRounds,
    pub(super) completed: Round,
    pub(super) log: NodeLog,
    /// The shards that have a part in the round under way.
    pub(super) collected: Vec<usize>,
    /// Whether a write and a sync are under way.
    pub(super) is_syncing: bool,
    pub(super) snapshot: Option<RunningSnapshot>,
    pub(super) commit_wakes_at: Option<SimTime>,
    /// Adds taken since the last collection, of each shard, with the marks they were promised.
    pub(super) taken: Vec<Vec<(usize, Mark)>>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) sessions: OpenSessions,
    /// Own intervals of the round under way that say something of sessions, by shard.
    pub(super) own_records: Vec<(usize, Group)>,
    pub(super) dialers: Vec<Dialer>,
    pub(super) dictionaries: Budget,
    pub(super) ingests: Vec<Ingest>,
}

/// One node.
pub(super) struct Node {
    pub(super) incarnation: Incarnation,
    /// Numbers the starts of the process; what was planned for an earlier one is void.
    pub(super) life: u32,
    pub(super) process: Option<Process>,
    pub(super) disk: MemoryDisk,
    /// The directory as it was when it was new: what a reused identity starts on.
    pub(super) birth: Contents,
    /// What a power loss leaves of a log that recovery has not synced, which is a bug to find.
    pub(super) unsynced_recovery: Option<Contents>,
    /// Whether a fork of its own lane was kept on its disk.
    pub(super) has_kept_fork: bool,
    // The surroundings.
    pub(super) armed: Option<(CrashPoint, bool)>,
    pub(super) paused_until: Option<SimTime>,
    /// How many times longer than usual messages take to be handled ...
    pub(super) message_slowness: u64,
    /// ... and writes and syncs to be done.
    pub(super) disk_slowness: u64,
    pub(super) clock_offset_us: i64,
    /// Whether nobody can dial it, though it can dial.
    pub(super) dial_only: bool,
}

impl Node {
    pub(super) fn new(disk: MemoryDisk) -> Self {
        Self {
            incarnation: Incarnation(usize::MAX),
            life: 0,
            process: None,
            disk,
            birth: Contents::new(),
            unsynced_recovery: None,
            has_kept_fork: false,
            armed: None,
            paused_until: None,
            message_slowness: 1,
            disk_slowness: 1,
            clock_offset_us: 0,
            dial_only: false,
        }
    }

    /// The node's own clock: it paces machines, and decides nothing else.
    pub(super) fn clock(&self, now: SimTime) -> Time {
        Time::from_us(now.us().saturating_add_signed(self.clock_offset_us))
    }

    /// When the node's clock will show that; not before now.
    pub(super) fn when(&self, time: Time, now: SimTime) -> SimTime {
        let at = time.us().saturating_add_signed(-self.clock_offset_us);
        // A machine that is asked again has moved on.
        SimTime::from_us(at.max(now.us() + 1))
    }

    pub(super) fn is_up(&self) -> bool {
        self.process.is_some()
    }
}

/// Opens a directory, or creates it, and reads it back.
pub(super) fn read_back(
    disk: &MemoryDisk,
    shards: usize,
    start: StartId,
) -> Result<ReadBack, String> {
    let expected = ExpectedIdentity {
        cluster: CLUSTER.to_owned(),
        shard_count: u32::try_from(shards).expect("a small number"),
    };
    ReadBack::open(disk, &expected, start, |_, _| ())
}

impl Process {
    /// A process that starts on what was read back.
    pub(super) fn new(read: ReadBack, start: StartId, nodes: usize, now: Time) -> Self {
        let status = read.log.status();
        let shard_count = u32::try_from(read.replicas.len()).expect("a small number");
        let sessions = sessions_of(&read, start, now);
        Self {
            hello: Hello::new(CLUSTER.to_owned(), shard_count, read.replica),
            start,
            taken: vec![Vec::new(); read.replicas.len()],
            shards: RefCell::new(read.replicas.into_iter().map(Shard::new).collect()),
            standing: Standing::new(read.replica, read.log.forked()),
            rounds: CommitRounds::new(COMMIT, status.segment_bytes, status.snapshot_bytes),
            completed: Round::NONE,
            log: read.log,
            collected: Vec::new(),
            is_syncing: false,
            snapshot: None,
            commit_wakes_at: None,
            waiting: Vec::new(),
            sessions,
            own_records: Vec::new(),
            dialers: vec![Dialer::new(DIAL, now); nodes],
            dictionaries: Budget::new(DICTIONARY_BYTES_MAX),
            ingests: Vec::new(),
        }
    }

    /// How far a lane is held.
    pub(super) fn held(&self, shard: usize, lane: ReplicaId) -> Mark {
        self.shards.borrow()[shard].replica().held(lane)
    }
}

/// The sessions that a process finds when it starts.
fn sessions_of(read: &ReadBack, start: StartId, now: Time) -> OpenSessions {
    let (open_max, closed_max) = SESSIONS_MAX;
    let mut sessions = OpenSessions::with_bounds(read.replica, start, open_max, closed_max);
    for (shard, replica) in (0..).zip(&read.replicas) {
        for (session, mark) in replica.own_sessions() {
            sessions.recovered(shard, session, mark.closed, now);
        }
    }
    sessions
}
