//! The `tally` command, used as a user would: every question to a node and every like sent to one
//! goes through a process of its own that speaks gRPC.
//!
//! This file knows the command's arguments and its JSON output, and nothing about what is counted
//! or why. The load generator's samples are handed on while it runs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// How long one question to a node may take, as the command's own deadline. Answers come in
/// milliseconds, or in a few round trips from a baseline; a dead node should not be waited for.
const DEADLINE_MS: u64 = 2_000;
/// When a process of the command is given up: its own deadline should always come first.
const PATIENCE: Duration = Duration::from_mins(1);

/// The command could not be run, failed, or answered something unexpected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The operating system refused.
    #[error("running `{command}`: {source}")]
    Io {
        /// What was run.
        command: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The command failed.
    #[error("`{command}` ended with {status}: {stderr}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The command never ended.
    #[error("`{command}` did not end within {patience:?} and was killed")]
    Stuck {
        /// What was run.
        command: String,
        /// How long xtask waited.
        patience: Duration,
    },
    /// The output is not what this file expects.
    #[error("`{command}` answered what xtask does not understand ({source}): {output}")]
    Output {
        /// What was run.
        command: String,
        /// What is wrong.
        source: serde_json::Error,
        /// The output, or the line of it.
        output: String,
    },
    /// The load generator ended well without its result line.
    #[error("`{command}` printed no result line")]
    NoResult {
        /// What was run.
        command: String,
    },
}

/// Values by counter name.
pub(crate) type Values = BTreeMap<String, i64>;
/// What became of the likes of each counter, by counter name.
pub(crate) type Counts = BTreeMap<String, Tried>;

/// What became of the likes sent to one counter.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct Tried {
    /// Likes that a node has acknowledged: they must count.
    pub(crate) acknowledged: u64,
    /// Likes that were sent and got no answer: each counts once or not at all.
    pub(crate) indeterminate: u64,
}

/// How likes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One call a like.
    Unary,
    /// One call for several likes.
    Batch,
    /// A stream of packed likes.
    Ingest,
}

impl Mode {
    fn argument(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Batch => "batch",
            Self::Ingest => "ingest",
        }
    }
}

/// What the load generator is to do.
#[derive(Clone, Debug)]
pub(crate) struct LoadPlan {
    /// How likes are sent.
    pub(crate) mode: Mode,
    /// How many counters are liked.
    pub(crate) counters: u32,
    /// How unevenly: 0 is evenly; at 1 the second counter gets half of the first one's likes.
    pub(crate) zipf: f64,
    /// Likes a message.
    pub(crate) batch: u32,
    /// Messages without an answer, per node.
    pub(crate) in_flight: u32,
    /// When to stop.
    pub(crate) seconds: f64,
    /// Stop earlier, after so many likes.
    pub(crate) adds_max: Option<u64>,
    /// What the counters' names begin with.
    pub(crate) prefix: &'static str,
    /// Where the generator writes its [`Counts`].
    pub(crate) counts: PathBuf,
}

/// A moment of a load.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sample {
    /// Milliseconds since the load began.
    pub(crate) t_ms: f64,
    /// Likes acknowledged so far, by all nodes.
    pub(crate) acknowledged: u64,
}

/// The load generator's own summary.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LoadResult {
    /// How long likes were sent, in seconds.
    pub(crate) seconds: f64,
    /// Likes acknowledged.
    pub(crate) acknowledged: u64,
    /// Likes without an answer.
    pub(crate) indeterminate: u64,
    /// Acknowledged likes a second.
    pub(crate) likes_per_s: f64,
    /// Answered messages a second.
    pub(crate) requests_per_s: f64,
    /// Half of the messages were answered faster, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    /// Of a hundred messages, 99 were answered faster, in milliseconds.
    pub(crate) p99_ms: Option<f64>,
}

/// A finished load.
#[derive(Clone, Debug)]
pub(crate) struct LoadOutcome {
    /// The generator's summary.
    pub(crate) result: LoadResult,
    /// What it counted, per counter.
    pub(crate) counts: Counts,
    /// All samples, in order.
    pub(crate) samples: Vec<Sample>,
    /// When the summary was printed: just after the last acknowledgement.
    pub(crate) ended: Instant,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LoadLine {
    Sample(Sample),
    Result(LoadResult),
}

#[derive(Deserialize)]
struct CountsFile {
    counters: Counts,
}

#[derive(Deserialize)]
struct ListedCounter {
    counter: String,
    value: i64,
}

#[derive(Deserialize)]
struct Status {
    counters: u64,
}

/// The URL of a node.
pub(crate) fn url(node: SocketAddr) -> String {
    format!("http://{node}")
}

/// The `tally` program.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    program: PathBuf,
}

impl Client {
    /// Uses the program at this path.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

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

