//! What all commands that read take and print beside values: tokens, and ages.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use tally_client::{LaneAge, ReadOptions, Token};

use crate::output::{CommandError, Output, grouped, print_line, table};

/// The options of a read.
#[derive(Args)]
pub(crate) struct ReadArguments {
    /// A token that `tally add`, or a read with --token, printed: wait until the node knows what it
    /// stands for.
    #[arg(long, value_name = "TOKEN")]
    after: Option<Token>,
    /// Print the token of what was read: a read after it, on any node, reads at least the same.
    #[arg(long)]
    token: bool,
    /// Print how old the values may be, for each replica that adds.
    #[arg(long)]
    ages: bool,
}

impl ReadArguments {
    /// Whether anything of it was asked for.
    pub(crate) fn is_any(&self) -> bool {
        self.after.is_some() || self.token || self.ages
    }

    /// As the client takes them.
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            after: self.after.clone().unwrap_or_default(),
            lane_ages: self.ages,
        }
    }

    /// Prints what was asked for: for programs one object, for people lines.
    pub(crate) fn print(
        &self,
        output: Output,
        token: &Token,
        ages: &[LaneAge],
    ) -> Result<(), CommandError> {
        if output.json {
            let mut object = Map::new();
            if self.ages {
                let ages = ages.iter().map(age_object).collect();
                object.insert("lane_ages".to_owned(), Value::Array(ages));
            }
            if self.token {
                object.insert("token".to_owned(), token.to_string().into());
            }
            if object.is_empty() {
                return Ok(());
            }
            return print_line(&Value::Object(object).to_string());
        }
        if self.ages {
            let head = ["REPLICA", "COMPLETE UNTIL", "NEWEST"].map(str::to_owned);
            let rows = ages.iter().map(age_row);
            let rows: Vec<_> = [head.to_vec()].into_iter().chain(rows).collect();
            print_line(&table(&rows))?;
        }
        if self.token {
            print_line(&format!("token {token}"))?;
        }
        Ok(())
    }
}

fn age_object(age: &LaneAge) -> Value {
    json!({
        "replica_id": age.replica_id,
        "newest_age_ms": age.newest.map(milliseconds),
        "newest_age_is_least": age.newest_is_least,
        "complete_age_ms": age.complete.map(milliseconds),
    })
}

fn age_row(age: &LaneAge) -> Vec<String> {
    let ago = |age: Option<Duration>| {
        age.map_or_else(
            || "unknown".to_owned(),
            |age| format!("{} ms ago", grouped(milliseconds(age))),
        )
    };
    let least = if age.newest_is_least { "over " } else { "" };
    vec![
        age.replica_id.clone(),
        ago(age.complete),
        format!("{least}{}", ago(age.newest)),
    ]
}

/// Whole milliseconds.
pub(crate) fn milliseconds(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
