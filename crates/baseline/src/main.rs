//! `tally-baseline`: the counters that Tally replaces, behind Tally's own API, so that the same
//! client and the same load generator drive them.
//!
//! Two programs in one:
//!
//! * `register` is the one place where the numbers are, and the lock server beside it.
//! * `serve` is one of several servers that count there, by a strategy of `lock-core`. It speaks
//!   `tally.v1.CounterService` to clients and carries `lock-core`'s messages to the register
//!   over one stream.
//!
//! The protocols are in `lock-core`, where they are model-checked; this program only carries
//! their messages. It leaves out what a comparison does not need: no Ingest, no Watch, no TLS, no
//! second register. The register is in memory, and durable only if asked to be (`--state`).

mod convert;
mod register;
mod serve;
mod transport;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Naive and lock counters behind Tally's API, for comparison.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Debug, Subcommand)]
enum Program {
    Register(register::Options),
    Serve(serve::Options),
}

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Transport(#[from] transport::TransportError),
    #[error(transparent)]
    State(#[from] register::StateError),
    #[error("cannot start the register's thread: {0}; the machine is out of threads or memory")]
    Thread(std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let result = match cli.program {
        Program::Register(options) => register::run(options).await,
        Program::Serve(options) => serve::run(options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::FAILURE
        }
    }
}
