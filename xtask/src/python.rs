//! `cargo xtask python`: the Python example against three real nodes.
//!
//! It shows that the schemas in `proto/` are all that a client needs: a program without any of our
//! code counts through three nodes, 50 ms apart, and must see the exact total on each of them.

use std::process::ExitStatus;

use tokio::process::Command;

use crate::deployment::{Deployment, DeploymentError, Geography};
use crate::paths::root;
use crate::processes::{ProcessError, RunDir, build};
use crate::tools::search_path;
use crate::wan::RoundTrip;

/// The example takes three nodes.
const SITES: usize = 3;
/// The round trip between data centres of the story that the project tells, in milliseconds.
const RTT_MS: u64 = 50;
/// The example, seen from the root of the repository.
const EXAMPLE: &str = "proto/examples/python/count.py";

/// The example could not be run, or did not count right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PythonError {
    /// The nodes could not be built, started or stopped.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// Python could not be started.
    #[error("cannot start python3: {0}; install Python 3.9 or newer")]
    Start(std::io::Error),
    /// The example says that something is wrong.
    #[error("{EXAMPLE} ended with {0}, expected success; its reason is above")]
    Wrong(ExitStatus),
}

impl From<ProcessError> for PythonError {
    fn from(error: ProcessError) -> Self {
        Self::Deployment(error.into())
    }
}

/// Starts three nodes and runs the example against them.
pub(crate) async fn run() -> Result<(), PythonError> {
    let programs = build().await?;
    let run_dir = RunDir::create()?;
    let deployment = Deployment::tally(Geography {
        programs: &programs,
        run_dir: &run_dir,
        sites: SITES,
        round_trip: RoundTrip::from_ms(RTT_MS),
    })
    .await?;
    let mut example = Command::new("python3");
    example
        .arg(EXAMPLE)
        .current_dir(root())
        .env("PATH", search_path())
        .kill_on_drop(true);
    for address in deployment.addresses() {
        example.args(["--node", &address.to_string()]);
    }
    let status = example.status().await.map_err(PythonError::Start)?;
    deployment.stop().await?;
    if !status.success() {
        return Err(PythonError::Wrong(status));
    }
    Ok(run_dir.remove()?)
}
