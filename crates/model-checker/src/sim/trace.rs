//! The trace of a run: what happened in it, for a person to follow.
//!
//! Every entry also goes into a hash: two runs of one schedule must leave the same trace, or
//! something in them depends on more than the seed. The entries themselves are kept only when
//! somebody is going to read them.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::kinds::FaultKind;
use super::queue::SimTime;
use super::schedule::{CrashPoint, Fault};

/// The name of a counter in traces and on the simulated wire.
pub(crate) fn counter_name(counter: usize) -> String {
    use super::schedule::{COUNTER_HUGE, COUNTERS_GROWING};
    match counter {
        COUNTER_HUGE => format!("huge-{counter}"),
        counter if counter < COUNTERS_GROWING => format!("up-{counter}"),
        counter => format!("both-{counter}"),
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum TraceEntry {
    Taken {
        node: usize,
        add: usize,
        counter: usize,
        amount: i64,
        is_claim: bool,
    },
    Sent {
        request: usize,
        node: usize,
        is_moved: bool,
    },
    SessionClosed {
        node: usize,
    },
    Refused {
        node: usize,
    },
    IngestTaken {
        node: usize,
        number: u64,
        message: usize,
    },
    Acknowledged {
        node: usize,
        request: usize,
    },
    Read {
        node: usize,
        counter: usize,
        value: i128,
    },
    ReadOwn {
        node: usize,
        request: usize,
    },
    Appended {
        node: usize,
        bytes: u64,
    },
    LogFailed {
        node: usize,
    },
    Stopped {
        node: usize,
    },
    Synced {
        node: usize,
    },
    Snapshot {
        node: usize,
    },
    FaultBegins {
        node: usize,
        fault: Fault,
    },
    FaultFired {
        node: usize,
        kind: FaultKind,
    },
    FaultEnds {
        node: usize,
        fault: Fault,
    },
    Started {
        node: usize,
        incarnation: usize,
    },
    Replaced {
        node: usize,
    },
    Message(MessageEntry),
    Settling,
    Isolated,
    Healed,
}

/// One thing that happened between nodes. Lanes are numbered by incarnation.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) enum MessageEntry {
    Opened {
        node: usize,
        peer: usize,
    },
    Unreached {
        node: usize,
        peer: usize,
    },
    Sent {
        from: usize,
        to: usize,
        lane: usize,
        upto: u64,
    },
    Undelivered {
        from: usize,
        to: usize,
    },
    Received {
        node: usize,
        shard: usize,
        lane: usize,
        upto: u64,
        taken: bool,
    },
    ForkFound {
        node: usize,
        shard: usize,
        lane: usize,
    },
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Taken {
                node,
                add,
                counter,
                amount,
                is_claim,
            } => {
                let name = counter_name(counter);
                let takes = if is_claim { "claims" } else { "takes" };
                write!(f, "node {node} {takes} add #{add}: {amount:+} to {name}")
            }
            Self::Sent {
                request,
                node,
                is_moved,
            } => {
                let how = if is_moved { "moves" } else { "sends" };
                write!(f, "a client {how} request #{request} to node {node}")
            }
            Self::SessionClosed { node } => write!(f, "node {node} closes a session"),
            Self::Refused { node } => write!(f, "node {node} refuses adds"),
            Self::IngestTaken {
                node,
                number,
                message,
            } => {
                write!(
                    f,
                    "node {node} takes message {message} of ingest stream {number}"
                )
            }
            Self::Acknowledged { node, request } => {
                write!(f, "node {node} says that request #{request} counts")
            }
            Self::Read {
                node,
                counter,
                value,
            } => {
                write!(f, "node {node} answers {} = {value}", counter_name(counter))
            }
            Self::ReadOwn { node, request } => {
                write!(f, "node {node} covers the token of request #{request}")
            }
            Self::Appended { node, bytes } => {
                write!(f, "node {node} appends a group of {bytes} bytes")
            }
            Self::LogFailed { node } => write!(f, "the log of node {node} fails"),
            Self::Stopped { node } => {
                write!(f, "node {node} stops, since its own lane has forked")
            }
            Self::Synced { node } => write!(f, "node {node} has synced the group"),
            Self::Snapshot { node } => write!(f, "node {node} takes a snapshot"),
            Self::Started { node, incarnation } => {
                write!(f, "node {node} starts as incarnation {incarnation}")
            }
            Self::Replaced { node } => {
                write!(f, "an operator gives node {node} an empty directory")
            }
            Self::FaultBegins { node, fault } => fmt_fault(f, node, fault),
            Self::FaultFired { node, kind } => write!(f, "node {node}: {}", kind.says()),
            Self::FaultEnds { node, fault } => write!(f, "node {node}: over: {fault:?}"),
            Self::Message(message) => message.fmt(f),
            Self::Settling => write!(f, "the faults end; all nodes run"),
            Self::Isolated => write!(f, "no node reaches another"),
            Self::Healed => write!(f, "the network heals"),
        }
    }
}

