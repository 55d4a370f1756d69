//! Adds one by one, by a few callers at a time, and how long the slowest of them take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tally_client::Client;
use tokio::task::JoinSet;

use crate::{Failure, name};

/// Callers; each waits for its answer.
const CALLERS: u32 = 8;
/// What a histogram tells apart: three digits, up to a minute.
const LATENCY_MAX_US: u64 = 60_000_000;

/// Adds that go on until they are ended.
pub(crate) struct Adds {
    switches: Arc<Switches>,
    callers: JoinSet<Result<Histogram<u64>, tally_client::Error>>,
}

#[derive(Default)]
struct Switches {
    is_timed: AtomicBool,
    is_over: AtomicBool,
}

/// How long adds took.
pub(crate) struct Slowest {
    /// How many were timed.
    pub(crate) adds: u64,
    /// Half of them took less.
    pub(crate) p50: Duration,
    /// 99 of a hundred took less.
    pub(crate) p99: Duration,
    /// 999 of a thousand took less.
    pub(crate) p999: Duration,
    /// The slowest.
    pub(crate) max: Duration,
}

impl Adds {
    /// Begins to add, to counters all over the node. Nothing is timed yet.
    pub(crate) fn begin(client: &Client, counters: u32) -> Self {
        let switches = Arc::<Switches>::default();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(call(client.clone(), counters, caller, switches.clone()));
        }
        Self { switches, callers }
    }

    /// Adds are timed from now on, or not any more. One that is under way at either moment is.
    pub(crate) fn timed(&self, is_timed: bool) {
        self.switches.is_timed.store(is_timed, Ordering::SeqCst);
    }

    /// Ends, and tells what was found.
    pub(crate) async fn end(mut self) -> Result<Slowest, Failure> {
        self.switches.is_over.store(true, Ordering::SeqCst);
        let mut all = histogram();
        while let Some(caller) = self.callers.join_next().await {
            all.add(caller??)?;
        }
        let at = |quantile| Duration::from_micros(all.value_at_quantile(quantile));
        Ok(Slowest {
            adds: all.len(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_micros(all.max()),
        })
    }
}

async fn call(
    client: Client,
    counters: u32,
    caller: u32,
    switches: Arc<Switches>,
) -> Result<Histogram<u64>, tally_client::Error> {
    let mut latencies = histogram();
    let mut number = caller;
    while !switches.is_over.load(Ordering::SeqCst) {
        // A step that shares no factor with the number of counters meets each of them.
        number = (number + 700_001) % counters;
        let counter = name(number);
        let was_timed = switches.is_timed.load(Ordering::SeqCst);
        let begin = Instant::now();
        client.add(&counter, 1).await?;
        let took = begin.elapsed();
        if was_timed || switches.is_timed.load(Ordering::SeqCst) {
            let us = u64::try_from(took.as_micros()).unwrap_or(LATENCY_MAX_US);
            latencies.saturating_record(us);
        }
    }
    Ok(latencies)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("bounds that are in order")
}
