//! A rule about `specs/guarantees.md`: every guarantee is checked by something that exists.
//!
//! The matrix is written for people; this reads it as they do. Each guarantee has a section, each
//! section a row for every kind of evidence, and each row names checks between backticks, or says
//! `none: ` and why. Whether a check passes is for the checks to say.

use super::Finding;
use super::tree::Tree;

/// The matrix.
const MATRIX: &str = "specs/guarantees.md";

/// The names that the whole project uses.
const GUARANTEES: &[&str] = &[
    "conservation",
    "convergence",
    "no_phantom",
    "durability",
    "availability",
    "idempotence",
    "read_your_writes",
    "monotonic_reads",
    "incarnation_safety",
    "retirement_exactness",
];

/// Whether a tree has a check of this name.
type Exists = fn(&Tree, &str) -> bool;

/// The kinds of evidence, as the rows begin, and where their checks are.
const EVIDENCE: &[(&str, Exists)] = &[
    ("worlds", has_search),
    ("proofs", has_proof),
    ("property tests", has_test),
    ("simulator", has_oracle),
    ("real processes", has_test),
];

/// Every guarantee has a row for each kind of evidence, and every row's checks exist.
pub(super) fn matrix(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(MATRIX) else {
        return vec![Finding::in_file(MATRIX, "it does not exist")];
    };
    let mut findings = Vec::new();
    for guarantee in GUARANTEES {
        let section = section(text, guarantee);
        if section.is_empty() {
            let problem = format!("there is no section \"## {guarantee}\"");
            findings.push(Finding::in_file(MATRIX, problem));
            continue;
        }
        for &(kind, exists) in EVIDENCE {
            let problem = |what| format!("{guarantee}, {kind}: {what}");
            match row(&section, kind) {
                None => findings.push(Finding::in_file(MATRIX, problem("no such row".to_owned()))),
                Some((line, cell)) => findings.extend(
                    row_problem(tree, cell, exists)
                        .map(|what| Finding::at_line(MATRIX, line, problem(what))),
                ),
            }
        }
    }
    findings
}

/// The lines of a guarantee's section, with their numbers.
fn section<'a>(text: &'a str, guarantee: &str) -> Vec<(usize, &'a str)> {
    let heading = format!("## {guarantee}");
    let lines = text.lines().zip(1..).map(|(line, number)| (number, line));
    lines
        .skip_while(|(_, line)| *line != heading)
        .enumerate()
        .take_while(|(index, (_, line))| *index == 0 || !line.starts_with("## "))
        .map(|(_, line)| line)
        .collect()
}

/// The second cell of the row that begins with this kind of evidence.
fn row<'a>(section: &[(usize, &'a str)], kind: &str) -> Option<(usize, &'a str)> {
    let begins = format!("| {kind} |");
    section.iter().find_map(|&(number, line)| {
        let cell = line.strip_prefix(&begins)?.trim_end_matches('|').trim();
        Some((number, cell))
    })
}

/// What is wrong with a row.
fn row_problem(tree: &Tree, cell: &str, exists: Exists) -> Option<String> {
    if let Some(reason) = cell.strip_prefix("none:") {
        return reason
            .trim()
            .is_empty()
            .then(|| "say why there is none".to_owned());
    }
    let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        return Some("it names no check; name one, or write \"none: \" and why".to_owned());
    }
    let missing = names.into_iter().find(|name| !exists(tree, name))?;
    Some(format!("there is no check `{missing}`"))
}

/// A row of the table of searches, written `WORLD/PROPERTY`.
fn has_search(tree: &Tree, name: &str) -> bool {
    name.split_once('/').is_some_and(|(world, property)| {
        let row = format!("\"{world}\", \"{property}\"");
        let table = tree.text("crates/model-checker/src/expectations.rs");
        table.is_some_and(|table| table.contains(&row))
    })
}

/// A question to z3, written `FILE/NAME`.
fn has_proof(tree: &Tree, name: &str) -> bool {
    let file = name.split('/').next().unwrap_or_default();
    let asked = format!("(echo \"obligation: {name} expect unsat\")");
    let text = tree.text(&format!("specs/smt/{file}.smt2"));
    text.is_some_and(|text| text.contains(&asked))
}

/// A test function of any crate.
fn has_test(tree: &Tree, name: &str) -> bool {
    let function = format!("fn {name}(");
    let mut crates = tree
        .files_ending(".rs")
        .filter(|file| file.path.starts_with("crates/"));
    crates.any(|file| file.text.contains(&function))
}

/// A guarantee, by its name in the enum of all, of which the simulator can say that it is violated.
fn has_oracle(tree: &Tree, name: &str) -> bool {
    let ends = format!(" = \"{name}\",");
    let named = tree
        .text("crates/model-checker/src/guarantee.rs")
        .and_then(|names| names.lines().find_map(|line| line.strip_suffix(&ends)));
    let Some(variant) = named else { return false };
    let violated = format!("Guarantee::{},", variant.trim());
    let mut files = tree
        .files_ending(".rs")
        .filter(|file| file.path.contains("/sim/"));
    files.any(|file| file.text.contains(&violated))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCHES: (&str, &str) = (
        "crates/model-checker/src/expectations.rs",
        "holds(\"w\", \"p\", 1)",
    );

    /// What is found in a matrix whose rows of worlds are all like this.
    fn problems(worlds: &str) -> Vec<String> {
        let mut text = String::new();
        for guarantee in GUARANTEES {
            text += &["## ", guarantee, "\n\n", worlds, "\n"].concat();
            for kind in ["proofs", "property tests", "simulator", "real processes"] {
                text += &["| ", kind, " | none: it is a test |\n"].concat();
            }
        }
        let tree = Tree::of(&[(MATRIX, &text), SEARCHES]);
        matrix(&tree).into_iter().map(|it| it.problem).collect()
    }

    #[test]
    fn a_full_matrix_is_fine() {
        assert_eq!(problems("| worlds | `w/p` |"), [""; 0]);
    }

    #[test]
    fn an_empty_row_and_a_check_that_does_not_exist_are_found() {
        for worlds in [
            "",
            "| worlds | |",
            "| worlds | `w/q` |",
            "| worlds | none: |",
        ] {
            assert_eq!(problems(worlds).len(), GUARANTEES.len(), "{worlds:?}");
        }
    }

    #[test]
    fn a_guarantee_without_a_section_is_found() {
        assert_eq!(matrix(&Tree::of(&[(MATRIX, "")])).len(), GUARANTEES.len());
        assert_eq!(matrix(&Tree::of(&[])).len(), 1);
    }
}
