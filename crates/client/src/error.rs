//! The one error of the client, and the question that matters after a failed add: has it counted?
//!
//! The error is opaque, so that a new kind of failure breaks no caller; predicates say what a
//! caller can act on, and the text (in `kind`) says what failed, on which node, and what to do.
//! What a gRPC status says of a call is read in `status`.

mod kind;
mod status;

use std::{error, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::kind::ErrorKind;
pub(crate) use self::kind::Unexpected;
pub(crate) use self::status::{REASON_DOMAIN, is_expired};
use self::status::{
    changes_of_failed_add, is_about_session, is_connect_failure, is_timeout, is_transient, places,
    reason_of,
};

/// What a failed call has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// Nothing, provably.
    None,
    /// Everything that was asked, or nothing.
    Unknown,
    /// Some of what was asked, for good.
    InPart,
}

/// What a call does to counters, which decides what a failure may have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    /// Reads once the node knows of the add behind a token.
    ReadsAfterToken,
    Adds,
}

impl Effect {
    /// What a call may have changed that failed without being refused.
    fn unless_refused(self) -> Changes {
        match self {
            Self::Reads | Self::ReadsAfterToken => Changes::None,
            Self::Adds => Changes::Unknown,
        }
    }
}

/// Why a call failed, and what became of it.
///
/// ```no_run
/// # async fn example(client: tally_client::Client) {
/// match client.add("likes/post-1", 1).await {
///     Ok(_) => println!("counted once"),
///     Err(error) if error.is_indeterminate() => println!("counted once or not at all: {error}"),
///     Err(error) => println!("not counted: {error}"),
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Error {
    kind: Box<ErrorKind>,
    changes: Changes,
}

