//! A rule about `specs/guarantees.md`: every guarantee is checked by something that exists, and is
//! of the kind that its row says.
//!
//! The matrix is written for people; this reads it as they do. Each guarantee has a section, each
//! section a row for every kind of evidence, and each row names checks between backticks, or says
//! `none: ` and why. A row of worlds says after the word "broken" where the guarantee does not
//! hold. Whether a check passes is for the checks to say.

use super::finding::Finding;
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

/// Whether a tree has a check of this name; the second text is what its row says before the name.
type Exists = fn(&Tree, &str, &str) -> bool;

/// The kinds of evidence: how their rows begin, what their checks are, and how they are found.
#[rustfmt::skip] // One line a kind.
const EVIDENCE: &[(&str, &str, Exists)] = &[
    ("worlds", "search of expectations.rs with the verdict that the row claims", has_search),
    ("proofs", "obligation of specs/smt", has_proof),
    ("property tests", "test in a `proptest!` block", has_property_test),
    ("simulator", "guarantee that the simulator reports when it is violated", has_oracle),
    ("real processes", "test of crates/server/tests/it or crates/client/tests/it", has_process_test),
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
        for &(kind, check, exists) in EVIDENCE {
            let (place, problems) = match row(&section, kind) {
                None => (MATRIX.to_owned(), vec!["no such row".to_owned()]),
                Some((line, cell)) => (
                    format!("{MATRIX}:{line}"),
                    row_problems(cell, check, |name, before| exists(tree, name, before)),
                ),
            };
            let problems = problems.into_iter();
            findings.extend(problems.map(|problem| {
                Finding::in_file(&place, format!("{guarantee}, {kind}: {problem}"))
            }));
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
fn row_problems(cell: &str, check: &str, exists: impl Fn(&str, &str) -> bool) -> Vec<String> {
    if let Some(reason) = cell.strip_prefix("none:") {
        let is_empty = reason.trim().is_empty();
        return Vec::from_iter(is_empty.then(|| "say why there is none".to_owned()));
    }
    // Between an odd backtick and the next even one lies a name.
    let parts: Vec<&str> = cell.split('`').collect();
    if parts.len() < 3 {
        return vec!["it names no check; name one, or write \"none: \" and why".to_owned()];
    }
    (1..parts.len())
        .step_by(2)
        .filter(|&at| !exists(parts[at], &parts[..at].concat()))
        .map(|at| format!("`{}` is no {check}", parts[at]))
        .collect()
}

/// A row of the table of searches, written `WORLD/PROPERTY`: a counterexample where the text says
/// that something is broken, else one that holds.
fn has_search(tree: &Tree, name: &str, before: &str) -> bool {
    let verdicts: &[&str] = if before.contains("broken") {
        &["found"]
    } else {
        &["holds", "deep"]
    };
    let is_it = |line: &str| {
        let (verdict, arguments) = line.trim().split_once("(\"")?;
        let (world, arguments) = arguments.split_once("\",")?;
        let property = arguments.split(',').next()?;
        let (of_world, of_property) = name.split_once('/')?;
        let is_named = world == of_world && stands_for(property, of_property);
        Some(is_named && verdicts.contains(&verdict))
    };
    let table = tree.text("crates/model-checker/src/expectations.rs");
    table.is_some_and(|table| table.lines().any(|line| is_it(line) == Some(true)))
}

/// A question to z3, written `FILE/NAME`.
fn has_proof(tree: &Tree, name: &str, _before: &str) -> bool {
    let file = name.split('/').next().unwrap_or_default();
    let asked = format!("(echo \"obligation: {name} expect unsat\")");
    let text = tree.text(&format!("specs/smt/{file}.smt2"));
    text.is_some_and(|text| text.contains(&asked))
}

/// A test of many random inputs: the only tests with arguments are those of `proptest!`.
fn has_property_test(tree: &Tree, name: &str, _before: &str) -> bool {
    let mut files = files(tree, "crates/");
    files.any(|text| {
        has_test(text, &format!("fn {name}(")) && !has_test(text, &format!("fn {name}()"))
    })
}

/// A guarantee that the simulator reports when it is violated.
fn has_oracle(tree: &Tree, name: &str, _before: &str) -> bool {
    let reported = |text: &str| {
        let mut reports = text.split("violation(").skip(1);
        reports.any(|rest| stands_for(rest.split(',').next().unwrap_or(rest), name))
    };
    files(tree, "crates/model-checker/src/sim/").any(reported)
}

/// A test that starts our programs.
fn has_process_test(tree: &Tree, name: &str, _before: &str) -> bool {
    let mut files =
        files(tree, "crates/server/tests/it/").chain(files(tree, "crates/client/tests/it/"));
    files.any(|text| has_test(text, &format!("fn {name}()")))
}

/// The Rust sources of a directory.
fn files<'a>(tree: &'a Tree, directory: &str) -> impl Iterator<Item = &'a str> {
    let files = tree
        .files_ending(".rs")
        .filter(move |file| file.path.starts_with(directory));
    files.map(|file| file.text.as_str())
}

