//! `cargo xtask chaos`: nodes die and links break under load, and no acknowledged like is lost.
//!
//! Three real nodes are loaded without a pause. Each round does one thing to them: one node is
//! killed with `kill -9` and started again, or one is cut off from the others for a while, and the
//! last rounds kill all three at once. Afterwards every counter on every node must show what was
//! acknowledged, or more by at most the likes that got no answer (*durability* and
//! *conservation* of DESIGN). `kill -9` spares the page cache: what a power cut does to a disk is
//! the simulator's subject, not this one's.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{LoadPlan, Mode};
use crate::deployment::{Deployment, DeploymentError, Geography};
use crate::processes::{ProcessError, RunDir, build, results_dir};
use crate::verify::wait_for_rest;
use crate::wan::RoundTrip;

const SITES: usize = 3;
/// Rounds at the end that kill all nodes at once; a run of one round is one of these.
const KILL_ALL_ROUNDS: u32 = 2;
/// The pace of the rounds: a fault begins each two seconds, so the load can be told its length.
const ROUND: Duration = Duration::from_secs(2);
/// How long a node is away: long enough that the others notice and try to reconnect, and that
/// coming back and catching up fits into the rest of the round.
const AWAY: Duration = Duration::from_millis(700);
/// How long the load goes on after the last round, so that the last recovery happens under load.
const LOAD_AFTER: Duration = Duration::from_secs(2);
/// How long the nodes may take to agree once the load has ended: they reconnect with back-off.
const REST_PATIENCE: Duration = Duration::from_secs(30);

/// Kill nodes under load, and check that no acknowledged like is lost.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many faults, one after the other.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// The round trip between any two nodes, in milliseconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    rtt_ms: u64,
}

/// The test could not be run, or likes were lost or invented.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChaosError {
    /// About the servers and the load.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// About building and starting.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The results could not be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The faults took longer than planned, so the last ones met no load.
    #[error("the load ended before the last fault: this machine is too slow for {ROUND:?} a round")]
    TooSlow,
    /// A guarantee does not hold.
    #[error("{}", .0.join("\n"))]
    Violated(Vec<String>),
}

/// What a round does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill { node: usize },
    Partition { node: usize },
    KillAll,
}

/// How often each fault was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Faults {
    kill: u32,
    partition: u32,
    kill_all: u32,
}

/// `target/tally/chaos.json`.
#[derive(Debug, Serialize)]
struct Results {
    rounds: u32,
    faults: Faults,
    acknowledged: u64,
    indeterminate: u64,
    counted: i128,
    lost: u64,
    extra: u64,
    convergence_ms: Option<f64>,
    violations: Vec<String>,
}

/// Runs all rounds under load, then judges.
pub(crate) async fn run(args: Args) -> Result<(), ChaosError> {
    let programs = build().await?;
    let run_dir = RunDir::create()?;
    let place = Geography {
        programs: &programs,
        run_dir: &run_dir,
        sites: SITES,
        round_trip: RoundTrip::from_ms(args.rtt_ms),
    };
    let results = measure(place, args.rounds).await?;
    let path = results_dir()?.join("chaos.json");
    let json = serde_json::to_string_pretty(&results).expect("results are plain values");
    fs::write(&path, json).map_err(|source| ChaosError::File {
        path: path.clone(),
        source,
    })?;
    println!(
        "{} rounds ({} kills of one node, {} partitions, {} kills of all): {} likes \
         acknowledged, {} unanswered; lost {}, extra {}\nFigures: {}",
        results.rounds,
        results.faults.kill,
        results.faults.partition,
        results.faults.kill_all,
        results.acknowledged,
        results.indeterminate,
        results.lost,
        results.extra,
        path.display()
    );
    if !results.violations.is_empty() {
        return Err(ChaosError::Violated(results.violations));
    }
    Ok(run_dir.remove()?)
}

