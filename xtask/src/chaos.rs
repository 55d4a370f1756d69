//! `cargo xtask chaos`: nodes die and links break under load, and no acknowledged like is lost.
//!
//! Three real nodes are loaded without a pause. In each round one of them is killed with `kill -9`
//! and started again; after every third round one is cut off from the others for a while; and at
//! the end all three are killed at once, twice. Afterwards every counter on every node must show
//! what was acknowledged, or more by at most the likes that got no answer (*durability* and
//! *conservation* of `specs/guarantees.md`); an audit must find all nodes to hold the same, lane by
//! lane, and so must those that ran beside the load (*convergence*); and the traces of all nodes must be what the machines
//! would have done ([`traces`]). `kill -9` spares the page cache: what a power cut does
//! to a disk is the simulator's subject, not this one's.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::{Audits, Client, LoadPlan, Mode};
use crate::deployment::{Deployment, DeploymentError, Geography};
use crate::processes::{ProcessError, RunDir, build, results_dir};
use crate::traces::{self, Replayed};
use crate::verify::{AtRest, wait_for_rest};
use crate::wan::RoundTrip;

const SITES: usize = 3;
/// How often all nodes are killed at once, at the end.
const KILL_ALL_COUNT: usize = 2;
/// The pace: a fault begins each two seconds, so the load can be told its length.
const PACE: Duration = Duration::from_secs(2);
/// How long a node is away: long enough that the others notice and try to reconnect, and that
/// coming back and catching up fits into the rest of the round.
const AWAY: Duration = Duration::from_millis(700);
/// How long the load goes on after the last round, so that the last recovery happens under load.
const LOAD_AFTER: Duration = Duration::from_secs(2);
/// Between two audits under load: a few in each round, and hardly any time of the nodes.
const AUDIT_PAUSE: Duration = Duration::from_millis(500);
/// How long the nodes may take to agree once the load has ended: they reconnect with back-off.
const REST_PATIENCE: Duration = Duration::from_secs(30);

/// Kill nodes under load, and check that no acknowledged like is lost.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often one node is killed, each in its turn. Partitions and kills of all come on top.
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
    #[error("the load ended before the last fault: this machine is too slow for one in {PACE:?}")]
    TooSlow,
    /// A guarantee does not hold.
    #[error("{}", .0.join("\n"))]
    Violated(Vec<String>),
}

/// What is done to the nodes.
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
    /// What the audits found that ran beside the load and the faults ...
    audit_under_load: Audits,
    /// ... and the one at the end, at rest.
    audit: Audits,
    traces_valid: bool,
    /// What was replayed of the traces, if they are valid.
    traces: Option<Replayed>,
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
    for (when, audits) in [
        ("under load", &results.audit_under_load),
        ("at rest", &results.audit),
    ] {
        println!("Audits {when}: {audits}");
    }
    if let Some(replayed) = &results.traces {
        println!("{replayed}");
    }
    if !results.violations.is_empty() {
        return Err(ChaosError::Violated(results.violations));
    }
    Ok(run_dir.remove()?)
}

async fn measure(place: Geography<'_>, rounds: u32) -> Result<Results, ChaosError> {
    let mut deployment = Deployment::tally_traced(place).await?;
    let schedule = schedule(rounds);
    let plan = LoadPlan {
        mode: Mode::Ingest,
        sessions: true,
        counters: 100,
        zipf: 1.0,
        batch: 1_000,
        in_flight: 4,
        seconds: load_time(&schedule).as_secs_f64(),
        adds_max: None,
        prefix: "like-",
        counts: place.run_dir.fresh("load")?.join("counts.json"),
    };
    let (client, addresses) = (deployment.client().clone(), deployment.addresses());
    let mut audit_under_load = Audits::default();
    let loaded = async {
        tokio::join!(
            client.load(&addresses, &plan, |_sample| {}),
            all_faults(&mut deployment, &schedule),
        )
    };
    let (outcome, faults) = tokio::select! {
        loaded = loaded => loaded,
        failed = audit_on(&client, &addresses, &mut audit_under_load) => return Err(failed),
    };
    let (outcome, (faults, faults_ended)) = (outcome.map_err(DeploymentError::from)?, faults?);
    if outcome.ended < faults_ended {
        return Err(ChaosError::TooSlow);
    }
    let rest = wait_for_rest(&deployment, &outcome.counts, outcome.ended, REST_PATIENCE).await?;
    let mut violations = judge_rest(&rest);
    if outcome.result.indeterminate > 0 {
        // With none left, the totals above are equal to what was sent, to the like.
        violations.push(format!(
            "idempotence: {} likes were sent again until the deadline, and have no answer",
            outcome.result.indeterminate
        ));
    }
    let mut audit = Audits::default();
    audit.add(
        client
            .audit(&addresses)
            .await
            .map_err(DeploymentError::from)?,
    );
    violations.extend(judge_audits(&audit_under_load, &audit));
    let replayed = traces::validate(&deployment.stop().await?).await?;
    if let Err(refused) = &replayed {
        violations.push(format!("a trace is not what the machines do: {refused}"));
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
        audit_under_load,
        audit,
        traces_valid: replayed.is_ok(),
        traces: replayed.ok(),
    })
}

