//! Many schedules: one for each seed from the first on, over several threads.
//!
//! A schedule runs on one thread and shares nothing, so the threads take seeds from one counter.
//! The first violation ends the campaign: it is to be looked at, not counted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::kinds::{Coverage, CoverageCounts, FaultCounts};
use super::oracle::Violation;
use super::run;
use super::schedule::{Bounds, Schedule};
use crate::guarantee::Check;
use crate::mutation::Mutation;

/// How many seeds a thread takes at once: some milliseconds of work.
const CHUNK: u64 = 16;
/// How often the caller hears of the progress.
const PROGRESS: Duration = Duration::from_millis(100);
/// With fewer schedules than this a kind of fault may be missing by chance.
const COVERAGE_SCHEDULES_MIN: u64 = 1_000;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed; the schedules have this one and those after it.
    pub seed: u64,
    /// How many schedules.
    pub schedules: u64,
    /// Their sizes.
    pub bounds: Bounds,
    /// The rule that the driver breaks.
    pub mutation: Option<Mutation>,
    /// Run every schedule twice and compare what happened.
    pub twice: bool,
    /// How many threads.
    pub threads: usize,
}

/// A schedule that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What it violates.
    pub violation: Violation,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Schedules that were run.
    pub schedules: u64,
    /// How long that took.
    pub took: Duration,
    /// The time that passed in them, in microseconds.
    pub simulated_us: u64,
    /// The faults that fired.
    pub faults: FaultCounts,
    /// The paths that were taken.
    pub coverage: CoverageCounts,
    /// Schedules that failed: those that were running when the first one did may too.
    pub failures: Vec<Failure>,
    /// The kinds that never fired, if so many schedules should have shown them all.
    pub missing: Vec<&'static str>,
}

impl Summary {
    /// How many schedules ran in a second.
    #[must_use]
    pub fn schedules_per_s(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let schedules = self.schedules as f64;
        schedules / self.took.as_secs_f64()
    }

    /// How much time passed in the simulations, in hours.
    #[must_use]
    pub fn simulated_hours(&self) -> f64 {
        Duration::from_micros(self.simulated_us).as_secs_f64() / 3600.0
    }

    fn merge(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.simulated_us += other.simulated_us;
        self.faults.merge(&other.faults);
        self.coverage.merge(&other.coverage);
        self.failures.extend(other.failures);
    }
}

impl Campaign {
    /// Runs it. `progress` hears from time to time how many schedules are done.
    #[must_use]
    pub fn run(&self, progress: impl Fn(u64)) -> Summary {
        let begun = Instant::now();
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let stop = AtomicBool::new(false);
        let total = Mutex::new(Summary::default());
        thread::scope(|scope| {
            let work = || {
                let part = self.work(&next, &done, &stop);
                total
                    .lock()
                    .expect("no thread panics with the lock")
                    .merge(part);
            };
            let threads: Vec<_> = (0..self.threads.max(1))
                .map(|_| scope.spawn(work))
                .collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                thread::park_timeout(PROGRESS.min(Duration::from_millis(1 + done_ms(begun))));
                progress(done.load(Ordering::Relaxed));
            }
        });
        let mut total = total.into_inner().expect("no thread panics with the lock");
        total.took = begun.elapsed();
        total
            .failures
            .sort_by_key(|failure| failure.seed.wrapping_sub(self.seed));
        if total.failures.is_empty() && total.schedules >= COVERAGE_SCHEDULES_MIN {
            total.missing = total.faults.missing();
            total.missing.extend(total.coverage.missing());
            // With two nodes nobody is left to hold the other history.
            let two = self.bounds.nodes == Some(2);
            total
                .missing
                .retain(|&name| !(two && name == Coverage::ForkAtRest.name()));
        }
        total
    }

    fn work(&self, next: &AtomicU64, done: &AtomicU64, stop: &AtomicBool) -> Summary {
        let mut part = Summary::default();
        while !stop.load(Ordering::Relaxed) {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= self.schedules {
                break;
            }
            for number in from..(from + CHUNK).min(self.schedules) {
                self.one(self.seed.wrapping_add(number), &mut part);
                if !part.failures.is_empty() {
                    stop.store(true, Ordering::Relaxed);
                    return part;
                }
            }
            done.fetch_add(CHUNK, Ordering::Relaxed);
        }
        part
    }

    fn one(&self, seed: u64, part: &mut Summary) {
        let schedule = Schedule::draw(seed, self.bounds);
        let first = run(&schedule, self.mutation, false);
        part.schedules += 1;
        part.simulated_us += first.ended.us();
        part.faults.merge(&first.faults);
        part.coverage.merge(&first.coverage);
        let mut violation = first.violation;
        if self.twice && violation.is_none() {
            let again = run(&schedule, self.mutation, false);
            if again.hash != first.hash {
                violation = Some(Violation {
                    violated: Check::Determinism.into(),
                    node: None,
                    at: again.ended,
                    says: "two runs of one seed differ".to_owned(),
                });
            }
        }
        part.failures
            .extend(violation.map(|violation| Failure { seed, violation }));
    }
}

/// Short campaigns are over before the first pause would be.
fn done_ms(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis() / 4).unwrap_or(u64::MAX)
}
