//! `cargo xtask sim`: plays seeded schedules of requests and faults on the real replicas.
//!
//! The simulator is a program of `model-checker`; this verb builds it with optimisation, passes
//! the arguments on, and says where the figures go. What it can do says `cargo xtask sim --help`.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;

use crate::launch;
use crate::paths::root;
use crate::processes::{ProcessError, results_dir};

/// Play seeded schedules of requests and faults on the real replicas.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Arguments of the simulator; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    simulator: Vec<OsString>,
}

/// The simulator did not run, or it found something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimError {
    /// There is no place for its figures.
    #[error("sim: {0}")]
    Results(#[from] ProcessError),
    /// It was not started.
    #[error("sim: cargo could not be started: {0}")]
    Start(#[from] io::Error),
    /// A guarantee was violated, or a kind of fault never fired.
    #[error("sim: the simulator ended with {0}; what it found is above")]
    Found(ExitStatus),
}

/// Builds the simulator and runs it.
pub(crate) fn run(args: &Args) -> Result<(), SimError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = launch::command(cargo)
        .args(["run", "--release", "--quiet"])
        .args(["-p", "model-checker", "--bin", "sim", "--"])
        .arg("--report")
        .arg(results_dir()?.join("sim.json"))
        .args(&args.simulator)
        .current_dir(root())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(SimError::Found(status))
    }
}
