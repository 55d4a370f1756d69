//! Refusals of sessions and their requests: as statuses, and in the place of a message of an ingest
//! stream.

use std::fmt::Write as _;

use crdt_core::{CLAIMED_ADDS_MAX, CounterName, REQUESTS_WINDOW, ReplicaId};
use protocol::{
    CLOSED_SESSIONS_MAX, IngestRefusal, IngestRequestError, RequestError, RequestNumberError,
    SESSION_BYTES_MAX, SessionError, SessionsExhausted, ShardIndex,
};
use tonic::{Code, Status};
use wire::v1::{self, ErrorReason};

use super::{Field, Refusal, invalid, not_writable, take_refusal};
use crate::node::{Node, OpenSessionError};

/// A session that is not opened.
pub(crate) fn open_session(error: &OpenSessionError) -> Status {
    match error {
        OpenSessionError::NotWritable(error) => not_writable(error),
        OpenSessionError::Exhausted(error) => exhausted(*error).status(),
    }
}

/// Bytes that are no session of this cluster.
pub(crate) fn session(error: &SessionError, at: Field) -> Status {
    session_refusal(error).at(&at)
}

/// A request number that cannot be.
pub(crate) fn request_number(error: &RequestNumberError) -> Status {
    number_refusal(error).at(&Field::new("request.number"))
}

/// A session of another home, to be closed.
pub(crate) fn not_home(home: ReplicaId, node: &Node) -> Status {
    let message = format!(
        "this node is not the home of the session: that is replica {home}; a session is closed at its \
         home"
    );
    let reason = ErrorReason::NotSessionsHome;
    with_home(
        Refusal::new(Code::FailedPrecondition, reason, &message),
        home,
        node,
    )
    .status()
}

/// A member that cannot be declared gone.
pub(crate) fn member_not_gone(code: Code, message: &str) -> Status {
    Refusal::new(code, ErrorReason::MemberNotGone, &message).status()
}

/// A request that is refused, or counts in part; `index` finds an item by its counter, and `counted`
/// tells which items lie in some shards.
pub(crate) fn request(
    error: &RequestError,
    node: &Node,
    index: impl Fn(&CounterName) -> Option<usize>,
    counted: impl Fn(&[ShardIndex]) -> Vec<bool>,
) -> Status {
    let refusal = request_refusal(error, node, index);
    if let RequestError::InPart {
        counted: shards, ..
    } = error
    {
        return refusal.with("counted", bits(&counted(shards))).status();
    }
    refusal.status()
}

/// A message of an ingest stream that is refused.
pub(crate) fn ingest_refusal(refusal: IngestRefusal, node: &Node) -> v1::IngestRefusal {
    let IngestRefusal {
        sequence,
        error,
        counted_counters,
    } = refusal;
    let refusal = match &error {
        IngestRequestError::Session(error) => session_refusal(error),
        IngestRequestError::Number(error) => number_refusal(error),
        IngestRequestError::Overflow { .. } => {
            let reason = ErrorReason::ValueOutOfRange;
            Refusal::new(Code::OutOfRange, reason, &error).with("bound", u64::MAX)
        }
        IngestRequestError::Request(error) => request_refusal(error, node, |_| None),
    };
    v1::IngestRefusal {
        sequence,
        reason: refusal.reason.into(),
        message: refusal.message,
        metadata: refusal.metadata,
        counted_counters,
    }
}

fn session_refusal(error: &SessionError) -> Refusal {
    match error {
        SessionError::Cluster => invalid(ErrorReason::SessionOfOtherCluster, error),
        SessionError::Length(bytes) => invalid(ErrorReason::SessionMalformed, error)
            .with("value", bytes)
            .with("bound", SESSION_BYTES_MAX),
        SessionError::Format(_) | SessionError::Altered => {
            invalid(ErrorReason::SessionMalformed, error)
        }
    }
}

fn number_refusal(error: &RequestNumberError) -> Refusal {
    let refusal = invalid(ErrorReason::RequestNumberInvalid, error);
    match error {
        RequestNumberError::Zero => refusal.with("value", 0).with("bound", 1),
        RequestNumberError::Answered {
            number,
            answered_below,
        } => refusal.with("value", number).with("bound", answered_below),
        RequestNumberError::PastWindow { number, last, .. } => refusal
            .with("value", number)
            .with("bound", last)
            .with("window", REQUESTS_WINDOW),
    }
}

fn request_refusal(
    error: &RequestError,
    node: &Node,
    index: impl Fn(&CounterName) -> Option<usize>,
) -> Refusal {
    let failed = |reason| Refusal::new(Code::FailedPrecondition, reason, error);
    match error {
        RequestError::NotHome { home } => {
            with_home(failed(ErrorReason::NotSessionsHome), *home, node)
        }
        RequestError::MovedToHome => invalid(ErrorReason::MovedToHome, error),
        RequestError::UnknownToHome { home } => {
            with_home(failed(ErrorReason::NodeUnknownToHome), *home, node)
        }
        RequestError::Closed { .. } => failed(ErrorReason::SessionClosed),
        RequestError::Refused => failed(ErrorReason::RequestRefused),
        RequestError::InPart { .. } => failed(ErrorReason::RequestCountsInPart),
        RequestError::OtherAdds => failed(ErrorReason::RequestHasOtherAdds),
        RequestError::ClaimsExhausted => {
            let reason = ErrorReason::ClaimsExhausted;
            Refusal::new(Code::ResourceExhausted, reason, error).with("bound", CLAIMED_ADDS_MAX)
        }
        RequestError::SessionsExhausted(error) => exhausted(*error),
        RequestError::Take(error) => take_refusal(error, index),
    }
}

fn exhausted(error: SessionsExhausted) -> Refusal {
    Refusal::new(
        Code::ResourceExhausted,
        ErrorReason::SessionsExhausted,
        &error,
    )
    .with("value", error.closed)
    .with("bound", CLOSED_SESSIONS_MAX)
}

/// Says who the home is, and where it was found.
fn with_home(refusal: Refusal, home: ReplicaId, node: &Node) -> Refusal {
    let refusal = refusal.with("home", home);
    match node.address_of(home) {
        Some(address) => refusal.with("address", address),
        None => refusal,
    }
}

/// Bits as hexadecimal digits, the first one lowest in the first byte.
fn bits(bits: &[bool]) -> String {
    let mut text = String::new();
    for eight in bits.chunks(8) {
        let byte = (0..).zip(eight);
        let byte = byte.fold(0_u8, |byte, (at, &bit)| byte | (u8::from(bit) << at));
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn bits_are_in_the_order_of_the_items() {
        let mut items = vec![false; 10];
        (items[0], items[5], items[9]) = (true, true, true);
        assert_eq!(super::bits(&items), "2102");
    }
}
