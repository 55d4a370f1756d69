//! Identifiers: who counts, what is counted, and how far a lane has come.
//!
//! Every identifier is a type of its own, so that a version cannot be passed for an index.
//! Random ones ([`ReplicaId`], [`StartId`]) are drawn by the driver: this crate has no random
//! source.

use alloc::sync::Arc;
use core::fmt;

use crate::error::CounterNameError;

/// One incarnation of a replica: 128 random bits, minted when a data directory is created.
///
/// A lost directory is a lost incarnation: its successor gets an id of its own, because a lane
/// whose owner forgot part of it would swallow new adds (`riak_kv`#679). Shown as 32 hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(u128);

impl ReplicaId {
    /// An id from its bits.
    #[must_use]
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplicaId({:x})", self.0)
    }
}

/// One start of a replica's process: 64 random bits other than 0, drawn anew at each start.
///
/// Together with a version it tells apart two histories of one lane, which exist when a data
/// directory was rolled back or copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StartId(u64);

impl StartId {
    /// Stands for "no start": the writer of version 0, the empty lane.
    pub const NONE: Self = Self(0);

    /// An id from its bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// How often a lane was committed: 0 for the empty lane, then one more with each commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The empty lane.
    pub const ZERO: Self = Self(0);

    /// The version with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        // A commit a nanosecond reaches 2^64 after 584 years.
        Self(self.0 + 1)
    }
}

/// A version of a lane, and the start of its owner that wrote it: a point of one lane's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// How far the lane had come.
    pub version: Version,
    /// Which start of the owner wrote that version; [`StartId::NONE`] with version 0.
    pub start: StartId,
}

impl Mark {
    /// The empty lane.
    pub const ZERO: Self = Self {
        version: Version::ZERO,
        start: StartId::NONE,
    };
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "version {} of start {:016x}",
            self.version.0, self.start.0
        )
    }
}

/// A counter as one replica numbers it: small, dense, and meaningless to any other replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterIndex(u32);

impl CounterIndex {
    /// The counter with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number, to index a slice with.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// A counter's name: UTF-8, 1 to [`CounterName::BYTES_MAX`] bytes. Cheap to clone.
///
/// ```
/// use crdt_core::CounterName;
///
/// let name: CounterName = "post/4711/likes".parse()?;
/// assert_eq!(name.as_str(), "post/4711/likes");
/// assert!("".parse::<CounterName>().is_err());
/// # Ok::<(), crdt_core::CounterNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterName(Arc<str>);

impl CounterName {
    /// Long enough for a path of identifiers, short enough that a million names fit in memory.
    pub const BYTES_MAX: usize = 512;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// When it is empty or longer than [`Self::BYTES_MAX`].
    pub fn new(name: &str) -> Result<Self, CounterNameError> {
        match name.len() {
            0 => Err(CounterNameError::Empty),
            bytes if bytes > Self::BYTES_MAX => Err(CounterNameError::TooLong {
                bytes,
                bytes_max: Self::BYTES_MAX,
                begins: name.chars().take(32).collect(),
            }),
            _ => Ok(Self(Arc::from(name))),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::str::FromStr for CounterName {
    type Err = CounterNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl core::borrow::Borrow<str> for CounterName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CounterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;

    #[test]
    fn identifiers_give_their_bits_back() {
        assert_eq!(ReplicaId::new(7).get(), 7);
        assert_eq!(StartId::new(7).get(), 7);
        assert_eq!(Version::new(7).next().get(), 8);
        assert_eq!(CounterIndex::new(7).get(), 7);
    }

    #[test]
    fn identifiers_are_shown_as_operators_know_them() {
        let replica = ReplicaId::new(0xc0f_fee0);
        assert_eq!(replica.to_string(), "0000000000000000000000000c0ffee0");
        assert_eq!(format!("{replica:?}"), "ReplicaId(c0ffee0)");
        let mark = Mark {
            version: Version::new(12),
            start: StartId::new(0xfee),
        };
        assert_eq!(mark.to_string(), "version 12 of start 0000000000000fee");
        let name: CounterName = "likes".parse().expect("a name");
        assert_eq!(
            (name.to_string(), format!("{name:?}")),
            ("likes".into(), "\"likes\"".into())
        );
    }

    #[test]
    fn a_name_has_bytes_and_not_too_many() {
        let parse = |bytes| "x".repeat(bytes).parse::<CounterName>();
        assert_eq!(parse(0), Err(CounterNameError::Empty));
        for bytes in [1, CounterName::BYTES_MAX] {
            let name = parse(bytes).expect("within the bound");
            assert_eq!(name.as_str().len(), bytes);
        }
        let too_long = CounterNameError::TooLong {
            bytes: 513,
            bytes_max: 512,
            begins: "x".repeat(32),
        };
        assert_eq!(parse(513), Err(too_long));
    }
}
