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
use std::sync::{Mutex, MutexGuard};

use crate::file_system::{File as _, FileSystem, OsFiles};
use crate::folder::{
    FORK_NOTE_NAME, FileContext as _, FileError, Folder, IDENTITY_NAME, LOCK_NAME, LogFile,
};
use crate::fork_note::ForkNote;
use crate::frame::Sequence;
use crate::header::{FILE_HEADER_BYTES, FORMAT_VERSION};
use crate::identity::{self, Identity, IdentityError};
use crate::segment::Segment;
use crate::text::TextError;

pub use error::DirectoryError;

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
    state: Mutex<State>,
    /// Locked for as long as it lives; the operating system unlocks it when the process dies.
    _lock: F::Lock,
}

/// What changes while a directory is held.
#[derive(Debug)]
struct State {
    /// The version in the identity file.
    version: u32,
    forked: Option<ForkNote>,
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
    /// If it is in use, belongs to another cluster or format, lost its identity, has a damaged note
    /// of a fork, or cannot be read or written.
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
        let forked = read_fork_note(&folder)?;
        Ok(Self {
            folder,
            identity,
            state: Mutex::new(State { version, forked }),
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

    /// What [`note_fork`](Self::note_fork) wrote down, now or earlier.
    #[must_use]
    pub fn forked(&self) -> Option<ForkNote> {
        self.state().forked
    }

    /// Writes down, durably, that a lane has two histories. The first note stays; later ones
    /// change nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be written. It may be tried again.
    pub fn note_fork(&self, note: ForkNote) -> Result<(), FileError> {
        let mut state = self.state();
        if state.forked.is_none() {
            // A program that does not know notes would overlook this one.
            self.convert(&mut state)?;
            self.folder.write_text(FORK_NOTE_NAME, &note.render())?;
            state.forked = Some(note);
        }
        Ok(())
    }

    /// Makes a directory of an older format one of this program's, before anything is written that
    /// older programs would misread: from here on they refuse it.
    pub(crate) fn ensure_current_format(&self) -> Result<(), FileError> {
        self.convert(&mut self.state())
    }

    fn convert(&self, state: &mut State) -> Result<(), FileError> {
        let (from, to) = (state.version, FORMAT_VERSION);
        if from < to {
            let text = self.identity.render(to);
            self.folder.write_text(IDENTITY_NAME, &text)?;
            state.version = to;
            tracing::info!(path = %self.path().display(), from, to, "converted the format");
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nobody panics while holding the state")
    }
}

fn read_fork_note<F: FileSystem>(folder: &Folder<F>) -> Result<Option<ForkNote>, DirectoryError> {
    let Some(text) = folder.read_text(FORK_NOTE_NAME)? else {
        return Ok(None);
    };
    match ForkNote::parse(&text) {
        Ok(note) => Ok(Some(note)),
        Err(TextError { expected, found }) => Err(DirectoryError::ForkNoteDamaged {
            path: folder.path_of(FORK_NOTE_NAME),
            expected,
            found,
        }),
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
        Err(IdentityError::Damaged(TextError { expected, found })) => {
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
    let replica = (u128::from(half()?) << 64) + u128::from(half()?);
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