    /// Runs the load generator to its end, which is `plan.seconds` plus what is still unanswered.
    pub(crate) async fn load(
        &self,
        nodes: &[SocketAddr],
        plan: &LoadPlan,
        mut on_sample: impl FnMut(&Sample),
    ) -> Result<LoadOutcome, ClientError> {
        let arguments = load_arguments(nodes, plan);
        let command = self.shown(&arguments);
        let io = |source| ClientError::Io {
            command: command.clone(),
            source,
        };
        let mut child = Command::new(&self.program)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(io)?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let patience = PATIENCE + Duration::from_secs_f64(plan.seconds);
        let run = async {
            let mut said = String::new();
            let (lines, _stderr) = tokio::join!(
                read_load(stdout, &command, &mut on_sample),
                stderr.read_to_string(&mut said)
            );
            let status = child.wait().await.map_err(io)?;
            if !status.success() {
                return Err(ClientError::Failed {
                    command: command.clone(),
                    status,
                    stderr: said,
                });
            }
            let (samples, result) = lines?;
            let (result, ended) = result.ok_or_else(|| ClientError::NoResult {
                command: command.clone(),
            })?;
            let text = fs::read_to_string(&plan.counts).map_err(io)?;
            let counts = parse::<CountsFile>(&command, &text)?.counters;
            Ok(LoadOutcome {
                result,
                counts,
                samples,
                ended,
            })
        };
        timeout(patience, run).await.unwrap_or_else(|_elapsed| {
            Err(ClientError::Stuck {
                command: command.clone(),
                patience,
            })
        })
    }

    async fn ask(&self, node: SocketAddr, question: &[&str]) -> Result<String, ClientError> {
        let command = self.shown(question);
        let running = Command::new(&self.program)
            .args([
                "--node",
                &url(node),
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

    fn shown<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> String {
        let mut shown = self
            .program
            .file_name()
            .map_or_else(OsString::new, OsString::from);
        for argument in arguments {
            shown.push(" ");
            shown.push(argument);
        }
        shown.to_string_lossy().into_owned()
    }
}

fn load_arguments(nodes: &[SocketAddr], plan: &LoadPlan) -> Vec<OsString> {
    let urls: Vec<String> = nodes.iter().copied().map(url).collect();
    let mut arguments: Vec<OsString> = vec!["load".into()];
    let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
    option("--node", urls.join(",").into());
    option("--mode", plan.mode.argument().into());
    option("--counters", plan.counters.to_string().into());
    option("--zipf", plan.zipf.to_string().into());
    option("--batch", plan.batch.to_string().into());
    option("--in-flight", plan.in_flight.to_string().into());
    option("--seconds", plan.seconds.to_string().into());
    option("--prefix", plan.prefix.into());
    option("--counts", plan.counts.clone().into());
    if let Some(adds_max) = plan.adds_max {
        option("--adds", adds_max.to_string().into());
    }
    arguments
}

/// Reads the generator's lines; the result comes with the moment it arrived.
async fn read_load(
    stdout: ChildStdout,
    command: &str,
    on_sample: &mut impl FnMut(&Sample),
) -> Result<(Vec<Sample>, Option<(LoadResult, Instant)>), ClientError> {
    let mut lines = BufReader::new(stdout).lines();
    let mut samples = Vec::new();
    let mut result = None;
    loop {
        let line = lines.next_line().await;
        let line = line.map_err(|source| ClientError::Io {
            command: command.into(),
            source,
        })?;
        let Some(line) = line else {
            return Ok((samples, result));
        };
        match parse(command, &line)? {
            LoadLine::Sample(sample) => {
                on_sample(&sample);
                samples.push(sample);
            }
            LoadLine::Result(summary) => result = Some((summary, Instant::now())),
        }
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

fn parse<T: DeserializeOwned>(command: &str, text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|source| ClientError::Output {
        command: command.into(),
        source,
        output: text.chars().take(400).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generators_lines_are_understood() {
        let sample = r#"{"sample":{"t_ms":100,"acknowledged":12,"per_node":[4,4,4]}}"#;
        let result = r#"{"result":{"mode":"unary","nodes":3,"seconds":2.5,"acknowledged":50,
            "indeterminate":0,"refused":0,"requests":50,"likes_per_s":20.0,"requests_per_s":20.0,
            "batch":1,"p50_ms":49.5,"p99_ms":null,"errors":{}}}"#;
        let LoadLine::Sample(sample) = parse("tally", sample).expect("a sample") else {
            panic!("not a sample")
        };
        assert_eq!(sample.acknowledged, 12);
        let LoadLine::Result(result) = parse("tally", result).expect("a result") else {
            panic!("not a result")
        };
        assert_eq!(
            (result.acknowledged, result.p50_ms, result.p99_ms),
            (50, Some(49.5), None)
        );
    }

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
    fn an_unexpected_line_is_an_error_that_shows_it() {
        let error = parse::<LoadLine>("tally load", "oops")
            .map(|_line| ())
            .expect_err("no JSON");
        assert!(error.to_string().contains("oops"), "{error}");
    }

    #[tokio::test]
    async fn a_failing_command_is_an_error_that_shows_what_it_said() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let client = Client::new("/bin/false".into());
        let node = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(!client.answers(node).await);
        let plan = LoadPlan {
            mode: Mode::Unary,
            counters: 1,
            zipf: 0.0,
            batch: 1,
            in_flight: 1,
            seconds: 0.1,
            adds_max: None,
            prefix: "like-",
            counts: dir.path().join("counts.json"),
        };
        let outcome = client.load(&[node], &plan, |_sample| {}).await;
        assert!(
            matches!(outcome, Err(ClientError::Failed { .. })),
            "{outcome:?}"
        );
    }
}