impl Error {
    /// The call changed nothing, and the same call may succeed later or on another node.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.changes == Changes::None
            && match &*self.kind {
                ErrorKind::Call { status, .. } => is_transient(status),
                ErrorKind::Backoff { .. }
                | ErrorKind::Deadline { .. }
                | ErrorKind::Protocol { .. } => true,
                ErrorKind::Argument { .. } | ErrorKind::StreamOver { .. } => false,
            }
    }

    /// The add may have counted, once, or not at all. It must not be repeated blindly. With
    /// [sessions](crate::Options::sessions) an add comes to this only when its deadline has passed, or
    /// its session was closed meanwhile.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        self.changes == Changes::Unknown
    }

    /// Some adds of a batch count, and the others do not and never will: which, by their places in the
    /// batch, ascending. This happens when a node fails while it takes a batch, and cannot take the
    /// rest of it when it is sent again, for example since a counter has left its range meanwhile.
    /// `None` for every other error. (What counts of a message of a stream is told by
    /// [`Ingest::counted`](crate::Ingest::counted).)
    #[must_use]
    pub fn counted_items(&self) -> Option<Vec<usize>> {
        if self.changes != Changes::InPart {
            return None;
        }
        let info = self.status()?.get_details_error_info()?;
        info.metadata.get("counted").map(|bits| places(bits))
    }

    /// The call itself is wrong; it fails on every node and at every time.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        let by_node = |status: &Status| status.code() == Code::InvalidArgument;
        matches!(*self.kind, ErrorKind::Argument { .. }) || self.status().is_some_and(by_node)
    }

    /// A node answered what `tally.v1` does not allow, such as two values for three names: the
    /// address is not that of a Tally node, or the node is faulty. The text says what was expected
    /// and what was found.
    #[must_use]
    pub fn is_protocol_violation(&self) -> bool {
        matches!(*self.kind, ErrorKind::Protocol { .. })
    }

    /// The add would have moved the counter past what 64 bits hold.
    #[must_use]
    pub fn is_out_of_range(&self) -> bool {
        self.reason().as_deref() == Some("VALUE_OUT_OF_RANGE")
    }

    /// The reason that the node gave, such as `"RECOVERING"`; the list is at the head of
    /// `proto/tally/v1/counter_service.proto`. None when no node gave one.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.status().and_then(reason_of)
    }

    /// A short name to group errors by: the reason, else the kind of failure, such as
    /// `"CONNECT"`, `"BACKOFF"`, `"DEADLINE"`, `"PROTOCOL"` or the name of the gRPC code.
    #[must_use]
    pub fn label(&self) -> String {
        let kind = match &*self.kind {
            ErrorKind::Argument { .. } => "ARGUMENT",
            ErrorKind::Backoff { .. } => "BACKOFF",
            ErrorKind::Deadline { .. } => "DEADLINE",
            ErrorKind::Protocol { .. } => "PROTOCOL",
            ErrorKind::StreamOver { .. } => "STREAM_OVER",
            ErrorKind::Call { status, .. } if is_connect_failure(status) => "CONNECT",
            ErrorKind::Call { status, .. } => {
                return reason_of(status).unwrap_or_else(|| format!("{:?}", status.code()));
            }
        };
        kind.to_owned()
    }

    pub(crate) fn argument(text: impl Into<String>) -> Self {
        Self::new(Changes::None, ErrorKind::Argument { text: text.into() })
    }

    pub(crate) fn backoff(call: &'static str, pause: Duration, deadline: Duration) -> Self {
        let kind = ErrorKind::Backoff {
            call,
            pause,
            deadline,
        };
        Self::new(Changes::None, kind)
    }

    pub(crate) fn from_status(
        node: &str,
        call: &'static str,
        effect: Effect,
        status: Status,
    ) -> Self {
        let changes = match effect {
            Effect::Reads | Effect::ReadsAfterToken => Changes::None,
            Effect::Adds => changes_of_failed_add(&status),
        };
        let kind = ErrorKind::Call {
            node: node.to_owned(),
            call,
            effect,
            status,
        };
        Self::new(changes, kind)
    }

    pub(crate) fn deadline(
        node: &str,
        call: &'static str,
        effect: Effect,
        waited: Duration,
    ) -> Self {
        let kind = ErrorKind::Deadline {
            node: node.to_owned(),
            call,
            effect,
            waited,
        };
        Self::new(effect.unless_refused(), kind)
    }

    pub(crate) fn unexpected(
        node: &str,
        call: &'static str,
        effect: Effect,
        unexpected: Unexpected,
    ) -> Self {
        let kind = ErrorKind::Protocol {
            node: node.to_owned(),
            call,
            unexpected,
        };
        Self::new(effect.unless_refused(), kind)
    }

    pub(crate) fn stream_over(node: &str, changes: Changes) -> Self {
        let node = node.to_owned();
        Self::new(changes, ErrorKind::StreamOver { node })
    }

    fn new(changes: Changes, kind: ErrorKind) -> Self {
        Self {
            kind: Box::new(kind),
            changes,
        }
    }

    /// The same failure where the caller of this knows better what it has changed.
    pub(crate) fn with_changes(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }

    pub(crate) fn changes(&self) -> Changes {
        self.changes
    }

    /// A read gave up waiting for the add behind its token. The node may be well: it only does not
    /// know of the add yet.
    pub(crate) fn is_wait_for_token(&self) -> bool {
        match &*self.kind {
            ErrorKind::Call { effect, status, .. } => {
                *effect == Effect::ReadsAfterToken && is_timeout(status)
            }
            ErrorKind::Deadline { effect, .. } => *effect == Effect::ReadsAfterToken,
            ErrorKind::Argument { .. }
            | ErrorKind::Backoff { .. }
            | ErrorKind::Protocol { .. }
            | ErrorKind::StreamOver { .. } => false,
        }
    }

    /// The node failed, so that other calls had better ask another one.
    pub(crate) fn speaks_against_node(&self) -> bool {
        (self.is_retryable() || self.is_indeterminate())
            && !self.is_wait_for_token()
            && !self.is_about_session()
    }

    /// The node refused for what the session is to it; see [`is_about_session`].
    pub(crate) fn is_about_session(&self) -> bool {
        self.status().is_some_and(is_about_session)
    }

    /// No answer came in the time that one attempt has.
    pub(crate) fn is_deadline(&self) -> bool {
        matches!(*self.kind, ErrorKind::Deadline { .. })
    }

    /// How long the node asked to be left alone, if it did.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.status()?.get_details_retry_info()?.retry_delay
    }

    /// What came back, if anything did.
    fn status(&self) -> Option<&Status> {
        match &*self.kind {
            ErrorKind::Call { status, .. } => Some(status),
            ErrorKind::Argument { .. }
            | ErrorKind::Backoff { .. }
            | ErrorKind::Deadline { .. }
            | ErrorKind::Protocol { .. }
            | ErrorKind::StreamOver { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.changes {
            Changes::None => Ok(()),
            Changes::Unknown => f.write_str(
                " [indeterminate: it may have counted once or not at all; read the counter \
                 before you repeat the add]",
            ),
            Changes::InPart => f.write_str(
                " [a part of it counts, and the rest never will; Error::counted_items names that \
                 part]",
            ),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.status().map(|status| status as _)
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn failed_add(status: Status) -> Error {
        Error::from_status("node", "add", Effect::Adds, status)
    }

    fn refused(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, REASON_DOMAIN, []);
        Status::with_error_details(code, "no", details)
    }

    #[test]
    fn a_named_refusal_changed_nothing() {
        let recovering = failed_add(refused(Code::Unavailable, "RECOVERING"));
        assert!(recovering.is_retryable() && !recovering.is_indeterminate());
        let full = failed_add(refused(Code::ResourceExhausted, "COUNTERS_EXHAUSTED"));
        assert!(!full.is_retryable() && !full.is_indeterminate());
        let range = failed_add(refused(Code::OutOfRange, "VALUE_OUT_OF_RANGE"));
        assert!(range.is_out_of_range() && !range.is_retryable());
    }

    #[test]
    fn an_unexplained_failure_of_an_add_is_indeterminate() {
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::DeadlineExceeded,
        ] {
            let error = failed_add(Status::new(code, "lost"));
            assert!(
                error.is_indeterminate() && !error.is_retryable(),
                "{code:?}"
            );
        }
    }

    #[test]
    fn a_reason_of_another_domain_proves_nothing() {
        let details = ErrorDetails::with_error_info("RECOVERING", "proxy.example", []);
        let status = Status::with_error_details(Code::Unavailable, "no", details);
        assert!(failed_add(status).is_indeterminate());
    }

    #[test]
    fn a_batch_that_counts_in_part_says_which_part() {
        let counted = [("counted".to_owned(), "0502".to_owned())];
        let details =
            ErrorDetails::with_error_info("REQUEST_COUNTS_IN_PART", REASON_DOMAIN, counted);
        let status = Status::with_error_details(Code::FailedPrecondition, "no", details);
        let error = failed_add(status);
        assert_eq!(error.counted_items(), Some(vec![0, 2, 9]));
        assert!(!error.is_indeterminate() && !error.is_retryable());
        let other = failed_add(refused(Code::OutOfRange, "VALUE_OUT_OF_RANGE"));
        assert_eq!(other.counted_items(), None);
    }

    #[test]
    fn what_is_about_a_session_does_not_speak_against_the_node() {
        let closed = failed_add(refused(Code::FailedPrecondition, "SESSION_CLOSED"));
        assert!(closed.is_retryable() && !closed.speaks_against_node());
        let stopping = failed_add(refused(Code::Unavailable, "STOPPING"));
        assert!(stopping.is_retryable() && stopping.speaks_against_node());
    }

    #[test]
    fn a_failed_read_is_never_indeterminate() {
        let status = Status::new(Code::Unavailable, "lost");
        let error = Error::from_status("node", "get", Effect::Reads, status);
        assert!(error.is_retryable() && !error.is_indeterminate());
    }
}
