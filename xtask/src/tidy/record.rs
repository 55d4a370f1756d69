//! A rule about `specs/track-record.md`: what its commands ask for exists.
//!
//! `cargo test` succeeds where a name fits no test, so a row would go on to claim what nothing
//! shows any more. That the command finds the flaw, or passes, is for the command to say.

use super::finding::Finding;
use super::tree::Tree;

/// The record.
const RECORD: &str = "specs/track-record.md";

/// Every command of the record names something that exists.
pub(super) fn commands(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(RECORD).unwrap_or_default();
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // Between an odd backtick and the next even one lies a name.
        let commands = line.split('`').skip(1).step_by(2);
        for command in commands.filter(|it| it.starts_with("cargo ")) {
            if let Some(problem) = problem(tree, command) {
                let place = format!("{RECORD}:{number}");
                findings.push(Finding::in_file(&place, format!("`{command}` {problem}")));
            }
        }
    }
    findings
}

fn problem(tree: &Tree, command: &str) -> Option<&'static str> {
    let words: Vec<&str> = command.split(' ').collect();
    let after = |option| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let source = |path: &str, name: String| {
        let text = tree.text(&format!("crates/model-checker/src/{path}"));
        text.is_some_and(|text| text.contains(&name))
    };
    match words[1] {
        "test" => {
            let package = after("-p")?;
            let options = ["-p", "--test"].map(after);
            let mut filters = words[2..].iter().copied();
            let filter =
                filters.find(|word| !word.starts_with('-') && !options.contains(&Some(word)));
            let Some(filter) = filter else {
                return Some("runs all tests of a package; name the one that shows it");
            };
            (!has_test(tree, package, filter)).then_some("runs no test")
        }
        "xtask" if words[2] == "sim" => {
            let mutation = after("--mutation")?;
            let is_there = source("mutation.rs", format!("= \"{mutation}\""));
            (!is_there).then_some("names no mutation")
        }
        "xtask" if words[2] == "model" => {
            let world = after("--trace")?;
            let is_there = source("expectations.rs", format!("(\"{world}\""));
            (!is_there).then_some("names no world that is searched")
        }
        _ => Some("is none of test, xtask sim and xtask model"),
    }
}

/// Whether a function or a file of a crate is named so.
fn has_test(tree: &Tree, package: &str, filter: &str) -> bool {
    let directory = match package.strip_prefix("tally-").unwrap_or(package) {
        "xtask" => "xtask/".to_owned(),
        package => format!("crates/{package}/"),
    };
    let mut files = tree.files_ending(".rs");
    files.any(|file| {
        let is_function = |line: &str| line.contains("fn ") && line.contains(filter);
        let path = file.path.strip_prefix(&directory);
        path.is_some_and(|path| path.contains(filter) || file.text.lines().any(is_function))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(commands: &[&str]) -> usize {
        let line = |command: &&str| format!("| flaw | `{command}` |\n");
        let record: String = commands.iter().map(line).collect();
        let files = [
            (RECORD, record.as_str()),
            (
                "crates/server/tests/it/stopping.rs",
                "async fn a_stop_is_quick() {}",
            ),
            (
                "crates/model-checker/src/mutation.rs",
                "Broken = \"broken\",",
            ),
            (
                "crates/model-checker/src/expectations.rs",
                "found(\"world\", 1)",
            ),
        ];
        super::commands(&Tree::of(&files)).len()
    }

    #[test]
    fn commands_that_name_something_are_fine() {
        let fine = [
            "cargo test -p tally-server --test it a_stop_is",
            "cargo test -p tally-server stopping",
            "cargo xtask sim --mutation broken",
            "cargo xtask model --trace world",
        ];
        assert_eq!(problems(&fine), 0);
    }

    #[test]
    fn commands_that_show_nothing_are_found() {
        for command in [
            "cargo test -p tally-server --test it",
            "cargo test -p tally-server a_stop_was",
            "cargo test -p tally-client a_stop_is",
            "cargo xtask sim --mutation whole",
            "cargo xtask model --trace word",
            "cargo bench",
        ] {
            assert_eq!(problems(&[command]), 1, "{command}");
        }
    }
}
