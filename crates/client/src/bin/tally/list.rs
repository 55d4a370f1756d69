//! `tally list [PREFIX]`: counters in the order of their names, as they arrive; token and ages are
//! those of the last page, which is at least as far as the others.

use clap::Args;

use crate::{
    Common,
    output::{CommandError, Output},
    reads::ReadArguments,
};

/// Columns for a name. The list may be endless, so the widest name is not known ahead; a longer
/// name moves its value to the right.
const NAME_WIDTH: usize = 40;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only counters whose names begin with this.
    #[arg(default_value = "")]
    prefix: String,
    /// Stop after so many counters; all by default.
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
        prefix,
        limit,
        read,
    } = arguments;
    let client = common.client()?;
    let mut list = if read.is_any() {
        client.list_after(&prefix, &read.options())
    } else {
        client.list(&prefix)
    };
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some(counter) = list.next().await?
    {
        output.counter(&counter, NAME_WIDTH)?;
        left -= 1;
    }
    read.print(output, list.token(), list.lane_ages())
}
