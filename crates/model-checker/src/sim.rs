//! The simulator: large worlds of real [`Replica`](crdt_core::Replica)s, many seeds, all faults.
//!
//! The worlds of the model checker are small and searched to their end. These are as large as a
//! deployment, 2 to 9 nodes with several shards each, and sampled: a seed draws a schedule of
//! requests and faults, a run plays it in simulated time, and oracles judge what every node shows,
//! all the time and at rest. The idea is that of FoundationDB's simulation (Zhou et al.,
//! "FoundationDB", SIGMOD 2021, section 4): deterministic, so that a failing seed fails again.
//!
//! Around each replica runs what `tallyd` runs: the machines of `protocol` (commit rounds, both
//! ends of replication, ingest streams, reads), the streams and frames of `wire` as bytes, and the
//! log with its real recovery, on a disk in memory that fails as disks do. Limits are shorter, so
//! that all of them are reached within a run. What is left out: sockets, threads and tokio.
//!
//! Read in this order: `schedule` (what is drawn), `limits`, `world` (the loop), `node`, `driver`, `lives`,
//! `streams`, `calls`, `ingest`, `clients`, `faults` (what happens), `ledger` (the truth), `oracle` and
//! `rest` (the judgement), `mutants` (the proof that it finds bugs), `shrink` and `trace` (what a
//! person gets to read).

mod calls;
mod campaign;
mod clients;
mod driver;
mod faults;
mod ingest;
mod kinds;
mod ledger;
mod limits;
mod lives;
mod mutants;
mod network;
mod node;
mod oracle;
mod queue;
mod random;
mod rest;
mod schedule;
mod shrink;
mod streams;
mod trace;
mod world;

use std::panic::{self, AssertUnwindSafe};

use crate::guarantee::Check;
use crate::mutation::Mutation;

pub use campaign::{Campaign, Failure, Summary};
pub use kinds::{Coverage, CoverageCounts, FaultCounts, FaultKind};
pub use oracle::Violation;
pub use queue::SimTime;
pub use schedule::{Bounds, Schedule};

/// What one run has shown.
struct Run {
    violation: Option<Violation>,
    /// Equal for every run of the same schedule.
    hash: u64,
    ended: SimTime,
    faults: FaultCounts,
    coverage: CoverageCounts,
    /// Empty unless it was asked for.
    trace: Vec<String>,
}

/// Plays a schedule.
fn run(schedule: &Schedule, mutation: Option<Mutation>, keep_trace: bool) -> Run {
    let mut world = world::World::new(schedule, mutation, trace::Trace::new(keep_trace));
    // An assertion of the core that fails is a finding like any other.
    let played = panic::catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match played {
        Ok(judged) => judged.err(),
        Err(panicked) => Some(world.violation(Check::NoPanic, None, panic_message(&*panicked))),
    };
    Run {
        violation,
        hash: world.trace.hash(),
        ended: world.now,
        trace: world.trace.lines(),
        faults: world.faults,
        coverage: world.coverage,
    }
}

fn panic_message(panicked: &(dyn std::any::Any + Send)) -> String {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panicked.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
        .to_owned()
}

/// A failing schedule, made as small as it goes.
pub struct Shrunk {
    /// What the small schedule violates.
    pub violation: Violation,
    /// How many requests it has, of how many.
    pub ops: (usize, usize),
    /// How many faults it has, of how many.
    pub faults: (usize, usize),
    /// What happens in it, a line each.
    pub trace: Vec<String>,
}

/// The trace of a seed, whether it fails or not.
#[must_use]
pub fn trace(seed: u64, bounds: Bounds, mutation: Option<Mutation>) -> Vec<String> {
    run(&Schedule::draw(seed, bounds), mutation, true).trace
}

/// Shrinks the schedule of a failing seed; `None` when the seed does not fail.
#[must_use]
pub fn shrink_failure(seed: u64, bounds: Bounds, mutation: Option<Mutation>) -> Option<Shrunk> {
    let schedule = Schedule::draw(seed, bounds);
    let violated = run(&schedule, mutation, false).violation?.violated;
    let fails = |smaller: &Schedule| {
        run(smaller, mutation, false)
            .violation
            .is_some_and(|found| found.violated == violated)
    };
    let small = shrink::shrink(&schedule, fails);
    let shrunk = run(&small, mutation, true);
    Some(Shrunk {
        violation: shrunk.violation?,
        ops: (small.ops.len(), schedule.ops.len()),
        faults: (small.faults.len(), schedule.faults.len()),
        trace: shrunk.trace,
    })
}
