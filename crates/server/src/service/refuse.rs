//! Refusals as gRPC statuses: for each error its code, its `ErrorInfo` reason (listed in
//! `counter_service.proto`), and what a client needs to act on it.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use crdt_core::{CounterNameError, Fork};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::node::token::TokenError;
use crate::node::{AddRefusal, Refusing};

/// The domain of all reasons.
const DOMAIN: &str = "tally.v1";

/// When a client may try a node again that is starting.
const RETRY_AFTER: Duration = Duration::from_millis(200);

fn details(reason: &str) -> ErrorDetails {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    details
}

fn status(code: Code, reason: &str, message: &dyn Display) -> Status {
    Status::with_error_details(code, message.to_string(), details(reason))
}

/// An argument is out of its bounds; `field` is its path in the request.
pub(crate) fn field(reason: &str, field: impl Into<String>, message: &dyn Display) -> Status {
    let (field, message) = (field.into(), message.to_string());
    let mut details = details(reason);
    details.add_bad_request_violation(field.clone(), message.clone());
    Status::with_error_details(
        Code::InvalidArgument,
        format!("{field}: {message}"),
        details,
    )
}

pub(crate) fn name(at: impl Into<String>, error: &CounterNameError) -> Status {
    field("COUNTER_NAME_INVALID", at, error)
}

pub(crate) fn amount_zero(at: impl Into<String>) -> Status {
    field(
        "AMOUNT_ZERO",
        at,
        &"the amount is 0; give a number that changes the counter",
    )
}

pub(crate) fn token(error: &TokenError) -> Status {
    field("TOKEN_INVALID", "token", error)
}

pub(crate) fn recovering() -> Status {
    let mut details = details("RECOVERING");
    details.set_retry_info(Some(RETRY_AFTER));
    let message = "this node is reading its log; retry soon, or use another node";
    Status::with_error_details(Code::Unavailable, message, details)
}

pub(crate) fn token_not_covered(waited: Duration) -> Status {
    let message = format!(
        "what the token stands for has not arrived here within {} ms; retry, or read at the node \
         that gave the token",
        waited.as_millis()
    );
    status(Code::DeadlineExceeded, "TOKEN_NOT_COVERED", &message)
}

pub(crate) fn dictionary_full(names_max: usize) -> Status {
    let message = format!("a stream may introduce {names_max} names; open another stream");
    status(Code::ResourceExhausted, "DICTIONARY_FULL", &message)
}

pub(crate) fn fork(fork: &Fork) -> Status {
    status(Code::FailedPrecondition, "INCARNATION_CONFLICT", fork)
}

pub(crate) fn refusing(refusing: &Refusing) -> Status {
    match refusing {
        Refusing::Stopping => status(Code::Unavailable, "STOPPING", refusing),
        Refusing::Forked(forked) => fork(forked),
    }
}

pub(crate) fn add(refusal: &AddRefusal) -> Status {
    match refusal {
        AddRefusal::OutOfRange { .. } | AddRefusal::BatchOverflow { .. } => {
            status(Code::OutOfRange, "VALUE_OUT_OF_RANGE", refusal)
        }
        AddRefusal::CountersExhausted { .. } => {
            status(Code::ResourceExhausted, "COUNTERS_EXHAUSTED", refusal)
        }
        AddRefusal::Refusing(reason) => refusing(reason),
    }
}
