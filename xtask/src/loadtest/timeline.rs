//! Likes a second over time, while the process that matters most is killed and comes back.
//!
//! For the lock that is the lock server: with it away nobody can count. A CRDT counter has no such
//! process, so one of the three nodes is killed instead. The killing is `kill -9` in both cases.

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::numbers::float;
use super::plan::{LoadtestError, Plan};
use super::results::{Rate, RowId, Timeline, Timelines};
use super::rows::{deploy, load_plan};
use crate::client::Sample;
use crate::deployment::{Deployment, Keeps};

/// The whole time, in seconds: a steady stretch before, without, and after the process.
const SECONDS: f64 = 12.0;
const KILL_AFTER: Duration = Duration::from_secs(4);
const AWAY: Duration = Duration::from_secs(3);
/// The Tally node that is killed: any would do.
const VICTIM: usize = 1;

/// How many time lines there are: for the progress bar.
pub(super) const COUNT: u64 = 2;

/// Measures both time lines.
pub(super) async fn measure_all(
    plan: &Plan<'_>,
    bar: &ProgressBar,
) -> Result<Timelines, LoadtestError> {
    let lock = measure(RowId::Lock, plan, bar).await?;
    bar.inc(1);
    let crdt = measure(RowId::CrdtIngest, plan, bar).await?;
    bar.inc(1);
    Ok(Timelines { lock, crdt })
}

async fn measure(id: RowId, plan: &Plan<'_>, bar: &ProgressBar) -> Result<Timeline, LoadtestError> {
    bar.set_message(format!("{}: time line", id.name()));
    // The register that comes back must hold the same counter.
    let place = plan.geography(plan.sites, plan.round_trip);
    let mut deployment = deploy(id, place, Keeps::OnDisk).await?;
    let load = load_plan(id, plan, SECONDS)?;
    let (client, addresses) = (deployment.client().clone(), deployment.addresses());
    let (outcome, faults) = tokio::join!(
        client.load(&addresses, &load, |_sample| {}),
        kill_and_restart(id, &mut deployment),
    );
    let ((killed, restarted), outcome) = (faults?, outcome?);
    let since_began_ms = |moment: Instant| (moment - outcome.began).as_secs_f64() * 1e3;
    Ok(Timeline {
        killed_ms: since_began_ms(killed),
        restarted_ms: since_began_ms(restarted),
        samples: rates(&outcome.samples),
    })
}

async fn kill_and_restart(
    id: RowId,
    deployment: &mut Deployment,
) -> Result<(Instant, Instant), LoadtestError> {
    sleep(KILL_AFTER).await;
    let killed = Instant::now();
    let lock = id == RowId::Lock;
    if lock {
        deployment.kill_register().await?;
    } else {
        deployment.kill(VICTIM).await?;
    }
    sleep(AWAY).await;
    let restarted = Instant::now();
    if lock {
        deployment.restart_register()?;
    } else {
        deployment.restart(VICTIM).await?;
    }
    Ok((killed, restarted))
}

/// The slope between each two samples.
fn rates(samples: &[Sample]) -> Vec<Rate> {
    samples
        .array_windows()
        .filter(|[earlier, later]| later.t_ms > earlier.t_ms)
        .map(|[earlier, later]| {
            let likes = later.acknowledged.saturating_sub(earlier.acknowledged);
            Rate {
                t_ms: later.t_ms,
                likes_per_s: float(likes) * 1e3 / (later.t_ms - earlier.t_ms),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_slope_between_two_samples() {
        let samples = [
            (0.0, 0),
            (100.0, 50),
            (200.0, 50),
            (200.0, 60),
            (400.0, 100),
        ]
        .map(|(t_ms, acknowledged)| Sample { t_ms, acknowledged });
        let rates: Vec<(f64, f64)> = rates(&samples)
            .iter()
            .map(|rate| (rate.t_ms, rate.likes_per_s))
            .collect();
        assert_eq!(rates, [(100.0, 500.0), (200.0, 0.0), (400.0, 200.0)]);
    }
}
