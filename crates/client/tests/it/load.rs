//! `tally load`: its books against what the servers took.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use crate::fake::{Fake, Fault};
use crate::script::Stream;

/// What a run printed last, and its books: acknowledged and indeterminate adds by counter.
struct Run {
    result: Value,
    books: BTreeMap<String, (i64, i64)>,
}

async fn load(nodes: &[&Fake], arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let counts = folder.path().join("counts.json");
    let nodes: Vec<String> = nodes.iter().map(|fake| fake.node()).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_tally"))
        .args([
            "load",
            "--node",
            &nodes.join(","),
            "--seed",
            "1",
            "--counts",
        ])
        .arg(&counts)
        .args(arguments)
        .output()
        .await
        .expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).expect("output is UTF-8");
    let last: Value = serde_json::from_str(lines.lines().last().expect("a result")).expect("JSON");
    let file = std::fs::read(counts).expect("the books");
    let books: Value = serde_json::from_slice(&file).expect("JSON");
    let number = |counts: &Value, key| counts[key].as_i64().expect("a number");
    let books = books["counters"]
        .as_object()
        .expect("counters")
        .iter()
        .map(|(name, counts)| {
            (
                name.clone(),
                (
                    number(counts, "acknowledged"),
                    number(counts, "indeterminate"),
                ),
            )
        });
    Run {
        result: last["result"].clone(),
        books: books.collect(),
    }
}

fn taken(nodes: &[&Fake]) -> BTreeMap<String, i64> {
    let mut values = BTreeMap::new();
    for fake in nodes {
        for (name, value) in &fake.state().values {
            *values.entry(name.clone()).or_default() += value;
        }
    }
    values
}

#[tokio::test]
async fn in_every_mode_the_books_are_what_the_servers_took() {
    for mode in ["unary", "batch", "ingest"] {
        let (first, second) = (Fake::start().await, Fake::start().await);
        let nodes = [&first, &second];
        let adds = if mode == "unary" { "333" } else { "33333" };
        let run = load(&nodes, &["--mode", mode, "--adds", adds, "--seconds", "20"]).await;
        let books: BTreeMap<_, _> = run
            .books
            .into_iter()
            .map(|(name, (acknowledged, _))| (name, acknowledged))
            .collect();
        assert_eq!(books, taken(&nodes), "{mode}");
        assert_eq!(run.result["acknowledged"].to_string(), adds, "{mode}");
        assert_eq!(run.result["indeterminate"], 0, "{mode}");
        assert!(
            run.result["p99_ms"].as_f64().is_some_and(|ms| ms > 0.0),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn when_streams_break_every_total_is_between_the_books_two_bounds() {
    let (broken, well) = (Fake::start().await, Fake::start().await);
    broken.state().stream = Stream::BreaksAfter(7);
    let arguments = ["--seconds", "1", "--batch", "100", "--in-flight", "4"];
    let run = load(&[&broken, &well], &arguments).await;
    assert!(
        run.result["indeterminate"].as_i64() > Some(0),
        "{}",
        run.result
    );
    let taken = taken(&[&broken, &well]);
    for (name, (acknowledged, indeterminate)) in &run.books {
        let value = taken.get(name).copied().unwrap_or(0);
        let bounds = *acknowledged..=*acknowledged + *indeterminate;
        assert!(
            bounds.contains(&value),
            "{name}: {value} is not in {bounds:?}"
        );
    }
    assert!(taken.keys().all(|name| run.books.contains_key(name)));
}

#[tokio::test]
async fn with_sessions_nothing_is_in_doubt_when_streams_break() {
    for mode in ["ingest", "batch"] {
        let nodes: [Fake; 2] = Fake::cluster().await;
        nodes[0].state().stream = Stream::BreaksAfter(7);
        let lost = || Fault::DoAndFail(tonic::Status::unavailable("connection reset"));
        nodes[0].state().faults = (0..20).map(|_| lost()).collect();
        let arguments = [
            "--sessions",
            "--mode",
            mode,
            "--seconds",
            "1",
            "--batch",
            "100",
        ];
        let run = load(&[&nodes[0], &nodes[1]], &arguments).await;
        assert_eq!(run.result["indeterminate"], 0, "{}", run.result);
        let books: BTreeMap<_, _> = run
            .books
            .into_iter()
            .map(|(name, (acknowledged, _))| (name, acknowledged))
            .collect();
        assert_eq!(books, taken(&[&nodes[0], &nodes[1]]), "{mode}");
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_costs_nothing_but_its_own_share() {
    let (gone, well) = (Fake::start().await, Fake::start().await);
    let nodes = format!("{},{}", gone.node(), well.node());
    drop(gone);
    let output = Command::new(env!("CARGO_BIN_EXE_tally"))
        .args(["load", "--node", &nodes, "--seconds", "0.5"])
        .output()
        .await
        .expect("the program starts");
    let lines = String::from_utf8(output.stdout).expect("output is UTF-8");
    let last: Value = serde_json::from_str(lines.lines().last().expect("a result")).expect("JSON");
    let total: i64 = taken(&[&well]).values().sum();
    assert_eq!(last["result"]["acknowledged"].as_i64(), Some(total));
    assert_eq!(last["result"]["indeterminate"], 0);
    assert!(
        last["result"]["errors"]["CONNECT"].as_i64() > Some(0),
        "{last}"
    );
}

#[tokio::test]
async fn an_interrupt_ends_the_run_with_a_result() {
    let fake = Fake::start().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tally"))
        .args(["load", "--node", &fake.node(), "--seconds", "60"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    // The first sample is printed once signals are heard.
    let stdout = child.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(stdout).lines();
    lines
        .next_line()
        .await
        .expect("readable")
        .expect("a sample");
    let pid = child.id().expect("it runs").to_string();
    Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .await
        .expect("kill runs");
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.expect("readable") {
        last = line;
    }
    assert!(last.contains("\"result\""), "{last}");
    assert!(child.wait().await.expect("it ends").success());
}

#[tokio::test]
async fn a_node_that_acknowledges_nothing_holds_up_no_run() {
    let (stuck, well) = (Fake::start().await, Fake::start().await);
    stuck.state().stream = Stream::SilentAfter(0);
    let arguments = ["--seconds", "1", "--deadline-ms", "2000"];
    let started = Instant::now();
    let run = load(&[&stuck, &well], &arguments).await;
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
    assert!(
        run.result["errors"]["DEADLINE"].as_i64() > Some(0),
        "{}",
        run.result
    );
    assert!(
        run.result["indeterminate"].as_i64() > Some(0),
        "{}",
        run.result
    );
    let taken: i64 = taken(&[&well]).values().sum();
    assert_eq!(run.result["acknowledged"].as_i64(), Some(taken));
}
