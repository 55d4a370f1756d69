//! What all measurements of a run share, and why a run can fail.

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::deployment::{DeploymentError, Geography};
use crate::processes::{ProcessError, Programs, RunDir};
use crate::wan::RoundTrip;

/// The test could not be run, or a total was wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadtestError {
    /// About the servers.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// About the load generator.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// About building or starting.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The nodes did what the machines would not have done.
    #[error("{0}")]
    Trace(String),
    /// A file of results could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of results is not one.
    #[error("{} is not the result of a load test: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A restarted node lacks counters.
    #[error(
        "{liked} counters were liked before kill -9, and {counters} are there after the restart"
    )]
    RestartLost {
        /// Counters with acknowledged likes.
        liked: u64,
        /// What the node says that it holds.
        counters: u64,
    },
    /// Totals that must be right are wrong, or the other way round.
    #[error(
        "the totals are not what they must be:\n{0}\nThe figures are in target/tally/loadtest.json"
    )]
    Totals(String),
}

/// What all measurements of a run share.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    /// The programs.
    pub(super) programs: &'a Programs,
    /// Where the processes work.
    pub(super) run_dir: &'a RunDir,
    /// Data centres.
    pub(super) sites: usize,
    /// Between any two data centres.
    pub(super) round_trip: RoundTrip,
    /// How long a row is loaded.
    pub(super) seconds: f64,
}

impl<'a> Plan<'a> {
    /// Where a deployment of so many sites, so far apart, runs.
    pub(super) fn geography(&self, sites: usize, round_trip: RoundTrip) -> Geography<'a> {
        Geography {
            programs: self.programs,
            run_dir: self.run_dir,
            sites,
            round_trip,
        }
    }
}
