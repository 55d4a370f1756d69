//! Why a data directory is refused: what was expected and found, and what to do.

use std::path::PathBuf;

use crate::folder::{FileError, IDENTITY_NAME};
use crate::header::{FORMAT_VERSION, FORMAT_VERSION_MIN};
use crate::identity::CLUSTER_NAME_BYTES_MAX;

/// Why a directory cannot be used. Nothing in it was changed, except that a `lock` file may have
/// been created.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process has it open.
    #[error(
        "data directory {} is in use by another process; give each node a directory of its own, \
         or stop the other process first",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It has data, and nothing says whose.
    #[error(
        "data directory {} holds log files ({} among them) but no `{IDENTITY_NAME}` file: expected \
         both or neither; restore the file from where the directory was copied, or start with an \
         empty directory as a new replica",
        path.display(), found.display()
    )]
    IdentityMissing {
        /// The directory.
        path: PathBuf,
        /// One of its log files.
        found: PathBuf,
    },
    /// The identity file is not as it was written.
    #[error(
        "{} is damaged: expected {expected}, found {found}; restore the file, or start with an \
         empty directory as a new replica",
        path.display()
    )]
    IdentityDamaged {
        /// The identity file.
        path: PathBuf,
        /// What an identity file has there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The note of a fork is not as it was written.
    #[error(
        "{} is damaged: expected {expected}, found {found}; it says that a lane of this directory \
         has two histories, and not which. Restore the file, or keep the directory for inspection \
         and start with an empty one as a new replica",
        path.display()
    )]
    ForkNoteDamaged {
        /// The note.
        path: PathBuf,
        /// What a note has there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// It was written by another version of this program.
    #[error(
        "data directory {} has format version {found}, expected {FORMAT_VERSION_MIN} to \
         {FORMAT_VERSION}; run the version of tallyd that wrote it, or start with an empty \
         directory as a new replica",
        path.display()
    )]
    FormatVersion {
        /// The directory.
        path: PathBuf,
        /// The version in its identity file.
        found: u32,
    },
    /// It belongs to another cluster.
    #[error(
        "data directory {} belongs to cluster {found:?}, expected {expected:?}; correct --cluster \
         or --data",
        path.display()
    )]
    Cluster {
        /// The directory.
        path: PathBuf,
        /// The caller's cluster.
        expected: String,
        /// The directory's.
        found: String,
    },
    /// It has another number of shards.
    #[error(
        "data directory {} has {found} shards, expected {expected}; the number is fixed when a \
         cluster is created: start with --shards {found}, or use another --data",
        path.display()
    )]
    ShardCount {
        /// The directory.
        path: PathBuf,
        /// The caller's number.
        expected: u32,
        /// The directory's.
        found: u32,
    },
    /// The cluster's name cannot be one.
    #[error(
        "{found:?} cannot name a cluster; choose 1 to {CLUSTER_NAME_BYTES_MAX} bytes without \
         control characters, quotes or backslashes"
    )]
    ClusterName {
        /// The name.
        found: String,
    },
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}
