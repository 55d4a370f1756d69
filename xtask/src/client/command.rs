//! The `tally` program as a process: where it is, how it is shown, and what can go wrong.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use serde::de::DeserializeOwned;

/// When a process of the command is given up: its own deadline should always come first.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// The command could not be run, failed, or answered something unexpected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The operating system refused.
    #[error("running `{command}`: {source}")]
    Io {
        /// What was run.
        command: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The command failed.
    #[error("`{command}` ended with {status}: {stderr}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The command never ended.
    #[error("`{command}` did not end within {patience:?} and was killed")]
    Stuck {
        /// What was run.
        command: String,
        /// How long xtask waited.
        patience: Duration,
    },
    /// The output is not what this file expects.
    #[error("`{command}` answered what xtask does not understand ({source}): {output}")]
    Output {
        /// What was run.
        command: String,
        /// What is wrong.
        source: serde_json::Error,
        /// The output, or the line of it.
        output: String,
    },
    /// The load generator ended well without samples or without its result.
    #[error("`{command}` ended without telling its result")]
    NoResult {
        /// What was run.
        command: String,
    },
}

/// The `tally` program.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(super) program: PathBuf,
}

impl Client {
    /// Uses the program at this path.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// A question as a shell would read it, with the program's name only.
    pub(super) fn shown<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let mut shown = self
            .program
            .file_name()
            .map_or_else(OsString::new, OsString::from);
        for argument in arguments {
            shown.push(" ");
            shown.push(argument);
        }
        shown.to_string_lossy().into_owned()
    }
}

/// The URL of a node.
pub(crate) fn url(node: SocketAddr) -> String {
    format!("http://{node}")
}

/// Reads one JSON value that `command` has written.
pub(super) fn parse<T: DeserializeOwned>(command: &str, text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|source| ClientError::Output {
        command: command.into(),
        source,
        output: text.chars().take(400).collect(),
    })
}
