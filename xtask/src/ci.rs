//! `cargo xtask ci`: everything that a machine can check, cheapest first.
//!
//! A step is a command that anyone can run alone; it is printed before it runs, so that what
//! failed can be repeated by hand. What a step can be says [`step`]; which there are, [`steps`]. This
//! file runs them, stops at the first failure (or at the
//! end, with `--keep-going`), and says where the time went.
//!
//! Nothing is left out silently: a tool that is missing and cannot be installed is a failure that
//! says how to get it, and the one step that needs the outside world (the advisory database) says
//! "not run" and why. `--fast` leaves steps out, as its help says; `--full` does some at greater length.
//! Not checked here: anything that needs more than one machine.

mod step;
mod steps;

use std::time::{Duration, Instant};

use step::{Extent, Outcome, Step};
use steps::STEPS;

use crate::table::table;
use crate::tools::{ToolError, install_missing};

/// How to run the checks.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    extent: ExtentArgs,
    /// Run these steps only, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "STEP", value_parser = names())]
    only: Vec<String>,
    /// Run all steps even when one has failed.
    #[arg(long)]
    keep_going: bool,
    /// Fail where a tool is missing, instead of installing it under target/tools.
    #[arg(long)]
    no_install: bool,
    /// Print the steps and their commands, and run none.
    #[arg(long)]
    list: bool,
}

/// How much is checked.
#[derive(clap::Args)]
struct ExtentArgs {
    /// The quick loop before a commit, a minute or two: tidy, fmt, clippy and the unit tests. Leaves
    /// out the tests under tests/ (worlds, real processes), documentation, schemas, and all that
    /// starts servers or searches.
    #[arg(long, conflicts_with = "full")]
    fast: bool,
    /// Also what takes too long for every change: all of mutants, the deep worlds, the whole load
    /// test, ten times the schedules and the kills.
    #[arg(long)]
    full: bool,
}

impl ExtentArgs {
    fn extent(&self) -> Extent {
        match (self.fast, self.full) {
            (true, _) => Extent::Fast,
            (false, true) => Extent::Full,
            (false, false) => Extent::Usual,
        }
    }
}

/// Why the checks did not all pass.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CiError {
    /// A tool could not be installed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// At least one step failed; the table says which.
    #[error("failed: {}", names.join(", "))]
    Failed {
        /// The failed steps.
        names: Vec<&'static str>,
    },
}

/// A line of the closing table.
struct Line {
    step: Step,
    outcome: Outcome,
    took: Duration,
}

/// Runs the steps that `args` selects.
pub(crate) fn run(args: &Args) -> Result<(), CiError> {
    let selected: Vec<Step> = STEPS
        .iter()
        .filter(|step| args.only.is_empty() || args.only.iter().any(|name| name == step.name))
        .filter_map(|step| step.at(args.extent.extent()))
        .collect();
    if args.list {
        let row = |step: Step| {
            [
                step.name.into(),
                step.checks.into(),
                step.action.to_string(),
            ]
        };
        print!("{}", table(selected.into_iter().map(row), []));
        return Ok(());
    }
    if !args.no_install {
        install_missing(selected.iter().flat_map(|step| step.tools).copied())?;
    }
    let lines = run_steps(&selected, args.keep_going);
    print_table(&lines);
    if args.extent.extent() == Extent::Fast {
        println!("the quick loop only; a change is checked by `cargo xtask ci`");
    }
    let names: Vec<_> = lines
        .iter()
        .filter(|line| matches!(line.outcome, Outcome::Failed))
        .map(|line| line.step.name)
        .collect();
    if names.is_empty() {
        Ok(())
    } else {
        Err(CiError::Failed { names })
    }
}

/// Runs steps in their order. The first failure ends it, unless it `keeps_going`.
fn run_steps(steps: &[Step], keeps_going: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut has_failed = false;
    for &step in steps {
        let line = if has_failed && !keeps_going {
            Line {
                step,
                outcome: Outcome::Skipped,
                took: Duration::ZERO,
            }
        } else {
            run_step(step)
        };
        has_failed |= matches!(line.outcome, Outcome::Failed);
        lines.push(line);
    }
    lines
}

