//! What is changed, and by which tests it is to be found.

use crate::paths::root;

/// A crate whose code is changed.
pub(super) struct Target {
    /// The crate; its own tests come first.
    pub(super) package: &'static str,
    /// Crates that drive it: their tests are run on what its own tests do not find.
    pub(super) drivers: Vec<&'static str>,
}

/// All of them, each with its drivers: what decides, and what turns decisions into bytes.
const TARGETS: &[(&str, &[&str])] = &[
    ("crdt-core", &["model-checker", "wire"]),
    ("lock-core", &["model-checker"]),
    ("protocol", &["model-checker"]),
    ("wire", &["model-checker"]),
    ("commit-log", &[]),
];

/// How a replica counts, in the words of cargo-mutants: what a checker that has a quarter of an hour
/// can try. What it does about sessions is changed with everything else.
pub(super) const CORE: &[&str] = &[
    "--package=crdt-core",
    "--file=crates/crdt-core/src/{replica,lane,history}.rs",
    "--file=crates/crdt-core/src/{lane,history}/**/*.rs",
    "--file=crates/crdt-core/src/replica/{equality,following,heads,invariants,names,reading}.rs",
];

/// What is in those crates and decides nothing in production: the disk that checkers use.
pub(super) const EXCLUDED: &[&str] = &[
    "--exclude=crates/commit-log/src/memory.rs",
    "--exclude=crates/commit-log/src/memory/**/*.rs",
];

/// The targets that are in the workspace; says which are not.
pub(super) fn existing() -> Vec<Target> {
    let exists = |package: &str| root().join("crates").join(package).is_dir();
    for (package, _) in TARGETS.iter().filter(|(package, _)| !exists(package)) {
        println!("not changed: {package}, which is not in the workspace");
    }
    let targets = TARGETS.iter().filter(|(package, _)| exists(package));
    targets
        .map(|&(package, drivers)| Target {
            package,
            drivers: drivers.iter().copied().filter(|it| exists(it)).collect(),
        })
        .collect()
}
