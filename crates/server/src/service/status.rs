//! Errors as gRPC statuses: for each its code, its `ErrorInfo` with a reason of
//! `error_reason.proto`, and what a client needs to act on it: in the metadata the value, the
//! bound, and the item's index.

mod field;
mod session;

use std::collections::HashMap;
use std::fmt::Display;

use crdt_core::{AddError, CounterName, CounterNameError, Fork};
use protocol::{
    AuditedError, IngestError, NotWritable, ReadError, TakeError, TokenError, WatchError,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wire::DecodeError;
use wire::v1::ErrorReason;

use super::limits::{BATCH_ITEMS_MAX, RETRY_AFTER};
pub(crate) use field::Field;
pub(crate) use session::{
    ingest_refusal, member_not_gone, not_home, open_session, request, request_number, session,
};

/// The domain of all reasons.
const DOMAIN: &str = "tally.v1";

/// What stands before a reason's name in the schema, and not in an `ErrorInfo`.
const REASON_PREFIX: &str = "ERROR_REASON_";

/// An error on its way to the client.
struct Refusal {
    code: Code,
    message: String,
    reason: ErrorReason,
    metadata: HashMap<String, String>,
}

impl Refusal {
    fn new(code: Code, reason: ErrorReason, error: &dyn Display) -> Self {
        Self {
            code,
            message: error.to_string(),
            reason,
            metadata: HashMap::new(),
        }
    }

    /// Says a value: `value`, `bound`, `index`, or what else it is.
    fn with(mut self, key: &str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    fn details(&self) -> ErrorDetails {
        let name = self.reason.as_str_name();
        let name = name.strip_prefix(REASON_PREFIX).unwrap_or(name);
        let mut details = ErrorDetails::new();
        details.set_error_info(name, DOMAIN, self.metadata.clone());
        details
    }

    fn status(self) -> Status {
        let details = self.details();
        Status::with_error_details(self.code, self.message, details)
    }

    /// The status, naming the field of the request that is to blame.
    fn at(self, field: &Field) -> Status {
        let refusal = match field.index() {
            Some(index) => self.with("index", index),
            None => self,
        };
        let mut details = refusal.details();
        let path = field.to_string();
        details.add_bad_request_violation(path.clone(), refusal.message.clone());
        let message = format!("{path}: {}", refusal.message);
        Status::with_error_details(refusal.code, message, details)
    }
}

fn invalid(reason: ErrorReason, error: &dyn Display) -> Refusal {
    Refusal::new(Code::InvalidArgument, reason, error)
}

/// A name that is none.
pub(crate) fn name(at: Field, error: &CounterNameError) -> Status {
    let bytes = match error {
        CounterNameError::Empty => 0,
        CounterNameError::TooLong { bytes, .. } => *bytes,
    };
    invalid(ErrorReason::CounterNameInvalid, error)
        .with("value", bytes)
        .with("bound", CounterName::BYTES_MAX)
        .at(&at)
}

/// An amount of 0.
pub(crate) fn amount_zero(at: Field) -> Status {
    let message = "the amount is 0; give a number that changes the counter";
    invalid(ErrorReason::AmountZero, &message)
        .with("value", 0)
        .at(&at)
}

/// A batch of no items, or of too many.
pub(crate) fn batch(field: &'static str, found: usize) -> Status {
    let refusal = if found == 0 {
        let message = format!("nothing is given; give 1 to {BATCH_ITEMS_MAX}");
        invalid(ErrorReason::BatchEmpty, &message)
    } else {
        let message = format!("a batch of {found}; at most {BATCH_ITEMS_MAX} are possible");
        invalid(ErrorReason::BatchTooLarge, &message)
    };
    let refusal = refusal.with("value", found).with("bound", BATCH_ITEMS_MAX);
    refusal.at(&Field::new(field))
}

/// A page that cannot be.
pub(crate) fn page(field: &'static str, found: usize, bound: usize, unit: &str) -> Status {
    let message = format!("{found} {unit}; at most {bound} are possible");
    invalid(ErrorReason::PageInvalid, &message)
        .with("value", found)
        .with("bound", bound)
        .at(&Field::new(field))
}

/// A pace that a watch cannot have.
pub(crate) fn watch_interval(found_ms: u32, (fastest, slowest): (u32, u32)) -> Status {
    let message = format!("{found_ms} ms; between {fastest} and {slowest} are possible");
    invalid(ErrorReason::WatchInterval, &message)
        .with("value", found_ms)
        .with("bound", format!("{fastest}..{slowest}"))
        .at(&Field::new("interval_ms_min"))
}

/// A watch that says in two ways what it is of.
pub(crate) fn watch_selection(first: &str, second: &str) -> Status {
    let message = format!("{first} is given as well; a watch is of counter, counters or prefix");
    let field = match second {
        "prefix" => Field::new("prefix"),
        _ => Field::new("counters"),
    };
    invalid(ErrorReason::WatchSelection, &message)
        .with("value", second)
        .with("bound", first)
        .at(&field)
}

/// A watch that would pass a bound.
pub(crate) fn watch(error: &WatchError) -> Status {
    let (reason, bound) = match error {
        WatchError::TooMany { counters_max, .. } => {
            (ErrorReason::WatchTooLarge, *counters_max as u64)
        }
        WatchError::WatchesExhausted { watches_max: bound }
        | WatchError::CountersExhausted {
            counters_max: bound,
            ..
        } => (ErrorReason::WatchesExhausted, *bound),
    };
    let refusal = Refusal::new(Code::ResourceExhausted, reason, error).with("bound", bound);
    match error {
        WatchError::TooMany { found: value, .. }
        | WatchError::CountersExhausted { more: value, .. } => {
            refusal.with("value", value).status()
        }
        WatchError::WatchesExhausted { .. } => refusal.status(),
    }
}

/// Bytes that are no token of this cluster.
pub(crate) fn token(error: &TokenError) -> Status {
    invalid(ErrorReason::TokenInvalid, error).at(&Field::new("token"))
}

/// An audit or export that cannot be, or was given up.
pub(crate) fn audit(error: &AuditedError) -> Status {
    let reason = ErrorReason::AuditInvalid;
    match error {
        AuditedError::NoSuchShard { found, shard_count } => invalid(reason, error)
            .with("value", found)
            .with("bound", shard_count)
            .at(&Field::new("shard")),
        AuditedError::TooManyQuestions {
            found,
            questions_max,
        } => invalid(reason, error)
            .with("value", found)
            .with("bound", questions_max)
            .at(&Field::new("at")),
        AuditedError::Silent { silence_max } => Refusal::new(Code::DeadlineExceeded, reason, error)
            .with("bound", format!("{silence_max:?}"))
            .status(),
    }
}

/// A replica id that is none.
pub(crate) fn replica_id(field: &'static str, error: &DecodeError) -> Status {
    invalid(ErrorReason::AuditInvalid, error).at(&Field::new(field))
}

/// As many exports as the node serves.
pub(crate) fn exports_exhausted(exports_max: usize) -> Status {
    let message = format!(
        "this node serves {exports_max} exports at a time; try again when one is over, or use another \
         node"
    );
    let reason = ErrorReason::ExportsExhausted;
    Refusal::new(Code::ResourceExhausted, reason, &message)
        .with("bound", exports_max)
        .status()
}

/// The node is being audited.
pub(crate) fn audit_under_way(audits_max: usize) -> Status {
    let message = format!(
        "this node is being audited, and serves {audits_max} audit at a time; try again when it is \
         over, or let one auditor watch all nodes"
    );
    Refusal::new(
        Code::ResourceExhausted,
        ErrorReason::AuditUnderWay,
        &message,
    )
    .with("bound", audits_max)
    .status()
}

/// The node has not read its log yet.
pub(crate) fn recovering() -> Status {
    let message = "this node is reading its log; retry soon, or use another node";
    let refusal = Refusal::new(Code::Unavailable, ErrorReason::Recovering, &message);
    let mut details = refusal.details();
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(refusal.code, refusal.message, details)
}

/// A read with a token that cannot be answered.
pub(crate) fn read(error: &ReadError) -> Status {
    match error {
        ReadError::NotCovered { waited_ms } => {
            let reason = ErrorReason::TokenNotCovered;
            Refusal::new(Code::DeadlineExceeded, reason, error)
                .with("value", waited_ms)
                .status()
        }
        ReadError::Forked(_) => {
            let reason = ErrorReason::IncarnationConflict;
            Refusal::new(Code::FailedPrecondition, reason, error).status()
        }
    }
}

/// Too many streams from peers.
pub(crate) fn streams_exhausted(streams_max: u64) -> Status {
    let message = format!(
        "this node serves {streams_max} replication streams, and no more; a cluster has fewer \
         members, so look for who else opens them"
    );
    Refusal::new(
        Code::ResourceExhausted,
        ErrorReason::StreamsExhausted,
        &message,
    )
    .with("bound", streams_max)
    .status()
}

/// The own lane has forked.
pub(crate) fn fork(fork: &Fork) -> Status {
    let reason = ErrorReason::IncarnationConflict;
    Refusal::new(Code::FailedPrecondition, reason, fork).status()
}

/// The node takes no adds.
pub(crate) fn not_writable(error: &NotWritable) -> Status {
    writable_refusal(error).status()
}

fn writable_refusal(error: &NotWritable) -> Refusal {
    match error {
        NotWritable::Stopping => Refusal::new(Code::Unavailable, ErrorReason::Stopping, error),
        NotWritable::Forked(_) => {
            let reason = ErrorReason::IncarnationConflict;
            Refusal::new(Code::FailedPrecondition, reason, error)
        }
    }
}

/// Adds that are not taken; `index` finds an item by its counter.
pub(crate) fn take(error: &TakeError, index: impl Fn(&CounterName) -> Option<usize>) -> Status {
    take_refusal(error, index).status()
}

fn take_refusal(error: &TakeError, index: impl Fn(&CounterName) -> Option<usize>) -> Refusal {
    let (refusal, counter) = match error {
        TakeError::NotWritable(reason) => return writable_refusal(reason),
        TakeError::OutOfRange { counter, reason } => {
            let refusal = Refusal::new(Code::OutOfRange, ErrorReason::ValueOutOfRange, error);
            (range(refusal, reason), counter)
        }
        TakeError::RequestOverflow { counter } => {
            let reason = ErrorReason::ValueOutOfRange;
            let refusal = Refusal::new(Code::OutOfRange, reason, error);
            (refusal.with("bound", u64::MAX), counter)
        }
        TakeError::CountersExhausted {
            counter,
            found,
            counters_max,
        } => {
            let reason = ErrorReason::CountersExhausted;
            let refusal = Refusal::new(Code::ResourceExhausted, reason, error);
            let refusal = refusal.with("value", found).with("bound", counters_max);
            (refusal, counter)
        }
    };
    let refusal = refusal.with("counter", counter);
    match index(counter) {
        Some(index) => refusal.with("index", index),
        None => refusal,
    }
}

fn range(refusal: Refusal, reason: &AddError) -> Refusal {
    let AddError::ValueOutOfRange { would_be, .. } = reason;
    let bound = if *would_be > 0 { i64::MAX } else { i64::MIN };
    refusal.with("value", would_be).with("bound", bound)
}

/// A message of an ingest stream that is refused.
pub(crate) fn ingest(error: &IngestError) -> Status {
    match error {
        IngestError::Sequence { found, expected } => invalid(ErrorReason::SequenceInvalid, error)
            .with("value", found)
            .with("bound", expected)
            .at(&Field::new("sequence")),
        IngestError::Entries { found, entries_max } => invalid(ErrorReason::BatchTooLarge, error)
            .with("value", found)
            .with("bound", entries_max)
            .at(&Field::new("counters")),
        IngestError::Amounts { amounts, entries } => invalid(ErrorReason::AmountsMismatch, error)
            .with("value", amounts)
            .with("bound", entries)
            .at(&Field::new("amounts")),
        IngestError::AmountZero { at } => amount_zero(Field::entry("amounts", *at)),
        IngestError::Name { at, reason } => name(Field::entry("introduced", *at), reason),
        IngestError::Index { at, index, names } => invalid(ErrorReason::DictionaryIndex, error)
            .with("value", index)
            .with("bound", names)
            .at(&Field::entry("counters", *at)),
        IngestError::DictionaryFull { found, names_max } => {
            exhausted(ErrorReason::DictionaryFull, error, found, names_max)
        }
        IngestError::DictionariesFull { bytes, bytes_max } => {
            exhausted(ErrorReason::DictionaryFull, error, bytes, bytes_max)
        }
        IngestError::Overflow { .. } => {
            Refusal::new(Code::OutOfRange, ErrorReason::ValueOutOfRange, error)
                .with("bound", u64::MAX)
                .status()
        }
        IngestError::Take(error) => take(error, |_| None),
    }
}

fn exhausted(
    reason: ErrorReason,
    error: &IngestError,
    found: &dyn Display,
    bound: &dyn Display,
) -> Status {
    Refusal::new(Code::ResourceExhausted, reason, error)
        .with("value", found)
        .with("bound", bound)
        .status()
}
