//! Delta-intervals as bytes, for replication streams, log segments and snapshots alike.
//!
//! A stream (a connection, a file) has one [`IntervalEncoder`] at its writing end and one
//! [`IntervalDecoder`] at its reading end. Both remember the names that the stream has introduced,
//! so a counter that changes often costs a few bytes each time. A long interval is cut into parts
//! of about [`PART_BYTES_TARGET`]; the decoder hands it out once it is whole, because an interval
//! is applied whole or not at all. Intervals that need each other come in sets, which are handed
//! out whole as well.
//!
//! What is decoded is well-formed; whether it fits the receiver's lanes is for
//! [`Replica::receive`](crdt_core::Replica::receive) to say.

mod decode;
mod encode;
mod error;
mod limits;
mod records;

use crdt_core::{Mark, StartId, Version};

use crate::v1;
pub use decode::IntervalDecoder;
pub use encode::{IntervalEncoder, PartsOf};
pub use error::DecodeError;
pub use limits::DecodeLimits;

/// A part is closed once it has about this many bytes: well above what a part costs by itself, and
/// made or read in about two milliseconds, which others on the same thread wait for.
pub const PART_BYTES_TARGET: usize = 128 << 10;

impl From<Mark> for v1::Mark {
    fn from(mark: Mark) -> Self {
        Self {
            version: mark.version.get(),
            start: mark.start.get(),
        }
    }
}

impl From<v1::Mark> for Mark {
    fn from(mark: v1::Mark) -> Self {
        Self {
            version: Version::new(mark.version),
            start: StartId::new(mark.start),
        }
    }
}

#[cfg(test)]
mod tests;
