//! The simulator's command: runs schedules, prints what fired, and shrinks a failing one.
//!
//! `cargo xtask sim` builds it with optimisation and passes its arguments on.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use model_checker::mutation::Mutation;
use model_checker::sim::{self, Bounds, Campaign, Failure, Summary};
use serde_json::json;

/// The most threads that are used: seeds are independent, but nobody has more cores to spare.
const THREADS_MAX: usize = 64;

/// Play seeded schedules of requests and faults on the real replicas.
#[derive(Parser)]
#[command(name = "sim")]
struct Args {
    /// How many schedules to play.
    #[arg(long, default_value_t = 10_000)]
    schedules: u64,
    /// The seed of the first schedule; each next one has the next seed. Random by default.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of nodes of every schedule, 2 to 9. By default mostly 3, and in one schedule of
    /// twenty any of these.
    #[arg(long, value_parser = nodes)]
    nodes: Option<usize>,
    /// Client requests in a schedule.
    #[arg(long, default_value_t = 100)]
    ops: usize,
    /// Break a rule of the simulated driver, to see it found.
    #[arg(long, value_parser = mutation)]
    mutation: Option<Mutation>,
    /// Play every schedule twice and compare all that happened.
    #[arg(long)]
    twice: bool,
    /// Print all that happens in the first schedule.
    #[arg(long)]
    trace: bool,
    /// Print the result as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write the result as JSON to this file too.
    #[arg(long)]
    report: Option<PathBuf>,
}

fn nodes(text: &str) -> Result<usize, String> {
    let (least, most) = (Bounds::NODES_MIN, Bounds::NODES_MAX);
    let number: usize = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    let within = (least..=most).contains(&number);
    within
        .then_some(number)
        .ok_or_else(|| format!("{number} is not within {least} to {most}"))
}

fn mutation(name: &str) -> Result<Mutation, String> {
    let mut simulated = Mutation::SIMULATED.into_iter();
    let names = Mutation::SIMULATED.map(Mutation::name).join(", ");
    simulated
        .find(|it| it.name() == name)
        .ok_or_else(|| format!("{name:?} is none of {names}"))
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic in a run is a finding, and is reported as one.
    std::panic::set_hook(Box::new(|_| {}));
    let campaign = Campaign {
        seed: args.seed.unwrap_or_else(random_seed),
        schedules: args.schedules,
        bounds: Bounds {
            nodes: args.nodes,
            ops: args.ops,
        },
        mutation: args.mutation,
        twice: args.twice,
        threads: std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_MAX),
    };
    eprintln!("first seed {}", campaign.seed);
    if args.trace {
        for line in sim::trace(campaign.seed, campaign.bounds, campaign.mutation) {
            println!("{line}");
        }
    }
    let bar = ProgressBar::new(campaign.schedules).with_style(style());
    let summary = campaign.run(|done| bar.set_position(done));
    bar.finish_and_clear();
    let report = report(&campaign, &summary);
    if args.json {
        println!("{report:#}");
    } else {
        print_table(&summary);
    }
    if let Some(failure) = summary.failures.first() {
        print_failure(&campaign, failure);
    }
    if let Some(path) = &args.report
        && let Err(error) = write(path, &format!("{report:#}\n"))
    {
        eprintln!("error: {} cannot be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if !summary.missing.is_empty() {
        eprintln!(
            "error: these never happened, so nothing is known about them: {}; play more \
                   schedules",
            summary.missing.join(", ")
        );
    }
    ExitCode::from(u8::from(
        !summary.failures.is_empty() || !summary.missing.is_empty(),
    ))
}

/// Different at each call; nothing else is asked of it.
fn random_seed() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs().wrapping_mul(1_000_003) ^ u64::from(since.subsec_nanos())
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos}/{len} schedules, {per_sec}, {eta} left")
        .expect("the template is a constant")
}

fn write(path: &PathBuf, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

fn report(campaign: &Campaign, summary: &Summary) -> serde_json::Value {
    let faults: serde_json::Map<_, _> = summary
        .faults
        .iter()
        .map(|(kind, n)| (kind.name().to_owned(), json!(n)))
        .collect();
    let coverage: serde_json::Map<_, _> = summary
        .coverage
        .iter()
        .map(|(kind, n)| (kind.name().to_owned(), json!(n)))
        .collect();
    json!({
        "seed": campaign.seed,
        "schedules": summary.schedules,
        "schedules_per_s": summary.schedules_per_s(),
        "simulated_hours": summary.simulated_hours(),
        "twice": campaign.twice,
        "faults": faults,
        "coverage": coverage,
        "missing": summary.missing,
        "violations": summary.failures.len(),
    })
}

fn print_table(summary: &Summary) {
    println!("{:<24}{:>12}", "fault", "times");
    for (kind, count) in summary.faults.iter() {
        println!("{:<24}{count:>12}  {}", kind.name(), kind.says());
    }
    println!("\n{:<24}{:>12}", "seen", "times");
    for (kind, count) in summary.coverage.iter() {
        println!("{:<24}{count:>12}  {}", kind.name(), kind.says());
    }
    println!(
        "\n{} schedules, {:.0}/s, {:.1} simulated hours in {:.1} s, {} violations",
        summary.schedules,
        summary.schedules_per_s(),
        summary.simulated_hours(),
        summary.took.as_secs_f64(),
        summary.failures.len()
    );
}

fn print_failure(campaign: &Campaign, failure: &Failure) {
    eprintln!(
        "\n{}\n\nReplay it:\n\n  {}\n",
        failure.violation,
        replay(campaign, failure.seed)
    );
    let Some(shrunk) = sim::shrink_failure(failure.seed, campaign.bounds, campaign.mutation) else {
        eprintln!("It does not fail when it is played again: the simulator is not deterministic.");
        return;
    };
    eprintln!(
        "The same is violated with {} of its {} requests and {} of its {} faults:\n",
        shrunk.ops.0, shrunk.ops.1, shrunk.faults.0, shrunk.faults.1
    );
    for line in shrunk.trace {
        eprintln!("{line}");
    }
    eprintln!("{}", shrunk.violation);
}

fn replay(campaign: &Campaign, seed: u64) -> String {
    let nodes = campaign
        .bounds
        .nodes
        .map(|nodes| format!(" --nodes {nodes}"));
    let mutation = campaign.mutation.map(|it| format!(" --mutation {it}"));
    format!(
        "cargo xtask sim --seed {seed} --schedules 1 --ops {}{}{}{}",
        campaign.bounds.ops,
        nodes.unwrap_or_default(),
        mutation.unwrap_or_default(),
        if campaign.twice { " --twice" } else { "" }
    )
}
