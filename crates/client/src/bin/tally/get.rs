//! `tally get COUNTER...`: reads counters, perhaps after the add behind a token has arrived.

use clap::Args;
use tally_client::Token;

use crate::{
    Common,
    output::{CommandError, Output},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The counters; those that nobody added to have 0.
    #[arg(required = true, value_name = "COUNTER")]
    counters: Vec<String>,
    /// A token that `tally add` printed: wait until the node knows of that add.
    #[arg(long, value_name = "TOKEN")]
    after: Option<Token>,
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    Arguments { counters, after }: Arguments,
) -> Result<(), CommandError> {
    let name_width = counters
        .iter()
        .map(|counter| counter.chars().count())
        .max()
        .unwrap_or(0);
    let token = after.unwrap_or_default();
    let values = common.client()?.batch_get_after(counters, &token).await?;
    values
        .iter()
        .try_for_each(|value| output.counter(value, name_width))
}
