//! The results as a table for the terminal. Likes a second never stand without the requests a
//! second, the batch and the durability that they were measured with.

use std::fmt::Write;

use super::numbers::{figure, optional, whole};
use super::results::{Check, Results, Row};
use crate::table::table;

const HEADINGS: [&str; 10] = [
    "row",
    "likes/s",
    "requests/s",
    "batch",
    "acknowledged",
    "lost",
    "extra",
    "p50 ms",
    "p99 ms",
    "converged ms",
];

/// The whole text.
pub(super) fn text(results: &Results) -> String {
    let mut text = format!(
        "\n{} data centres, {} ms round trip, all processes on {} cores\n\n",
        results.nodes, results.rtt_ms, results.cores
    );
    let rows = results.rows.iter().map(cells);
    text.push_str(&table(
        [HEADINGS.map(String::from)].into_iter().chain(rows),
        1..10,
    ));
    text.push('\n');
    let totals = results.rows.iter().map(|row| {
        let verdict = if row.is_exact() {
            "every counter right on every node".into()
        } else {
            format!(
                "WRONG: {} of {} acknowledged likes are lost, {} too many",
                whole(row.lost),
                whole(row.acknowledged),
                whole(row.extra)
            )
        };
        [
            row.id.name().into(),
            verdict,
            format!("durable: {}", row.durability),
        ]
    });
    text.push_str(&table(totals, []));
    if let Some(restart) = results.restart {
        let (counters, seconds) = (whole(restart.counters), figure(restart.seconds));
        let _infallible = writeln!(
            text,
            "\nrestart after kill -9 with {counters} counters: {seconds} s"
        );
    }
    if let Some(lag) = results.lag {
        let [p50, p99, max] = [lag.p50_ms, lag.p99_ms, lag.max_ms].map(figure);
        let samples = whole(lag.samples);
        let _infallible = writeln!(
            text,
            "\n{samples} reads with a token on another node: half within {p50} ms, 99 of 100 within \
             {p99} ms, the slowest {max} ms"
        );
    }
    text.push_str("\nGoals\n");
    text.push_str(&table(results.checks.iter().map(goal), [2]));
    text
}

/// Whether a goal is met, in words.
pub(super) fn verdict(check: &Check) -> &'static str {
    match check.met {
        Some(true) => "met",
        Some(false) => "NOT met",
        None => "not measured",
    }
}

fn goal(check: &Check) -> [String; 4] {
    let measured = check.measured.map_or_else(String::new, |value| {
        format!("{} {}", figure(value), check.unit)
    });
    let words = [&check.name, &check.bound, &measured, verdict(check)];
    words.map(str::to_owned)
}

fn cells(row: &Row) -> [String; 10] {
    [
        row.id.name().into(),
        figure(row.likes_per_s),
        figure(row.requests_per_s),
        whole(row.batch),
        whole(row.acknowledged),
        whole(row.lost),
        whole(row.extra),
        optional(row.p50_ms),
        optional(row.p99_ms),
        row.convergence_ms.map_or_else(|| "never".into(), figure),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::sample::sample_results;

    #[test]
    fn the_table_shows_every_row_its_losses_and_the_goals() {
        let text = text(&sample_results());
        for row in &sample_results().rows {
            assert!(text.contains(row.id.name()), "{text}");
        }
        assert!(
            text.contains("WRONG: 812 of 1,000 acknowledged likes are lost"),
            "{text}"
        );
        assert!(
            text.contains("600 reads with a token on another node: half within 37.5 ms"),
            "{text}"
        );
        assert!(
            text.contains("requests/s") && !text.contains("NOT met"),
            "{text}"
        );
    }
}
