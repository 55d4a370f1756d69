//! The commands of a transcript, and their arguments.

use std::str::FromStr;
use std::time::Duration;

use crdt_core::{Mark, StartId, Version};

/// A command. Whatever is not one of these, or has other arguments, fails the transcript.
#[derive(Debug, goldenscript::Command)]
pub(super) enum Command {
    // Building.
    /// The cluster's shards, and limits other than the deployed ones; before all nodes.
    Cluster(
        #[arg(key = "shards")] Option<u32>,
        #[arg(key = "piece_records_max")] Option<usize>,
        #[arg(key = "snapshot_log_bytes_min")] Option<u64>,
    ),
    /// Nodes with empty directories, each started.
    Nodes(Vec<String>),
    /// The first has the second as `--peer`: it dials it now, and whenever its `Dialer` says.
    Peer(String, String),
    /// Every node has all others as peers.
    Mesh,

    // Clients.
    /// One request with these adds.
    Add(String, Vec<(String, i64)>),
    /// One request that adds 1 to each of so many counters with long names: `c00000`, `c00001`, ...
    Fill(String, u32),
    /// A read of one counter, with the token of an add.
    Read(
        String,
        String,
        #[arg(key = "token")] Option<u32>,
        #[arg(key = "wait")] Option<Span>,
    ),
    /// A client opens an ingest stream.
    Open(String),
    /// The next message of the ingest stream: its number, new names, and a dictionary index an add.
    Message(
        String,
        u64,
        #[arg(key = "names", optional)] String,
        #[arg(key = "entries", optional)] String,
    ),
    /// The client closes the ingest stream.
    Close(String),

    // Steps.
    /// The commit loop does the next thing that is due.
    Step(String),
    /// The commit loop does all that is due.
    Commit(String),
    /// The snapshot under way goes on by one piece, or ends after the last.
    Piece(String),
    /// Everything under way from the first to the second arrives, on both their streams.
    Deliver(String, String),
    /// Everything happens that is due within this time (or now): messages arrive, rounds complete.
    Run(Option<Span>),

    // The network.
    /// What the first sends to the second stands still on its way.
    Hold(String, String),
    /// It goes on.
    Release(String, String),
    /// The link breaks, with the streams over it.
    Cut(String, String),
    /// It is whole again.
    Mend(String, String),
    /// Nobody can dial the node any more.
    DialOnly(String),
    /// A message made by hand, as if the peer had sent it: an interval with one record.
    Forge(
        String,
        String,
        String,
        #[arg(key = "after")] MarkArgument,
        #[arg(key = "to")] MarkArgument,
    ),
    /// A stranger dials the node and reports that it holds a lane so far.
    Stranger(String, String, MarkArgument),

    // Processes and disks.
    /// The process is killed: what it has written stays in the page cache.
    Kill(String),
    /// The machine loses power: what was not synced is gone, or torn at this byte of its file.
    Power(String, #[arg(key = "torn")] Option<u64>),
    /// The process is killed within a file operation, after so many more that change something.
    KillWithin(String, u64),
    /// The process ends in order.
    Stop(String),
    /// The process starts, on what is in its directory.
    Start(String),
    /// A copy of the directory is put aside ...
    Backup(String),
    /// ... and put back, while the process is down.
    Restore(String),
    /// The directory is lost, while the process is down.
    Lose(String),
    /// The first node's directory is copied to the second, which is down.
    Copy(String, String),
    /// A bit of the last segment flips, so many bytes before its end.
    Flip(String, usize),
    /// The next sync fails: of its pages, `dropped` ones are gone, `clean` ones stay in the cache.
    FailSync(String, String),
    /// The disk has no more room than what is used and so many bytes.
    Full(String, usize),
    /// The disk has room again.
    Room(String),

    // Looking.
    /// What a node holds and shows.
    State(String),
    /// The files of a node's directory.
    Files(String),
}

/// A time such as `500ms` or `10s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub(super) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(char::is_alphabetic);
        let number: Option<u64> = digits.parse().ok();
        match (number, &text[digits.len()..]) {
            (Some(ms), "ms") => Ok(Self(Duration::from_millis(ms))),
            (Some(seconds), "s") => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(format!("{text:?} is no time; write 500ms or 10s")),
        }
    }
}

/// A mark such as `3@s1`; `0` is the empty lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct MarkArgument(pub(super) Mark);

impl FromStr for MarkArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(Mark::ZERO));
        }
        let parse = || {
            let (version, start) = text.split_once("@s")?;
            Some(Mark {
                version: Version::new(version.parse().ok()?),
                start: StartId::new(start.parse().ok()?),
            })
        };
        let mark = parse().ok_or_else(|| format!("{text:?} is no mark; write 3@s1"))?;
        Ok(Self(mark))
    }
}
