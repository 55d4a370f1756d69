//! The tree that the rules look at: every file under version control, and the crates' manifests.
//!
//! Which files count says git, not the directory. File contents are read once; all rules share them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::git::{self, GitError};
use crate::paths::root;

/// The repository as the rules see it.
pub(super) struct Tree {
    /// All paths, relative to the root, with `/` between their parts.
    pub(super) paths: BTreeSet<String>,
    /// Those that hold text.
    pub(super) files: Vec<File>,
    /// The workspace's crates.
    pub(super) packages: Vec<Package>,
    /// The grammar of `cargo xtask`.
    pub(super) cli: clap::Command,
}

/// A text file.
pub(super) struct File {
    /// Relative to the root.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
}

/// A crate of the workspace, as `cargo metadata` describes it.
#[derive(Deserialize)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// What its manifest asks for.
    pub(super) dependencies: Vec<Dependency>,
}

/// What a manifest asks for.
#[derive(Deserialize)]
pub(super) struct Dependency {
    /// The crate's name.
    pub(super) name: String,
    /// `None`: normal; else "dev" or "build".
    pub(super) kind: Option<String>,
    /// Where it is, for crates of this workspace.
    pub(super) path: Option<String>,
}

/// Why the tree could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    /// Git does not say which files there are.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Cargo could not be started.
    #[error("cannot start `cargo metadata`: {0}; install it or add it to PATH")]
    Start(std::io::Error),
    /// Cargo failed.
    #[error("`cargo metadata` ended with {status}, expected success: {stderr}")]
    Failed {
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// `cargo metadata` wrote something else than expected.
    #[error("cannot understand `cargo metadata`: {0}")]
    Metadata(#[from] serde_json::Error),
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl Tree {
    /// Reads the repository that this program was built from.
    pub(super) fn read(cli: &clap::Command) -> Result<Self, TreeError> {
        let root = root();
        let paths = git::files()?;
        let mut files = Vec::new();
        for path in &paths {
            let absolute = root.join(path);
            let bytes = std::fs::read(&absolute).map_err(|source| TreeError::Read {
                path: absolute,
                source,
            })?;
            // What is not UTF-8 is no text, and no rule is about it.
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File {
                    path: path.clone(),
                    text,
                });
            }
        }
        Ok(Self {
            paths,
            files,
            packages: packages(root)?,
            cli: cli.clone(),
        })
    }

    /// The text files whose name ends with `suffix`.
    pub(super) fn files_ending(&self, suffix: &str) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(suffix))
    }

    /// The text of a file, where it exists.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }
}

/// The workspace's crates, without asking the registry for anything.
fn packages(root: &Path) -> Result<Vec<Package>, TreeError> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(TreeError::Start)?;
    if !output.status.success() {
        return Err(TreeError::Failed {
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Ok(serde_json::from_slice::<Metadata>(&output.stdout)?.packages)
}

/// Small trees, written down, for the tests of the rules.
#[cfg(test)]
impl Tree {
    /// A tree of these files, without crates.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            files: files
                .iter()
                .map(|(path, text)| File {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                })
                .collect(),
            packages: Vec::new(),
            cli: clap::Command::new("xtask")
                .subcommand(clap::Command::new("sim").arg(clap::arg!(--seed <N>))),
        }
    }

    /// The same with a crate. Dependencies are (name, kind); ours are those marked "our ".
    pub(super) fn with_package(mut self, name: &str, dependencies: &[(&str, &str)]) -> Self {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency {
                name: name.trim_start_matches("our ").to_owned(),
                kind: (*kind != "normal").then(|| (*kind).to_owned()),
                path: name.strip_prefix("our ").map(str::to_owned),
            })
            .collect();
        self.packages.push(Package {
            name: name.to_owned(),
            dependencies,
        });
        self
    }
}
