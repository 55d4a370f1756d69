//! `tally audit`: whether all nodes hold the same, counter by counter, while they go on counting.
//!
//! Once, or every so often for as long as it is left on. A difference is printed with the lane and
//! the counters that explain it, and makes the exit code 5; what could not be compared is printed
//! with its reason, and makes the exit code 1 where nothing else is wrong and it was asked once.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tally_client::{AuditDifference, AuditReport, Client, CounterDifference};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use crate::{
    Common,
    output::{CommandError, Output, grouped, print_line, table},
};

/// An audit takes a node some ten milliseconds; more often than each second tells nothing more.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// Whoever audits less often than daily starts the command when it is due.
const EVERY_MAX: Duration = Duration::from_hours(24);

/// Counters printed of one difference to people; `--json` has up to 1,000.
const SHOWN_MAX: usize = 20;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Audit again and again, this often (1s to 24h, such as 60s or 5m), until interrupted; the
    /// exit code then tells whether there ever was a difference.
    #[arg(long, value_name = "TIME", value_parser = parse_every)]
    every: Option<Duration>,
}

pub(crate) async fn run(
    common: &Common,
    output: Output,
    Arguments { every }: Arguments,
) -> Result<(), CommandError> {
    let client = common.client()?;
    let Some(every) = every else {
        let report = client.audit().await?;
        print(output, &report)?;
        return verdict(report.differences.len(), report.not_compared.len());
    };
    let mut differences = 0;
    let ended = ended()?;
    tokio::pin!(ended);
    loop {
        let due = Instant::now() + every;
        let audited = async {
            let audited = audit_once(&client, output).await;
            sleep_until(due).await;
            audited
        };
        tokio::select! {
            audited = audited => differences += audited?,
            () = &mut ended => return verdict(differences, 0),
        }
    }
}

async fn audit_once(client: &Client, output: Output) -> Result<usize, CommandError> {
    let report = client.audit().await?;
    print(output, &report)?;
    Ok(report.differences.len())
}

/// Resolves when the user has had enough.
fn ended() -> Result<impl Future<Output = ()>, CommandError> {
    let signals = |kind| {
        signal(kind).map_err(|error| CommandError::Io {
            what: "signals".to_owned(),
            error,
        })
    };
    let mut interrupted = signals(SignalKind::interrupt())?;
    let mut terminated = signals(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

fn verdict(differences: usize, not_compared: usize) -> Result<(), CommandError> {
    if differences > 0 {
        Err(CommandError::Differs(format!(
            "the nodes hold different things of {differences} lane{}; keep their data directories \
             as they are, and report it",
            if differences == 1 { "" } else { "s" }
        )))
    } else if not_compared > 0 {
        let text = "not everything could be compared; see the reasons above";
        Err(CommandError::Partial(text.to_owned()))
    } else {
        Ok(())
    }
}

fn print(output: Output, report: &AuditReport) -> Result<(), CommandError> {
    if output.json {
        return print_line(&object(report).to_string());
    }
    print_line(&format!(
        "{} nodes, {} shards: {} lanes equal, {} different, {} not compared",
        report.nodes.len(),
        report.shards,
        grouped(report.equal),
        report.differences.len(),
        report.not_compared.iter().map(|it| it.count).sum::<u64>(),
    ))?;
    for difference in &report.differences {
        lines(difference).iter().try_for_each(|it| print_line(it))?;
    }
    if !report.not_compared.is_empty() {
        let head = ["NOT COMPARED", "LANES", "BECAUSE"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let row = |it: &tally_client::NotCompared| {
            vec![it.node.clone(), grouped(it.count), it.reason.clone()]
        };
        rows.extend(report.not_compared.iter().map(row));
        print_line(&table(&rows))?;
    }
    Ok(())
}

fn lines(it: &AuditDifference) -> Vec<String> {
    let mut lines = vec![format!(
        "DIFFERENCE: shard {}, lane {} at version {}, {} beside {}:",
        it.shard, it.lane, it.version, it.node, it.with
    )];
    let explanation = match &it.explanation {
        _ if it.is_forked => {
            lines.push(
                "  the lane has two histories: its owner's data directory was rolled back or copied"
                    .to_owned(),
            );
            return lines;
        }
        Ok(explanation) => explanation,
        Err(error) => {
            lines.push(format!("  its records could not be read: {error}"));
            return lines;
        }
    };
    let shown = explanation.counters.iter().take(SHOWN_MAX);
    lines.extend(shown.map(|counter| {
        let of = |(incremented, decremented): (u128, u128), version: u64| {
            format!("+{incremented} -{decremented} since version {version}")
        };
        format!(
            "  {:?}: {} on {}, {} on {}",
            counter.counter,
            of(counter.total, counter.version),
            it.node,
            of(counter.total_with, counter.version_with),
            it.with
        )
    }));
    let found = explanation.counters.len() as u64 + explanation.counters_more;
    let more = found.saturating_sub(SHOWN_MAX as u64);
    if more > 0 {
        lines.push(format!("  and {} counters more", grouped(more)));
    }
    if found == 0 {
        lines.push(format!(
            "  none of {} records explains it; {} have changed since and could not be compared",
            grouped(explanation.compared),
            grouped(explanation.undecided)
        ));
    }
    lines
}

fn object(report: &AuditReport) -> Value {
    let counter = |it: &CounterDifference| {
        // Totals have 128 bits, which a JSON number need not hold.
        let total = |(incremented, decremented): (u128, u128)| {
            json!({
                "incremented": incremented.to_string(),
                "decremented": decremented.to_string(),
            })
        };
        json!({
            "counter": it.counter,
            "version": it.version,
            "total": total(it.total),
            "version_with": it.version_with,
            "total_with": total(it.total_with),
        })
    };
    let difference = |it: &AuditDifference| {
        let explanation = it.explanation.as_ref().ok();
        json!({
            "shard": it.shard,
            "lane": it.lane,
            "node": it.node,
            "with": it.with,
            "version": it.version,
            "forked": it.is_forked,
            "counters": explanation.map(|it| it.counters.iter().map(counter).collect::<Vec<_>>()),
            "counters_more": explanation.map(|it| it.counters_more),
            "undecided": explanation.map(|it| it.undecided),
            "error": it.explanation.as_ref().err().map(ToString::to_string),
        })
    };
    let not_compared = report.not_compared.iter();
    let not_compared =
        not_compared.map(|it| json!({ "node": it.node, "reason": it.reason, "count": it.count }));
    json!({
        "nodes": report.nodes,
        "shards": report.shards,
        "equal": report.equal,
        "not_compared": not_compared.collect::<Vec<_>>(),
        "differences": report.differences.iter().map(difference).collect::<Vec<_>>(),
    })
}

fn parse_every(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600)];
    let number = |(unit, seconds): (&str, u64)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds).map(Duration::from_secs)
    };
    let found = units.into_iter().find_map(number);
    let within = found.filter(|it| (EVERY_MIN..=EVERY_MAX).contains(it));
    within.ok_or_else(|| "give 1s to 24h, such as 60s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_bounds() {
        for (text, seconds) in [("1s", 1), ("60s", 60), ("5m", 300), ("24h", 86_400)] {
            assert_eq!(parse_every(text), Ok(Duration::from_secs(seconds)));
        }
        for text in [
            "0s",
            "25h",
            "60",
            "",
            "s",
            "-1s",
            "1d",
            "99999999999999999999h",
        ] {
            assert!(parse_every(text).is_err(), "{text}");
        }
    }
}
