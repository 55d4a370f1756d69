//! What all workers share: the adds to choose from, how many are left, and what is reached.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use rand::{SeedableRng as _, rngs::SmallRng};
use rand_distr::Zipf;
use tally_client::BATCH_ITEMS_MAX;

use super::{Arguments, Mode, ring::Ring};
use crate::output::CommandError;

/// Adds of an ingest message by default: large enough that its cost as a message is nothing
/// beside its adds, small enough (5 KB) to be made, sent and synced in a few milliseconds.
const INGEST_ADDS_DEFAULT: u32 = 4_000;
/// Items of a batch by default.
const BATCH_ADDS_DEFAULT: u32 = 1_000;
/// The longest run, in seconds: a day.
const SECONDS_MAX: f64 = 86_400.0;
/// The steepest popularity; from here on nearly all adds go to one counter.
const ZIPF_MAX: f64 = 10.0;

/// The load to be made.
pub(crate) struct Plan {
    pub(crate) mode: Mode,
    /// Names by rank.
    pub(crate) names: Vec<String>,
    pub(crate) ring: Ring,
    /// Adds a request.
    pub(crate) batch: usize,
    pub(crate) in_flight: usize,
    pub(crate) seed: u64,
    pub(crate) started: Instant,
    /// Adds acknowledged by each node so far.
    pub(crate) acknowledged: Vec<AtomicU64>,
    adds_left: AtomicU64,
}

impl Plan {
    pub(crate) fn new(arguments: &Arguments, nodes: usize) -> Result<Self, CommandError> {
        let Arguments {
            mode,
            counters,
            zipf,
            seconds,
            prefix,
            ..
        } = arguments;
        if !(*seconds > 0.0 && *seconds <= SECONDS_MAX) {
            return Err(CommandError::Argument(format!(
                "--seconds is more than 0 and at most {SECONDS_MAX}, and {seconds} was given"
            )));
        }
        if !(0.0..=ZIPF_MAX).contains(zipf) {
            return Err(CommandError::Argument(format!(
                "--zipf is 0 to {ZIPF_MAX}, and {zipf} was given"
            )));
        }
        let batch = batch(*mode, arguments.batch)?;
        let zipf = Zipf::new(f64::from(*counters), *zipf).expect("both were checked");
        let seed = arguments.seed.unwrap_or_else(rand::random);
        let mut random = SmallRng::seed_from_u64(seed);
        let ring = Ring::draw(*counters, &zipf, batch, &mut random);
        Ok(Self {
            mode: *mode,
            names: (0..*counters)
                .map(|rank| format!("{prefix}{rank}"))
                .collect(),
            ring,
            batch,
            in_flight: usize::from(arguments.in_flight),
            seed,
            started: Instant::now(),
            acknowledged: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            adds_left: AtomicU64::new(arguments.adds.unwrap_or(u64::MAX)),
        })
    }

    /// The random source of a node's worker.
    pub(crate) fn random(&self, node: usize) -> SmallRng {
        SmallRng::seed_from_u64(self.seed.wrapping_add(1 + node as u64))
    }

    /// Adds for one more request: a whole batch, or what is left, or 0 at the end.
    pub(crate) fn take_adds(&self) -> usize {
        let batch = self.batch as u64;
        let left = self
            .adds_left
            .fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(batch)))
            .expect("the closure always gives a number");
        usize::try_from(left.min(batch)).expect("a batch is a usize")
    }

    /// Adds that have not counted go back to be sent by somebody.
    pub(crate) fn give_back(&self, adds: u64) {
        self.adds_left.fetch_add(adds, Relaxed);
    }
}

fn batch(mode: Mode, chosen: Option<u32>) -> Result<usize, CommandError> {
    let (default, max) = match mode {
        Mode::Unary => (1, 1),
        Mode::Batch => (BATCH_ADDS_DEFAULT, BATCH_ITEMS_MAX),
        Mode::Ingest => (INGEST_ADDS_DEFAULT, tally_client::MESSAGE_ENTRIES_MAX),
    };
    let batch = chosen.unwrap_or(default) as usize;
    if batch > max {
        let mode = format!("{mode:?}").to_lowercase();
        return Err(CommandError::Argument(format!(
            "--batch is at most {max} with --mode {mode}, and {batch} was given"
        )));
    }
    Ok(batch)
}
