//! `tally watch COUNTER...` or `tally watch --prefix PREFIX`: a line for each change, until
//! interrupted.

use std::time::Duration;

use clap::Args;
use tally_client::WatchOptions;

use crate::{
    Common,
    output::{CommandError, Output},
    reads::ReadArguments,
};

/// Columns for a name of a prefix; as in lists.
const NAME_WIDTH: usize = 40;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The counters, 1 to 512 bytes each; 10,000 at most.
    #[arg(
        required_unless_present = "prefix",
        conflicts_with = "prefix",
        value_name = "COUNTER"
    )]
    counters: Vec<String>,
    /// All counters whose names begin with this, those that come later included; 10,000 at most.
    #[arg(long)]
    prefix: Option<String>,
    /// At most one message in this many milliseconds: a line for each counter that has changed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    interval_ms: u64,
    /// Stop after so many values; never by default.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    read: ReadArguments,
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    arguments: Arguments,
) -> Result<(), CommandError> {
    let Arguments {
        counters,
        prefix,
        interval_ms,
        limit,
        read,
    } = arguments;
    let client = common.client()?;
    let interval_min = Duration::from_millis(interval_ms);
    let mut left = limit.unwrap_or(u64::MAX);
    if let ([counter], false) = (&*counters, read.is_any()) {
        let mut watch = client.watch(counter, interval_min);
        while left > 0 {
            output.counter(&watch.next().await?, counter.chars().count())?;
            left -= 1;
        }
        return Ok(());
    }
    let asked = read.options();
    let options = WatchOptions {
        interval_min,
        after: asked.after,
        lane_ages: asked.lane_ages,
    };
    let widths = counters.iter().map(|counter| counter.chars().count());
    let name_width = widths.max().unwrap_or(NAME_WIDTH);
    let mut changes = match prefix {
        Some(prefix) => client.watch_prefix(&prefix, &options),
        None => client.watch_counters(counters, &options),
    };
    while left > 0 {
        let message = changes.next().await?;
        for value in &message.values {
            if left > 0 {
                output.counter(value, name_width)?;
                left -= 1;
            }
        }
        read.print(output, &message.token, &message.lane_ages)?;
    }
    Ok(())
}
