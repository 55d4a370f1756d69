//! What `cargo xtask model` shows: the table, the traces, what the worlds do not show, and
//! `model.json` for scripts.
//!
//! Text only: what is true is decided in [`search`](crate::search) and [`proofs`](crate::proofs).

use serde_json::{Value, json};

use crate::expectations::{Expectation, Verdict};
use crate::proofs::{Proofs, Question};
use crate::search::{Found, find};
use crate::worlds::shows_not;

/// A trace longer than this is cut in the overview; `--trace` shows all of it.
const CLAUSES_MAX: usize = 8;

/// One search, as expected and as it was.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the table of expectations says.
    pub expected: Expectation,
    /// What was found.
    pub found: Found,
}

impl Row {
    /// Whether they are the same.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.found.is_as(&self.expected)
    }
}

/// The table, a line a search.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let heading = [
        "world", "property", "bounds", "expected", "found", "steps", "states", "seconds",
    ];
    let mut lines = vec![heading.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let aligned = lines.iter().map(|line| {
        let cells = line.iter().zip(widths).enumerate();
        let padded = cells.map(|(column, (cell, width))| match column {
            FIRST_NUMBER.. => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        padded.collect::<Vec<_>>().join("  ")
    });
    aligned.collect::<Vec<_>>().join("\n") + "\n"
}

/// The first of the columns that hold numbers, which are aligned to the right.
const FIRST_NUMBER: usize = 5;

fn cells(row: &Row) -> [String; 8] {
    let Row { expected, found } = row;
    let steps = found
        .steps
        .map_or_else(|| "-".to_owned(), |steps| steps.to_string());
    let wanted = match (expected.steps, expected.states) {
        (Some(steps), _) => format!("{} {steps}", expected.verdict.name()),
        (None, _) => expected.verdict.name().to_owned(),
    };
    let mark = if row.is_as_expected() {
        ""
    } else {
        "  <-- DIFFERS"
    };
    let bounds = find(expected.world).map_or_else(|error| error.to_string(), |it| it.bounds());
    [
        expected.world.to_owned(),
        expected.property.to_owned(),
        bounds,
        wanted,
        format!("{}{mark}", found.verdict.name()),
        steps,
        found.states.to_string(),
        format!("{:.1}", found.took.as_secs_f64()),
    ]
}

/// The counterexamples, a line each; a step a line where `full` names the world.
#[must_use]
pub fn traces(rows: &[Row], full: Option<&str>) -> String {
    let mut lines = Vec::new();
    for Row { expected, found } in rows {
        let is_full = full == Some(expected.world);
        let is_asked = found.verdict == Verdict::Counterexample || is_full;
        if found.trace.is_empty() || !is_asked {
            continue;
        }
        let title = format!("{} ({}):", expected.world, expected.property);
        if is_full {
            lines.push(title);
            let clauses = found.trace.iter().zip(1..);
            lines.extend(clauses.map(|(clause, number)| format!("  {number:>2}. {clause}")));
        } else {
            let left_out = found.trace.len().saturating_sub(CLAUSES_MAX);
            let before = match left_out {
                0 => String::new(),
                _ => format!("... after {left_out} steps: "),
            };
            lines.push(format!(
                "{title} {before}{}",
                found.trace[left_out..].join("; ")
            ));
        }
    }
    lines.join("\n") + "\n"
}

/// What each of the worlds does not show, a line each.
#[must_use]
pub fn limits(rows: &[Row]) -> String {
    let mut worlds: Vec<&str> = rows.iter().map(|row| row.expected.world).collect();
    worlds.dedup();
    let mut lines = vec!["Not shown, besides bytes, time and several shards:".to_owned()];
    let limit = |world| format!("  {world}: {}", shows_not(world).unwrap_or_default());
    lines.extend(worlds.into_iter().map(limit));
    lines.join("\n") + "\n"
}

/// The proofs: one line a file, and every question that was not answered as expected.
#[must_use]
pub fn proofs(proofs: &Proofs) -> String {
    let mut files: Vec<&str> = proofs.questions.iter().map(|it| it.file.as_str()).collect();
    files.dedup();
    let mut lines = Vec::new();
    for file in files {
        let asked = proofs.questions.iter().filter(|it| it.file == file);
        let count = |kind: &str| asked.clone().filter(|it| it.name.starts_with(kind)).count();
        let verdict = if !proofs.has_z3 {
            "NOT RUN: there is no z3 (apt-get install z3)"
        } else if asked.clone().all(Question::is_answered) {
            "as expected"
        } else {
            "DIFFERS"
        };
        let [steps, controls, assumptions] = ["obligation", "control", "vacuity"].map(count);
        lines.push(format!(
            "{file:<28}  {steps:>2} obligations, {controls} controls, {assumptions} vacuity \
             checks: {verdict}"
        ));
    }
    if proofs.has_z3 {
        let unanswered = proofs.questions.iter().filter(|it| !it.is_answered());
        lines.extend(unanswered.map(|it| {
            let Question {
                name,
                expected,
                answer,
                ..
            } = it;
            format!("  {name}: expected {expected}, z3 says {answer:?}")
        }));
    }
    lines.extend(proofs.failures.iter().map(|failure| format!("  {failure}")));
    lines.join("\n") + "\n"
}

/// `target/tally/model.json`. What was not measured is `null`.
#[must_use]
pub fn json(rows: &[Row], proofs: &Proofs) -> Value {
    let world = |Row { expected, found }: &Row| {
        json!({
            "world": expected.world,
            "property": expected.property,
            "expected": expected.verdict.name(),
            "verdict": found.verdict.name(),
            "steps": found.steps,
            "unique_states": found.states,
            "seconds": found.took.as_secs_f64(),
            "shows_not": shows_not(expected.world),
        })
    };
    let question = |it: &Question| {
        json!({
            "file": it.file,
            "obligation": it.name,
            "expected": it.expected,
            "verdict": it.answer,
        })
    };
    json!({
        "worlds": rows.iter().map(world).collect::<Vec<_>>(),
        "proofs": proofs.questions.iter().map(question).collect::<Vec<_>>(),
    })
}
