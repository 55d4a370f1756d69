//! The names of files: on the medium, and as processes see them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::inode::below;
use super::{FaultEffects, InodeId};

/// By path. Not as paths, which are compared name by name: a sixteenth of a simulation.
pub(super) type Directory = BTreeMap<OsString, InodeId>;

/// All names.
#[derive(Debug, Default)]
pub(super) struct Names {
    current: Directory,
    durable: Directory,
    /// What was not synced, oldest first.
    changes: Vec<Change>,
}

/// A change of names, which is durable or not, and never half.
#[derive(Debug)]
enum Change {
    Create {
        path: PathBuf,
        inode: InodeId,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: InodeId,
    },
    Remove {
        path: PathBuf,
        inode: InodeId,
    },
}

impl Names {
    /// Names with nothing to sync.
    pub(super) fn durably(files: Directory) -> Self {
        Self {
            current: files.clone(),
            durable: files,
            changes: Vec::new(),
        }
    }

    pub(super) fn current(&self) -> &Directory {
        &self.current
    }

    pub(super) fn durable(&self) -> &Directory {
        &self.durable
    }

    /// Whether a file has a name, or may get one back.
    pub(super) fn refers_to(&self, inode: InodeId) -> bool {
        let in_changes = self.changes.iter().any(|change| change.inode() == inode);
        let mut named = self.current.values().chain(self.durable.values());
        in_changes || named.any(|named| *named == inode)
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<InodeId> {
        let found = self.current.get(path.as_os_str()).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, path: &Path, inode: InodeId) {
        let path = path.to_owned();
        self.change(Change::Create { path, inode });
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.find(from)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.change(Change::Rename { from, to, inode });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        let path = path.to_owned();
        self.change(Change::Remove { path, inode });
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.changes.push(change);
    }

    /// Whether a directory has changes that are not synced.
    pub(super) fn is_dirty(&self, directory: &Path) -> bool {
        self.changes.iter().any(|change| change.is_in(directory))
    }

    pub(super) fn sync(&mut self, directory: &Path) {
        let durable = &mut self.durable;
        self.changes.retain(|change| {
            let is_in = change.is_in(directory);
            if is_in {
                change.apply(durable);
            }
            !is_in
        });
    }

    /// Leaves what was synced, and of everything else what `random` says: the changes up to some
    /// moment, as a journal keeps them; or any, as file systems do that log each file by itself.
    pub(super) fn lose_power(
        &mut self,
        random: &mut dyn FnMut() -> u64,
        effects: &mut FaultEffects,
    ) {
        let changes = std::mem::take(&mut self.changes);
        let is_journaled = random().is_multiple_of(2);
        let kept = below(random, changes.len() + 1);
        for (at, change) in changes.iter().enumerate() {
            let is_kept = if is_journaled {
                at < kept
            } else {
                random().is_multiple_of(2)
            };
            if is_kept {
                change.apply(&mut self.durable);
            } else {
                effects.lost_names += 1;
            }
        }
        self.current.clone_from(&self.durable);
    }
}

impl Change {
    fn inode(&self) -> InodeId {
        let (Self::Create { inode, .. } | Self::Rename { inode, .. } | Self::Remove { inode, .. }) =
            self;
        *inode
    }

    fn is_in(&self, directory: &Path) -> bool {
        let (Self::Create { path, .. } | Self::Rename { to: path, .. } | Self::Remove { path, .. }) =
            self;
        path.parent() == Some(directory)
    }

    /// Changes a directory, in which an earlier change may be missing.
    fn apply(&self, directory: &mut Directory) {
        let mut unlink = |path: &PathBuf, inode: &InodeId| {
            let path = path.as_os_str();
            if directory.get(path) == Some(inode) {
                directory.remove(path);
            }
        };
        match self {
            Self::Create { path, inode } => drop(directory.insert(path.into(), *inode)),
            Self::Rename { from, to, inode } => {
                unlink(from, inode);
                directory.insert(to.into(), *inode);
            }
            Self::Remove { path, inode } => unlink(path, inode),
        }
    }
}
