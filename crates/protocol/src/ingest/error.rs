//! Why a message was refused, and how a stream ends.

use crdt_core::CounterNameError;
use thiserror::Error;

use crate::{NotWritable, RequestError, RequestNumberError, SessionError, TakeError};

/// How a stream ends. Everything that was taken has been acknowledged by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestEnd {
    /// The client has closed its side.
    Closed,
    /// A message was refused; neither it nor any later one was taken.
    Refused(IngestError),
    /// The node takes no more adds.
    NotWritable(NotWritable),
    /// The transport has failed; the driver knows how.
    Transport,
}

/// Why a message was refused. Nothing of it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IngestError {
    /// Not the message that is due.
    #[error("message {found} came where {expected} was due")]
    Sequence {
        /// Its number.
        found: u64,
        /// The number due.
        expected: u64,
    },
    /// Too many entries.
    #[error("{found} entries; a message may have {entries_max}")]
    Entries {
        /// Its entries.
        found: usize,
        /// The bound.
        entries_max: usize,
    },
    /// Not one amount for each entry.
    #[error("{amounts} amounts for {entries} counters; give one for each, or none to add 1")]
    Amounts {
        /// Amounts given.
        amounts: usize,
        /// Entries given.
        entries: usize,
    },
    /// An amount of 0.
    #[error("the amount is 0; give a number that changes the counter")]
    AmountZero {
        /// Which one.
        at: usize,
    },
    /// A name that is none.
    #[error("{reason}")]
    Name {
        /// Which of those introduced.
        at: usize,
        /// What is wrong with it.
        reason: CounterNameError,
    },
    /// An index that the stream did not introduce.
    #[error(
        "index {index} was not introduced; the stream has introduced {names} names, numbered from 0"
    )]
    Index {
        /// Which entry.
        at: usize,
        /// Its index.
        index: u32,
        /// Names introduced.
        names: usize,
    },
    /// Too many names on one stream.
    #[error(
        "the stream would have introduced {found} names; at most {names_max} are possible, so open \
         another stream"
    )]
    DictionaryFull {
        /// How many it would have.
        found: usize,
        /// The bound.
        names_max: usize,
    },
    /// Too much memory for names on all streams together.
    #[error(
        "the names of this message take {bytes} bytes, and the dictionaries of all streams of this \
         node may have {bytes_max} together; close streams that are not used, or use another node"
    )]
    DictionariesFull {
        /// What the message's names take.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The amounts of one counter in the message add up to more than a sum holds.
    #[error(
        "the amounts of dictionary index {index} in one message add up to more than {}; split them",
        u64::MAX
    )]
    Overflow {
        /// The counter's index.
        index: u32,
    },
    /// The node does not take the adds.
    #[error(transparent)]
    Take(#[from] TakeError),
}

/// Why a message that is a request was refused. The stream goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IngestRequestError {
    /// Its session is none of this cluster.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Its number cannot be.
    #[error(transparent)]
    Number(#[from] RequestNumberError),
    /// The amounts of one counter in the message add up to more than a sum holds.
    #[error(
        "the amounts of dictionary index {index} in one message add up to more than {}; split them",
        u64::MAX
    )]
    Overflow {
        /// The counter's index.
        index: u32,
    },
    /// The node does not count it.
    #[error(transparent)]
    Request(#[from] RequestError),
}