async fn measure(place: Geography<'_>, rounds: u32) -> Result<Results, ChaosError> {
    let mut deployment = Deployment::tally(place).await?;
    let plan = LoadPlan {
        mode: Mode::Ingest,
        counters: 100,
        zipf: 1.0,
        batch: 1_000,
        in_flight: 4,
        seconds: (ROUND * (rounds + 1) + LOAD_AFTER).as_secs_f64(),
        adds_max: None,
        prefix: "like-",
        counts: place.run_dir.fresh("load")?.join("counts.json"),
    };
    let (client, addresses) = (deployment.client().clone(), deployment.addresses());
    let (outcome, faults) = tokio::join!(
        client.load(&addresses, &plan, |_sample| {}),
        all_rounds(&mut deployment, rounds),
    );
    let (outcome, (faults, faults_ended)) = (outcome.map_err(DeploymentError::from)?, faults?);
    if outcome.ended < faults_ended {
        return Err(ChaosError::TooSlow);
    }
    let rest = wait_for_rest(&deployment, &outcome.counts, outcome.ended, REST_PATIENCE).await?;
    let mut violations = Vec::new();
    if rest.verdict.lost > 0 {
        violations.push(format!(
            "durability: {} acknowledged likes are lost",
            rest.verdict.lost
        ));
    }
    if rest.verdict.extra > 0 {
        violations.push(format!(
            "no_phantom: {} likes that nobody sent",
            rest.verdict.extra
        ));
    }
    if rest.verdict.is_exact() && rest.convergence.is_none() {
        violations.push(format!(
            "convergence: the nodes differ after {REST_PATIENCE:?}"
        ));
    }
    Ok(Results {
        rounds,
        faults,
        acknowledged: outcome.result.acknowledged,
        indeterminate: outcome.result.indeterminate,
        counted: rest.verdict.counted,
        lost: rest.verdict.lost,
        extra: rest.verdict.extra,
        convergence_ms: rest.convergence.map(|waited| waited.as_secs_f64() * 1e3),
        violations,
    })
}

/// Does the faults; says when the last one was over.
async fn all_rounds(
    deployment: &mut Deployment,
    rounds: u32,
) -> Result<(Faults, Instant), ChaosError> {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(u64::from(rounds)).with_style(style);
    let mut faults = Faults::default();
    let begun = Instant::now();
    for round in 0..rounds {
        sleep_until(begun + ROUND * (round + 1)).await;
        let fault = fault_of(round, rounds);
        bar.set_message(format!("{fault:?}"));
        match fault {
            Fault::Kill { node } => {
                deployment.kill(node).await?;
                sleep(AWAY).await;
                deployment.restart(node).await?;
                faults.kill += 1;
            }
            Fault::Partition { node } => {
                deployment.isolate(node);
                sleep(AWAY).await;
                deployment.rejoin(node);
                faults.partition += 1;
            }
            Fault::KillAll => {
                for node in 0..SITES {
                    deployment.kill(node).await?;
                }
                sleep(AWAY).await;
                for node in 0..SITES {
                    deployment.restart(node).await?;
                }
                faults.kill_all += 1;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok((faults, Instant::now()))
}

/// Two of three rounds kill a node, each third cuts one off; in turn, so that a run can be
/// repeated.
fn fault_of(round: u32, rounds: u32) -> Fault {
    let node = round as usize % SITES;
    if round + KILL_ALL_ROUNDS >= rounds {
        Fault::KillAll
    } else if round % 3 == 2 {
        // Not always the same node: the kills of a cycle take the other two.
        Fault::Partition {
            node: (node + round as usize / 3) % SITES,
        }
    } else {
        Fault::Kill {
            node: (node + round as usize / 3) % SITES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_rounds_hold_every_fault_and_end_with_killing_all() {
        let faults: Vec<Fault> = (0..10).map(|round| fault_of(round, 10)).collect();
        assert_eq!(faults[8..], [Fault::KillAll; 2]);
        for node in 0..SITES {
            assert!(faults.contains(&Fault::Kill { node }), "{faults:?}");
        }
        assert!(
            faults
                .iter()
                .any(|fault| matches!(fault, Fault::Partition { .. }))
        );
    }

    #[test]
    fn a_single_round_kills_all() {
        assert_eq!(fault_of(0, 1), Fault::KillAll);
    }
}
