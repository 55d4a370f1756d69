//! `tally add COUNTER [AMOUNT]`: adds, once however often the nodes have to be asked, and prints the token that a later read can wait for; with
//! `--value` also what the counter has come to.

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
    /// Print the value that the add led to, on the node that took it.
    #[arg(long)]
    value: bool,
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    arguments: Arguments,
) -> Result<(), CommandError> {
    let Arguments {
        counter,
        amount,
        value,
    } = arguments;
    let client = common.client()?;
    let (token, led_to) = if value {
        let added = client.add_and_get(&counter, amount).await?;
        (added.token, Some(added.value))
    } else {
        (client.add(&counter, amount).await?, None)
    };
    client.close_sessions().await;
    if output.json {
        let mut object = serde_json::json!({
            "counter": counter, "amount": amount, "token": token.to_string(),
        });
        if let Some(led_to) = led_to {
            object["value"] = led_to.value.into();
            object["clamped"] = led_to.clamped.into();
        }
        return print_line(&object.to_string());
    }
    print_line(&format!("added {} to {counter}", grouped(amount)))?;
    if let Some(led_to) = led_to {
        output.counter(&led_to, counter.chars().count())?;
    }
    print_line(&format!("token {token}"))
}
