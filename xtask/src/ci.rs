//! `cargo xtask ci`: everything that a machine can check, cheapest first.
//!
//! A step is a command that anyone can run alone; it is printed before it runs, so that what
//! failed can be repeated by hand. What the steps are is data, in [`steps`]; which tools they need
//! and how to get them, in [`tools`]. This file runs them, stops at the first failure (or at the
//! end, with `--keep-going`), and says where the time went.
//!
//! Nothing is left out silently: a tool that is missing and cannot be installed is a failure that
//! says how to get it, and the one step that needs the outside world (the advisory database) says
//! "not run" and why. Not checked here: anything that needs hours, or more than one machine.

mod steps;
mod tools;

use std::fmt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use steps::{Action, STEPS, Step};
use tools::ToolError;
pub(crate) use tools::search_path;

use crate::launch;
use crate::tidy::root;

/// How to run the checks.
#[derive(clap::Args)]
pub(crate) struct Args {
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

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    /// A tool is missing.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The command could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command.
        command: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The command says that something is wrong.
    #[error("`{command}` ended with {status}, expected success")]
    Status {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
}

/// What became of a step.
enum Outcome {
    /// It found nothing wrong.
    Passed,
    /// It could not run, for a reason outside of this machine.
    NotRun(String),
    /// It found something, or could not run for a reason that can be mended here.
    Failed,
    /// An earlier step failed.
    Skipped,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad`, not `write_str`: the table's columns ask for a width.
        f.pad(match self {
            Self::Passed => "passed",
            Self::NotRun(_) => "NOT RUN",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// A line of the closing table.
struct Line {
    step: &'static Step,
    outcome: Outcome,
    took: Duration,
}

/// Runs the steps that `args` selects.
pub(crate) fn run(args: &Args) -> Result<(), CiError> {
    let selected: Vec<&'static Step> = STEPS
        .iter()
        .filter(|step| args.only.is_empty() || args.only.iter().any(|name| name == step.name))
        .collect();
    if args.list {
        for step in selected {
            println!("{:<10} {:<58} {}", step.name, step.checks, step.action);
        }
        return Ok(());
    }
    if !args.no_install {
        tools::install_missing(&selected)?;
    }
    let lines = run_steps(&selected, args.keep_going);
    print_table(&lines);
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
fn run_steps(steps: &[&'static Step], keeps_going: bool) -> Vec<Line> {
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
fn run_step(step: &'static Step) -> Line {
    println!("\n=== {}: {}", step.name, step.action);
    let start = Instant::now();
    let result = step
        .tools
        .iter()
        .try_for_each(|tool| tool.check())
        .map_err(StepError::from)
        .and_then(|()| perform(&step.action));
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

/// Does what a step says.
fn perform(action: &Action) -> Result<Outcome, StepError> {
    match action {
        Action::Run(words) => {
            let mut command = command(words[0]);
            command.args(&words[1..]);
            succeed(&mut command, action)
        }
        Action::Xtask(words) => {
            let this = std::env::current_exe().map_err(|source| StepError::Start {
                command: action.to_string(),
                source,
            })?;
            let mut command = at_root(launch::command(&this));
            command.args(*words);
            succeed(&mut command, action)
        }
        Action::Call(_, function) => function(),
    }
}

/// A command at the root of the repository, with our tools in its path.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    at_root(Command::new(program))
}

/// The command, at the root of the repository, with our tools in its path.
fn at_root(mut command: Command) -> Command {
    command.current_dir(root()).env("PATH", search_path());
    command
}

/// Runs a command to its end; anything but success is an error. `shown` is how to repeat it.
fn succeed(command: &mut Command, shown: impl fmt::Display) -> Result<Outcome, StepError> {
    let shown = shown.to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(Outcome::Passed),
        Ok(status) => Err(StepError::Status {
            command: shown,
            status,
        }),
        Err(source) => Err(StepError::Start {
            command: shown,
            source,
        }),
    }
}

/// Says what became of each step and where the time went; the last line counts.
fn print_table(lines: &[Line]) {
    let total_s: f64 = lines.iter().map(|line| line.took.as_secs_f64()).sum();
    println!(
        "\n{:<10} {:<10} {:>8} {:>6}  checks",
        "step", "outcome", "seconds", "share"
    );
    for Line {
        step,
        outcome,
        took,
    } in lines
    {
        let seconds = took.as_secs_f64();
        let share = if total_s > 0.0 {
            100.0 * seconds / total_s
        } else {
            0.0
        };
        print!(
            "{:<10} {outcome:<10} {seconds:>8.1} {share:>5.0}%  {}",
            step.name, step.checks
        );
        match outcome {
            Outcome::NotRun(reason) => println!(" ({reason})"),
            Outcome::Passed | Outcome::Failed | Outcome::Skipped => println!(),
        }
    }
    println!("{:<10} {:<10} {total_s:>8.1}", "all", "");
    let passed = lines
        .iter()
        .filter(|it| matches!(it.outcome, Outcome::Passed))
        .count();
    let failed = lines
        .iter()
        .filter(|it| matches!(it.outcome, Outcome::Failed))
        .count();
    println!("{passed} passed, {failed} failed");
}

/// The names of all steps, for the command line's help and its errors.
fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static PASSES: Step = step(Action::Run(&["true"]));
    static FAILS: Step = step(Action::Run(&["false"]));
    static IS_NOWHERE: Step = step(Action::Run(&["tally-program-that-is-nowhere"]));
    static IS_NOT_RUN: Step = step(Action::Call("far", || {
        Ok(Outcome::NotRun("far".to_owned()))
    }));

    const fn step(action: Action) -> Step {
        Step {
            name: "step",
            checks: "nothing",
            tools: &[],
            action,
        }
    }

    fn outcomes(steps: &[&'static Step], keeps_going: bool) -> Vec<String> {
        run_steps(steps, keeps_going)
            .iter()
            .map(|line| line.outcome.to_string())
            .collect()
    }

    #[test]
    fn the_first_failure_ends_the_run() {
        let steps = [&PASSES, &FAILS, &PASSES, &FAILS];
        assert_eq!(
            outcomes(&steps, false),
            ["passed", "FAILED", "skipped", "skipped"]
        );
    }

    #[test]
    fn a_run_that_keeps_going_runs_every_step() {
        assert_eq!(
            outcomes(&[&FAILS, &PASSES, &FAILS], true),
            ["FAILED", "passed", "FAILED"]
        );
    }

    #[test]
    fn a_program_that_cannot_be_started_is_a_failure() {
        assert_eq!(outcomes(&[&IS_NOWHERE], false), ["FAILED"]);
    }

    #[test]
    fn what_is_not_run_is_neither_passed_nor_failed() {
        assert_eq!(
            outcomes(&[&IS_NOT_RUN, &PASSES], false),
            ["NOT RUN", "passed"]
        );
    }
}
