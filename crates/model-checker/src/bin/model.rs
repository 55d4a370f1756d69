//! The checker's command: all worlds and proofs, one table, or the Explorer on one world.
//!
//! `cargo xtask model` builds it with optimisation and passes its arguments on.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use model_checker::expectations::{EXPECTATIONS, Expectation};
use model_checker::proofs::{self, Proofs};
use model_checker::report::{self, Row};
use model_checker::search::{find, search};
use model_checker::world::World;
use model_checker::worlds::{Visitor, shows_not};

/// The most searches at the same time: each holds its states in memory.
const THREADS_MAX: usize = 8;

/// Where the proofs are, from the root of the repository.
const PROOFS: &str = "specs/smt";

/// The world whose speed is printed: without faults, and large enough to measure.
const SPEED_WORLD: &str = "crdt-2x4";

/// Check every world, and put every proof to z3.
#[derive(Parser)]
#[command(name = "model")]
struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Search the large bounds too.
    #[arg(long)]
    deep: bool,
    /// Only worlds whose name contains this; the proofs are left out.
    #[arg(long)]
    only: Option<String>,
    /// Show what was found in this world step by step.
    #[arg(long, value_name = "WORLD")]
    trace: Option<String>,
    /// Fail where z3 is missing, as it does where CI=true.
    #[arg(long)]
    require_z3: bool,
    /// Write the result as JSON to this file too, unless only some worlds are chosen.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Walk through a world by hand, in a browser.
    Explore {
        /// The world.
        world: String,
        /// Where to serve the page.
        #[arg(long, default_value = "127.0.0.1:3000")]
        addr: SocketAddr,
    },
    /// List the worlds and their properties.
    List,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.action {
        None => check(&args),
        Some(Action::Explore { world, addr }) => {
            let explored = find(world).map(|found| found.accept(Explore { world, addr: *addr }));
            explored.map(|()| true).map_err(Into::into)
        }
        Some(Action::List) => list().map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the arguments choose; whether everything was as expected.
fn check(args: &Args) -> Result<bool, Box<dyn Error>> {
    let begun = Instant::now();
    let named = args.trace.as_ref().or(args.only.as_ref());
    let is_chosen = |it: &&Expectation| match named {
        Some(part) => it.world.contains(part.as_str()),
        None => args.deep || !it.is_deep,
    };
    let chosen: Vec<Expectation> = EXPECTATIONS.iter().filter(is_chosen).copied().collect();
    if chosen.is_empty() {
        find(named.map_or("", String::as_str))?;
    }
    let rows = search_all(&chosen)?;
    let proofs = if named.is_some() {
        None
    } else {
        Some(proofs::run(Path::new(PROOFS))?)
    };
    println!("{}", report::table(&rows));
    println!("{}", report::traces(&rows, args.trace.as_deref()));
    println!("{}", report::limits(&rows));
    let mut is_good = rows.iter().all(Row::is_as_expected);
    if let Some(proofs) = &proofs {
        println!("{}", report::proofs(proofs));
        is_good &= are_good(proofs, args.require_z3);
        if let Some(path) = &args.report {
            fs::write(
                path,
                serde_json::to_string_pretty(&report::json(&rows, proofs))?,
            )?;
        }
    }
    summarise(&rows, proofs.as_ref(), begun);
    Ok(is_good)
}

/// Whether the proofs hold, or need not be run here.
fn are_good(proofs: &Proofs, requires_z3: bool) -> bool {
    let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    if !proofs.has_z3 {
        return !(requires_z3 || is_ci);
    }
    proofs.failures.is_empty() && proofs.questions.iter().all(proofs::Question::is_answered)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn summarise(rows: &[Row], proofs: Option<&Proofs>, begun: Instant) {
    let different = rows.iter().filter(|row| !row.is_as_expected()).count();
    println!(
        "{} searches, {different} not as expected; {:.1} s in all",
        rows.len(),
        begun.elapsed().as_secs_f64(),
    );
    let mut rows = rows.iter();
    if let Some(Row { expected, found }) = rows.find(|row| row.expected.world == SPEED_WORLD) {
        let (seconds, generated) = (found.took.as_secs_f64(), found.generated);
        let per_second = generated as f64 / seconds.max(f64::EPSILON);
        println!(
            "{}: {generated} states generated in {seconds:.1} s on one \
             thread, {per_second:.0} a second",
            expected.world,
        );
    }
    match proofs {
        Some(proofs) if proofs.has_z3 => {
            let asked = proofs.questions.len();
            println!(
                "{asked} questions to z3 in {:.1} s",
                proofs.took.as_secs_f64()
            );
        }
        Some(_) => println!("proofs: not run, there is no z3"),
        None => println!("proofs: not run, only some worlds were chosen"),
    }
}

/// Makes the searches, several at a time, each on one thread.
fn search_all(chosen: &[Expectation]) -> Result<Vec<Row>, Box<dyn Error>> {
    let bar = ProgressBar::new(chosen.len() as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}")?;
    bar.set_style(style);
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(expected) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            bar.set_message(format!("{} {}", expected.world, expected.property));
            let found = search(expected.world, expected.property);
            bar.inc(1);
            rows.lock()
                .expect("no search panics")
                .push((*expected, found));
        }
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    bar.finish_and_clear();
    let mut found = rows.into_inner().expect("no search panics");
    found.sort_by_key(|(expected, _)| EXPECTATIONS.iter().position(|it| it == expected));
    let rows = found.into_iter().map(|(expected, found)| {
        Ok(Row {
            expected,
            found: found?,
        })
    });
    rows.collect()
}

fn list() -> Result<(), Box<dyn Error>> {
    let mut worlds: Vec<&str> = EXPECTATIONS.iter().map(|it| it.world).collect();
    worlds.dedup();
    worlds.sort_unstable();
    worlds.dedup();
    for world in worlds {
        let rows = EXPECTATIONS.iter().filter(|it| it.world == world);
        let properties: Vec<&str> = rows.map(|it| it.property).collect();
        println!(
            "{world}: {}\n    {}\n    does not show {}",
            find(world)?.bounds(),
            properties.join(", "),
            shows_not(world).unwrap_or_default(),
        );
    }
    Ok(())
}

struct Explore<'a> {
    world: &'a str,
    addr: SocketAddr,
}

impl Visitor for Explore<'_> {
    type Output = ();

    fn visit<W: World + Send + Sync + 'static>(self, world: W) {
        println!("{} at http://{}/ (Ctrl-C ends it)", self.world, self.addr);
        world.checker().serve(self.addr);
    }
}
