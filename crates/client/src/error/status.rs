//! What a gRPC status says of a call: whether it changed something, and whether it may be repeated.
//!
//! Whether a failed add has counted is decided here, in [`changes_of_failed_add`], and nowhere
//! else:
//!
//! | what came back | the add |
//! | --- | --- |
//! | no connection was made | did not count: the request was never sent |
//! | `REQUEST_COUNTS_IN_PART` | counts in part, which the refusal names |
//! | another refusal with a `tally.v1` reason | did not count: refused calls change nothing |
//! | a code by which servers refuse before they act | did not count |
//! | anything else: a broken connection, a deadline, an unexplained error | may have counted |
//!
//! This is about one attempt. What a request of a session has come to that was sent before, perhaps to
//! another node, is in `session::verdict`.
//!
//! `OUT_OF_RANGE` without a reason is no such code: it is also what the transport makes of an
//! *answer* that is too large.

use std::{error, iter};

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use super::Changes;

/// The domain of the reasons that Tally's nodes give.
pub(crate) const REASON_DOMAIN: &str = "tally.v1";

/// The table at the head of this file.
pub(super) fn changes_of_failed_add(status: &Status) -> Changes {
    if reason_of(status).as_deref() == Some("REQUEST_COUNTS_IN_PART") {
        return Changes::InPart;
    }
    let refused = reason_of(status).is_some()
        || is_connect_failure(status)
        || matches!(
            status.code(),
            Code::InvalidArgument
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::PermissionDenied
                | Code::Unauthenticated
        );
    if refused {
        Changes::None
    } else {
        Changes::Unknown
    }
}

/// Whether the same call may succeed later or elsewhere. Only asked where nothing has changed.
pub(super) fn is_transient(status: &Status) -> bool {
    match reason_of(status) {
        Some(reason) => {
            matches!(
                reason.as_str(),
                "RECOVERING"
                    | "STOPPING"
                    | "INCARNATION_CONFLICT"
                    | "TOKEN_NOT_COVERED"
                    | "SESSIONS_EXHAUSTED"
            ) || is_about_session(status)
        }
        None => matches!(
            status.code(),
            // tonic reports a broken connection as any of these, by where it broke.
            Code::Unavailable
                | Code::Unknown
                | Code::Internal
                | Code::Cancelled
                | Code::Aborted
                | Code::DeadlineExceeded
        ),
    }
}

/// A refusal for what a session is to a node: in another session, or on another node, the same adds may
/// be taken.
pub(super) fn is_about_session(status: &Status) -> bool {
    let reason = reason_of(status);
    matches!(
        reason.as_deref(),
        Some(
            "SESSION_CLOSED"
                | "NOT_SESSIONS_HOME"
                | "MOVED_TO_HOME"
                | "NODE_UNKNOWN_TO_HOME"
                | "CLAIMS_EXHAUSTED"
        )
    )
}

/// The places of the bits that are set in a string of hexadecimal digits; place 0 is the lowest bit of
/// the first byte.
pub(super) fn places(bits: &str) -> Vec<usize> {
    let digits = bits.chars().map(|digit| digit.to_digit(16).unwrap_or(0));
    let set = digits.enumerate().flat_map(|(place, digit)| {
        let byte = place / 2 * 8;
        let high = (1 - place % 2) * 4; // the first digit of a byte is its upper half
        (0..4)
            .filter(move |bit| digit >> bit & 1 == 1)
            .map(move |bit| byte + high + bit)
    });
    let mut places: Vec<_> = set.collect();
    places.sort_unstable();
    places
}

pub(super) fn reason_of(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == REASON_DOMAIN).then_some(info.reason)
}

/// tonic keeps the cause of an error that it made itself: a failure to connect is among the
/// sources just when the request was never handed to a connection.
pub(super) fn is_connect_failure(status: &Status) -> bool {
    has_source::<ConnectError>(status)
}

/// The timer that tonic sets for a request has ended it: the same deadline as the client's own,
/// and either may come first.
pub(crate) fn is_expired(status: &Status) -> bool {
    has_source::<TimeoutExpired>(status)
}

/// The node says that the time for the call is up. A tonic server says so with CANCELLED; a
/// connection that broke can be reported with it too, and then has a source.
pub(super) fn is_timeout(status: &Status) -> bool {
    match reason_of(status) {
        Some(reason) => reason == "TOKEN_NOT_COVERED",
        None if status.code() == Code::Cancelled => error::Error::source(status).is_none(),
        None => status.code() == Code::DeadlineExceeded,
    }
}

fn has_source<E: error::Error + 'static>(status: &Status) -> bool {
    iter::successors(error::Error::source(status), |error| error.source())
        .any(<dyn error::Error>::is::<E>)
}
