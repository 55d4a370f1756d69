//! `cargo xtask loadtest`: every approach to counting likes, measured and judged.
//!
//! Real processes on this machine, an emulated wide-area link between them, a load generator that
//! is a process of its own, and totals that are compared counter by counter on every node. The
//! results go to `target/tally/loadtest.json`, and to `loadtest.html` for people.
//!
//! In reading order: `results` (what is measured), `rows` (how an approach is run), `restart`,
//! `lag`, `traced` (apart from the figures), `sweeps`, `timeline`, `checks` (the goals), `console` and `report` (how it is shown).

mod checks;
mod console;
mod lag;
mod machine;
mod numbers;
mod plan;
mod report;
mod restart;
mod results;
mod rows;
#[cfg(test)]
mod sample;
mod sweeps;
mod timeline;
mod traced;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::processes::{RunDir, build, results_dir};
use crate::wan::RoundTrip;
pub(crate) use plan::LoadtestError;
use plan::Plan;
use results::{Results, Row, RowId};

/// Three data centres, as in the story that the project tells.
const SITES: usize = 3;
/// How long a row is loaded in the full test, in seconds.
const FULL_SECONDS: f64 = 10.0;
/// The same in the quick test: eight rows and their start and end fit into a minute.
const QUICK_SECONDS: f64 = 2.5;

/// Measure every approach to counting likes, and write a report.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The round trip between any two data centres, in milliseconds.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    rtt_ms: u64,
    /// How long each row is loaded, in seconds [default: 10, with --quick 2.5].
    #[arg(long, value_parser = parse_seconds)]
    seconds: Option<f64>,
    /// Only the table and the restart, in about a minute: no sweeps, no time lines.
    #[arg(long)]
    quick: bool,
    /// Only these rows, and nothing else.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<RowId>,
    /// Only reads with tokens on other nodes, in a few seconds, and nothing else.
    #[arg(long, conflicts_with_all = ["quick", "rows"])]
    lag: bool,
    /// Measure nothing: draw the report of an earlier run's loadtest.json again, beside it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rtt_ms", "seconds", "quick", "rows", "lag"])]
    redraw: Option<PathBuf>,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.5..=600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must be 0.5 to 600".into())
    }
}

/// Measures, writes, prints, and judges.
pub(crate) async fn run(args: Args) -> Result<(), LoadtestError> {
    if let Some(path) = &args.redraw {
        let text = fs::read_to_string(path).map_err(file_error(path))?;
        let results = serde_json::from_str(&text).map_err(|source| LoadtestError::Json {
            path: path.clone(),
            source,
        })?;
        return write(&path.with_extension("html"), &report::html(&results));
    }
    let programs = build().await?;
    let run_dir = RunDir::create()?;
    let default_seconds = if args.quick {
        QUICK_SECONDS
    } else {
        FULL_SECONDS
    };
    let plan = Plan {
        programs: &programs,
        run_dir: &run_dir,
        sites: SITES,
        round_trip: RoundTrip::from_ms(args.rtt_ms),
        seconds: args.seconds.unwrap_or(default_seconds),
    };
    let results = measure(&plan, &args).await?;
    run_dir.remove()?;

    let dir = results_dir()?;
    let json = serde_json::to_string_pretty(&results).expect("results are plain values");
    write(&dir.join("loadtest.json"), &json)?;
    write(&dir.join("loadtest.html"), &report::html(&results))?;
    println!("{}", console::text(&results));
    if let Some(replayed) = &results.traces {
        println!("{replayed}");
    }
    println!("Report:  {}", dir.join("loadtest.html").display());
    println!("Figures: {}", dir.join("loadtest.json").display());
    judge(&results)
}

