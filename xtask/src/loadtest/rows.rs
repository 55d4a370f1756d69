//! One row of the test: start a deployment, load it, wait for rest, judge the totals.
//!
//! Here is what each approach runs with and why, so that nobody has to suspect the figures of it.

use std::time::Duration;

use indicatif::ProgressBar;

use super::plan::{LoadtestError, Plan};
use super::results::{Row, RowId};
use crate::client::{LoadPlan, Mode};
use crate::deployment::{Baseline, Deployment, Geography, Keeps, Strategy};
use crate::verify::wait_for_rest;
use crate::wan::RoundTrip;

/// How long a row may take to come to rest. Exact rows need a few round trips; the naive row
/// never agrees with what was acknowledged, and waits this long to prove it.
const REST_PATIENCE: Duration = Duration::from_secs(10);
/// The same for rows that are expected to lose likes: their shared register has long answered.
const LOSS_PATIENCE: Duration = Duration::from_millis(500);
/// Calls per server that queue for a lock. One is enough to keep the lock busy; a few show that
/// waiting calls make it no faster. More would only be a longer queue.
const LOCK_IN_FLIGHT: u32 = 2;
/// Calls per server where they do not wait for each other: so many that the processors are the
/// limit, and not the round trip.
const UNARY_IN_FLIGHT: u32 = 1_024;
/// Likes for which `lock_batch` holds its lock once.
const LOCK_BATCH: u32 = 100;
/// Likes a call of `crdt_batch`: the service takes up to 10,000 items a call.
const CALL_BATCH: u32 = 1_000;
/// Likes a message of `crdt_ingest`: large enough that the message itself costs little, small
/// enough that an answer takes milliseconds.
const STREAM_BATCH: u32 = 32_768;
/// Messages per server of the batched rows: one being counted, one being synced, and some waiting.
const BATCHED_IN_FLIGHT: u32 = 8;
/// Counters of the Tally rows, liked unevenly (Zipf, exponent 1): one post is by far the hottest,
/// as in the story, and every other one must be right as well.
const CRDT_COUNTERS: u32 = 1_000;
const CRDT_ZIPF: f64 = 1.0;

/// How an approach is deployed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Baseline servers and their register.
    Baseline(Strategy),
    /// Tally nodes.
    Tally(Mode),
}

impl RowId {
    /// All approaches, in the order of the story.
    pub(super) const ALL: [Self; 10] = [
        Self::Naive,
        Self::Lock,
        Self::LockSeparateRoundTrips,
        Self::LockBatch,
        Self::DatabaseIncrement,
        Self::CrdtUnary,
        Self::CrdtBatch,
        Self::CrdtIngest,
        Self::CrdtUnarySession,
        Self::CrdtIngestSession,
    ];

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Naive => Kind::Baseline(Strategy::Naive),
            Self::Lock => Kind::Baseline(Strategy::Lock),
            Self::LockSeparateRoundTrips => Kind::Baseline(Strategy::LockSeparate),
            Self::LockBatch => Kind::Baseline(Strategy::LockBatch),
            Self::DatabaseIncrement => Kind::Baseline(Strategy::Database),
            Self::CrdtUnary | Self::CrdtUnarySession => Kind::Tally(Mode::Unary),
            Self::CrdtBatch => Kind::Tally(Mode::Batch),
            Self::CrdtIngest | Self::CrdtIngestSession => Kind::Tally(Mode::Ingest),
        }
    }

    /// Whether every like must be counted. Without a lock updates are lost: that is the point.
    pub(super) fn must_be_exact(self) -> bool {
        self != Self::Naive
    }

    /// As in `loadtest.json`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Lock => "lock",
            Self::LockSeparateRoundTrips => "lock_separate_round_trips",
            Self::LockBatch => "lock_batch",
            Self::DatabaseIncrement => "database_increment",
            Self::CrdtUnary => "crdt_unary",
            Self::CrdtBatch => "crdt_batch",
            Self::CrdtIngest => "crdt_ingest",
            Self::CrdtUnarySession => "crdt_unary_session",
            Self::CrdtIngestSession => "crdt_ingest_session",
        }
    }

    /// Likes a message, and messages in flight per server.
    fn batch_and_in_flight(self) -> (u32, u32) {
        match self {
            Self::Naive | Self::DatabaseIncrement | Self::CrdtUnary | Self::CrdtUnarySession => {
                (1, UNARY_IN_FLIGHT)
            }
            Self::Lock | Self::LockSeparateRoundTrips => (1, LOCK_IN_FLIGHT),
            Self::LockBatch => (LOCK_BATCH, 2 * LOCK_BATCH),
            Self::CrdtBatch => (CALL_BATCH, BATCHED_IN_FLIGHT),
            Self::CrdtIngest | Self::CrdtIngestSession => (STREAM_BATCH, BATCHED_IN_FLIGHT),
        }
    }

    fn durability(self) -> &'static str {
        match self.kind() {
            Kind::Baseline(_) => "memory of the shared register",
            Kind::Tally(_) => "fsync on the node that answers",
        }
    }
}

