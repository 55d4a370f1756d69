//! How long a read with an add's token waits on another node, over the links of the test.
//!
//! `tally lag` measures it between all pairs of nodes, while nothing else is counted. The least
//! that it can take is one trip, half a round trip; the pace at which nodes send, and the sync at
//! either end, come on top.

use indicatif::ProgressBar;

use super::plan::{LoadtestError, Plan};
use super::results::Lag;
use crate::deployment::Deployment;

/// Reads of each pair of nodes: with the six pairs of three nodes, six of all are slower than the
/// figure of which 99 of 100 are faster.
const SAMPLES: u32 = 100;

/// Starts nodes and measures reads between them.
pub(super) async fn measure(plan: &Plan<'_>, bar: &ProgressBar) -> Result<Lag, LoadtestError> {
    bar.set_message("lag: reads with tokens on other nodes");
    let deployment = Deployment::tally(plan.geography(plan.sites, plan.round_trip)).await?;
    let waits = deployment.lag(SAMPLES).await?;
    Ok(Lag {
        pairs: waits.pairs,
        samples: waits.samples,
        p50_ms: waits.p50_ms,
        p99_ms: waits.p99_ms,
        max_ms: waits.max_ms,
    })
}
