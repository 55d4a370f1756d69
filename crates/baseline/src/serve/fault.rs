//! Why a call fails, and the one place where that becomes a gRPC status.
//!
//! A status with a reason says that nothing has changed. The one outcome that nobody knows has no
//! reason, like a connection that breaks: whoever sees it must not count the add as refused.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::transport::{COUNTER_NAME_BYTES_MAX, COUNTERS_PER_CALL_MAX};

/// The domain of all reasons.
const DOMAIN: &str = "tally.v1";

/// Adds that may wait on this server. At 20 a second, the last of them would wait for a quarter
/// of an hour; side by side, with one round trip of 50 ms each, they are 320,000 a second.
pub(super) const ADDS_WAITING_MAX: usize = 16_384;

/// The longest pause between two attempts to reach the register, and when to come back to a server
/// without one. A register that is back is found within about a second.
pub(super) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a counter name of {bytes} bytes; expected 1 to {COUNTER_NAME_BYTES_MAX}")]
    CounterNameInvalid { bytes: usize },
    #[error("an amount of 0; expected any other")]
    AmountZero,
    #[error("{items} items; expected 1 to {COUNTERS_PER_CALL_MAX}")]
    BatchTooLarge { items: usize },
    #[error("page_size is {page_size}; expected 0 to {COUNTERS_PER_CALL_MAX}")]
    PageInvalid { page_size: u32 },
    #[error("a token that this server did not give; the baseline's tokens are empty")]
    TokenInvalid,
    #[error("the add would move the value past 64 bits; nothing changed")]
    ValueOutOfRange,
    #[error("the register holds as many counters as it may; nothing changed")]
    CountersExhausted,
    #[error("{ADDS_WAITING_MAX} adds wait on this server already; send fewer at a time")]
    QueueFull,
    #[error("the register cannot be reached; nothing changed: retry later")]
    RegisterUnreachable,
    #[error("the register was lost while the add was on its way; it may have counted, once")]
    OutcomeUnknown,
    #[error("the register failed: {0}")]
    Register(String),
    #[error("this server is stopping; use another")]
    Stopping,
    #[error("the baseline does not offer this: {0}")]
    NotOffered(&'static str),
}

impl Fault {
    fn code(&self) -> Code {
        match self {
            Self::CounterNameInvalid { .. }
            | Self::AmountZero
            | Self::BatchTooLarge { .. }
            | Self::PageInvalid { .. }
            | Self::TokenInvalid => Code::InvalidArgument,
            Self::ValueOutOfRange => Code::OutOfRange,
            Self::CountersExhausted | Self::QueueFull => Code::ResourceExhausted,
            Self::RegisterUnreachable | Self::OutcomeUnknown | Self::Stopping => Code::Unavailable,
            Self::Register(_) => Code::Internal,
            Self::NotOffered(_) => Code::Unimplemented,
        }
    }

    /// The reason in the status; none where something may have changed, or for a fault of ours.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::CounterNameInvalid { .. } => Some("COUNTER_NAME_INVALID"),
            Self::AmountZero => Some("AMOUNT_ZERO"),
            Self::BatchTooLarge { .. } => Some("BATCH_TOO_LARGE"),
            Self::PageInvalid { .. } => Some("PAGE_INVALID"),
            Self::TokenInvalid => Some("TOKEN_INVALID"),
            Self::ValueOutOfRange => Some("VALUE_OUT_OF_RANGE"),
            Self::CountersExhausted => Some("COUNTERS_EXHAUSTED"),
            Self::QueueFull => Some("QUEUE_FULL"),
            Self::RegisterUnreachable => Some("REGISTER_UNREACHABLE"),
            Self::Stopping => Some("STOPPING"),
            Self::OutcomeUnknown | Self::Register(_) | Self::NotOffered(_) => None,
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let Some(reason) = fault.reason() else {
            return Self::new(fault.code(), fault.to_string());
        };
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, []);
        if matches!(fault, Fault::RegisterUnreachable) {
            details.set_retry_info(Some(RETRY_PAUSE_MAX));
        }
        Self::with_error_details(fault.code(), fault.to_string(), details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_reason_and_an_unknown_outcome_has_none() {
        let refused = Status::from(Fault::RegisterUnreachable);
        let details = refused.get_error_details();
        let info = details.error_info().expect("a reason");
        assert_eq!(
            (&*info.reason, &*info.domain),
            ("REGISTER_UNREACHABLE", DOMAIN)
        );
        assert!(details.retry_info().is_some());

        let unknown = Status::from(Fault::OutcomeUnknown);
        assert_eq!(unknown.code(), refused.code());
        assert!(unknown.get_error_details().error_info().is_none());
    }
}