/// Whether a text has a function that begins like this, with the attribute of a test.
fn has_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begin = lines.iter().position(|line| line.contains(function));
    let above = lines[..begin.unwrap_or(0)].iter().rev();
    let mut attributes = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    attributes.any(|line| line.ends_with("test]") || line.contains("::test("))
}

/// Whether a Rust expression is this name: as a text, or as the variant of an enum.
fn stands_for(expression: &str, name: &str) -> bool {
    let letters = |text: &str| -> String {
        let letters = text.chars().filter(|it| it.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    let last = expression.rsplit("::").next().unwrap_or(expression);
    letters(last) == letters(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A check of every kind.
    const CHECKS: &[(&str, &str)] = &[
        (
            "crates/model-checker/src/expectations.rs",
            "holds(\"w\", \"p\", 1),\nfound(\"m\", Guarantee::NoPhantom, 2),\n",
        ),
        (
            "specs/smt/f.smt2",
            "(echo \"obligation: f/o expect unsat\")",
        ),
        (
            "crates/a/src/lib.rs",
            "#[test]\nfn law(x in 0..9) {}\n#[test]\nfn unit() {}",
        ),
        (
            "crates/model-checker/src/sim/a.rs",
            "violation(Guarantee::NoPhantom, 1)",
        ),
        (
            "crates/server/tests/it/a.rs",
            "#[tokio::test]\nasync fn real() {}\nfn helper() {}",
        ),
    ];

    /// What is found in a matrix whose rows of one kind are like this, in one guarantee.
    fn problems(kind: &str, cell: &str) -> usize {
        let mut text = String::new();
        for guarantee in GUARANTEES {
            text += &["## ", guarantee, "\n\n"].concat();
            for (row, ..) in EVIDENCE.iter().filter(|(row, ..)| *row != kind) {
                text += &["| ", row, " | none: it is a test |\n"].concat();
            }
            text += &["| ", kind, " | ", cell, " |\n"].concat();
        }
        let files: Vec<_> = CHECKS
            .iter()
            .copied()
            .chain([(MATRIX, text.as_str())])
            .collect();
        matrix(&Tree::of(&files)).len() / GUARANTEES.len()
    }

    #[test]
    fn checks_of_the_kind_that_the_row_says_are_fine() {
        assert_eq!(problems("worlds", "`w/p`; broken in `m/no_phantom`"), 0);
        assert_eq!(problems("proofs", "of the design: `f/o`"), 0);
        assert_eq!(problems("property tests", "`law`"), 0);
        assert_eq!(problems("simulator", "`no_phantom`"), 0);
        assert_eq!(problems("real processes", "`real`"), 0);
    }

    #[test]
    fn a_check_that_does_not_exist_or_is_of_another_kind_is_found() {
        assert_eq!(problems("worlds", "`w/q`, `x/p`, `m/no_phantom`"), 3);
        assert_eq!(problems("worlds", "`w/p`; broken in `w/p`"), 1);
        assert_eq!(problems("proofs", "`f/p`, `law`"), 2);
        assert_eq!(problems("property tests", "`unit`, `real`, `f/o`"), 3);
        assert_eq!(problems("simulator", "`durability`, `w/p`"), 2);
        assert_eq!(problems("real processes", "`unit`, `law`, `helper`"), 3);
    }

    #[test]
    fn an_empty_row_is_found() {
        for cell in ["", "see above", "none:"] {
            assert_eq!(problems("worlds", cell), 1, "{cell:?}");
        }
    }

    #[test]
    fn a_guarantee_without_a_section_or_a_row_is_found() {
        assert_eq!(matrix(&Tree::of(&[(MATRIX, "")])).len(), GUARANTEES.len());
        assert_eq!(matrix(&Tree::of(&[])).len(), 1);
        let text = "## conservation\n";
        let expected = GUARANTEES.len() - 1 + EVIDENCE.len();
        assert_eq!(matrix(&Tree::of(&[(MATRIX, text)])).len(), expected);
    }
}
