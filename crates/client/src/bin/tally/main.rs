//! `tally`: counts, reads and watches from a terminal or a script, and makes load.
//!
//! One file a command. Every command prints a table for people or, with `--json`, JSON for
//! programs: an object or, where there are many answers, one object a line. Results go to
//! standard output, errors to standard error, and the exit code says which kind of error it was
//! (see [`CommandError`]).

mod add;
mod audit;
mod export;
mod get;
mod lag;
mod list;
mod load;
mod member;
mod output;
mod reads;
mod status;
mod watch;

use std::{process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use tally_client::{Client, Options};

use crate::output::{CommandError, Output};

/// Counts, reads and watches counters of a Tally cluster.
#[derive(Parser)]
#[command(name = "tally", version, after_help = output::EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// The nodes, in order of preference; the next one is asked when one fails.
    #[arg(
        long,
        env = "TALLY_NODE",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:7071",
        global = true
    )]
    node: Vec<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// How long a call may take, in milliseconds, retries included.
    #[arg(
        long,
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..=3_600_000),
        global = true
    )]
    deadline_ms: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Add to a counter.
    Add(add::Arguments),
    /// Read counters.
    Get(get::Arguments),
    /// List counters by name.
    List(list::Arguments),
    /// Print counters whenever they change, until interrupted.
    Watch(watch::Arguments),
    /// What each node says of itself.
    Status,
    /// Measure how long a read with a token waits on another node.
    Lag(lag::Arguments),
    /// Compare what all nodes hold, counter by counter, while they go on counting.
    Audit(audit::Arguments),
    /// Write all counters of a node, with what it knew, to a file or standard output.
    Export(export::Arguments),
    /// What an operator says of a replica.
    Member(member::Arguments),
    /// Make load and measure it.
    Load(load::Arguments),
}

impl Common {
    fn client(&self) -> Result<Client, CommandError> {
        Ok(Client::connect(self.node.iter().cloned(), self.options())?)
    }

    fn options(&self) -> Options {
        Options {
            deadline: Duration::from_millis(self.deadline_ms),
            ..Options::default()
        }
    }

    /// A client of each node alone.
    fn clients(&self) -> Result<Vec<Client>, CommandError> {
        let nodes = self.node.iter();
        let clients = nodes.map(|node| Client::connect([node], self.options()));
        Ok(clients.collect::<Result<_, _>>()?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    let output = Output { json: common.json };
    let done = match command {
        Command::Add(arguments) => add::run(&common, output, arguments).await,
        Command::Get(arguments) => get::run(&common, output, arguments).await,
        Command::List(arguments) => list::run(&common, output, arguments).await,
        Command::Watch(arguments) => watch::run(&common, output, arguments).await,
        Command::Lag(arguments) => lag::run(&common, output, arguments).await,
        Command::Status => status::run(&common, output).await,
        Command::Audit(arguments) => audit::run(&common, output, arguments).await,
        Command::Export(arguments) => export::run(&common, arguments).await,
        Command::Member(arguments) => member::run(&common, output, arguments).await,
        Command::Load(arguments) => load::run(&common, arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
