//! What `tally load` reports: samples and the result on standard output, the books in a file.
//!
//! A figure that was not measured is null, never 0.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::atomic::Ordering::Relaxed,
    time::Instant,
};

use serde::Serialize;
use serde_json::{json, to_string};

use super::{
    ledger::{Ledger, latencies},
    plan::Plan,
};
use crate::output::{CommandError, print_line};

/// The last line.
#[derive(Serialize)]
struct Summary {
    mode: String,
    nodes: usize,
    /// From the start to the last request sent or acknowledged.
    seconds: f64,
    acknowledged: u64,
    indeterminate: u64,
    refused: u64,
    requests: u64,
    likes_per_s: f64,
    requests_per_s: f64,
    batch: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    errors: BTreeMap<String, u64>,
}

/// The adds of each counter, by rank.
pub(crate) struct Books {
    acknowledged: Vec<u64>,
    indeterminate: Vec<u64>,
}

/// Creates the file for the books before there is anything to lose.
pub(crate) fn create(path: &Path) -> Result<File, CommandError> {
    File::create(path).map_err(|error| CommandError::Io {
        what: path.display().to_string(),
        error,
    })
}

/// What is acknowledged so far.
pub(crate) fn sample(plan: &Plan) -> Result<(), CommandError> {
    let per_node: Vec<u64> = plan
        .acknowledged
        .iter()
        .map(|adds| adds.load(Relaxed))
        .collect();
    let t_ms = u64::try_from(plan.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let acknowledged: u64 = per_node.iter().sum();
    let sample = json!({ "t_ms": t_ms, "acknowledged": acknowledged, "per_node": per_node });
    print_line(&json!({ "sample": sample }).to_string())
}

/// The end.
pub(crate) fn result(plan: &Plan, ledgers: &[Ledger], books: &Books) -> Result<(), CommandError> {
    let ended: Instant = ledgers
        .iter()
        .map(|ledger| ledger.ended)
        .max()
        .expect("there is at least one node");
    let seconds = ended.duration_since(plan.started).as_secs_f64();
    let mut latency_us = latencies();
    let mut errors = BTreeMap::new();
    for ledger in ledgers {
        latency_us
            .add(&ledger.latency_us)
            .expect("all ledgers have the same bounds");
        for (label, count) in &ledger.errors {
            *errors.entry(label.clone()).or_default() += count;
        }
    }
    let acknowledged: u64 = books.acknowledged.iter().sum();
    let requests: u64 = ledgers.iter().map(|ledger| ledger.requests).sum();
    #[expect(clippy::cast_precision_loss, reason = "figures for people, below 2^53")]
    let quantile_ms =
        |quantile| (requests > 0).then(|| latency_us.value_at_quantile(quantile) as f64 / 1_000.0);
    #[expect(clippy::cast_precision_loss, reason = "figures for people, below 2^53")]
    let result = Summary {
        mode: format!("{:?}", plan.mode).to_lowercase(),
        nodes: ledgers.len(),
        seconds,
        acknowledged,
        indeterminate: books.indeterminate.iter().sum(),
        refused: ledgers.iter().map(|ledger| ledger.refused_adds).sum(),
        requests,
        likes_per_s: acknowledged as f64 / seconds,
        requests_per_s: requests as f64 / seconds,
        batch: plan.batch,
        p50_ms: quantile_ms(0.5),
        p99_ms: quantile_ms(0.99),
        errors,
    };
    let result = to_string(&result).expect("numbers and strings are always JSON");
    print_line(&format!("{{\"result\":{result}}}"))
}

impl Books {
    pub(crate) fn add_up(plan: &Plan, ledgers: &[Ledger]) -> Self {
        let mut books = Self {
            acknowledged: vec![0; plan.names.len()],
            indeterminate: vec![0; plan.names.len()],
        };
        for ledger in ledgers {
            ledger
                .acknowledged
                .add_up(&plan.ring, &mut books.acknowledged);
            ledger
                .indeterminate
                .add_up(&plan.ring, &mut books.indeterminate);
        }
        books
    }

    /// Writes every counter that was touched.
    pub(crate) fn write(&self, plan: &Plan, file: File) -> Result<(), CommandError> {
        let counters = plan
            .names
            .iter()
            .zip(&self.acknowledged)
            .zip(&self.indeterminate);
        let counters: serde_json::Map<_, _> = counters
            .filter(|((_, acknowledged), indeterminate)| **acknowledged + **indeterminate > 0)
            .map(|((name, acknowledged), indeterminate)| {
                let counts = json!({
                    "acknowledged": acknowledged, "indeterminate": indeterminate,
                });
                (name.clone(), counts)
            })
            .collect();
        let mut writer = BufWriter::new(file);
        writeln!(writer, "{}", json!({ "counters": counters }))
            .and_then(|()| writer.flush())
            .map_err(|error| CommandError::Io {
                what: "the file of --counts".to_owned(),
                error,
            })
    }
}
