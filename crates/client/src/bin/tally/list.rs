//! `tally list [PREFIX]`: counters in the order of their names, as they arrive.

use clap::Args;

use crate::{
    Common,
    output::{CommandError, Output},
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
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    Arguments { prefix, limit }: Arguments,
) -> Result<(), CommandError> {
    let mut list = common.client()?.list(&prefix);
    let mut left = limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some(counter) = list.next().await?
    {
        output.counter(&counter, NAME_WIDTH)?;
        left -= 1;
    }
    Ok(())
}