/// Starts the deployment of an approach.
pub(super) async fn deploy(
    id: RowId,
    place: Geography<'_>,
    register: Keeps,
) -> Result<Deployment, LoadtestError> {
    let (batch, _in_flight) = id.batch_and_in_flight();
    Ok(match id.kind() {
        Kind::Baseline(strategy) => {
            Deployment::baseline(
                place,
                Baseline {
                    strategy,
                    batch,
                    register,
                },
            )
            .await?
        }
        Kind::Tally(_) => Deployment::tally(place).await?,
    })
}

/// The load of an approach.
pub(super) fn load_plan(
    id: RowId,
    plan: &Plan<'_>,
    seconds: f64,
) -> Result<LoadPlan, LoadtestError> {
    let (batch, in_flight) = id.batch_and_in_flight();
    let counts = plan.run_dir.fresh("load")?.join("counts.json");
    Ok(match id.kind() {
        // The servers make the batches of `lock_batch`; clients send single likes to all baselines.
        Kind::Baseline(_) => LoadPlan {
            mode: Mode::Unary,
            sessions: false,
            counters: 1,
            zipf: 0.0,
            batch: 1,
            in_flight,
            seconds,
            adds_max: None,
            prefix: "like-",
            counts,
        },
        Kind::Tally(mode) => LoadPlan {
            mode,
            sessions: id.has_sessions(),
            counters: CRDT_COUNTERS,
            zipf: CRDT_ZIPF,
            batch,
            in_flight,
            seconds,
            adds_max: None,
            prefix: "like-",
            counts,
        },
    })
}

/// Measures one row.
pub(super) async fn measure(
    id: RowId,
    plan: &Plan<'_>,
    sites: usize,
    round_trip: RoundTrip,
    bar: &ProgressBar,
) -> Result<Row, LoadtestError> {
    bar.set_message(format!("{}: starting {sites} servers", id.name()));
    let place = plan.geography(sites, round_trip);
    let deployment = deploy(id, place, Keeps::InMemory).await?;
    let load = load_plan(id, plan, plan.seconds)?;
    let outcome = deployment
        .load(&load, |sample| {
            bar.set_message(format!("{}: {} likes", id.name(), sample.acknowledged));
        })
        .await?;
    bar.set_message(format!("{}: waiting for the totals", id.name()));
    let patience = if id.must_be_exact() {
        REST_PATIENCE
    } else {
        LOSS_PATIENCE
    };
    let rest = wait_for_rest(&deployment, &outcome.counts, outcome.ended, patience).await?;
    let result = outcome.result;
    Ok(Row {
        id,
        likes_per_s: result.likes_per_s,
        requests_per_s: result.requests_per_s,
        batch: id.batch_and_in_flight().0,
        durability: id.durability().into(),
        acknowledged: result.acknowledged,
        indeterminate: result.indeterminate,
        counted: rest.verdict.counted,
        lost: rest.verdict.lost,
        extra: rest.verdict.extra,
        p50_ms: result.p50_ms,
        p99_ms: result.p99_ms,
        convergence_ms: rest.convergence.map(|waited| waited.as_secs_f64() * 1e3),
        servers: sites,
        rtt_ms: round_trip.as_ms(),
        counters: load.counters,
        in_flight: load.in_flight,
        seconds: result.seconds,
    })
}
