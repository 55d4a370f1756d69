//! A copy of the tree that may be broken.
//!
//! It lies always at the same place and keeps the times of files that have not changed, so that
//! only what has changed is compiled again. cargo-mutants could make a copy by itself, but each time
//! at another place, where everything is compiled anew.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::git::{self, GitError};
use crate::paths::root;

/// The tree could not be copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScratchError {
    /// Git does not say what belongs to it.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The operating system refused.
    #[error("copying the tree to {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Makes `copy` equal to the tree, without what git ignores.
pub(super) fn update(copy: &Path) -> Result<(), ScratchError> {
    let paths: BTreeSet<PathBuf> = git::files()?.iter().map(|path| copy.join(path)).collect();
    for to in &paths {
        let from = root().join(to.strip_prefix(copy).expect("it was joined above"));
        update_file(&from, to).map_err(error(to))?;
    }
    remove_others(copy, &paths).map_err(error(copy))
}

fn update_file(from: &Path, to: &Path) -> io::Result<()> {
    let content = fs::read(from)?;
    // A file that a killed run has left broken differs too.
    if fs::read(to).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::create_dir_all(to.parent().expect("it is below the copy"))?;
    fs::write(to, content)
}

/// Removes files that the tree does not have: a crate that is gone would be built.
fn remove_others(directory: &Path, paths: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, paths)?;
        } else if !paths.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn error(path: &Path) -> impl FnOnce(io::Error) -> ScratchError {
    let path = path.to_owned();
    move |source| ScratchError::Io { path, source }
}
