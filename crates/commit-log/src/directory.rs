//! A data directory: one replica's, of one cluster, used by one process at a time.
//!
//! The directory *is* the replica: its `identity` file names the cluster, the number of shards,
//! and the replica id that was minted when the directory was created. Opening it for anything else
//! is refused and changes nothing.
//!
//! A new directory gets its files in this order: `lock`, the first segment, `identity`. So a
//! directory with an identity and no segment has lost its log, and is never taken for a new one;
//! one with an empty first segment and no identity is half-created, and is created again.
//!
//! What this leaves out: what the log holds, which is read by `recovery`.

mod error;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files::{
    FileContext, FileError, Listing, LogFile, publish, sync_directory, temporary_path,
};
use crate::frame::Sequence;
use crate::header::FILE_HEADER_BYTES;
use crate::identity::{self, Identity, IdentityError};
use crate::segment::Segment;

pub use error::DirectoryError;

const IDENTITY_NAME: &str = "identity";
const LOCK_NAME: &str = "lock";

/// What the caller takes a directory for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedIdentity {
    /// The cluster's name: see [`is_cluster_name`](super::is_cluster_name).
    pub cluster: String,
    /// The number of shards, fixed when the cluster is created.
    pub shard_count: u32,
}

/// A data directory that this process holds, until the value is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    identity: Identity,
    /// Locked for as long as it is open; the operating system unlocks it when the process dies.
    _lock: File,
}

impl DataDirectory {
    /// Opens a data directory, or creates it with a new replica id.
    ///
    /// ```
    /// use commit_log::{DataDirectory, ExpectedIdentity};
    ///
    /// let parent = tempfile::tempdir()?;
    /// let expected = ExpectedIdentity { cluster: "likes".to_owned(), shard_count: 16 };
    /// let created = DataDirectory::open_or_create(&parent.path().join("a"), &expected)?;
    /// let replica = created.identity().replica;
    /// drop(created);
    ///
    /// let opened = DataDirectory::open_or_create(&parent.path().join("a"), &expected)?;
    /// assert_eq!(opened.identity().replica, replica);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is in use, belongs to another cluster or format, lost its identity, or cannot be
    /// read or written.
    pub fn open_or_create(
        path: &Path,
        expected: &ExpectedIdentity,
    ) -> Result<Self, DirectoryError> {
        if !identity::is_cluster_name(&expected.cluster) {
            return Err(DirectoryError::ClusterName {
                found: expected.cluster.clone(),
            });
        }
        create_directory(path)?;
        let lock = lock(path)?;
        let identity_path = path.join(IDENTITY_NAME);
        let identity = match fs::read_to_string(&identity_path) {
            Ok(text) => read_identity(path, &identity_path, &text, expected)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ensure_no_orphaned_log(path)?;
                create(path, &identity_path, expected)?
            }
            Err(source) => {
                return Err(FileError {
                    action: "read",
                    path: identity_path,
                    source,
                }
                .into());
            }
        };
        Ok(Self {
            path: path.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose data it holds.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Creates the directory and its missing parents, so that they survive a power loss.
fn create_directory(path: &Path) -> Result<(), FileError> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.exists())
        .collect();
    fs::create_dir_all(path).on("create directory", path)?;
    for created in missing {
        // A relative path of one component has the empty path as its parent.
        match created.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new("."))?,
            Some(parent) => sync_directory(parent)?,
            None => {}
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join(LOCK_NAME);
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .on("open", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DirectoryError::InUse {
            path: directory.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(FileError {
            action: "lock",
            path,
            source,
        }
        .into()),
    }
}

fn read_identity(
    directory: &Path,
    identity_path: &Path,
    text: &str,
    expected: &ExpectedIdentity,
) -> Result<Identity, DirectoryError> {
    let path = directory.to_owned();
    let found = Identity::parse(text).map_err(|error| match error {
        IdentityError::Version(found) => DirectoryError::FormatVersion {
            path: path.clone(),
            found,
        },
        IdentityError::Damaged { expected, found } => DirectoryError::IdentityDamaged {
            path: identity_path.to_owned(),
            expected,
            found,
        },
    })?;
    if found.cluster != expected.cluster {
        let expected = expected.cluster.clone();
        return Err(DirectoryError::Cluster {
            path,
            expected,
            found: found.cluster,
        });
    }
    if found.shard_count != expected.shard_count {
        let (expected, found) = (expected.shard_count, found.shard_count);
        return Err(DirectoryError::ShardCount {
            path,
            expected,
            found,
        });
    }
    Ok(found)
}

/// Without an identity, only what a crash during creation leaves is accepted: a first segment
/// without frames.
fn ensure_no_orphaned_log(directory: &Path) -> Result<(), DirectoryError> {
    let listing = Listing::read(directory)?;
    let snapshots = listing.snapshots.into_iter().map(LogFile::Snapshot);
    for file in snapshots.chain(listing.segments.into_iter().map(LogFile::Segment)) {
        let found = file.path(directory);
        let bytes = fs::metadata(&found).on("examine", &found)?.len();
        if file != LogFile::Segment(Sequence::FIRST) || bytes != FILE_HEADER_BYTES as u64 {
            return Err(DirectoryError::IdentityMissing {
                path: directory.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

fn create(
    directory: &Path,
    identity_path: &Path,
    expected: &ExpectedIdentity,
) -> Result<Identity, FileError> {
    let replica = random_u128().on("mint a replica id for", directory)?;
    let ExpectedIdentity {
        cluster,
        shard_count,
    } = expected.clone();
    let identity = Identity {
        cluster,
        shard_count,
        replica,
    };
    Segment::create(directory, replica, Sequence::FIRST)?;
    let temporary = temporary_path(identity_path);
    let mut file = File::create(&temporary).on("create", &temporary)?;
    file.write_all(identity.render().as_bytes())
        .on("write", &temporary)?;
    publish(&file, identity_path)?;
    Ok(identity)
}

fn random_u128() -> io::Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
