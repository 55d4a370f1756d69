//! What can be refused, one enum an operation. None of these operations has changed anything when
//! it returns an error.

use alloc::string::String;

use thiserror::Error;

use crate::{Mark, ReplicaId, Version};

/// Why a text is no counter name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CounterNameError {
    /// It has no bytes.
    #[error("the counter's name is empty; give 1 to 512 bytes of UTF-8")]
    Empty,
    /// It has too many bytes.
    #[error(
        "the counter's name has {bytes} bytes (it begins with {begins:?}); at most {bytes_max} \
         are allowed, so shorten it or count under a hash of it"
    )]
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
        /// The first characters.
        begins: String,
    },
}

/// Why an add was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddError {
    /// The value would leave the range of `i64` (or move further out of it).
    #[error(
        "the value is {value}; {pending} is taken and not yet durable, and with this add it would \
         become {would_be}, outside of {} to {}; add less, or continue under another counter",
        i64::MIN,
        i64::MAX
    )]
    ValueOutOfRange {
        /// The value that a read returns: what is durable.
        value: i128,
        /// What this replica has taken and not yet made durable.
        pending: i128,
        /// What the value would become, once all of it is durable.
        would_be: i128,
    },
}

/// One lane has two histories: its owner's data directory was rolled back or copied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the lane of replica {lane} has two histories: here it has {held} at that point, elsewhere \
     {seen}; the replica's data directory was rolled back or copied. Stop that node, keep its \
     directory for inspection, and start it with an empty one"
)]
pub struct Fork {
    /// The lane.
    pub lane: ReplicaId,
    /// The point of the lane as known here, at or before the version seen elsewhere.
    pub held: Mark,
    /// What another replica holds.
    pub seen: Mark,
}

/// Why an interval was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// Changes between what is held and where the interval begins are missing.
    #[error(
        "the interval of lane {lane} begins after version {}, but only version {} is held; ask \
         for what comes after that one", after.get(), held.get()
    )]
    Gap {
        /// The lane.
        lane: ReplicaId,
        /// Where the interval begins.
        after: Version,
        /// What is held.
        held: Version,
    },
    /// It belongs to another history of the lane.
    #[error(transparent)]
    Fork(#[from] Fork),
    /// Another lane must be held further before it means anything.
    #[error(
        "the interval of lane {lane} needs version {} of lane {needed}, but only version {} is \
         held; send both as one set", version.get(), held.get()
    )]
    Needs {
        /// The lane.
        lane: ReplicaId,
        /// The lane that it needs.
        needed: ReplicaId,
        /// How far it needs that one.
        version: Version,
        /// What is held of that one.
        held: Version,
    },
    /// It contradicts itself.
    #[error("the interval of lane {lane} is malformed: {what}")]
    Malformed {
        /// The lane.
        lane: ReplicaId,
        /// The contradiction.
        what: &'static str,
    },
}

impl ReceiveError {
    /// The lane whose interval was not taken, or that has forked.
    #[must_use]
    pub fn lane(&self) -> ReplicaId {
        match self {
            Self::Gap { lane, .. } | Self::Needs { lane, .. } | Self::Malformed { lane, .. } => {
                *lane
            }
            Self::Fork(fork) => fork.lane,
        }
    }
}
