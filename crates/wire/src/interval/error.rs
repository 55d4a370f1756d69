//! Why parts are no interval. The stream that they came on cannot be read on.

use crdt_core::{CounterName, CounterNameError, ReplicaId};
use thiserror::Error;

/// Why bytes are no interval.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A required field is absent.
    #[error("the interval has no {0}")]
    Absent(&'static str),
    /// A replica id has another length than 16 bytes.
    #[error("a replica id has {found} bytes; it must have 16")]
    ReplicaId {
        /// Bytes found.
        found: usize,
    },
    /// The shard does not exist.
    #[error("shard {found} does not exist; the cluster has {shard_count}, numbered from 0")]
    Shard {
        /// Shard named.
        found: u32,
        /// Shards there are.
        shard_count: u32,
    },
    /// A name is not one.
    #[error("counter {index} is introduced with a bad name: {reason}")]
    Name {
        /// Index introduced.
        index: u32,
        /// What is wrong with the name.
        reason: CounterNameError,
    },
    /// A name belongs to another shard.
    #[error(
        "counter {name:?} is introduced in shard {found}, but belongs to shard {expected}; the \
         writer places counters by another rule"
    )]
    NameShard {
        /// The name.
        name: CounterName,
        /// The shard in which it is introduced.
        found: u32,
        /// The shard that its name belongs to.
        expected: u32,
    },
    /// An index was not introduced before its use.
    #[error("counter {index} of shard {shard} was never introduced on this stream")]
    NotIntroduced {
        /// The shard.
        shard: u32,
        /// The index.
        index: u32,
    },
    /// The columns do not make records.
    #[error(
        "the columns differ in length: {counters} counters, {versions} versions, {incremented} \
         increments and {decremented} decrements, beside {wide} wide totals"
    )]
    Columns {
        /// Entries of the column of counters.
        counters: usize,
        /// Entries of the column of versions.
        versions: usize,
        /// Entries of the column of increments.
        incremented: usize,
        /// Entries of the column of decrements.
        decremented: usize,
        /// Records whose totals are in no column.
        wide: usize,
    },
    /// A wide total stands for no record.
    #[error(
        "wide total {entry} of a part stands for record {record}; it must be one of {records}, and \
         come after the one before"
    )]
    WideTotal {
        /// Which wide total, from 0.
        entry: usize,
        /// The record that it names.
        record: u32,
        /// Records there are.
        records: usize,
    },
    /// A version passes 64 bits.
    #[error("a record's version passes 64 bits: {after} + {offset}")]
    VersionOverflow {
        /// Where the interval begins.
        after: u64,
        /// The record's offset from there.
        offset: u64,
    },
    /// The stream goes on with another interval than the one that has begun.
    #[error("an interval begins before the last part of the one before it")]
    Interrupted,
    /// The interval ends twice.
    #[error("the interval names its end (`to`) twice")]
    EndsTwice,
    /// A set of intervals goes on in another shard.
    #[error("a set of intervals of shard {expected} goes on with one of shard {found}")]
    SetShard {
        /// Shard named.
        found: u32,
        /// The set's shard.
        expected: u32,
    },
    /// A record about sessions is of a kind that this program does not know.
    #[error(
        "a session record is of kind {found}, which this program does not know; run the version of \
         tallyd that wrote it"
    )]
    RecordKind {
        /// Its kind.
        found: i32,
    },
    /// A record about sessions has a field that its kind does not have.
    #[error("a session record of kind {kind} has `{field}`, which that kind has not: {found}")]
    RecordField {
        /// Its kind.
        kind: &'static str,
        /// The field.
        field: &'static str,
        /// What it is, or how much of it there is.
        found: u64,
    },
    /// The numbers of a session are no ranges.
    #[error(
        "entry {entry} of a session's `{field}` is {found}; the entries are the first and the last \
         number of each range, ascending, and between two ranges a number is missing"
    )]
    Ranges {
        /// The field.
        field: &'static str,
        /// Which entry, from 0.
        entry: usize,
        /// What it is.
        found: u64,
    },
    /// The grants of a session are not in order.
    #[error("a session grants request {number} after request {before}; their numbers must ascend")]
    GrantOrder {
        /// The request.
        number: u64,
        /// The one granted before it.
        before: u64,
    },
    /// A session lists a request as taken that is answered, or too far above those that are.
    #[error(
        "a session lists requests up to {last} as taken, with those below {answered_below} answered; \
         it can list {answered_below} to {} more", crdt_core::REQUESTS_WINDOW - 1
    )]
    TakenOutside {
        /// Requests below were answered.
        answered_below: u64,
        /// The highest listed one.
        last: u64,
    },
    /// There is more in a message than the reader takes.
    #[error("there are {found} {what}; the reader takes at most {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The set has too many intervals.
    #[error("a set has more than {intervals_max} intervals; the reader takes no longer ones")]
    Intervals {
        /// Intervals allowed.
        intervals_max: usize,
    },
    /// The set has too many records.
    #[error(
        "a set has more than {records_max} records, the last ones of lane {lane}; the reader takes \
         no longer ones"
    )]
    Records {
        /// The lane.
        lane: ReplicaId,
        /// Records allowed.
        records_max: usize,
    },
    /// The set says too much about sessions.
    #[error(
        "a set has more than {bytes_max} bytes of session records, the last ones of lane {lane}; \
         the reader takes no more"
    )]
    RecordBytes {
        /// The lane.
        lane: ReplicaId,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The set introduces too much text.
    #[error(
        "a set introduces more than {bytes_max} bytes of names, the last ones for lane {lane}; the \
         reader takes no more"
    )]
    NameBytes {
        /// The lane.
        lane: ReplicaId,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The stream introduces too many names.
    #[error("the stream introduces more than {names_max} names; the reader remembers no more")]
    Names {
        /// Names allowed.
        names_max: usize,
    },
}