impl fmt::Display for MessageEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Opened { node, peer } => {
                write!(f, "node {node} dials node {peer}")
            }
            Self::Unreached { node, peer } => {
                write!(f, "node {node} does not reach node {peer}")
            }
            Self::Sent {
                from,
                to,
                lane,
                upto,
            } => {
                write!(f, "node {from} sends node {to} lane {lane} up to {upto}")
            }
            Self::Undelivered { from, to } => {
                write!(f, "a message from node {from} to node {to} does not arrive")
            }
            Self::Received {
                node,
                shard,
                lane,
                upto,
                taken,
            } => {
                let what = if taken { "takes" } else { "knew" };
                write!(
                    f,
                    "node {node} {what} lane {lane} of shard {shard} up to {upto}"
                )
            }
            Self::ForkFound { node, shard, lane } => {
                write!(
                    f,
                    "node {node} reports that lane {lane} of shard {shard} has forked"
                )
            }
        }
    }
}

fn fmt_fault(f: &mut fmt::Formatter<'_>, node: usize, fault: Fault) -> fmt::Result {
    match fault {
        Fault::Crash { point, power } => {
            let when = match point {
                CrashPoint::Idle => "now",
                CrashPoint::BeforeWrite => "before its next write",
                CrashPoint::BeforeSync => "between its next write and sync",
                CrashPoint::BeforeAck => "between its next sync and acknowledgement",
            };
            let how = if power { "loses power" } else { "is killed" };
            write!(f, "node {node} {how} {when}")
        }
        Fault::PowerOutage => write!(f, "all nodes lose power"),
        Fault::SyncFails { marked_clean } => {
            let pages = if marked_clean {
                "marked as clean"
            } else {
                "lost"
            };
            write!(
                f,
                "the next sync of node {node} will fail, with its pages {pages}"
            )
        }
        Fault::DiskFull => write!(f, "the disk of node {node} is full"),
        Fault::DiskLost => write!(f, "node {node} dies and its directory is gone"),
        Fault::DiskRolledBack { to } => {
            write!(f, "node {node} dies and its directory is set back to {to}")
        }
        Fault::DiskCopied { from } => {
            write!(
                f,
                "node {node} dies and gets a copy of the directory of node {from}"
            )
        }
        Fault::Pause => write!(f, "node {node} stands still"),
        Fault::SlowNode => write!(f, "node {node} becomes slow"),
        Fault::SlowDisk => write!(f, "the disk of node {node} becomes slow"),
        Fault::Clock { forward, by_us } => {
            let sign = if forward { '+' } else { '-' };
            write!(
                f,
                "the clock of node {node} jumps by {sign}{} ms",
                by_us / 1000
            )
        }
        Fault::Split { mask } => {
            write!(
                f,
                "nodes of the mask {mask:#b} and the others do not reach each other"
            )
        }
        Fault::OneWay => write!(f, "what node {node} sends arrives nowhere"),
        Fault::Partial { with } => {
            write!(f, "nodes {node} and {with} do not reach each other")
        }
        Fault::DialOnly => write!(f, "nobody can dial node {node} any more"),
        Fault::Stranger => {
            write!(
                f,
                "a stranger tells node {node} that it knows more of its lane"
            )
        }
        Fault::StreamReset { from } => {
            write!(f, "the stream from node {from} to node {node} breaks")
        }
    }
}

/// The trace of one run.
#[derive(Default)]
pub(crate) struct Trace {
    hash: TraceHasher,
    kept: Option<Vec<(SimTime, TraceEntry)>>,
}

impl Trace {
    /// A trace that is only hashed, or one that is kept to be read.
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hash: TraceHasher::default(),
            kept: keep.then(Vec::new),
        }
    }

    /// The next entry.
    pub(crate) fn push(&mut self, at: SimTime, entry: TraceEntry) {
        (at, entry).hash(&mut self.hash);
        if let Some(kept) = &mut self.kept {
            kept.push((at, entry));
        }
    }

    /// What two runs of one schedule have in common.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The entries, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let kept = self.kept.as_deref().unwrap_or_default();
        kept.iter()
            .map(|(at, entry)| format!("{at}  {entry}"))
            .collect()
    }
}

/// Mixes words. The standard library's hasher may change between releases of the compiler, and is
/// slower than the rest of the simulator.
#[derive(Default)]
struct TraceHasher(u64);

impl Hasher for TraceHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.unsigned_abs() as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
