//! Rules about manifests: which crate may know which, and that every dependency has its reason.
//!
//! The architecture is a graph of crates. Cargo refuses cycles in it, and nothing else: that the
//! cores know no server and no socket is a decision of ours, so it is written down here as data.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::tree::{Dependency, File, Tree};

/// For each crate: which of ours it may link, and which more its tests may.
const DIRECTIONS: &[(&str, &[&str], &[&str])] = &[
    ("commit-log", &[], &[]),
    ("crdt-core", &[], &[]),
    ("lock-core", &[], &[]),
    ("protocol", &["crdt-core"], &[]),
    (
        "model-checker",
        &[
            "commit-log",
            "crdt-core",
            "lock-core",
            "protocol",
            "trace",
            "wire",
        ],
        &[],
    ),
    ("trace", &["crdt-core", "protocol"], &[]),
    ("wire", &["crdt-core", "protocol"], &[]),
    (
        "tally-server",
        &["commit-log", "crdt-core", "protocol", "trace", "wire"],
        &["model-checker", "tally-client"],
    ),
    // The audit compares lanes by the machines of `protocol`; nothing else here knows of lanes.
    ("tally-client", &["crdt-core", "protocol", "wire"], &[]),
    ("tally-baseline", &["lock-core", "wire"], &["tally-client"]),
    (
        "benches",
        &[
            "commit-log",
            "crdt-core",
            "lock-core",
            "protocol",
            "wire",
            "tally-client",
            "tally-server",
        ],
        &[],
    ),
    // It starts the programs, as their users do, and so needs none of their code.
    ("xtask", &[], &[]),
];

/// What a core may link: nothing that could reach a socket, a clock, a thread or a random source.
const CORE_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("crdt-core", &["thiserror"]),
    ("lock-core", &["thiserror"]),
    ("protocol", &["thiserror"]),
];

/// Crates link only those of ours that they may.
pub(super) fn directions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let Some((_, linked, by_tests)) =
            DIRECTIONS.iter().find(|(name, ..)| *name == package.name)
        else {
            let problem = "is not in DIRECTIONS of xtask/src/tidy/manifests.rs; decide there \
                           which of our crates it may link";
            findings.push(Finding::in_file(&package.name, problem));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|it| it.path.is_some()) {
            let name = dependency.name.as_str();
            let allowed = linked.contains(&name)
                || (dependency.kind.as_deref() == Some("dev") && by_tests.contains(&name));
            if !allowed {
                let problem =
                    format!("links {name}; it may link {linked:?}, its tests {by_tests:?} too");
                findings.push(Finding::in_file(&package.name, problem));
            }
        }
    }
    findings
}

/// The cores link only what is listed for them.
pub(super) fn pure_cores(tree: &Tree) -> Vec<Finding> {
    let is_linked = |it: &&Dependency| it.kind.is_none() && it.path.is_none();
    let mut findings = Vec::new();
    for (core, allowed) in CORE_DEPENDENCIES {
        let package = tree.packages.iter().find(|package| package.name == *core);
        for dependency in package
            .iter()
            .flat_map(|it| &it.dependencies)
            .filter(is_linked)
        {
            if !allowed.contains(&dependency.name.as_str()) {
                let problem = format!("links {}; it may link {allowed:?} only", dependency.name);
                findings.push(Finding::in_file(core, problem));
            }
        }
    }
    findings
}

/// Crates take dependencies from the workspace, and the workspace names none that nobody takes.
pub(super) fn one_declaration(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in member_manifests(tree) {
        for (number, line) in section_lines(&file.text, |it| it.ends_with("dependencies]")) {
            if is_entry(line) && !line.contains("workspace = true") {
                let problem = "declare the version in the workspace's manifest, with its reason, \
                               and write `workspace = true` here";
                findings.push(Finding::at_line(&file.path, number, problem));
            }
        }
    }
    let used: BTreeSet<&str> = tree
        .packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .collect();
    for (number, line) in workspace_dependencies(tree) {
        let name = line.split([' ', '=', '.']).next().unwrap_or(line);
        if is_entry(line) && !used.contains(name) {
            let problem = format!("no crate takes {name}: remove it");
            findings.push(Finding::at_line("Cargo.toml", number, problem));
        }
    }
    findings
}

/// Each line of the workspace's dependencies, or the block it is in, has a comment above it.
pub(super) fn reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut has_reason = false;
    for (number, line) in workspace_dependencies(tree) {
        if line.starts_with('#') {
            has_reason = true;
        } else if line.is_empty() {
            has_reason = false;
        } else if is_entry(line) && !has_reason {
            let problem = "say above it, in one comment, why it is needed";
            findings.push(Finding::at_line("Cargo.toml", number, problem));
        }
    }
    findings
}

