//! Trace validation: did the processes do what the machines do?
//!
//! The worlds and the simulator check the machines; `tallyd` puts sockets, files, threads and locks
//! around them, and no model knows those. So a node writes a line for each step that it makes
//! (`tallyd --trace`, the crate [`trace`]), and here the lines of all nodes are replayed: each
//! start of a process has its own real [`Shard`](protocol::Shard)s and
//! [`CommitRounds`](protocol::CommitRounds), which are driven by the lines and must give the same
//! rounds, marks, groups and outcomes. After Howard et al., "Smart Casual Verification of the
//! Confidential Consortium Framework" (NSDI 2025), where traces are replayed into a specification.
//!
//! What a lane holds is replayed as one counter, whose sum stands for the hash of it: an add of
//! any content adds the hash's last 32 bits. The whole hash is compared by the
//! ledger, which knows each lane's content at each mark from its owner's takes.
//!
//! | the checker refuses | because |
//! | --- | --- |
//! | a round, a mark or an outcome that differs from the machine's | that machine is deployed |
//! | anything sent, reported or copied into a snapshot beyond what is held, and a group held before its sync | durability |
//! | an awaited round that is not complete, and rounds out of order | an acknowledgement waits for its round |
//! | a content that is not the sum of the takes up to its mark, with owner, receivers and recovery alike | nothing is lost, doubled or torn on the way |
//! | an interval that nobody has sent to this node, or that leaves a gap | streams are reliable, and begin with what is held |
//! | a restart that lacks what was synced, or has what was not appended before it | recovery gives a prefix with everything synced |
//! | a snapshot without what was held when it began | the segments that it stands for go |
//! | a line that is missing in the middle | lines are numbered |
//!
//! **What it does not show.** That a line tells the truth where nothing else depends on it: a
//! process that says "synced" without syncing is believed (the kill tests look at what was
//! acknowledged). That a reader saw the right value: reads leave no lines. What was *not* done, and
//! should have been: a trace that stops is the beginning of a good one. A lane that forks: a
//! directory that was rolled back or copied is refused as such. And it needs all nodes' traces
//! from their first start on.

mod error;
mod ledger;
mod life;
mod node;
mod reader;
mod recovery;
mod rounds;

use std::path::Path;

pub use error::{Mismatch, ValidationError};
use ledger::{Ledger, Shipment};
use node::NodeReplay;
use reader::TraceFile;
use trace::{Line, Step};

/// The text of a trace with these lines, numbered anew, so that only what they say can be wrong:
/// for tests that alter one.
///
/// # Panics
///
/// Never: lines are plain values.
#[must_use]
pub fn numbered(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut n = 0;
    for line in lines {
        if matches!(line.step, Step::Start { .. }) {
            n = 0;
        }
        let step = line.step.clone();
        text += &serde_json::to_string(&Line { n, step }).expect("plain values");
        text.push('\n');
        n += 1;
    }
    text
}

/// What was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Traces.
    pub files: u64,
    /// Their lines.
    pub lines: u64,
    /// Their size.
    pub bytes: u64,
    /// Starts of processes.
    pub starts: u64,
    /// Takes.
    pub takes: u64,
    /// Rounds completed.
    pub rounds: u64,
    /// Intervals sent, ...
    pub sent: u64,
    /// ... and received.
    pub received: u64,
    /// Snapshots written.
    pub snapshots: u64,
}

/// Whether a line could be replayed.
enum Progress {
    /// It was.
    Done,
    /// It waits for a line of another node.
    Blocked,
}

/// A node's trace and what was replayed of it.
struct Replay {
    file: TraceFile,
    node: NodeReplay,
}

/// Replays the traces of all nodes, one a file.
///
/// # Errors
///
/// At the first line that the machines would not have led to, or that is none; and when a file
/// cannot be read.
pub fn validate(files: &[impl AsRef<Path>]) -> Result<Summary, ValidationError> {
    let mut ledger = Ledger::default();
    let mut summary = Summary {
        files: files.len() as u64,
        ..Summary::default()
    };
    let mut replays = Vec::new();
    for path in files {
        replays.push(Replay {
            file: TraceFile::open(path.as_ref())?,
            node: NodeReplay::default(),
        });
    }
    loop {
        let mut has_moved = false;
        for replay in &mut replays {
            has_moved |= replay.run(&mut ledger, &mut summary)?;
        }
        if !has_moved {
            break;
        }
    }
    for replay in &replays {
        summary.bytes += replay.file.bytes();
        if replay.file.lines() == 0 {
            return Err(ValidationError::Empty {
                path: replay.file.path().to_owned(),
            });
        }
    }
    explain_blocked(replays).map(|()| summary)
}

impl Replay {
    /// Replays until a line waits for another node; whether any was replayed.
    fn run(&mut self, ledger: &mut Ledger, summary: &mut Summary) -> Result<bool, ValidationError> {
        let mut has_moved = false;
        while let Some((number, step)) = self.file.peek()? {
            match self.node.replay(ledger, step) {
                Ok(Progress::Done) => {}
                Ok(Progress::Blocked) => break,
                Err(mismatch) => return Err(mismatch.at(self.file.path(), number)),
            }
            summary.count(step);
            self.file.next();
            has_moved = true;
        }
        Ok(has_moved)
    }
}

/// All lines are replayed; or some wait for what nobody has sent.
fn explain_blocked(mut replays: Vec<Replay>) -> Result<(), ValidationError> {
    let mut blocked = Vec::new();
    for replay in &mut replays {
        if let Some((number, step)) = replay.file.peek()? {
            let awaited = replay.node.awaited(step).expect("only a receipt waits");
            blocked.push((replay.file.path().to_owned(), number, awaited));
        }
    }
    // What a later line sends waits for that line: the cause is another one.
    let mut causes = blocked.clone();
    for replay in &mut replays {
        while let Some((_, step)) = replay.file.peek()? {
            causes.retain(|(.., awaited)| Shipment::sent(step) != Some(*awaited));
            replay.file.next();
        }
    }
    let Some((path, number, awaited)) = causes.into_iter().chain(blocked).next() else {
        return Ok(());
    };
    let mismatch = Mismatch {
        expected: format!("an interval that some node has sent to {}", awaited.peer),
        found: format!(
            "one of lane {} of shard {}, from {} to {}",
            awaited.lane, awaited.shard, awaited.after, awaited.to
        ),
    };
    Err(mismatch.at(&path, number))
}

impl Summary {
    fn count(&mut self, step: &Step) {
        self.lines += 1;
        let kind = match step {
            Step::Start { .. } => &mut self.starts,
            Step::Take { .. } => &mut self.takes,
            Step::Complete { .. } => &mut self.rounds,
            Step::Send { .. } => &mut self.sent,
            Step::Receive { .. } => &mut self.received,
            Step::SnapshotWritten { .. } => &mut self.snapshots,
            Step::Recovered(_)
            | Step::Open { .. }
            | Step::Due { .. }
            | Step::Commit { .. }
            | Step::Appended { .. }
            | Step::Synced { .. }
            | Step::Held { .. }
            | Step::Cut { .. }
            | Step::Copied { .. }
            | Step::SnapshotFailed { .. }
            | Step::Closing
            | Step::Report { .. }
            | Step::Awaited { .. }
            | Step::Counted(_) => return,
        };
        *kind += 1;
    }
}