/// Runs one step, between a heading and how long it took.
fn run_step(step: Step) -> Line {
    println!("\n=== {}: {}", step.name, step.action);
    let start = Instant::now();
    let result = step.perform();
    let took = start.elapsed();
    let outcome = result.unwrap_or_else(|error| {
        println!("error: {error}");
        Outcome::Failed
    });
    println!(
        "=== {}: {outcome} in {:.1} s",
        step.name,
        took.as_secs_f64()
    );
    Line {
        step,
        outcome,
        took,
    }
}

/// Says what became of each step and where the time went; the last line counts.
fn print_table(lines: &[Line]) {
    let total_s: f64 = lines.iter().map(|line| line.took.as_secs_f64()).sum();
    let heading = ["step", "outcome", "seconds", "share", "checks"].map(str::to_owned);
    let rows = lines.iter().map(
        |Line {
             step,
             outcome,
             took,
         }| {
            let seconds = took.as_secs_f64();
            let share = 100.0 * seconds / total_s.max(f64::MIN_POSITIVE);
            let checks = match outcome {
                Outcome::NotRun(reason) => format!("{} ({reason})", step.checks),
                Outcome::Passed | Outcome::Failed | Outcome::Skipped => step.checks.to_owned(),
            };
            [
                step.name.to_owned(),
                outcome.to_string(),
                format!("{seconds:.1}"),
                format!("{share:.0}%"),
                checks,
            ]
        },
    );
    print!("\n{}", table([heading].into_iter().chain(rows), [2, 3]));
    let count = |is_it: fn(&Outcome) -> bool| lines.iter().filter(|it| is_it(&it.outcome)).count();
    println!(
        "{} passed, {} failed, in {:.1} minutes",
        count(|it| matches!(it, Outcome::Passed)),
        count(|it| matches!(it, Outcome::Failed)),
        total_s / 60.0
    );
}

/// The names of all steps, for the command line's help and its errors.
fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

#[cfg(test)]
mod tests {
    use super::step::Action;
    use super::*;

    const PASSES: Step = step(Action::Run(&["true"]));
    const FAILS: Step = step(Action::Run(&["false"]));
    const IS_NOWHERE: Step = step(Action::Run(&["tally-program-that-is-nowhere"]));
    const IS_NOT_RUN: Step = step(Action::Call("far", || {
        Ok(Outcome::NotRun("far".to_owned()))
    }));

    const fn step(action: Action) -> Step {
        Step::new("step", "nothing", &[], action)
    }

    fn outcomes(steps: &[Step], keeps_going: bool) -> Vec<String> {
        run_steps(steps, keeps_going)
            .iter()
            .map(|line| line.outcome.to_string())
            .collect()
    }

    #[test]
    fn an_extent_changes_what_a_step_does_or_leaves_it_out() {
        let plain = PASSES.fast(FAILS.action).full(IS_NOWHERE.action);
        let shown = |step: Step, extent| step.at(extent).map(|step| step.action.to_string());
        assert_eq!(shown(PASSES, Extent::Fast), None);
        assert_eq!(shown(PASSES, Extent::Full), Some("true".to_owned()));
        assert_eq!(shown(plain, Extent::Fast), Some("false".to_owned()));
        assert_eq!(shown(plain, Extent::Usual), Some("true".to_owned()));
        assert_ne!(shown(plain, Extent::Full), shown(plain, Extent::Usual));
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        let steps = [PASSES, FAILS, PASSES, FAILS];
        assert_eq!(
            outcomes(&steps, false),
            ["passed", "FAILED", "skipped", "skipped"]
        );
    }

    #[test]
    fn a_run_that_keeps_going_runs_every_step() {
        assert_eq!(
            outcomes(&[FAILS, PASSES, FAILS], true),
            ["FAILED", "passed", "FAILED"]
        );
    }

    #[test]
    fn a_program_that_cannot_be_started_is_a_failure() {
        assert_eq!(outcomes(&[IS_NOWHERE], false), ["FAILED"]);
    }

    #[test]
    fn what_is_not_run_is_neither_passed_nor_failed() {
        assert_eq!(
            outcomes(&[IS_NOT_RUN, PASSES], false),
            ["NOT RUN", "passed"]
        );
    }
}