/// Every crate has `[lints] workspace = true`, without which the lints do not apply to it.
pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let takes_them = |file: &&File| {
        section_lines(&file.text, |it| it == "[lints]").any(|(_, line)| line == "workspace = true")
    };
    member_manifests(tree)
        .filter(|file| !takes_them(file))
        .map(|file| Finding::in_file(&file.path, "add `[lints]` with `workspace = true`"))
        .collect()
}

/// The manifests of the workspace's crates.
fn member_manifests(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files_ending("/Cargo.toml")
}

/// The lines of `[workspace.dependencies]`, with their numbers.
fn workspace_dependencies(tree: &Tree) -> impl Iterator<Item = (usize, &str)> {
    let text = tree.text("Cargo.toml").unwrap_or_default();
    section_lines(text, |it| it == "[workspace.dependencies]")
}

/// Whether a line of a table of dependencies names one.
fn is_entry(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// The lines of those tables whose header `is_wanted`, with their numbers.
fn section_lines(
    text: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (usize, &str)> {
    let mut is_inside = false;
    text.lines()
        .map(str::trim)
        .enumerate()
        .filter_map(move |(index, line)| {
            if line.starts_with('[') {
                is_inside = is_wanted(line);
                return None;
            }
            is_inside.then_some((index + 1, line))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_links_the_server_is_found() {
        let good = Tree::of(&[]).with_package("wire", &[("our crdt-core", "normal")]);
        assert_eq!(directions(&good), []);
        let bad = Tree::of(&[]).with_package("crdt-core", &[("our wire", "dev")]);
        assert_eq!(directions(&bad).len(), 1);
        let by_tests_only = [("our tally-client", "dev")];
        assert_eq!(
            directions(&Tree::of(&[]).with_package("tally-server", &by_tests_only)),
            []
        );
        let linked = [("our tally-client", "normal")];
        assert_eq!(
            directions(&Tree::of(&[]).with_package("tally-server", &linked)).len(),
            1
        );
    }

    #[test]
    fn a_crate_that_nobody_placed_is_found() {
        assert_eq!(
            directions(&Tree::of(&[]).with_package("extra", &[])).len(),
            1
        );
    }

    #[test]
    fn a_core_that_links_a_runtime_is_found() {
        let core = |name| Tree::of(&[]).with_package("crdt-core", &[(name, "normal")]);
        assert_eq!(pure_cores(&core("thiserror")), []);
        assert_eq!(pure_cores(&core("tokio")).len(), 1);
        let in_tests = Tree::of(&[]).with_package("lock-core", &[("proptest", "dev")]);
        assert_eq!(pure_cores(&in_tests), []);
    }

    #[test]
    fn a_version_declared_in_a_crate_is_found() {
        let manifest = |line: &str| {
            let text = format!("[package]\nname = \"a\"\n\n[dev-dependencies]\n{line}\n");
            Tree::of(&[("crates/a/Cargo.toml", &text)])
        };
        assert_eq!(
            one_declaration(&manifest("rand = { workspace = true }")),
            []
        );
        let found = one_declaration(&manifest("rand = \"0.10\""));
        assert_eq!(found[0].place, "crates/a/Cargo.toml:5");
    }

    #[test]
    fn a_dependency_that_no_crate_takes_is_found() {
        let workspace = (
            "Cargo.toml",
            "[workspace.dependencies]\nrand = \"1\"\ntoml = \"1\"\n",
        );
        let tree = Tree::of(&[workspace]).with_package("xtask", &[("rand", "normal")]);
        let places: Vec<_> = one_declaration(&tree)
            .into_iter()
            .map(|it| it.place)
            .collect();
        assert_eq!(places, ["Cargo.toml:3"]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text =
            "[workspace.dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n\nc = \"1\"\n[other]\nd = 1\n";
        let places: Vec<_> = reasons(&Tree::of(&[("Cargo.toml", text)]))
            .into_iter()
            .map(|it| it.place)
            .collect();
        assert_eq!(places, ["Cargo.toml:6"]);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let with = ("crates/a/Cargo.toml", "[lints]\nworkspace = true\n");
        let without = ("crates/b/Cargo.toml", "[package]\nworkspace = true\n");
        let found = lints(&Tree::of(&[with, without]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "crates/b/Cargo.toml");
    }
}