async fn measure(plan: &Plan<'_>, args: &Args) -> Result<Results, LoadtestError> {
    let ids = match (&*args.rows, args.lag) {
        (_, true) => Vec::new(),
        ([], false) => RowId::ALL.to_vec(),
        (rows, false) => rows.to_vec(),
    };
    let only_some = args.lag || !args.rows.is_empty();
    let full = !args.quick && !only_some;
    let steps = ids.len() as u64
        + 2 * u64::from(!only_some)
        + u64::from(!only_some || args.lag)
        + if full {
            sweeps::COUNT + timeline::COUNT
        } else {
            0
        };
    let bar = progress_bar(steps);
    let mut results = Results {
        rtt_ms: args.rtt_ms,
        nodes: plan.sites,
        cores: machine::cores(),
        quick: args.quick,
        machine: machine::describe(),
        rows: Vec::new(),
        restart: None,
        lag: None,
        sweeps: None,
        timeline: None,
        traces: None,
        checks: Vec::new(),
    };
    for id in ids {
        results
            .rows
            .push(rows::measure(id, plan, plan.sites, plan.round_trip, &bar).await?);
        bar.inc(1);
    }
    if !only_some {
        results.restart = Some(restart::measure(plan, &bar).await?);
        bar.inc(1);
        results.traces = Some(traced::measure(plan, &bar).await?);
        bar.inc(1);
    }
    if !only_some || args.lag {
        results.lag = Some(lag::measure(plan, &bar).await?);
        bar.inc(1);
    }
    if full {
        results.sweeps = Some(sweeps::measure_all(plan, &bar).await?);
        results.timeline = Some(timeline::measure_all(plan, &bar).await?);
    }
    bar.finish_and_clear();
    results.checks = checks::check(&results);
    Ok(results)
}

fn progress_bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len}\n{msg}")
        .expect("the template is well-formed");
    let bar = ProgressBar::new(steps).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Fails when a row that must be exact is not, or when the naive row is.
fn judge(results: &Results) -> Result<(), LoadtestError> {
    let sweeps = results.sweeps.iter();
    let swept = sweeps.flat_map(|sweeps| sweeps.servers.iter().chain(&sweeps.round_trips));
    let wrong: Vec<String> = results
        .rows
        .iter()
        .chain(swept)
        .filter_map(wrong_totals)
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(LoadtestError::Totals(wrong.join("\n")))
    }
}

fn wrong_totals(row: &Row) -> Option<String> {
    let place = format!(
        "  {} ({} servers, {} ms): acknowledged {}, counted {}, lost {}, extra {}",
        row.id.name(),
        row.servers,
        row.rtt_ms,
        row.acknowledged,
        row.counted,
        row.lost,
        row.extra
    );
    match (row.id.must_be_exact(), row.is_exact(), row.convergence_ms) {
        (true, true, Some(_)) | (false, false, _) => None,
        (true, true, None) => Some(format!("{place}: the nodes never showed the same totals")),
        (true, false, _) => Some(place),
        (false, true, _) => Some(format!(
            "{place}: it should have lost likes, so it shows nothing"
        )),
    }
}

fn write(path: &Path, text: &str) -> Result<(), LoadtestError> {
    fs::write(path, text).map_err(file_error(path))
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> LoadtestError {
    let path = path.to_owned();
    move |source| LoadtestError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_run_is_accepted_and_the_naive_row_must_lose() {
        let mut results = sample::sample_results();
        judge(&results).expect("the sample is as it should be");
        results.rows[0].lost = 0;
        let error = judge(&results).expect_err("naive must lose");
        assert!(error.to_string().contains("naive"), "{error}");
    }

    #[test]
    fn a_row_that_must_be_exact_fails_the_run_when_it_is_not() {
        let mut results = sample::sample_results();
        results.rows[7].lost = 1;
        assert!(
            judge(&results)
                .expect_err("one lost")
                .to_string()
                .contains("crdt_ingest")
        );
        results.rows[7].lost = 0;
        results.rows[7].convergence_ms = None;
        assert!(
            judge(&results)
                .expect_err("no rest")
                .to_string()
                .contains("never showed")
        );
    }

    #[test]
    fn the_json_has_the_promised_fields_and_null_for_what_was_not_measured() {
        let mut results = sample::sample_results();
        results.rows[0].convergence_ms = None;
        let json = serde_json::to_value(&results).expect("plain values");
        let row = &json["rows"][0];
        assert_eq!(row["row"], "naive");
        assert!(
            row.as_object()
                .expect("an object")
                .contains_key("convergence_ms")
        );
        assert!(row["convergence_ms"].is_null());
        let fields = [
            "likes_per_s",
            "requests_per_s",
            "batch",
            "durability",
            "acknowledged",
            "counted",
            "lost",
            "extra",
            "p50_ms",
            "p99_ms",
        ];
        for field in fields {
            assert!(!row[field].is_null(), "{field}");
        }
        for field in ["rtt_ms", "nodes", "cores"] {
            assert!(json[field].is_number(), "{field}");
        }
    }
}
