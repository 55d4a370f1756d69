//! The traces of real nodes, replayed into the machines by `validate` of `model-checker`.
//!
//! What the replay shows, and what it does not, is said in `model_checker::validation`. It is built
//! with optimisation when it is first needed.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::launch;
use crate::paths::root;
use crate::processes::ProcessError;

/// What was replayed: as `validate --json` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    /// How long it took.
    seconds: f64,
    /// What it was.
    replayed: Steps,
}

/// How much of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Steps {
    files: u64,
    lines: u64,
    bytes: u64,
    starts: u64,
    takes: u64,
    rounds: u64,
    sent: u64,
    received: u64,
    snapshots: u64,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, replayed } = self;
        write!(
            f,
            "traces: {} lines ({} bytes) of {} nodes are what the machines do; {} starts, {} takes, \
             {} rounds, {} intervals, replayed in {seconds:.1} s",
            replayed.lines,
            replayed.bytes,
            replayed.files,
            replayed.starts,
            replayed.takes,
            replayed.rounds,
            replayed.received,
        )
    }
}

/// Replays the traces of all nodes of a deployment; or says why they are refused.
pub(crate) async fn validate(traces: &[PathBuf]) -> Result<Result<Replayed, String>, ProcessError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::from(launch::command(cargo));
    let output = command
        .args(["run", "--release", "--quiet"])
        .args(["-p", "model-checker", "--bin", "validate", "--", "--json"])
        .args(traces)
        .current_dir(root())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(ProcessError::io("running the checker of traces"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Ok(Err(text.trim().to_owned()));
    }
    let replayed = serde_json::from_slice(&output.stdout);
    Ok(replayed.map_err(|error| format!("the checker of traces says something else: {error}")))
}
