//! The load generator, `tally load`: a process of its own that makes likes and keeps books.
//!
//! Its samples are handed on while it runs. They also tell where its clock stands on ours, to a
//! millisecond: that is how the moment of the last acknowledgement is known.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::command::{Client, ClientError, PATIENCE, parse, url};
use crate::launch;

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
    /// Whether they are requests of sessions, which count once however often they are sent.
    pub(crate) sessions: bool,
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
    /// When the load began: what the samples' times count from.
    pub(crate) began: Instant,
    /// When the last like was sent or acknowledged.
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

impl Client {
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
        let mut child = Command::from(launch::command(&self.program))
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
            let (told, _stderr) = tokio::join!(
                Told::read(stdout, &command, &mut on_sample),
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
            let text = fs::read_to_string(&plan.counts).map_err(io)?;
            let counts = parse::<CountsFile>(&command, &text)?.counters;
            let Told {
                samples,
                began: Some(began),
                result: Some(result),
            } = told?
            else {
                return Err(ClientError::NoResult {
                    command: command.clone(),
                });
            };
            let ended = began + Duration::from_secs_f64(result.seconds);
            Ok(LoadOutcome {
                result,
                counts,
                samples,
                began,
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
    if plan.sessions {
        arguments.push("--sessions".into());
    }
    arguments
}

/// What the generator has told.
#[derive(Default)]
struct Told {
    samples: Vec<Sample>,
    /// The earliest beginning that a sample's arrival and its own time give: the arrival that was
    /// held up least.
    began: Option<Instant>,
    result: Option<LoadResult>,
}

impl Told {
    async fn read(
        stdout: ChildStdout,
        command: &str,
        on_sample: &mut impl FnMut(&Sample),
    ) -> Result<Self, ClientError> {
        let mut lines = BufReader::new(stdout).lines();
        let mut told = Self::default();
        loop {
            let line = lines.next_line().await;
            let line = line.map_err(|source| ClientError::Io {
                command: command.into(),
                source,
            })?;
            let Some(line) = line else { return Ok(told) };
            match parse(command, &line)? {
                LoadLine::Sample(sample) => {
                    on_sample(&sample);
                    let since = Duration::from_secs_f64(sample.t_ms / 1e3);
                    let began = Instant::now().checked_sub(since).or(told.began);
                    told.began = told
                        .began
                        .map_or(began, |known| began.map(|new| new.min(known)));
                    told.samples.push(sample);
                }
                LoadLine::Result(result) => told.result = Some(result),
            }
        }
    }
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

    #[tokio::test]
    async fn a_generator_that_fails_is_an_error() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let plan = LoadPlan {
            mode: Mode::Unary,
            sessions: false,
            counters: 1,
            zipf: 0.0,
            batch: 1,
            in_flight: 1,
            seconds: 0.1,
            adds_max: None,
            prefix: "like-",
            counts: dir.path().join("counts.json"),
        };
        let node = SocketAddr::from(([127, 0, 0, 1], 1));
        let outcome = Client::new("/bin/false".into())
            .load(&[node], &plan, |_sample| {})
            .await;
        assert!(
            matches!(outcome, Err(ClientError::Failed { .. })),
            "{outcome:?}"
        );
    }
}
