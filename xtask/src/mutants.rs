//! `cargo xtask mutants`: breaks the code in small ways, one at a time, and sees whether a test
//! fails.
//!
//! A change that no test finds (a *survivor*) is a rule that nothing checks, or one that changes
//! nothing. Each is killed by a new check, or stands with its reason in `specs/mutants.toml`; the
//! verb fails at any other, and at an entry that has become wrong. cargo-mutants makes the changes
//! ([`engine`]), in a copy of the tree ([`scratch`]); what is changed, and by which tests it is to
//! be found, is one table ([`targets`]).
//!
//! A change that makes a test run for ever counts as caught. Properties are tried with one fixed
//! seed, so that the survivors are the same in every run.

mod engine;
mod scratch;
mod survivors;
mod targets;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Serialize;

use crate::git::{GitError, git};
use crate::paths::target_dir;
use crate::processes::{ProcessError, results_dir};
use crate::tools::{CARGO_MUTANTS, ToolError, install_missing};
use engine::{Engine, EngineError, Fate, Tried, containing};
use scratch::ScratchError;
use survivors::{Judgement, LIST, ListError};
use targets::{CORE, EXCLUDED, Target, existing};

/// The memory of each process, in bytes: a changed loop may allocate without end. The compiler
/// takes up to 3 GiB.
const MEMORY_MAX_BYTES: u64 = 8 << 30;

/// How many changes are tried at a time. Most of the time of one is the compiler's for one crate,
/// which uses little more than one core. Each has its own copy of the tree, and builds it.
const PARALLEL: u32 = 2;

/// Which changes are tried.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only in code that differs from where this branch left BASE, committed or not.
    #[arg(long, value_name = "BASE")]
    in_diff: Option<String>,
    /// Only in the replica: `Replica`, `Lane` and `History`.
    #[arg(long, conflicts_with = "in_diff")]
    core: bool,
    /// Only changes whose name contains this, such as a function.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

impl Args {
    /// Whether some changes are not tried.
    fn is_partial(&self) -> bool {
        let Self {
            in_diff,
            core,
            only,
        } = self;
        in_diff.is_some() || *core || only.is_some()
    }
}

