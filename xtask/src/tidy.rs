//! `cargo xtask tidy`: the rules of this repository that no general tool knows.
//!
//! A rule that is only written down is broken within a month, so each one that a machine can check
//! is a function here: from the tree (all files and the workspace's manifests) to what is wrong
//! with it. Rules are pure; [`tree`] alone reads the disk. To add a rule, write the function and
//! name it in [`RULES`].
//!
//! What general tools check is left to them: formatting to rustfmt, `unwrap`, `todo!` and the
//! length of functions to clippy (tidy only checks that every crate takes the workspace's lints),
//! licences and sources to cargo-deny, schemas to buf. `cargo xtask ci` runs them all.

mod circles;
mod documents;
mod finding;
mod guarantees;
mod manifests;
mod record;
mod sources;
mod tree;

use finding::Finding;
use tree::{Tree, TreeError};

/// Finds what breaks one rule.
type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule, with the sentence that states it.
const RULES: &[(&str, Rule)] = &[
    (
        "dependencies between our crates point one way",
        manifests::directions,
    ),
    (
        "the cores depend on nothing that does IO",
        manifests::pure_cores,
    ),
    (
        "a dependency is declared once, in the workspace, and used",
        manifests::one_declaration,
    ),
    (
        "each workspace dependency has its reason above it",
        manifests::reasons,
    ),
    ("every crate takes the workspace's lints", manifests::lints),
    ("the cores are no_std", sources::no_std_cores),
    ("the track record can be seen again", record::commands),
    ("every source file opens with an essay", sources::essays),
    ("files are short", sources::lengths),
    ("files use each other in one direction", circles::circles),
    ("no test is ignored", sources::ignored_tests),
    ("nothing is left unfinished", sources::leftovers),
    ("the top of the tree stays small", documents::top_level),
    ("commands in the documentation exist", documents::commands),
    (
        "links in the documentation lead somewhere",
        documents::links,
    ),
    (
        "every guarantee is held by checks that exist",
        guarantees::matrix,
    ),
];

/// Why the tree is not tidy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TidyError {
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Rules are broken; each place has been printed.
    #[error("{found} of {rules} rules are broken: see above")]
    Broken {
        /// Broken rules.
        found: usize,
        /// All rules.
        rules: usize,
    },
}

/// Checks every rule and prints what breaks it.
///
/// `cli` is the grammar of `cargo xtask`, against which documented commands are parsed.
pub(crate) fn run(cli: &clap::Command) -> Result<(), TidyError> {
    let tree = Tree::read(cli)?;
    let mut broken = 0;
    for (rule, check) in RULES {
        let findings = check(&tree);
        if findings.is_empty() {
            continue;
        }
        println!("{rule}:");
        for finding in &findings {
            println!("  {finding}");
        }
        broken += usize::from(findings.iter().any(|finding| !finding.is_warning));
    }
    if broken > 0 {
        return Err(TidyError::Broken {
            found: broken,
            rules: RULES.len(),
        });
    }
    println!("{} rules hold in {} files", RULES.len(), tree.files.len());
    Ok(())
}
