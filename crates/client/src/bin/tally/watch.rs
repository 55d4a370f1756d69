//! `tally watch COUNTER`: a line for each change, until interrupted.

use std::time::Duration;

use clap::Args;

use crate::{
    Common,
    output::{CommandError, Output},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The counter, 1 to 512 bytes.
    counter: String,
    /// At most one line in this many milliseconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    interval_ms: u64,
    /// Stop after so many values; never by default.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    Arguments {
        counter,
        interval_ms,
        limit,
    }: Arguments,
) -> Result<(), CommandError> {
    let mut watch = common
        .client()?
        .watch(&counter, Duration::from_millis(interval_ms));
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0 {
        output.counter(&watch.next().await?, counter.chars().count())?;
        left -= 1;
    }
    Ok(())
}
