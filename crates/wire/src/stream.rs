//! The two ends of a replication stream, with their bytes: a machine of `protocol`, and the
//! dictionary of names that goes with the stream.
//!
//! `tallyd` moves the messages over sockets, the simulator over its network; what is in them, and
//! when they are due, is decided and written here alone.

mod convert;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;

pub use convert::{held_from_wire, held_to_wire, hello_from_wire, hello_to_wire, ingest_message};
pub use receiving::{Received, Receiving, ReceivingEnd, ReceivingError, Taken};
pub use sending::{Sending, SendingEnd, SendingError};

/// The largest report taken from a receiver, in bytes: 8,192 lanes are about 350,000.
pub const REPORT_BYTES_MAX: usize = 512 << 10;

/// The largest message taken from a sender, in bytes: about
/// [`PART_BYTES_TARGET`](crate::PART_BYTES_TARGET), twice, and a record of a session that was granted
/// to others request by request.
pub const RESPONSE_BYTES_MAX: usize = 16 << 20;
