//! What git knows of this repository.

use std::collections::BTreeSet;
use std::io;
use std::process::{Command, ExitStatus};

use crate::paths::root;

/// Git did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// It could not be started.
    #[error("cannot start `git {command}`: {source}; install git or add it to PATH")]
    Start {
        /// The arguments.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// It failed.
    #[error("`git {command}` ended with {status}, expected success: {stderr}")]
    Failed {
        /// The arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
}

/// What git answers, at the root of the repository.
pub(crate) fn git(arguments: &[&str]) -> Result<String, GitError> {
    let command = || arguments.join(" ");
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .map_err(|source| GitError::Start {
            command: command(),
            source,
        })?;
    if !output.status.success() {
        return Err(GitError::Failed {
            command: command(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The paths of all files, relative to the root: new ones count before they are committed, ignored
/// ones never.
pub(crate) fn files() -> Result<BTreeSet<String>, GitError> {
    let listed = git(&[
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ])?;
    // A file that was deleted and not yet committed is still listed.
    let paths = listed.split_terminator('\0');
    Ok(paths
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect())
}
