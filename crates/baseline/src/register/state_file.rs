//! The register's optional file: all counters as one JSON object, replaced whole.
//!
//! Write a temporary file, sync it, rename it over the old one, sync the directory. A crash at
//! any point leaves the old file or the new one. It is the simplest thing that is right, and its
//! cost grows with the number of counters; the register is a baseline, not a store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use lock_core::Value;

/// Why the file cannot be read or written. The register does not run on without it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("cannot read {path:?}: {source}; correct --state or the file's permissions")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path:?} is no register state ({source}); move it away to begin at 0")]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("cannot write {path:?}: {source}; what was not confirmed is lost, the rest is kept")]
    Write { path: PathBuf, source: io::Error },
}

/// The file that holds the counters.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file, and what is in it; a file that does not exist is one without counters.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Vec<(String, Value)>), StateError> {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => b"{}".to_vec(),
            Err(source) => return Err(StateError::Read { path, source }),
        };
        match serde_json::from_slice::<BTreeMap<String, i64>>(&bytes) {
            Ok(counters) => {
                let counters = counters
                    .into_iter()
                    .map(|(name, value)| (name, Value(value)));
                Ok((Self { path }, counters.collect()))
            }
            Err(source) => Err(StateError::Parse { path, source }),
        }
    }

    /// Replaces the file; durable on return.
    pub(crate) fn save<'a>(
        &self,
        counters: impl Iterator<Item = (&'a str, Value)>,
    ) -> Result<(), StateError> {
        let counters: BTreeMap<_, _> = counters.map(|(name, value)| (name, value.0)).collect();
        let bytes = serde_json::to_vec(&counters).expect("names and numbers are JSON");
        replace(&self.path, &bytes).map_err(|source| StateError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_found_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state.json");
        let (file, counters) = StateFile::open(path.clone()).expect("a new file");
        assert_eq!(counters, []);
        file.save([("like", Value(3)), ("dislike", Value(-1))].into_iter())
            .expect("writable");
        file.save([("like", Value(4))].into_iter())
            .expect("writable");
        let (_, counters) = StateFile::open(path).expect("it was just written");
        assert_eq!(counters, [("like".to_owned(), Value(4))]);
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_not_overwritten() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state.json");
        fs::write(&path, "a letter").expect("writable");
        let refused = StateFile::open(path.clone());
        assert!(matches!(refused, Err(StateError::Parse { .. })));
        assert_eq!(fs::read(&path).expect("readable"), b"a letter");
    }
}
