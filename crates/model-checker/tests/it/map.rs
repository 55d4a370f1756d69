//! `specs/map.md` says of every production file by which checkers it is run: no file may be missing.
//!
//! Whether a `yes` is true is for its reader to judge; that somebody has thought of each file is
//! what a machine can hold. A crate that is not in the tree yet is held once it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The crates that decide something.
const CRATES: &[&str] = &[
    "crdt-core",
    "lock-core",
    "wire",
    "protocol",
    "commit-log",
    "server",
];

/// Columns of a row: the file, and one for each checker.
const COLUMNS: usize = 8;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The production files of a crate, from its `src`; empty where there is no such crate.
fn files(of: &str) -> BTreeSet<String> {
    let source = root().join("crates").join(of).join("src");
    let (mut found, mut folders) = (BTreeSet::new(), vec![source.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten() {
            let path = entry.expect("a folder of the tree").path();
            let is_test = path.file_stem().is_some_and(|it| it == "tests");
            let is_source = path.extension().is_some_and(|it| it == "rs");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if is_source && !is_test {
                let path = path.strip_prefix(&source).expect("it lies within");
                found.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// The files that a crate's section of the map names, each with its row.
fn rows(map: &str, of: &str) -> Vec<(String, String)> {
    let heading = format!("## {of}");
    let lines = map.lines().skip_while(|line| *line != heading).skip(1);
    let section = lines.take_while(|line| !line.starts_with("## "));
    let mut rows = Vec::new();
    for row in section.filter(|line| line.starts_with("| `")) {
        let cell = row.split('|').nth(1).unwrap_or_default();
        let names = cell.split('`').skip(1).step_by(2);
        rows.extend(names.map(|name| (name.to_owned(), row.to_owned())));
    }
    rows
}

/// What is wrong with the map's section of a crate that has these files.
fn problems(map: &str, of: &str, files: &BTreeSet<String>) -> Vec<String> {
    let rows = rows(map, of);
    let named: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    let missing = files.difference(&named);
    let mut problems: Vec<String> = missing
        .map(|file| format!("{of}: {file} is in no row"))
        .collect();
    let gone = named.difference(files);
    problems.extend(gone.map(|file| format!("{of}: there is no {file}")));
    if named.len() < rows.len() {
        problems.push(format!("{of}: a file is named twice"));
    }
    let is_torn = |(_, row): &&(String, String)| row.matches('|').count() != COLUMNS + 1;
    let torn = rows.iter().filter(is_torn);
    problems.extend(torn.map(|(file, _)| format!("{of}: the row of {file} lacks a cell")));
    problems
}

#[test]
fn the_map_names_every_file() {
    let map = std::fs::read_to_string(root().join("specs/map.md")).expect("the map is there");
    let problems: Vec<String> = CRATES
        .iter()
        .flat_map(|of| problems(&map, of, &files(of)))
        .collect();
    assert_eq!(problems, [""; 0], "see specs/map.md");
    assert!(files("crdt-core").contains("replica/names.rs"));
    assert!(!files("wire").contains("interval/tests.rs"));
}

#[test]
fn a_file_that_is_missing_gone_or_named_twice_is_found() {
    let row = |files: &str| format!("## a\n\n| {files} |{}\n", " yes |".repeat(COLUMNS - 1));
    let files = BTreeSet::from(["x.rs".to_owned(), "y/z.rs".to_owned()]);
    assert_eq!(
        problems(&row("`x.rs`, `y/z.rs` (why)"), "a", &files),
        [""; 0]
    );
    for map in [
        row("`x.rs`"),
        row("`x.rs`, `y/z.rs`, `gone.rs`"),
        row("`x.rs`, `x.rs`, `y/z.rs`"),
        row("`x.rs`, `y/z.rs`").replacen(" yes |", "", 1),
        String::new(),
    ] {
        assert!(!problems(&map, "a", &files).is_empty(), "{map}");
    }
}
