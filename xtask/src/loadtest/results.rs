//! What a load test has measured: the shape of `target/tally/loadtest.json`.
//!
//! Every figure carries its unit in its name. A figure that was not measured is `None` (`null` in
//! the file), never 0. The file is for scripts and for the report; both the console table and the
//! HTML report are drawn from these values alone.

use serde::{Deserialize, Serialize};

use crate::traces::Replayed;

/// A whole run.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Results {
    /// The emulated round trip between any two data centres, in milliseconds.
    pub(crate) rtt_ms: u64,
    /// Data centres, with one server each.
    pub(crate) nodes: usize,
    /// Processor cores that all processes shared.
    pub(crate) cores: usize,
    /// Whether this was the short form of the test.
    pub(crate) quick: bool,
    /// Where and when.
    pub(crate) machine: Machine,
    /// One entry an approach.
    pub(crate) rows: Vec<Row>,
    /// The start of a node that holds many counters.
    pub(crate) restart: Option<Restart>,
    /// Reads with tokens on other nodes.
    #[serde(default)]
    pub(crate) lag: Option<Lag>,
    /// The same rows with other numbers of servers and other round trips.
    pub(crate) sweeps: Option<Sweeps>,
    /// What happens while processes are killed.
    pub(crate) timeline: Option<Timelines>,
    /// What was replayed of the traces of a load apart from the rows.
    #[serde(default)]
    pub(crate) traces: Option<Replayed>,
    /// The project's goals against what was measured.
    pub(crate) checks: Vec<Check>,
}

impl Results {
    /// The row of an approach, if it was measured.
    pub(crate) fn row(&self, id: RowId) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }
}

/// Where and when the test ran.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: Option<String>,
    /// Main memory, in bytes.
    pub(crate) memory_bytes: Option<u64>,
    /// The operating system and its version.
    pub(crate) system: Option<String>,
    /// The commit that was built.
    pub(crate) commit: Option<String>,
    /// When the test began, in UTC.
    pub(crate) began: Option<String>,
}

/// An approach to counting likes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum RowId {
    /// Read, add one, write; no lock.
    Naive,
    /// A lock that carries the counter.
    Lock,
    /// A lock with each step its own round trip.
    LockSeparateRoundTrips,
    /// A lock held for several likes.
    LockBatch,
    /// One database that adds by itself.
    DatabaseIncrement,
    /// Tally, one call a like.
    CrdtUnary,
    /// Tally, several likes a call.
    CrdtBatch,
    /// Tally, a stream of packed likes.
    CrdtIngest,
    /// Tally, one call a like, each a request of a session.
    CrdtUnarySession,
    /// Tally, a stream of packed likes, each message a request of a session.
    CrdtIngestSession,
}

impl RowId {
    /// Whether likes are requests of sessions.
    pub(crate) fn has_sessions(self) -> bool {
        matches!(self, Self::CrdtUnarySession | Self::CrdtIngestSession)
    }

    /// Whether Tally counts.
    pub(crate) fn is_tally(self) -> bool {
        let is_without = matches!(self, Self::CrdtUnary | Self::CrdtBatch | Self::CrdtIngest);
        is_without || self.has_sessions()
    }
}

/// One approach, measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    /// The approach.
    #[serde(rename = "row")]
    pub(crate) id: RowId,
    /// Acknowledged likes a second, all servers together.
    pub(crate) likes_per_s: f64,
    /// Answered messages a second, all servers together.
    pub(crate) requests_per_s: f64,
    /// Likes a message from the client, or likes a lock hold for `lock_batch`.
    pub(crate) batch: u32,
    /// What an acknowledgement promises.
    pub(crate) durability: String,
    /// Likes that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Likes that got no answer: they may count or not.
    pub(crate) indeterminate: u64,
    /// Likes that the worst node shows at rest.
    pub(crate) counted: i128,
    /// Acknowledged likes that it lacks.
    pub(crate) lost: u64,
    /// Likes that it shows beyond all that were sent.
    pub(crate) extra: u64,
    /// Half of the messages were answered faster, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    /// Of a hundred messages, 99 were answered faster, in milliseconds.
    pub(crate) p99_ms: Option<f64>,
    /// From the last acknowledgement until every node was seen to show the total.
    pub(crate) convergence_ms: Option<f64>,
    /// Servers.
    pub(crate) servers: usize,
    /// The round trip between the servers, in milliseconds.
    pub(crate) rtt_ms: u64,
    /// Counters that were liked.
    pub(crate) counters: u32,
    /// Messages without an answer, per server, that the load generator kept up.
    pub(crate) in_flight: u32,
    /// How long likes were sent.
    pub(crate) seconds: f64,
}

impl Row {
    /// Whether every counter on every node was right.
    pub(crate) fn is_exact(&self) -> bool {
        self.lost == 0 && self.extra == 0
    }
}

/// The start of a node that was killed.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Restart {
    /// Counters that it held, and holds again.
    pub(crate) counters: u64,
    /// From the start of the process until it answers reads.
    pub(crate) seconds: f64,
}

/// How long reads with an add's token have waited on another node than the one that took the add.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Lag {
    /// Pairs of such nodes.
    pub(crate) pairs: usize,
    /// Reads of all pairs.
    pub(crate) samples: u64,
    /// Half of them were answered faster, in milliseconds.
    pub(crate) p50_ms: f64,
    /// Of a hundred, 99 were answered faster, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The slowest, in milliseconds.
    pub(crate) max_ms: f64,
}

/// Rows measured again elsewhere.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sweeps {
    /// With other numbers of servers.
    pub(crate) servers: Vec<Row>,
    /// With other round trips.
    pub(crate) round_trips: Vec<Row>,
}

/// The same story with the lock and with Tally.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Timelines {
    /// The lock server is killed and comes back.
    pub(crate) lock: Timeline,
    /// A Tally node is killed and comes back.
    pub(crate) crdt: Timeline,
}

/// Likes a second over time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Timeline {
    /// When the process was killed, since the load began.
    pub(crate) killed_ms: f64,
    /// When it was started again.
    pub(crate) restarted_ms: f64,
    /// In order of time.
    pub(crate) samples: Vec<Rate>,
}

/// Likes acknowledged in one short stretch of time.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Rate {
    /// The end of the stretch, since the load began.
    pub(crate) t_ms: f64,
    /// All servers together.
    pub(crate) likes_per_s: f64,
}

/// A goal of the project, and whether this run meets it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Check {
    /// What is measured.
    pub(crate) name: String,
    /// The goal.
    pub(crate) bound: String,
    /// The figure; none when it was not measured.
    pub(crate) measured: Option<f64>,
    /// The figure's unit.
    pub(crate) unit: String,
    /// Whether the goal is met; none when it was not measured.
    pub(crate) met: Option<bool>,
}
