//! Rules about source files: that they introduce themselves, stay short, and hide nothing undone.
//!
//! These rules look at lines of text, not at syntax. That is enough for what they forbid, and it
//! lets them look at every language in the tree.

use super::finding::Finding;
use super::tree::{File, Tree};

/// A file this long is split before it grows on: what fits here can be read in one sitting.
const LINES_MAX: usize = 500;
/// From here on the next change should split the file.
const LINES_WARNED: usize = 400;

/// Notes to oneself. Work that is left is an issue, or it is done.
///
/// Spelt in halves, so that this file does not break its own rule.
const NOTES: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
];

/// Code and text that stands for what is not there yet.
const STUBS: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("To be ", "written"),
];

/// Files whose text is not ours to write.
const NOT_OURS: &[&str] = &["Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT"];

/// The roots of the cores.
const CORES: &[&str] = &[
    "crates/crdt-core/src/",
    "crates/lock-core/src/",
    "crates/protocol/src/",
];

/// The cores are `no_std`, and only their tests bring `std` back.
pub(super) fn no_std_cores(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for core in CORES {
        let lib = format!("{core}lib.rs");
        let text = tree.text(&lib).unwrap_or_default();
        if !text.lines().any(|line| line.trim() == "#![no_std]") {
            findings.push(Finding::in_file(
                &lib,
                "a core does no IO: write `#![no_std]`",
            ));
        }
    }
    for file in tree
        .files
        .iter()
        .filter(|file| CORES.iter().any(|it| file.path.starts_with(it)))
    {
        let mut line_before = "";
        for (number, line) in numbered(file) {
            if line.starts_with("extern crate std") && line_before != "#[cfg(test)]" {
                let problem = "only tests of a core may have `std`: put `#[cfg(test)]` above";
                findings.push(Finding::at_line(&file.path, number, problem));
            }
            line_before = line;
        }
    }
    findings
}

/// Every Rust file begins with `//!`: what it is, why, and what it leaves out.
pub(super) fn essays(tree: &Tree) -> Vec<Finding> {
    tree.files_ending(".rs")
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| {
            let problem = "open with `//!`: what this file is, why it exists, what it leaves out";
            Finding::in_file(&file.path, problem)
        })
        .collect()
}

/// Source files stay below [`LINES_MAX`] lines.
pub(super) fn lengths(tree: &Tree) -> Vec<Finding> {
    let sources = [".rs", ".py", ".proto"]
        .into_iter()
        .flat_map(|it| tree.files_ending(it));
    sources
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let problem = format!("{lines} lines, at most {LINES_MAX}: split it by concept");
            let finding = Finding::in_file(&file.path, problem);
            match lines {
                0..=LINES_WARNED => None,
                _ if lines <= LINES_MAX => Some(finding.warning()),
                _ => Some(finding),
            }
        })
        .collect()
}

/// A test that does not run proves nothing.
pub(super) fn ignored_tests(tree: &Tree) -> Vec<Finding> {
    let is_ignored = |line: &str| {
        line.starts_with("#[ignore")
            || (line.starts_with("#[cfg_attr") && line.contains("ignore"))
            || (line.starts_with("//") && line.contains("```") && line.contains("ignore"))
    };
    lines_where(tree.files_ending(".rs"), is_ignored, |_| {
        "make the test run, or remove it".to_owned()
    })
}

/// No stub and no note to oneself, in any file that we wrote.
pub(super) fn leftovers(tree: &Tree) -> Vec<Finding> {
    let ours = tree
        .files
        .iter()
        .filter(|file| !NOT_OURS.contains(&file.path.as_str()));
    lines_where(
        ours,
        |line| leftover(line).is_some(),
        |line| {
            format!(
                "`{}`: do it now, or remove it",
                leftover(line).unwrap_or_default()
            )
        },
    )
}

