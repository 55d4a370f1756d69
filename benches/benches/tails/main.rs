//! The slowest adds, and the stop: what a node's own work costs those who wait for it.
//!
//! A real node, in a process of its own, with millions of counters. Adds one by one are timed while
//! nothing else happens, while a snapshot is written, and while a node that is empty joins and
//! takes everything; then the node is asked to stop beside watches and streams, and its values are
//! compared with what it had acknowledged. `cargo bench -p benches --bench tails` takes about two
//! minutes and fails where a bound is missed. The machine should have nothing else to do.

mod adds;
mod node;
mod stop;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tally_client::{Client, IngestOptions};

use adds::{Adds, Slowest};
use node::Node;

/// Counters of the node.
const COUNTERS: u32 = 3_000_000;
/// Names that one ingest stream introduces.
const STREAM_COUNTERS: u32 = 1_000_000;
/// Adds of a message.
const MESSAGE_ENTRIES: usize = 10_000;
/// How often each piece of work is timed.
const REPEATS: usize = 3;
/// How long adds are timed while nothing else happens.
const QUIET: Duration = Duration::from_secs(10);

/// Of a thousand adds, 999 are answered within this time, whatever the node does beside them.
const P999_MAX: Duration = Duration::from_millis(25);
/// The process has ended so long after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(1);

/// Any reason why this could not be measured.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == node::ROLE) {
        return node::serve(arguments);
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    match runtime.block_on(measure()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything; whether all bounds were kept.
async fn measure() -> Result<bool, Failure> {
    let place = tempfile::tempdir_in(std::env::current_dir()?)?;
    let node = Node::start(place.path().join("node"), None).await?;
    eprintln!("making {COUNTERS} counters");
    fill(&node.client).await?;
    let mut are_kept = true;

    node.wait_for_snapshot().await?;
    eprintln!("timing adds beside nothing");
    let adds = Adds::begin(&node.client, COUNTERS);
    adds.timed(true);
    tokio::time::sleep(QUIET).await;
    adds.timed(false);
    report("nothing", &adds.end().await?, None);

    let adds = Adds::begin(&node.client, COUNTERS);
    for number in 1..=REPEATS {
        eprintln!("timing adds beside snapshot {number} of {REPEATS}");
        beside_a_snapshot(&node, &adds).await?;
    }
    are_kept &= report("a snapshot", &adds.end().await?, Some(P999_MAX));

    let adds = Adds::begin(&node.client, COUNTERS);
    for number in 1..=REPEATS {
        eprintln!("timing adds beside an empty node that joins, {number} of {REPEATS}");
        let peer = node.address.as_str();
        let joining = Node::start(place.path().join(format!("joining-{number}")), Some(peer));
        adds.timed(true);
        let joining = joining.await?;
        while joining.status().await?.counters < COUNTERS.into() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        adds.timed(false);
        joining.kill().await?;
    }
    are_kept &= report("a node that joins", &adds.end().await?, Some(P999_MAX));

    eprintln!("stopping beside watches and streams");
    are_kept &= stop::measure(node, STOP_MAX).await?;
    Ok(are_kept)
}

/// Adds 1 to every counter.
async fn fill(client: &Client) -> Result<(), Failure> {
    let options = IngestOptions {
        entries_max: MESSAGE_ENTRIES,
        ..IngestOptions::default()
    };
    for first in (0..COUNTERS).step_by(STREAM_COUNTERS as usize) {
        let mut stream = client.ingest(&options)?;
        for number in first..COUNTERS.min(first + STREAM_COUNTERS) {
            stream.add(&name(number)).await?;
        }
        stream.finish().await?;
    }
    Ok(())
}

/// Makes the node write a snapshot, and times adds while it does.
async fn beside_a_snapshot(node: &Node, adds: &Adds) -> Result<(), Failure> {
    let mut first = 0;
    let mut stream = node.client.ingest(&IngestOptions::default())?;
    // The log has to grow; the load that makes it do so ends before anything is timed.
    while !node.writes_a_snapshot()? {
        let message = (first..first + 2_000).map(|number| name(number % STREAM_COUNTERS));
        for name in message {
            stream.add(&name).await?;
        }
        stream.flush().await?;
        first += 2_000;
    }
    adds.timed(true);
    node.wait_for_snapshot().await?;
    adds.timed(false);
    stream.finish().await?;
    Ok(())
}

fn name(number: u32) -> String {
    format!("post-{number:07}")
}

/// Prints what was found; whether it is within the bound.
fn report(beside: &str, slowest: &Slowest, p999_max: Option<Duration>) -> bool {
    let Slowest {
        adds,
        p50,
        p99,
        p999,
        max,
    } = *slowest;
    let is_kept = p999_max.is_none_or(|bound| p999 < bound);
    let bound = match p999_max {
        None => String::new(),
        Some(bound) if is_kept => format!(", p99.9 is below {bound:?}"),
        Some(bound) => format!(", MISSED: p99.9 is not below {bound:?}"),
    };
    println!(
        "add beside {beside}: {adds} adds, p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}, max {max:?}{bound}"
    );
    is_kept
}
