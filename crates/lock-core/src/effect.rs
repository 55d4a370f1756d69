//! What comes out of a contender: messages to send, and the fate of each add.
//!
//! The split of [`Outcome`] in three is the point of this file. A caller may safely repeat an add
//! that was refused, but not one whose outcome nobody knows.

use core::fmt::Debug;

use crate::AddId;

/// What the driver of a contender has to do, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect<Request> {
    /// Send this to the server.
    Send(Request),
    /// Tell whoever waits for this add. Each started add is settled exactly once, unless its
    /// contender crashes.
    Settled {
        /// As given to `start`.
        add: AddId,
        /// What became of it.
        outcome: Outcome,
    },
}

/// What became of an add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The server has confirmed the write that contains it: acknowledge it.
    Counted,
    /// It has changed nothing, and never will.
    Refused(Refusal),
    /// Its write was sent and not confirmed: it may have counted, once.
    Indeterminate,
}

/// Why an add changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It would move the value past 64 bits.
    OutOfRange,
    /// Another contender was granted the lease first, and the register has seen its token.
    LeaseLost,
    /// The server was lost before anything that contains the add was sent.
    ServerLost,
}

/// A reply that the contender does not wait for: the other side is broken or is another program.
/// The contender's state is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {awaited}, got {found:?}; nothing changed: end this connection and start anew")]
pub struct UnexpectedReply<Reply: Debug> {
    /// What the contender waits for.
    pub awaited: &'static str,
    /// What came.
    pub found: Reply,
}
