//! The report's tables: speeds, totals, and the goals.

use std::fmt::Write;

use super::approach::{class_of, title};
use super::charts::escape;
use super::text;
use crate::loadtest::console::verdict;
use crate::loadtest::numbers::{figure, optional, whole};
use crate::loadtest::results::{Results, Row};

/// All figures, as one table of speeds and one of totals.
pub(super) fn tables(results: &Results) -> String {
    let speed = body(results, |row| {
        [
            figure(row.likes_per_s),
            figure(row.requests_per_s),
            whole(row.batch),
            row.in_flight.to_string(),
            optional(row.p50_ms),
            optional(row.p99_ms),
            escape(&row.durability),
        ]
    });
    let totals = body(results, |row| {
        [
            whole(row.acknowledged),
            whole(row.counted),
            whole(row.lost),
            whole(row.extra),
            row.convergence_ms.map_or_else(|| "never".into(), figure),
            whole(row.counters),
            if row.is_exact() {
                "✓ exact".into()
            } else {
                "✗ wrong".into()
            },
        ]
    });
    let (speed_head, totals_head) = (text::SPEED_HEAD, text::TOTALS_HEAD);
    format!(
        "<section>\n<h2>All figures</h2>\n{speed_head}{speed}</tbody></table></div>\n\
         {totals_head}{totals}</tbody></table></div>\n</section>"
    )
}

/// A line for each approach; the last cell is text, the others are figures.
fn body(results: &Results, cells: impl Fn(&Row) -> [String; 7]) -> String {
    let mut body = String::new();
    for row in &results.rows {
        let [figures @ .., words] = cells(row);
        let _infallible = writeln!(
            body,
            "<tr class=\"{}\"><th>{}<br><code>{}</code></th><td>{}</td><td \
             class=\"text\">{words}</td></tr>",
            class_of(row),
            title(row.id),
            row.id.name(),
            figures.join("</td><td>"),
        );
    }
    body
}

/// Each goal with its figure and its verdict.
pub(super) fn goals(results: &Results) -> String {
    let mut body = String::new();
    for check in &results.checks {
        let measured = check.measured.map_or_else(
            || "not measured".into(),
            |value| format!("{} {}", figure(value), escape(&check.unit)),
        );
        let (class, sign) = match check.met {
            Some(true) => ("met", "✓"),
            Some(false) => ("missed", "✗"),
            None => ("unknown", "–"),
        };
        let _infallible = writeln!(
            body,
            "<tr><th>{}</th><td class=\"text\">{}</td><td>{measured}</td><td class=\"text {class}\">{sign} {}</td></tr>",
            escape(&check.name),
            escape(&check.bound),
            verdict(check)
        );
    }
    format!(
        "<section>\n<h2>The goals</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>figure</th>\
         <th class=\"text\">goal</th><th>measured</th><th class=\"text\">verdict</th></tr></thead>\n\
         <tbody>\n{body}</tbody></table></div>\n</section>"
    )
}