/// The changes could not be tried, or the survivors are not those of the list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MutantsError {
    /// cargo-mutants is not there.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// There is no place for the figures.
    #[error(transparent)]
    Results(#[from] ProcessError),
    /// The tree could not be copied.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// cargo-mutants did not do what it was asked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The list could not be read.
    #[error(transparent)]
    List(#[from] ListError),
    /// The difference could not be found.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Survivors that are not on the list, or entries that are wrong; all have been printed.
    #[error("{unlisted} survivors are not in {LIST}, and {stale} of its entries are wrong")]
    Differs {
        /// Survivors without an entry.
        unlisted: usize,
        /// Entries without a survivor.
        stale: usize,
    },
}

/// The shape of `target/tally/mutants.json`.
#[derive(Serialize)]
struct Report {
    /// Changes that a test found, with those that made one run for ever.
    caught: usize,
    /// Changes that no test found.
    missed: usize,
    /// Changes that do not compile.
    unviable: usize,
    /// Those of `missed` that stand in the list.
    listed: usize,
    /// The others.
    unlisted: Vec<String>,
}

/// Tries the changes, writes the figures, and compares the survivors with the list.
pub(crate) fn run(args: &Args) -> Result<(), MutantsError> {
    install_missing([&CARGO_MUTANTS])?;
    let limit = Rlimit {
        current: Some(MEMORY_MAX_BYTES),
        maximum: Some(MEMORY_MAX_BYTES),
    };
    setrlimit(Resource::As, limit).map_err(|errno| io("limiting memory")(errno.into()))?;
    let listed = survivors::read()?;
    let work = target_dir().join("mutants");
    let mut engines = Vec::new();
    for number in 0..PARALLEL {
        let work = work.join(number.to_string());
        let tree = work.join("tree");
        scratch::update(&tree)?;
        engines.push(Engine::new(tree, work));
    }
    let engine = &engines[0];
    let targets = existing();

    let all = engine.list(&packages(&targets))?;
    let selection = selection(args, &targets, &work)?;
    let mut tried = Engine::run(&engines, &selection)?;
    // What is on the list survived the drivers too when it got there; a run of all sees that again.
    let known: &[String] = if args.is_partial() { &listed } else { &[] };
    for target in &targets {
        try_again(engine, target, known, &mut tried)?;
    }

    let judgement = Judgement::of(&all, &tried, &listed);
    let count = |fate| tried.iter().filter(|it| it.fate == fate).count();
    let missed = count(Fate::Missed);
    let report = Report {
        caught: count(Fate::Caught) + count(Fate::Timeout),
        missed,
        unviable: count(Fate::Unviable),
        listed: missed - judgement.unlisted.len(),
        unlisted: judgement.unlisted,
    };
    let path = results_dir()?.join("mutants.json");
    let json = serde_json::to_string_pretty(&report).expect("the report is plain values");
    fs::write(&path, json).map_err(io(format!("writing {}", path.display())))?;
    conclude(&report, count(Fate::Timeout), &judgement.stale)
}

/// Those of a target's changes that its own tests did not find, and that are not `known` to
/// survive, with the tests of the crates that drive it.
fn try_again(
    engine: &Engine,
    target: &Target,
    known: &[String],
    tried: &mut Vec<Tried>,
) -> Result<(), MutantsError> {
    let (missed, mut rest): (Vec<Tried>, Vec<Tried>) =
        std::mem::take(tried).into_iter().partition(|it| {
            let is_ours = it.mutant.package == target.package;
            is_ours && it.fate == Fate::Missed && !known.contains(&it.mutant.bare_name())
        });
    if missed.is_empty() || target.drivers.is_empty() {
        rest.extend(missed);
    } else {
        let mut selection = packages(std::slice::from_ref(target));
        selection.extend(missed.iter().map(|it| it.mutant.selector()));
        rest.extend(engine.run_with(&selection, &target.drivers)?);
    }
    *tried = rest;
    Ok(())
}

/// What cargo-mutants is told to change.
fn selection(args: &Args, targets: &[Target], work: &Path) -> Result<Vec<OsString>, MutantsError> {
    let mut selection = packages(targets);
    if args.core {
        selection = CORE.iter().map(OsString::from).collect();
    }
    if let Some(base) = &args.in_diff {
        let fork = git(&["merge-base", base, "HEAD"])?;
        let diff = git(&["diff", "--no-color", "--no-ext-diff", fork.trim()])?;
        let path = work.join("in.diff");
        fs::write(&path, diff).map_err(io(format!("writing {}", path.display())))?;
        selection.extend(["--in-diff".into(), path.into()]);
    }
    selection.extend(args.only.as_deref().map(containing));
    Ok(selection)
}

fn packages(targets: &[Target]) -> Vec<OsString> {
    let names = targets.iter().map(|target| target.package);
    let names = names.map(|name| format!("--package={name}").into());
    names.chain(EXCLUDED.iter().map(OsString::from)).collect()
}

/// Says what was found; fails where it is not what the list says.
fn conclude(report: &Report, timeouts: usize, stale: &[String]) -> Result<(), MutantsError> {
    for name in &report.unlisted {
        println!("survived, and is not in {LIST}: {name}");
    }
    for name in stale {
        println!("wrong entry in {LIST}, no such survivor: {name}");
    }
    println!(
        "{} changes caught ({timeouts} of them by a time-out), {} survived ({} listed), {} did \
         not compile",
        report.caught, report.missed, report.listed, report.unviable
    );
    let (unlisted, stale) = (report.unlisted.len(), stale.len());
    if unlisted + stale == 0 {
        Ok(())
    } else {
        Err(MutantsError::Differs { unlisted, stale })
    }
}

fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> MutantsError {
    let what = what.into();
    move |source| MutantsError::Io { what, source }
}