/// The stub or note in a line.
fn leftover(line: &str) -> Option<&'static str> {
    let stub = STUBS.iter().find(|stub| line.contains(**stub));
    let is_note = |note: &&&str| {
        line.split(|it: char| !it.is_alphanumeric())
            .any(|it| it == **note)
    };
    stub.or_else(|| NOTES.iter().find(is_note)).copied()
}

/// A finding for each line that `is_wrong`.
fn lines_where<'a>(
    files: impl Iterator<Item = &'a File>,
    is_wrong: impl Fn(&str) -> bool,
    problem: impl Fn(&str) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in numbered(file).filter(|(_, line)| is_wrong(line)) {
            findings.push(Finding::at_line(&file.path, number, problem(line)));
        }
    }
    findings
}

/// The lines of a file without their indentation, counted from 1.
fn numbered(file: &File) -> impl Iterator<Item = (usize, &str)> {
    file.text
        .lines()
        .map(str::trim)
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRDT_LIB: &str = "crates/crdt-core/src/lib.rs";
    const LOCK_LIB: (&str, &str) = ("crates/lock-core/src/lib.rs", "//! A core.\n#![no_std]\n");
    const PROTOCOL_LIB: (&str, &str) = ("crates/protocol/src/lib.rs", LOCK_LIB.1);

    #[test]
    fn a_core_with_std_is_found() {
        let tree = |text| Tree::of(&[(CRDT_LIB, text), LOCK_LIB, PROTOCOL_LIB]);
        assert_eq!(
            no_std_cores(&tree("#![no_std]\n#[cfg(test)]\nextern crate std;\n")),
            []
        );
        assert_eq!(no_std_cores(&tree("//! A core.\n"))[0].place, CRDT_LIB);
        let found = no_std_cores(&tree("#![no_std]\nextern crate std;\n"));
        assert_eq!(found[0].place, "crates/crdt-core/src/lib.rs:2");
    }

    #[test]
    fn a_file_without_an_essay_is_found() {
        assert_eq!(
            essays(&Tree::of(&[("a.rs", "//! Why.\n"), ("a.md", "x")])),
            []
        );
        assert_eq!(
            essays(&Tree::of(&[("a.rs", "use std::fmt;\n//! Late.\n")])).len(),
            1
        );
        assert_eq!(essays(&Tree::of(&[("a.rs", "")])).len(), 1);
    }

    #[test]
    fn a_long_file_is_warned_of_and_then_refused() {
        let found = |lines: usize| lengths(&Tree::of(&[("a.rs", &"x\n".repeat(lines))]));
        assert_eq!(found(LINES_WARNED), []);
        assert!(found(LINES_WARNED + 1)[0].is_warning);
        assert!(found(LINES_MAX)[0].is_warning);
        assert!(!found(LINES_MAX + 1)[0].is_warning);
    }

    #[test]
    fn an_ignored_test_is_found() {
        let found = |line: &str| ignored_tests(&Tree::of(&[("a.rs", line)])).len();
        assert_eq!(found("#[test]\nfn nothing_is_ignored() {}"), 0);
        assert_eq!(found(concat!("    #[", "ignore = \"slow\"]")), 1);
        assert_eq!(found(concat!("#[cfg_attr(miri, ", "ignore)]")), 1);
        assert_eq!(found(concat!("/// ``", "`ignore")), 1);
    }

    #[test]
    fn what_is_left_undone_is_found_in_any_language() {
        for word in STUBS.iter().chain(NOTES) {
            let found = leftovers(&Tree::of(&[("proto/a.py", &format!("ok\n# {word}"))]));
            assert_eq!(found.len(), 1, "{word}");
            assert_eq!(found[0].place, "proto/a.py:2");
        }
        assert_eq!(leftovers(&Tree::of(&[("a.md", "a todo list")])), []);
        assert_eq!(leftovers(&Tree::of(&[("LICENSE-MIT", STUBS[2])])), []);
    }
}
