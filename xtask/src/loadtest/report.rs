//! The report for people: one HTML file that needs nothing else, no script and no network.
//!
//! It explains itself to somebody who has never heard of this project: the problem first, then
//! the figures, then how they came about and what they do not say. The charts are in `charts`, the
//! tables in `tables`, the prose in `text`, the looks in `report/style.css`. It is drawn from [`Results`] alone, so an earlier run's JSON can be
//! drawn again.

mod approach;
mod charts;
mod tables;
mod text;

use std::fmt::Write;

use super::numbers::{figure, float, short, whole};
use super::results::{Results, Row, RowId, Timelines};
use approach::{class_of, title};
use charts::{Bar, LineChart, Mark, Scale, Series, bar_chart, escape, line_chart};
use tables::{goals, tables};

const STYLE: &str = include_str!("report/style.css");
/// Time lines are drawn as the mean of this many samples, since a lock that counts twenty a second
/// counts two or none in most tenths of a second.
const SMOOTHING_SAMPLES: usize = 5;

/// The whole page.
pub(super) fn html(results: &Results) -> String {
    let mut sections = vec![
        header(results),
        text::PROBLEM.to_owned(),
        headline(results),
        rates(results),
        tables(results),
    ];
    if let Some(sweeps) = &results.sweeps {
        let servers = sweep_chart(&sweeps.servers, "servers", |row| row.servers as u64);
        let distance = sweep_chart(&sweeps.round_trips, "round trip in ms", |row| row.rtt_ms);
        sections.push(sweep_section("More servers", text::MORE_SERVERS, &servers));
        sections.push(sweep_section(
            "More distance",
            text::MORE_DISTANCE,
            &distance,
        ));
    }
    if let Some(timeline) = &results.timeline {
        sections.push(timelines(timeline));
    }
    sections.extend([
        goals(results),
        text::FAIRNESS.to_owned(),
        method(results),
        raw(results),
    ]);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Counting likes in {} data centres</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{}\n</main>\n</body>\n</html>\n",
        results.nodes,
        sections.join("\n")
    )
}

fn header(results: &Results) -> String {
    let extent = if results.quick {
        " A short run: each row was measured for a few seconds."
    } else {
        ""
    };
    format!(
        "<header>\n<h1>Counting likes in {} data centres</h1>\n<p class=\"lead\">{} servers, {} ms \
         round trip between any two of them, {} processor cores for everything.{extent}</p>\n\
         </header>",
        results.nodes, results.nodes, results.rtt_ms, results.cores
    )
}

/// The figures that the story is about, of those that were measured.
fn headline(results: &Results) -> String {
    let mut cards = String::new();
    let mut card = |figure: String, what: String, class: &str| {
        let _infallible = writeln!(
            cards,
            "<div class=\"card {class}\"><strong>{figure}</strong><span>{what}</span></div>"
        );
    };
    if let Some(row) = results.row(RowId::Naive) {
        let share = 100.0 * ratio(row.lost, row.acknowledged);
        let what = "of the acknowledged likes are lost without a lock".into();
        card(format!("{} %", figure(share)), what, "wrong");
    }
    if let Some(row) = results.row(RowId::Lock) {
        let what = "likes a second with a distributed lock, all servers together".into();
        card(figure(row.likes_per_s), what, "other");
    }
    if let Some(row) = results.row(RowId::CrdtIngest) {
        let what = format!(
            "likes a second with Tally; {} lost, {} too many",
            whole(row.lost),
            whole(row.extra)
        );
        card(
            short(row.likes_per_s),
            what,
            if row.is_exact() { "ours" } else { "wrong" },
        );
    }
    format!("<div class=\"cards\">\n{cards}</div>")
}

fn ratio(part: u64, total: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share is shown with three digits"
    )]
    let (part, total) = (part as f64, total as f64);
    if total > 0.0 { part / total } else { 0.0 }
}

fn rates(results: &Results) -> String {
    let bars: Vec<Bar> = results
        .rows
        .iter()
        .map(|row| Bar {
            label: title(row.id).into(),
            value: row.likes_per_s,
            note: if row.is_exact() {
                "✓ exact".into()
            } else {
                format!(
                    "✗ wrong: {} lost, {} too many",
                    whole(row.lost),
                    whole(row.extra)
                )
            },
            class: class_of(row),
        })
        .collect();
    format!(
        "<section>\n<h2>Likes a second, and whether they all count</h2>\n{}\n{}</section>",
        text::RATES,
        bar_chart(&bars, "likes a second, all servers together (logarithmic)")
    )
}

fn sweep_section(heading: &str, words: &str, chart: &str) -> String {
    format!("<section>\n<h2>{heading}</h2>\n{words}\n{chart}</section>")
}

