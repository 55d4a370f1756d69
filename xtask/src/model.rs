//! `cargo xtask model`: checks every world and every proof, and prints one table.
//!
//! The checker is a program of `model-checker`; this verb builds it with optimisation, passes the
//! arguments on, and says where the figures go. `cargo xtask model explore WORLD` opens a world in
//! a browser, `cargo xtask model list` names them all.

use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;

use crate::launch;
use crate::paths::root;
use crate::processes::{ProcessError, results_dir};
use crate::tools::search_path;

/// Check every world, and put every proof to z3.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Arguments of the checker; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    checker: Vec<OsString>,
}

/// The checker did not run, or something is not as expected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelError {
    /// There is no place for its figures.
    #[error("model: {0}")]
    Results(#[from] ProcessError),
    /// It was not started.
    #[error("model: cargo could not be started: {0}")]
    Start(#[from] io::Error),
    /// A verdict differs, or the proofs were not run where they must be.
    #[error("model: the checker ended with {0}; what differs is above")]
    Differs(ExitStatus),
}

/// Builds the checker and runs it.
pub(crate) fn run(args: &Args) -> Result<(), ModelError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = launch::command(cargo)
        .args(["run", "--release", "--quiet"])
        .args(["-p", "model-checker", "--bin", "model", "--"])
        .arg("--report")
        .arg(results_dir()?.join("model.json"))
        .args(&args.checker)
        // z3 may be where the checks have installed it.
        .env("PATH", search_path())
        .current_dir(root())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(ModelError::Differs(status))
    }
}
