//! `tally lag`: how long a read with an add's token waits on another node.
//!
//! From each node to each other one add after the other is made at the first and read, with its
//! token, at the second: what is measured is the read, from its question to its answer. It is made
//! as soon as the add is acknowledged, so it waits for the add to travel.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;
use tally_client::{Client, Error};
use tokio::task::JoinSet;

use crate::{
    Common,
    output::{CommandError, Output, print_line},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Reads of each pair of nodes, one after the other; all pairs at the same time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    samples: u32,
    /// Counters are named with this before the numbers of the two nodes.
    #[arg(long, default_value = "lag-")]
    prefix: String,
}

/// Waits are told to three digits ...
const DIGITS: u8 = 3;
/// ... up to an hour, the longest deadline.
const WAIT_US_MAX: u64 = 3_600_000_000;

/// The shares of reads that are told to be answered faster: half, 99 of 100, all.
const QUANTILES: [f64; 3] = [0.5, 0.99, 1.0];

pub(crate) async fn run(
    common: &Common,
    output: Output,
    Arguments { samples, prefix }: Arguments,
) -> Result<(), CommandError> {
    let clients = common.clients()?;
    if clients.len() < 2 {
        let text = "a lag is between two nodes: name at least two with --node";
        return Err(CommandError::Argument(text.to_owned()));
    }
    let mut pairs = JoinSet::new();
    for (from, writer) in clients.iter().enumerate() {
        for (to, reader) in clients.iter().enumerate().filter(|&(to, _)| to != from) {
            let counter = format!("{prefix}{from}-{to}");
            pairs.spawn(measure(writer.clone(), reader.clone(), counter, samples));
        }
    }
    let pair_count = pairs.len();
    let mut waits = Vec::new();
    for of_pair in pairs.join_all().await {
        waits.extend(of_pair?);
    }
    let [p50_ms, p99_ms, max_ms] = quantiles_ms(&waits);
    if output.json {
        let object = json!({
            "pairs": pair_count,
            "samples": waits.len(),
            "p50_ms": p50_ms,
            "p99_ms": p99_ms,
            "max_ms": max_ms,
        });
        return print_line(&object.to_string());
    }
    print_line(&format!(
        "{} reads with a token on another node: half within {p50_ms:.1} ms, 99 % within \
         {p99_ms:.1} ms, the slowest {max_ms:.1} ms",
        waits.len()
    ))
}

/// How long reads at one node wait for adds at another.
async fn measure(
    writer: Client,
    reader: Client,
    counter: String,
    samples: u32,
) -> Result<Vec<Duration>, Error> {
    let mut waits = Vec::new();
    // The first one makes the connections, and is not measured.
    for sample in 0..=samples {
        let token = writer.add(&counter, 1).await?;
        let asked = Instant::now();
        reader.get_after(&counter, &token).await?;
        if sample > 0 {
            waits.push(asked.elapsed());
        }
    }
    Ok(waits)
}

/// How long reads have waited, in milliseconds, for each of [`QUANTILES`].
fn quantiles_ms(waits: &[Duration]) -> [f64; 3] {
    let waits_us = Histogram::<u64>::new_with_max(WAIT_US_MAX, DIGITS);
    let mut waits_us = waits_us.expect("the bound and the digits are possible");
    for wait in waits {
        let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        waits_us.saturating_record(us);
    }
    QUANTILES.map(|share| milliseconds(waits_us.value_at_quantile(share)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an hour has 2^32 microseconds, which is exact"
)]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_milliseconds_to_three_digits() {
        let waits: Vec<_> = (1..=1_000).map(Duration::from_millis).collect();
        let told = quantiles_ms(&waits);
        for (figure, expected_ms) in told.into_iter().zip([500.0, 990.0, 1_000.0]) {
            let off = (figure - expected_ms).abs() / expected_ms;
            assert!(off < 2e-3, "{figure} for {expected_ms}");
        }
    }
}
