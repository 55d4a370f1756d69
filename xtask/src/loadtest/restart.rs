//! How long a node takes to serve again after `kill -9`, with a million counters on its disk.

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

use super::plan::{LoadtestError, Plan};
use super::results::Restart;
use crate::client::{LoadPlan, Mode};
use crate::deployment::Deployment;
use crate::wan::RoundTrip;

/// The counters of the goal.
pub(super) const COUNTERS_MIN: u64 = 1_000_000;
/// The load generator likes a sample of about a million places, evenly over this many names, and
/// so reaches about four of five of them: two fillings of different names make a little more than
/// [`COUNTERS_MIN`] counters.
const NAMES: u32 = 630_000;
const PREFIXES: [&str; 2] = ["left-", "right-"];
/// Likes of a filling: each place of the sample about four times, so one in fifty is left out.
const LIKES: u64 = 4 * (1 << 20);
/// More than these likes take: the number of likes ends the load.
const SECONDS_MAX: f64 = 60.0;
const BATCH: u32 = 32_768;
const IN_FLIGHT: u32 = 8;

/// Fills one node, kills it, and times its next start.
pub(super) async fn measure(plan: &Plan<'_>, bar: &ProgressBar) -> Result<Restart, LoadtestError> {
    bar.set_message("restart: filling a node with a million counters");
    let mut deployment = Deployment::tally(plan.geography(1, RoundTrip::from_ms(0))).await?;
    let mut liked = 0;
    for prefix in PREFIXES {
        let load = LoadPlan {
            mode: Mode::Ingest,
            sessions: false,
            counters: NAMES,
            zipf: 0.0,
            batch: BATCH,
            in_flight: IN_FLIGHT,
            seconds: SECONDS_MAX,
            adds_max: Some(LIKES),
            prefix,
            counts: plan.run_dir.fresh("load")?.join("counts.json"),
        };
        liked += deployment.load(&load, |_sample| {}).await?.counts.len() as u64;
    }
    bar.set_message("restart: killed, starting again");
    deployment.kill(0).await?;
    let start = Instant::now();
    deployment.restart(0).await?;
    let took: Duration = start.elapsed();
    let counters = deployment
        .client()
        .counter_count(deployment.addresses()[0])
        .await?;
    if counters < liked {
        return Err(LoadtestError::RestartLost { liked, counters });
    }
    Ok(Restart {
        counters,
        seconds: took.as_secs_f64(),
    })
}
