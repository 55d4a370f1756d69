//! `cargo xtask python`: the Python examples against three real nodes.
//!
//! They show that the schemas in `proto/` and the rules beside them are all that a client needs: programs
//! without any of our code count through three nodes, 50 ms apart, and must see the exact total on each of
//! them. One of them does so through a network that loses answers, while each node is killed once; and one
//! checks the Rust client as it would check any other.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::deployment::{Deployment, DeploymentError, Geography};
use crate::paths::root;
use crate::processes::{ProcessError, RunDir, build};
use crate::tools::search_path;
use crate::wan::RoundTrip;

/// The example takes three nodes.
const SITES: usize = 3;
/// The round trip between data centres of the story that the project tells, in milliseconds.
const RTT_MS: u64 = 50;
/// The examples, seen from the root of the repository.
const COUNT: &str = "proto/examples/python/count.py";
const RETRY: &str = "proto/examples/python/retry.py";
const CONFORMANCE: &str = "proto/examples/python/conformance.py";
/// How long `retry.py` adds, in seconds: every node is killed once within it.
const RETRY_S: u64 = 12;
/// Before each kill, and between it and the restart.
const BEFORE_KILL: Duration = Duration::from_millis(1_500);
const DOWN: Duration = Duration::from_millis(1_500);

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
    #[error("{0} ended with {1}, expected success; its reason is above")]
    Wrong(&'static str, ExitStatus),
}

impl From<ProcessError> for PythonError {
    fn from(error: ProcessError) -> Self {
        Self::Deployment(error.into())
    }
}

/// Starts three nodes and runs the examples against them.
pub(crate) async fn run() -> Result<(), PythonError> {
    let programs = build().await?;
    let run_dir = RunDir::create()?;
    let mut deployment = Deployment::tally(Geography {
        programs: &programs,
        run_dir: &run_dir,
        sites: SITES,
        round_trip: RoundTrip::from_ms(RTT_MS),
    })
    .await?;
    let count = start(COUNT, &deployment, [])?;
    wait_for(COUNT, count).await?;

    let seconds = ["--seconds".into(), RETRY_S.to_string().into()];
    let retry = start(RETRY, &deployment, seconds)?;
    for node in 0..SITES {
        sleep(BEFORE_KILL).await;
        deployment.kill(node).await?;
        sleep(DOWN).await;
        deployment.restart(node).await?;
    }
    wait_for(RETRY, retry).await?;

    let program = programs.tally.clone().into_os_string();
    let load = "load --node {nodes} --sessions --mode batch --batch 3 --in-flight 8 --seconds 6";
    let load = load.split(' ').map(OsString::from);
    let arguments = ["--".into(), program].into_iter().chain(load);
    let conformance = start(CONFORMANCE, &deployment, arguments)?;
    wait_for(CONFORMANCE, conformance).await?;
    deployment.stop().await?;
    Ok(run_dir.remove()?)
}

/// Starts an example against all nodes.
fn start(
    example: &str,
    deployment: &Deployment,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Child, PythonError> {
    let mut program = Command::new("python3");
    program
        .arg(example)
        .current_dir(root())
        .env("PATH", search_path())
        .kill_on_drop(true);
    for address in deployment.addresses() {
        program.args(["--node", &address.to_string()]);
    }
    program.args(arguments);
    program.spawn().map_err(PythonError::Start)
}

async fn wait_for(example: &'static str, mut program: Child) -> Result<(), PythonError> {
    let status = program.wait().await.map_err(PythonError::Start)?;
    if status.success() {
        Ok(())
    } else {
        Err(PythonError::Wrong(example, status))
    }
}
