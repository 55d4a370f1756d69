//! The `tally` command, used as a user would: every question to a node and every like sent to one
//! goes through a process of its own that speaks gRPC.
//!
//! `command` is the program, this file asks questions, `load` runs the load generator. Both know the
//! command's arguments and its JSON output, and nothing about what is counted or why.

mod audit;
mod command;
mod load;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

pub(crate) use audit::Audits;
pub(crate) use command::{Client, ClientError, url};
use command::{PATIENCE, parse};
pub(crate) use load::{Counts, LoadOutcome, LoadPlan, Mode, Sample, Tried};

/// How long one question to a node may take, as the command's own deadline. Answers come in
/// milliseconds, or in a few round trips from a baseline; a dead node should not be waited for.
const DEADLINE_MS: u64 = 2_000;
/// Values by counter name.
pub(crate) type Values = BTreeMap<String, i64>;

#[derive(Deserialize)]
struct ListedCounter {
    counter: String,
    value: i64,
}

/// How long reads with a token have waited on another node.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Waits {
    /// Pairs of a node that took adds and one that was read.
    pub(crate) pairs: usize,
    /// Reads of all pairs.
    pub(crate) samples: u64,
    /// Half of them were answered faster, in milliseconds.
    pub(crate) p50_ms: f64,
    /// Of a hundred, 99 were answered faster, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The slowest, in milliseconds.
    pub(crate) max_ms: f64,
}

#[derive(Deserialize)]
struct Status {
    counters: u64,
}

impl Client {
    /// Whether the node answers reads: the test of readiness for every kind of server.
    pub(crate) async fn answers(&self, node: SocketAddr) -> bool {
        self.ask(node, &["get", "ready"]).await.is_ok()
    }

    /// All counters of a node.
    pub(crate) async fn list(&self, node: SocketAddr) -> Result<Values, ClientError> {
        let question = ["list"];
        let output = self.ask(node, &question).await?;
        parse_values(&self.shown(&question), &output)
    }

    /// How many counters a Tally node holds.
    pub(crate) async fn counter_count(&self, node: SocketAddr) -> Result<u64, ClientError> {
        let question = ["status"];
        let output = self.ask(node, &question).await?;
        Ok(parse::<Status>(&self.shown(&question), &output)?.counters)
    }

    /// How long so many reads from each node to each other one wait for the add before them.
    pub(crate) async fn lag(
        &self,
        nodes: &[SocketAddr],
        samples: u32,
    ) -> Result<Waits, ClientError> {
        let samples = samples.to_string();
        let question = ["lag", "--samples", &samples];
        let output = self.ask_all(nodes, &question).await?;
        parse(&self.shown(&question), &output)
    }

    async fn ask(&self, node: SocketAddr, question: &[&str]) -> Result<String, ClientError> {
        self.ask_all(&[node], question).await
    }

    async fn ask_all(
        &self,
        nodes: &[SocketAddr],
        question: &[&str],
    ) -> Result<String, ClientError> {
        let nodes: Vec<String> = nodes.iter().map(|&node| url(node)).collect();
        let command = self.shown(question);
        let running = Command::new(&self.program)
            .args([
                "--node",
                &nodes.join(","),
                "--json",
                "--deadline-ms",
                &DEADLINE_MS.to_string(),
            ])
            .args(question)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, running)
            .await
            .map_err(|_elapsed| ClientError::Stuck {
                command: command.clone(),
                patience: PATIENCE,
            })?
            .map_err(|source| ClientError::Io {
                command: command.clone(),
                source,
            })?;
        if !output.status.success() {
            return Err(ClientError::Failed {
                command,
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// One counter a line.
fn parse_values(command: &str, text: &str) -> Result<Values, ClientError> {
    text.lines()
        .map(|line| {
            parse::<ListedCounter>(command, line).map(|listed| (listed.counter, listed.value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_counter_a_line() {
        let text = "{\"counter\":\"like-0\",\"value\":7,\"clamped\":false}\n\
                    {\"counter\":\"like-1\",\"value\":-1,\"clamped\":false}\n";
        let values = parse_values("tally list", text).expect("two counters");
        assert_eq!(
            values,
            Values::from([("like-0".into(), 7), ("like-1".into(), -1)])
        );
    }

    #[test]
    fn an_unexpected_status_is_an_error_that_shows_it() {
        let error = parse::<Status>("tally status", "oops")
            .map(|_status| ())
            .expect_err("no JSON");
        assert!(error.to_string().contains("oops"), "{error}");
    }

    #[tokio::test]
    async fn a_failing_command_is_no_answer() {
        let client = Client::new("/bin/false".into());
        let node = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(!client.answers(node).await);
        let listed = client.list(node).await;
        assert!(
            matches!(listed, Err(ClientError::Failed { .. })),
            "{listed:?}"
        );
    }
}
