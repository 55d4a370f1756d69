//! A load on nodes that write traces, which are then replayed into the machines.
//!
//! It is apart from the rows, so that no figure pays for the writing.

use indicatif::ProgressBar;

use super::plan::{LoadtestError, Plan};
use super::results::RowId;
use super::rows;
use crate::deployment::Deployment;
use crate::traces::{self, Replayed};

/// How long each kind of load lasts: some hundred rounds, with every path that a load takes.
const SECONDS: f64 = 1.0;
/// Single adds, which wait for each other's rounds, and streams.
const LOADS: [RowId; 2] = [RowId::CrdtUnary, RowId::CrdtIngest];

/// Loads nodes, stops them, and replays what they have written.
pub(super) async fn measure(plan: &Plan<'_>, bar: &ProgressBar) -> Result<Replayed, LoadtestError> {
    let place = plan.geography(plan.sites, plan.round_trip);
    let deployment = Deployment::tally_traced(place).await?;
    for id in LOADS {
        bar.set_message(format!("traces: {}", id.name()));
        let load = rows::load_plan(id, plan, SECONDS)?;
        deployment.load(&load, |_sample| {}).await?;
    }
    bar.set_message("traces: replaying them");
    let traces = deployment.stop().await?;
    traces::validate(&traces)
        .await?
        .map_err(LoadtestError::Trace)
}
