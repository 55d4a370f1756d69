//! `tally get COUNTER...`: reads counters, perhaps after what a token stands for has arrived.

use clap::Args;

use crate::{
    Common,
    output::{CommandError, Output},
    reads::ReadArguments,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The counters; those that nobody added to have 0.
    #[arg(required = true, value_name = "COUNTER")]
    counters: Vec<String>,
    #[command(flatten)]
    read: ReadArguments,
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    Arguments { counters, read }: Arguments,
) -> Result<(), CommandError> {
    let name_width = counters
        .iter()
        .map(|counter| counter.chars().count())
        .max()
        .unwrap_or(0);
    let answer = common.client()?.read(counters, &read.options()).await?;
    answer
        .values
        .iter()
        .try_for_each(|value| output.counter(value, name_width))?;
    read.print(output, &answer.token, &answer.lane_ages)
}