/// The measured places stand at equal distances, whatever their figures: 0 and 10 ms would touch.
fn sweep_chart(rows: &[Row], x_label: &str, place: impl Fn(&Row) -> u64) -> String {
    let of = |id: RowId| rows.iter().filter(move |row| row.id == id);
    let series = |id: RowId, class| Series {
        label: title(id).into(),
        class,
        points: (0..)
            .zip(of(id))
            .map(|(at, row)| (float(at), row.likes_per_s))
            .collect(),
        dots: true,
    };
    let ticks: Vec<(f64, String)> = (0..)
        .zip(of(RowId::Lock))
        .map(|(at, row)| (float(at), whole(place(row))))
        .collect();
    line_chart(&LineChart {
        x_label,
        y_label: "likes a second (logarithmic)",
        x_ticks: &ticks,
        scale: Scale::Logarithmic,
        series: &[
            series(RowId::Lock, "other"),
            series(RowId::CrdtIngest, "ours"),
        ],
        marks: &[],
    })
}

fn timelines(timelines: &Timelines) -> String {
    let chart = |timeline: &super::results::Timeline, label: &str, class, victim: &str| {
        let points: Vec<(f64, f64)> = timeline
            .samples
            .windows(SMOOTHING_SAMPLES + 1)
            .map(|window| {
                // By time, since the last sample comes whenever the load ends.
                let (first, last) = (&window[0], &window[SMOOTHING_SAMPLES]);
                let likes: f64 = window
                    .array_windows()
                    .map(|[earlier, later]| later.likes_per_s * (later.t_ms - earlier.t_ms))
                    .sum();
                (last.t_ms / 1e3, likes / (last.t_ms - first.t_ms))
            })
            .collect();
        let end = points.last().map_or(1.0, |&(t, _)| t.ceil());
        let ticks: Vec<(f64, String)> = (0..=10_u32)
            .map(|tick| (f64::from(2 * tick), whole(2 * tick)))
            .filter(|&(tick, _)| tick <= end)
            .collect();
        line_chart(&LineChart {
            x_label: "seconds",
            y_label: "likes a second, all servers together",
            x_ticks: &ticks,
            scale: Scale::Linear,
            series: &[Series {
                label: label.into(),
                class,
                points,
                dots: false,
            }],
            marks: &[
                Mark {
                    x: timeline.killed_ms / 1e3,
                    label: format!("{victim} is killed"),
                },
                Mark {
                    x: timeline.restarted_ms / 1e3,
                    label: "started again".into(),
                },
            ],
        })
    };
    format!(
        "<section>\n<h2>When something dies</h2>\n{}\n<h3>With a lock: the lock server is killed</h3>\n\
         {}<h3>With Tally: one of the nodes is killed</h3>\n{}</section>",
        text::TIMELINE,
        chart(&timelines.lock, title(RowId::Lock), "other", "lock server"),
        chart(
            &timelines.crdt,
            title(RowId::CrdtIngest),
            "ours",
            "one node"
        )
    )
}

fn method(results: &Results) -> String {
    let machine = &results.machine;
    let known = |value: &Option<String>| value.as_deref().map_or_else(|| "unknown".into(), escape);
    let memory = machine.memory_bytes.map_or_else(
        || "unknown".into(),
        |bytes| format!("{} GiB", bytes.div_ceil(1 << 30)),
    );
    let entries = [
        ("Processor", known(&machine.processor)),
        ("Cores", results.cores.to_string()),
        ("Memory", memory),
        ("System", known(&machine.system)),
        ("Commit", known(&machine.commit)),
        ("Measured", known(&machine.began)),
    ];
    let entries: String = entries
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>\n"))
        .concat();
    format!(
        "<section>\n<h2>How it was measured</h2>\n{}\n<dl>\n{entries}</dl>\n</section>",
        text::METHOD
    )
}

/// The figures as a link that holds them: the file stays a single one.
fn raw(results: &Results) -> String {
    let json = serde_json::to_string(results).expect("results are plain values");
    let mut encoded = String::with_capacity(json.len() * 2);
    for byte in json.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:,".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    format!(
        "<section>\n<h2>The raw figures</h2>\n<p><a download=\"loadtest.json\" \
         href=\"data:application/json,{encoded}\">Download loadtest.json</a>. The measuring program is \
         <code>cargo xtask loadtest</code>.</p>\n</section>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loadtest::sample::sample_results;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = html(&sample_results());
        for foreign in ["http://", "https://", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn foreign_text_is_escaped() {
        let page = html(&sample_results());
        assert!(page.contains("An &lt;Example&gt; &amp; Sons processor"));
        assert!(!page.contains("<Example>"));
    }

    #[test]
    fn every_row_and_every_loss_is_on_the_page() {
        let page = html(&sample_results());
        for row in &sample_results().rows {
            assert!(page.contains(title(row.id)) && page.contains(row.id.name()));
        }
        assert!(page.contains("✗ wrong: 812 lost, 0 too many"));
    }

    #[test]
    fn what_was_not_measured_is_left_out_or_said_to_be_so() {
        let mut results = sample_results();
        results.sweeps = None;
        results.timeline = None;
        results.rows.clear();
        results.restart = None;
        results.checks = crate::loadtest::checks::check(&results);
        let page = html(&results);
        assert!(!page.contains("When something dies") && page.contains("not measured"));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