/// What is wrong with what the nodes show at rest.
fn judge_rest(rest: &AtRest) -> Vec<String> {
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
    violations
}

/// Audits the nodes again and again; only a failure ends it.
async fn audit_on(client: &Client, nodes: &[SocketAddr], audits: &mut Audits) -> ChaosError {
    loop {
        match client.audit(nodes).await {
            Ok(audited) => audits.add(audited),
            Err(error) => return DeploymentError::from(error).into(),
        }
        sleep(AUDIT_PAUSE).await;
    }
}

/// What is wrong by the audits. Nodes that are dead cannot be compared; at rest, all can.
fn judge_audits(under_load: &Audits, at_rest: &Audits) -> Vec<String> {
    let mut violations = Vec::new();
    for (when, audits) in [("under load", under_load), ("at rest", at_rest)] {
        for difference in &audits.differences {
            violations.push(format!(
                "convergence: an audit {when} finds two nodes that hold different things of a \
                 lane at one mark: {difference}"
            ));
        }
        if audits.equal == 0 {
            violations.push(format!("the audits {when} compared nothing"));
        }
    }
    if at_rest.not_compared > 0 {
        violations.push(format!(
            "the audit at rest could not compare {} lanes: {}",
            at_rest.not_compared,
            at_rest.reasons.join("; ")
        ));
    }
    violations
}

/// How long the load must last: over all faults, and some time more.
fn load_time(schedule: &[Fault]) -> Duration {
    schedule
        .iter()
        .fold(PACE + LOAD_AFTER, |time, _| time + PACE)
}

/// Does the faults; says when the last one was over.
async fn all_faults(
    deployment: &mut Deployment,
    schedule: &[Fault],
) -> Result<(Faults, Instant), ChaosError> {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(schedule.len() as u64).with_style(style);
    let mut faults = Faults::default();
    let begun = Instant::now();
    for (due, &fault) in (1..).zip(schedule) {
        sleep_until(begun + PACE * due).await;
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

/// What happens in which order: always the same, so that a run can be repeated.
fn schedule(rounds: u32) -> Vec<Fault> {
    let mut faults = Vec::new();
    for round in 0..rounds as usize {
        faults.push(Fault::Kill {
            node: round % SITES,
        });
        if round % SITES == SITES - 1 {
            faults.push(Fault::Partition {
                node: round / SITES % SITES,
            });
        }
    }
    faults.extend([Fault::KillAll; KILL_ALL_COUNT]);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_and_what_was_never_compared_are_violations() {
        let audits = |equal, not_compared, differences: &[&str]| Audits {
            runs: 1,
            equal,
            not_compared,
            reasons: vec!["away".into()],
            differences: differences.iter().map(ToString::to_string).collect(),
        };
        let good = audits(3, 0, &[]);
        let found =
            |under_load: &Audits, at_rest: &Audits| judge_audits(under_load, at_rest).join("\n");
        assert_eq!(found(&audits(3, 2, &[]), &good), "");
        assert!(found(&audits(3, 0, &["lane 7"]), &good).contains("under load"));
        assert!(found(&good, &audits(3, 0, &["lane 7"])).contains("lane 7"));
        assert!(found(&audits(0, 2, &[]), &good).contains("compared nothing"));
        assert!(found(&good, &audits(3, 2, &[])).contains("2 lanes: away"));
    }

    #[test]
    fn ten_rounds_kill_ten_times_cut_every_node_off_and_end_with_killing_all() {
        let faults = schedule(10);
        let count =
            |wanted: fn(&Fault) -> bool| faults.iter().filter(|fault| wanted(fault)).count();
        assert_eq!(count(|fault| matches!(fault, Fault::Kill { .. })), 10);
        assert_eq!(faults[faults.len() - KILL_ALL_COUNT..], [Fault::KillAll; 2]);
        for node in 0..SITES {
            assert!(faults.contains(&Fault::Kill { node }), "{faults:?}");
            assert!(faults.contains(&Fault::Partition { node }), "{faults:?}");
        }
    }
}
