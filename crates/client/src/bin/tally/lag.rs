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

/// What a wait is measured to: three digits, up to the longest deadline.
const DIGITS: u8 = 3;

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
    let mut waits_us = Histogram::<u64>::new(DIGITS).expect("three digits are possible");
    for waits in pairs.join_all().await {
        for wait in waits? {
            let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
            waits_us.saturating_record(us);
        }
    }
    let at = |share| milliseconds(waits_us.value_at_quantile(share));
    let (p50, p99, max) = (at(0.5), at(0.99), milliseconds(waits_us.max()));
    if output.json {
        let object = json!({
            "pairs": pair_count,
            "samples": waits_us.len(),
            "p50_ms": p50,
            "p99_ms": p99,
            "max_ms": max,
        });
        return print_line(&object.to_string());
    }
    print_line(&format!(
        "{} reads with a token on another node: half within {p50:.1} ms, 99 % within {p99:.1} ms, \
         the slowest {max:.1} ms",
        waits_us.len()
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

fn milliseconds(us: u64) -> f64 {
    // Exact: less than 2^53.
    #[expect(clippy::cast_precision_loss, reason = "an hour has 2^32 microseconds")]
    let us = us as f64;
    us / 1e3
}
