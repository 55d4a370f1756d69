//! `tally load`: drives nodes as hard as they can take, and keeps exact books.
//!
//! With `--sessions` a worker's requests go to other nodes when its own fails, and an answer that was lost
//! is asked for again.
//!
//! One worker a node, so that a node that dies or is slow holds up nobody else. Every add is an
//! add of 1 and its own entry on the wire. What became of each is booked by counter:
//! acknowledged, or indeterminate when its answer was lost, so that a checker can compare the
//! servers' totals with the sum of both. Refused adds have not counted; they are not booked.
//!
//! All runs on one thread: making and sending an add takes a few nanoseconds, so a second
//! thread would only take time from servers on the same machine.

mod calls;
mod ingest;
mod ledger;
mod plan;
mod report;
mod ring;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use tally_client::{Client, Options};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::{ledger::Ledger, plan::Plan};
use crate::{Common, output::CommandError};

/// How adds become requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// One Add call for each add.
    Unary,
    /// `BatchAdd` of K items, each an add.
    Batch,
    /// Ingest messages of K adds.
    Ingest,
}

/// Prints JSON lines: `{"sample":{..}}` with what was acknowledged since the start, and last
/// `{"result":{..}}`. `requests` counts acknowledged requests, `errors` failed ones by reason;
/// latencies are from sending a request to its acknowledgement.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How adds become requests.
    #[arg(long, value_enum, default_value = "ingest")]
    pub(crate) mode: Mode,
    /// Counters, named PREFIX and rank.
    #[arg(
        long,
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=1_048_576)
    )]
    pub(crate) counters: u32,
    /// Popularity falls with rank to the power of minus this; 0: all counters alike.
    #[arg(long, default_value_t = 1.0, value_name = "EXPONENT")]
    pub(crate) zipf: f64,
    /// Adds a request [default: 4000 for ingest, 1000 for batch, 1 for unary]
    #[arg(
        long,
        value_name = "K",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) batch: Option<u32>,
    /// Requests under way, for each node.
    #[arg(
        long,
        default_value_t = 16,
        value_name = "W",
        value_parser = clap::value_parser!(u16).range(1..=1_024)
    )]
    pub(crate) in_flight: u16,
    /// How long to make load; at most 86,400.
    #[arg(long, default_value_t = 10.0, value_name = "T")]
    pub(crate) seconds: f64,
    /// Stop after so many adds over all nodes, refused ones not counted.
    #[arg(long, value_name = "N")]
    pub(crate) adds: Option<u64>,
    /// Makes the choice of adds repeatable; random by default.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// The counters' names begin with this.
    #[arg(long, default_value = "like-")]
    pub(crate) prefix: String,
    /// How often to print a sample.
    #[arg(
        long,
        default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(10..=60_000)
    )]
    pub(crate) sample_ms: u64,
    /// Make each request one of a session: it is retried, on other nodes as well, and counts once.
    #[arg(long)]
    pub(crate) sessions: bool,
    /// Write here, as JSON, what became of the adds of each counter.
    #[arg(long, value_name = "FILE")]
    pub(crate) counts: Option<PathBuf>,
}

/// How long a node that failed is left alone, at most.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Sent to all workers when the time is up or the user has had enough.
pub(crate) type Stop = watch::Receiver<bool>;

pub(crate) async fn run(common: &Common, arguments: Arguments) -> Result<(), CommandError> {
    let counts = arguments
        .counts
        .as_deref()
        .map(report::create)
        .transpose()?;
    let plan = Arc::new(Plan::new(&arguments, common.node.len())?);
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    let nodes = &common.node;
    for (node, address) in nodes.iter().enumerate() {
        let deadline = Duration::from_millis(common.deadline_ms);
        let options = Options {
            deadline,
            // A node that is back is tried in time, and no call fails without an attempt.
            backoff_max: (deadline / 2).clamp(Options::DURATION_MIN, BACKOFF_MAX),
            sessions: arguments.sessions,
            attempts_max: 1, // what failed is booked, never sent again
            ..Options::default()
        };
        let client = if arguments.sessions {
            let others = nodes.iter().cycle().skip(node).take(nodes.len());
            Client::connect(others.cloned(), options)?
        } else {
            Client::connect([address.as_str()], options)?
        };
        let (plan, stopped) = (Arc::clone(&plan), stopped.clone());
        workers.spawn(async move {
            let sessions = client.clone();
            let ledger = match plan.mode {
                Mode::Ingest => ingest::run(plan, node, client, stopped).await,
                Mode::Unary | Mode::Batch => calls::run(plan, node, client, stopped).await,
            };
            sessions.close_sessions().await;
            ledger
        });
    }
    let ledgers = supervise(&arguments, &plan, workers, &stop).await?;
    let books = report::Books::add_up(&plan, &ledgers);
    if let Some(file) = counts {
        books.write(&plan, file)?;
    }
    report::result(&plan, &ledgers, &books)
}

/// Prints samples until all workers are done, and stops them.
async fn supervise(
    arguments: &Arguments,
    plan: &Plan,
    mut workers: JoinSet<Ledger>,
    stop: &watch::Sender<bool>,
) -> Result<Vec<Ledger>, CommandError> {
    let signals = |kind| {
        signal(kind).map_err(|error| CommandError::Io {
            what: "signals".to_owned(),
            error,
        })
    };
    let mut interrupted = signals(SignalKind::interrupt())?;
    let mut terminated = signals(SignalKind::terminate())?;
    let mut samples = interval(Duration::from_millis(arguments.sample_ms));
    samples.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let time_is_up = tokio::time::sleep(Duration::from_secs_f64(arguments.seconds));
    tokio::pin!(time_is_up);
    let mut ledgers = Vec::new();
    loop {
        tokio::select! {
            _ = samples.tick() => report::sample(plan)?,
            () = &mut time_is_up, if !*stop.borrow() => { stop.send_replace(true); }
            _ = interrupted.recv() => { stop.send_replace(true); }
            _ = terminated.recv() => { stop.send_replace(true); }
            done = workers.join_next() => match done {
                Some(ledger) => ledgers.push(ledger.expect("a worker does not panic")),
                None => break,
            },
        }
    }
    report::sample(plan)?;
    Ok(ledgers)
}
