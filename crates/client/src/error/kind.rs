//! What can go wrong with a call, and the text that says so to people.
//!
//! Each text names the call, the node, what was seen, and what to do. Whether something has
//! changed is not known here: `error` adds it.

use std::{fmt, time::Duration};

use tonic::Status;

use super::{
    Effect,
    status::{is_connect_failure, reason_of},
};

/// What went wrong.
#[derive(Debug)]
pub(super) enum ErrorKind {
    /// Refused by the client itself; nothing was sent.
    Argument { text: String },
    /// No node may be asked before the deadline; nothing was sent.
    Backoff {
        call: &'static str,
        pause: Duration,
        deadline: Duration,
    },
    /// The node, or the connection to it, failed the call.
    Call {
        node: String,
        call: &'static str,
        effect: Effect,
        status: Status,
    },
    /// No answer in time.
    Deadline {
        node: String,
        call: &'static str,
        effect: Effect,
        waited: Duration,
    },
    /// The node answered what `tally.v1` does not allow.
    Protocol {
        node: String,
        call: &'static str,
        unexpected: Unexpected,
    },
    /// An ingest stream that has ended, and was used again.
    StreamOver { node: String },
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unexpected {
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument { text } => f.write_str(text),
            Self::Backoff {
                call,
                pause,
                deadline,
            } => write!(
                f,
                "{call}: every node has failed and is left alone, the first for another {} ms, \
                 which the deadline of {} ms does not allow; allow a longer deadline or a shorter \
                 back-off, or check that the nodes are well",
                pause.as_millis(),
                deadline.as_millis()
            ),
            Self::Call {
                node, call, status, ..
            } => fmt_status(f, node, call, status),
            Self::Deadline {
                node,
                call,
                effect,
                waited,
            } => {
                let missing = match effect {
                    Effect::Reads | Effect::Adds => "answer",
                    Effect::ReadsAfterToken => "learn of the token's add",
                };
                let waited_ms = waited.as_millis();
                write!(
                    f,
                    "{call}: {node} did not {missing} within {waited_ms} ms; allow a longer \
                     deadline, or check that the nodes are well"
                )
            }
            Self::Protocol {
                node,
                call,
                unexpected: Unexpected { expected, found },
            } => write!(
                f,
                "{call}: {node} answered {found} where {expected} is due; check that it is a \
                 Tally node that speaks tally.v1"
            ),
            Self::StreamOver { node } => write!(
                f,
                "ingest: the stream to {node} has ended; open another one"
            ),
        }
    }
}

fn fmt_status(f: &mut fmt::Formatter<'_>, node: &str, call: &str, status: &Status) -> fmt::Result {
    let (code, message) = (status.code(), status.message());
    match reason_of(status) {
        _ if is_connect_failure(status) => write!(
            f,
            "{call}: no connection to {node} ({message}); check the address and that the node runs"
        ),
        Some(reason) => write!(f, "{call}: {node} refused with {reason}: {message}"),
        None => write!(f, "{call}: {node} failed with {code}: {message}"),
    }
}
