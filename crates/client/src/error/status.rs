//! What a gRPC status says of a call: whether it changed something, and whether it may be repeated.
//!
//! Whether a failed add has counted is decided here, in [`changes_of_failed_add`], and nowhere
//! else:
//!
//! | what came back | the add |
//! | --- | --- |
//! | no connection was made | did not count: the request was never sent |
//! | a refusal with a `tally.v1` reason | did not count: refused calls change nothing |
//! | a code by which servers refuse before they act | did not count |
//! | anything else: a broken connection, a deadline, an unexplained error | may have counted |
//!
//! `OUT_OF_RANGE` without a reason is no such code: it is also what the transport makes of an
//! *answer* that is too large.

use std::error;

use tonic::{Code, ConnectError, Status};
use tonic_types::StatusExt as _;

use super::Changes;

/// The domain of the reasons that Tally's nodes give.
pub(super) const REASON_DOMAIN: &str = "tally.v1";

/// The table at the head of this file.
pub(super) fn changes_of_failed_add(status: &Status) -> Changes {
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
        Some(reason) => matches!(
            reason.as_str(),
            "RECOVERING" | "STOPPING" | "INCARNATION_CONFLICT" | "TOKEN_NOT_COVERED"
        ),
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

pub(super) fn reason_of(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == REASON_DOMAIN).then_some(info.reason)
}

/// tonic keeps the cause of an error that it made itself: a failure to connect is among the
/// sources just when the request was never handed to a connection.
pub(super) fn is_connect_failure(status: &Status) -> bool {
    let mut source = error::Error::source(status);
    while let Some(cause) = source {
        if cause.is::<ConnectError>() {
            return true;
        }
        source = cause.source();
    }
    false
}
