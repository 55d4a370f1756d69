//! The checker of traces, as a command: the traces of all nodes of a cluster, one a file.
//!
//! `cargo xtask chaos` runs it; by hand it is `cargo run --release -p model-checker --bin validate
//! -- FILE...`. What it checks, and what not, is said in [`model_checker::validation`].

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use model_checker::validation::validate;
use serde_json::json;

/// Replay the traces of all nodes of a cluster into the machines, and refuse what those would not
/// have done.
#[derive(Parser)]
#[command(name = "validate")]
struct Args {
    /// What `tallyd --trace FILE` has written, from each node's first start on.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Args { files, json } = Args::parse();
    let begun = Instant::now();
    let result = validate(&files);
    let seconds = begun.elapsed().as_secs_f64();
    match &result {
        Ok(summary) if json => println!("{}", json!({ "seconds": seconds, "replayed": summary })),
        Ok(it) => println!(
            "valid: {} lines ({} bytes) of {} nodes in {seconds:.1} s: {} starts, {} takes, \
             {} rounds, {} intervals sent, {} received, {} snapshots",
            it.lines,
            it.bytes,
            it.files,
            it.starts,
            it.takes,
            it.rounds,
            it.sent,
            it.received,
            it.snapshots
        ),
        Err(error) => eprintln!("error: {error}"),
    }
    ExitCode::from(u8::from(result.is_err()))
}
