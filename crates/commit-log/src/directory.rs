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

use std::path::Path;
use std::sync::Mutex;

use crate::file_system::{File as _, FileSystem, OsFiles};
use crate::folder::{FileContext as _, FileError, Folder, LogFile};
use crate::frame::Sequence;
use crate::header::{FILE_HEADER_BYTES, FORMAT_VERSION};
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
pub struct DataDirectory<F: FileSystem = OsFiles> {
    folder: Folder<F>,
    identity: Identity,
    /// The version in the identity file.
    version: Mutex<u32>,
    /// Locked for as long as it lives; the operating system unlocks it when the process dies.
    _lock: F::Lock,
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
        Self::open_or_create_in(OsFiles, path, expected)
    }
}

impl<F: FileSystem> DataDirectory<F> {
    /// [`open_or_create`](DataDirectory::open_or_create) in any file system.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn open_or_create_in(
        files: F,
        path: &Path,
        expected: &ExpectedIdentity,
    ) -> Result<Self, DirectoryError> {
        if !identity::is_cluster_name(&expected.cluster) {
            return Err(DirectoryError::ClusterName {
                found: expected.cluster.clone(),
            });
        }
        let folder = Folder::create(files, path)?;
        let Some(lock) = folder.try_lock(LOCK_NAME)? else {
            let path = path.to_owned();
            return Err(DirectoryError::InUse { path });
        };
        let (identity, version) = if let Some(text) = folder.read_text(IDENTITY_NAME)? {
            parse_identity(&folder, &text, expected)?
        } else {
            ensure_no_orphaned_log(&folder)?;
            (create(&folder, expected)?, FORMAT_VERSION)
        };
        Ok(Self {
            folder,
            identity,
            version: Mutex::new(version),
            _lock: lock,
        })
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whose data it holds.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn folder(&self) -> &Folder<F> {
        &self.folder
    }

    /// Makes a directory of an older format one of this program's, before anything is written that
    /// older programs would misread: from here on they refuse it.
    pub(crate) fn convert(&self) -> Result<(), FileError> {
        let mut version = self.version.lock().expect("nobody panics while holding it");
        if *version < FORMAT_VERSION {
            self.folder
                .write_text(IDENTITY_NAME, &self.identity.render(FORMAT_VERSION))?;
            tracing::info!(
                from = *version,
                to = FORMAT_VERSION,
                "converted the data directory"
            );
            *version = FORMAT_VERSION;
        }
        Ok(())
    }
}

fn parse_identity<F: FileSystem>(
    folder: &Folder<F>,
    text: &str,
    expected: &ExpectedIdentity,
) -> Result<(Identity, u32), DirectoryError> {
    let path = folder.path().to_owned();
    let (found, version) = match Identity::parse(text) {
        Ok(found) => found,
        Err(IdentityError::Version(found)) => {
            return Err(DirectoryError::FormatVersion { path, found });
        }
        Err(IdentityError::Damaged { expected, found }) => {
            let path = folder.path_of(IDENTITY_NAME);
            return Err(DirectoryError::IdentityDamaged {
                path,
                expected,
                found,
            });
        }
    };
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
    Ok((found, version))
}

/// Without an identity, only what a crash during creation leaves is accepted: a first segment
/// without frames.
fn ensure_no_orphaned_log<F: FileSystem>(folder: &Folder<F>) -> Result<(), DirectoryError> {
    let listing = folder.listing()?;
    let snapshots = listing.snapshots.into_iter().map(LogFile::Snapshot);
    for file in snapshots.chain(listing.segments.into_iter().map(LogFile::Segment)) {
        let name = file.name();
        let found = folder.path_of(&name);
        let bytes = folder.open(&name)?.length().on("examine", &found)?;
        if file != LogFile::Segment(Sequence::FIRST) || bytes != FILE_HEADER_BYTES as u64 {
            let path = folder.path().to_owned();
            return Err(DirectoryError::IdentityMissing { path, found });
        }
    }
    Ok(())
}

fn create<F: FileSystem>(
    folder: &Folder<F>,
    expected: &ExpectedIdentity,
) -> Result<Identity, FileError> {
    let half = || folder.random("mint a replica id for");
    let replica = u128::from(half()?) << 64 | u128::from(half()?);
    let ExpectedIdentity {
        cluster,
        shard_count,
    } = expected.clone();
    let identity = Identity {
        cluster,
        shard_count,
        replica,
    };
    Segment::create(folder, replica, Sequence::FIRST)?;
    folder.write_text(IDENTITY_NAME, &identity.render(FORMAT_VERSION))?;
    Ok(identity)
}

#[cfg(test)]
mod tests;
