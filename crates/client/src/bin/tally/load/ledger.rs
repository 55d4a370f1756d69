//! A worker's books: what became of its requests, and how long they took.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use hdrhistogram::Histogram;
use tally_client::{Error, Outcome};

use super::{
    plan::Plan,
    ring::{Book, Run},
};

/// Latencies are kept in microseconds, to 3 digits, up to this: no request waits longer than a
/// deadline, which is an hour at most.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// What one worker has done.
pub(crate) struct Ledger {
    plan: Arc<Plan>,
    node: usize,
    pub(crate) acknowledged: Book,
    pub(crate) indeterminate: Book,
    pub(crate) refused_adds: u64,
    /// Acknowledged requests.
    pub(crate) requests: u64,
    /// Of acknowledged requests.
    pub(crate) latency_us: Histogram<u64>,
    /// Failures by [`Error::label`].
    pub(crate) errors: BTreeMap<String, u64>,
    /// When the last request was sent or acknowledged.
    pub(crate) ended: Instant,
}

/// A request under way.
#[derive(Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) run: Run,
    pub(crate) at: Instant,
}

impl Ledger {
    pub(crate) fn new(plan: &Arc<Plan>, node: usize) -> Self {
        Self {
            plan: Arc::clone(plan),
            node,
            acknowledged: Book::new(&plan.ring),
            indeterminate: Book::new(&plan.ring),
            refused_adds: 0,
            requests: 0,
            latency_us: latencies(),
            errors: BTreeMap::new(),
            ended: plan.started,
        }
    }

    /// Books what became of a request.
    pub(crate) fn settle(&mut self, sent: Sent, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Acknowledged => {
                self.acknowledged.enter(sent.run);
                self.requests += 1;
                let waited_us = now.duration_since(sent.at).as_micros();
                let waited_us = u64::try_from(waited_us).unwrap_or(LATENCY_US_MAX);
                self.latency_us.saturating_record(waited_us.max(1));
                self.plan.acknowledged[self.node].fetch_add(sent.run.adds(), Relaxed);
                self.ended = self.ended.max(now);
            }
            Outcome::Refused => {
                self.refused_adds += sent.run.adds();
                self.plan.give_back(sent.run.adds());
            }
            // Of a request that counts in part, each add counted once or not at all.
            Outcome::Indeterminate | Outcome::InPart | Outcome::Pending => {
                self.indeterminate.enter(sent.run);
            }
        }
    }

    pub(crate) fn failed(&mut self, error: &Error) {
        *self.errors.entry(error.label()).or_default() += 1;
    }

    /// From here on nothing is sent, only waited for.
    pub(crate) fn stopped_sending(&mut self) {
        self.ended = self.ended.max(Instant::now());
    }
}

/// An empty histogram of latencies in microseconds.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are well formed")
}
