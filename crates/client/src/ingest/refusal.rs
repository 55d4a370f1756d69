//! A message that was refused while its stream goes on, as the error that a call would have ended with.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wire::v1::{ErrorReason, IngestRefusal};

use crate::{
    Error,
    error::{Effect, REASON_DOMAIN},
};

/// What the reasons of the schema begin with, and those of errors do not.
const REASON_PREFIX: &str = "ERROR_REASON_";

pub(super) fn error_of(node: &str, refusal: &IngestRefusal) -> Error {
    let reason = refusal.reason();
    let name = reason.as_str_name();
    let name = name.strip_prefix(REASON_PREFIX).unwrap_or(name);
    let metadata: HashMap<_, _> = refusal.metadata.clone();
    let details = ErrorDetails::with_error_info(name, REASON_DOMAIN, metadata);
    let code = if reason == ErrorReason::ValueOutOfRange {
        Code::OutOfRange
    } else if [ErrorReason::CountersExhausted, ErrorReason::ClaimsExhausted].contains(&reason) {
        Code::ResourceExhausted
    } else {
        Code::FailedPrecondition
    };
    let status = Status::with_error_details(code, refusal.message.clone(), details);
    Error::from_status(node, "ingest", Effect::Adds, status)
}
