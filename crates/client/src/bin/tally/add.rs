//! `tally add COUNTER [AMOUNT]`: adds, and prints the token that a later read can wait for.

use clap::Args;

use crate::{
    Common,
    output::{CommandError, Output, grouped, print_line},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The counter, 1 to 512 bytes.
    counter: String,
    /// How much to add; negative subtracts.
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    amount: i64,
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    Arguments { counter, amount }: Arguments,
) -> Result<(), CommandError> {
    let token = common.client()?.add(&counter, amount).await?;
    if output.json {
        let object = serde_json::json!({
            "counter": counter, "amount": amount, "token": token.to_string(),
        });
        return print_line(&object.to_string());
    }
    print_line(&format!("added {} to {counter}", grouped(amount)))?;
    print_line(&format!("token {token}"))
}
