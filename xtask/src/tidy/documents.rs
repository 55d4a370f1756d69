//! Rules about what a newcomer meets first: the top of the tree, commands and links in documents.
//!
//! A documented command is parsed by the very grammar that would run it, so a renamed verb or a
//! removed option breaks the build and not a reader's first day. What a command then does is for
//! tests to say.

use super::finding::Finding;
use super::tree::{File, Tree};

/// What may lie at the top. A new entry there needs a reason that its reader sees at once.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "clippy.toml",
    "crates",
    "deny.toml",
    "proto",
    "rustfmt.toml",
    "specs",
    "xtask",
];

/// Nothing lies at the top that is not in [`TOP_LEVEL`].
pub(super) fn top_level(tree: &Tree) -> Vec<Finding> {
    let mut entries: Vec<&str> = tree
        .paths
        .iter()
        .map(|path| path.split('/').next().unwrap_or(path))
        .collect();
    entries.dedup();
    entries
        .into_iter()
        .filter(|entry| !TOP_LEVEL.contains(entry))
        .map(|entry| {
            let problem = "move it into a directory, or add it to TOP_LEVEL of \
                           xtask/src/tidy/documents.rs";
            Finding::in_file(entry, problem)
        })
        .collect()
}

/// `cargo xtask ...` in a document is something that `cargo xtask` understands, and `-p NAME`
/// names a crate of ours.
pub(super) fn commands(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files_ending(".md") {
        for (number, command) in documented_commands(file) {
            let words = words(&command);
            if let Some(problem) =
                xtask_problem(tree, &words).or_else(|| package_problem(tree, &words))
            {
                findings.push(Finding::at_line(&file.path, number, problem));
            }
        }
    }
    findings
}

/// Links to files of this repository lead to one.
pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files_ending(".md") {
        let directory = file
            .path
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory);
        for (index, line) in file.text.lines().enumerate() {
            for target in line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                let is_elsewhere = target.contains(':') || target.starts_with('#');
                let path = target.split('#').next().unwrap_or(target);
                if !is_elsewhere && !exists(tree, &joined(directory, path)) {
                    let problem = format!("there is no {path}");
                    findings.push(Finding::at_line(&file.path, index + 1, problem));
                }
            }
        }
    }
    findings
}

/// The `cargo` commands of a document: lines of its code blocks, and spans of its text.
fn documented_commands(file: &File) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let mut is_code = false;
    let mut lines = file.text.lines().map(str::trim).enumerate();
    while let Some((index, line)) = lines.next() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            let mut command = line.trim_start_matches("$ ").to_owned();
            while command.ends_with('\\') {
                command.pop();
                command.push_str(lines.next().map_or("", |(_, line)| line));
            }
            commands.push((index + 1, command));
        } else {
            // Between an odd backtick and the next even one lies code.
            let spans = line.split('`').skip(1).step_by(2);
            commands.extend(spans.map(|span| (index + 1, span.to_owned())));
        }
    }
    commands.retain(|(_, command)| command.starts_with("cargo "));
    commands
}

/// The words of a shell command, up to where another one or a comment begins.
fn words(command: &str) -> Vec<&str> {
    command
        .split_whitespace()
        .take_while(|word| !word.starts_with(['#', '|', '>', '&', ';', '<']))
        .collect()
}

/// What `cargo xtask` would complain of.
fn xtask_problem(tree: &Tree, words: &[&str]) -> Option<String> {
    let arguments = words.strip_prefix(&["cargo"])?;
    if arguments.first() != Some(&"xtask") {
        return None;
    }
    let error = tree.cli.clone().try_get_matches_from(arguments).err()?;
    // Asking for help is no mistake, though the parser reports it like one.
    let first_line = error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    error
        .use_stderr()
        .then(|| format!("`{}`: {first_line}", words.join(" ")))
}

/// A package that a command names and the workspace does not have.
fn package_problem(tree: &Tree, words: &[&str]) -> Option<String> {
    let flag = words
        .iter()
        .position(|word| ["-p", "--package"].contains(word))?;
    let name = words.get(flag + 1)?;
    let is_ours = tree.packages.iter().any(|package| package.name == *name);
    (!is_ours).then(|| format!("`{}`: there is no crate {name}", words.join(" ")))
}

/// Whether a path is a file, or a directory that holds one.
fn exists(tree: &Tree, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let as_directory = format!("{path}/");
    path.is_empty()
        || tree.paths.contains(path)
        || tree.paths.iter().any(|it| it.starts_with(&as_directory))
}

/// `path` as seen from the root, when it is written in a file of `directory`.
fn joined(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = directory
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_entry_at_the_top_is_found() {
        let tree = Tree::of(&[
            ("README.md", ""),
            ("crates/a/lib.rs", ""),
            ("notes.txt", ""),
        ]);
        let places: Vec<_> = top_level(&tree).into_iter().map(|it| it.place).collect();
        assert_eq!(places, ["notes.txt"]);
    }

    #[test]
    fn a_documented_command_that_does_not_exist_is_found() {
        let places = |text: &str| -> Vec<String> {
            let tree = Tree::of(&[("README.md", text)]).with_package("wire", &[]);
            commands(&tree).into_iter().map(|it| it.place).collect()
        };
        let good = "Run `cargo xtask sim`.\n```sh\n$ cargo xtask sim \\\n  --seed 1 # 1 s\n\
                    cargo test -p wire\ncargo xtask --help\n```\n";
        assert_eq!(places(good), [""; 0]);
        assert_eq!(places("```\ncargo xtask simulate\n```"), ["README.md:2"]);
        assert_eq!(
            places("```\ncargo xtask sim --sead 1\n```"),
            ["README.md:2"]
        );
        assert_eq!(places("See `cargo xtask simulate`."), ["README.md:1"]);
        assert_eq!(places("`cargo test -p wires`"), ["README.md:1"]);
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let tree = |text| Tree::of(&[("specs/a.md", text), ("proto/x.proto", "")]);
        let good = "[x](../proto/x.proto#L1) [p](../proto/) [w](https://example.invalid/) [h](#h)";
        assert_eq!(links(&tree(good)), []);
        assert_eq!(links(&tree("ok\n[x](x.proto)"))[0].place, "specs/a.md:2");
    }
}
