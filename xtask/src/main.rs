//! `cargo xtask VERB`: everything about this project that is more than one cargo command.
//!
//! xtask links none of the project's crates. The verbs that measure build the programs, start them
//! as real processes and speak to them through the `tally` command, so that what is measured is
//! what a user would run. Each verb is one file with its arguments, its `run` and its error.
//!
//! On Ctrl-C and on SIGTERM the running verb is dropped, and with it every process it started; when
//! xtask itself is killed, the kernel kills what it has started ([`launch`]).

mod chaos;
mod ci;
mod client;
mod demo;
mod deployment;
mod git;
mod launch;
mod loadtest;
mod model;
mod mutants;
mod paths;
mod ports;
mod processes;
mod python;
mod sim;
mod table;
mod tidy;
mod tools;
mod traces;
mod verify;
mod wan;

use std::error::Error;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Measure every approach to counting likes, and write a report.
    Loadtest(loadtest::Args),
    /// Start three nodes to play with.
    Demo(demo::Args),
    /// Kill nodes under load, and check that no acknowledged like is lost.
    Chaos(chaos::Args),
    /// Check everything that a machine can check.
    Ci(ci::Args),
    /// Check the rules of this repository.
    Tidy,
    /// Count from Python, through three nodes.
    Python,
    /// Check every world, and put every proof to z3.
    Model(model::Args),
    /// Play seeded schedules of requests and faults on the real replicas.
    Sim(sim::Args),
    /// Break the code in small ways, and see whether a test fails.
    Mutants(mutants::Args),
    /// Become a program that is killed when its parent ends.
    #[command(hide = true)]
    Launch(launch::Args),
}

fn main() -> ExitCode {
    let command = Command::parse();
    let outcome = match command.verb {
        Verb::Loadtest(args) => block_on(unless_interrupted(loadtest::run(args))),
        Verb::Demo(args) => block_on(demo::run(args)),
        Verb::Chaos(args) => block_on(unless_interrupted(chaos::run(args))),
        Verb::Ci(args) => ci::run(&args).map_err(Into::into),
        Verb::Tidy => tidy::run(&Command::command()).map_err(Into::into),
        Verb::Python => block_on(unless_interrupted(python::run())),
        Verb::Model(args) => model::run(&args).map_err(Into::into),
        Verb::Sim(args) => sim::run(&args).map_err(Into::into),
        Verb::Mutants(args) => mutants::run(&args).map_err(Into::into),
        Verb::Launch(args) => launch::run(args)
            .map(|never| match never {})
            .map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on<E: Into<Box<dyn Error>>>(
    verb: impl Future<Output = Result<(), E>>,
) -> Result<(), Box<dyn Error>> {
    tokio::runtime::Runtime::new()?
        .block_on(verb)
        .map_err(Into::into)
}

/// Runs an asynchronous verb to its end, or drops it at Ctrl-C or SIGTERM.
async fn unless_interrupted<E: Error + 'static>(
    verb: impl Future<Output = Result<(), E>>,
) -> Result<(), Box<dyn Error>> {
    let interrupted = processes::interrupted()?;
    tokio::select! {
        outcome = verb => outcome.map_err(Box::from),
        () = interrupted => Err("interrupted; every process that was started is stopped".into()),
    }
}
