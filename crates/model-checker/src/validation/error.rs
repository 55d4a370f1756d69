//! Why a trace is refused: where, what the machines would have led to, and what the line says.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A line that the machines would not have led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What they would have led to.
    pub expected: String,
    /// What the line says.
    pub found: String,
}

/// Why traces are not valid.
#[derive(Debug, Error)]
pub enum ValidationError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file has no lines, so nothing is known of its node.
    #[error("{}: it has no lines; was the node started with --trace?", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line is refused.
    #[error("{}:{line}: expected {}; found {}", path.display(), mismatch.expected, mismatch.found)]
    Refused {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Why.
        mismatch: Mismatch,
    },
}

impl Mismatch {
    pub(super) fn new(expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self {
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    pub(super) fn at(self, path: &Path, line: u64) -> ValidationError {
        ValidationError::Refused {
            path: path.to_owned(),
            line,
            mismatch: self,
        }
    }
}

/// Two values are the same; `what` names them.
pub(super) fn ensure_equal<T: PartialEq + fmt::Display>(
    what: &str,
    expected: &T,
    found: &T,
) -> Result<(), Mismatch> {
    ensure(expected == found, || {
        Mismatch::new(
            format_args!("{what} {expected}"),
            format_args!("{what} {found}"),
        )
    })
}

/// Something is so.
pub(super) fn ensure(is_so: bool, mismatch: impl FnOnce() -> Mismatch) -> Result<(), Mismatch> {
    if is_so { Ok(()) } else { Err(mismatch()) }
}
