//! Replication between two nodes: anti-entropy, driven by the receiver.
//!
//! Each node dials each peer ([`Dialer`]) and is the [`Receiver`] of that stream; the peer is its
//! [`Sender`]. The receiver reports what it holds; the sender sends what is missing, its own lane
//! at a pace, other lanes when the receiver has not had them from elsewhere for a while. A stream
//! is ordered and reliable while it lives, so the sender remembers what it has sent; a new stream
//! begins with what the receiver holds. Nothing is kept for a peer that is away.
//!
//! The sender also tells the receiver how far it holds the *receiver's* lane. A receiver whose
//! directory was rolled back learns from it that its lane has forked, even when nobody can dial
//! it.

mod dialer;
mod receiver;
mod sender;
mod set;
#[cfg(test)]
mod tests;

use core::time::Duration;

use crdt_core::{Mark, ReplicaId};

use crate::ShardIndex;

pub use dialer::{DialLimits, Dialer};
pub use receiver::{Outcome, Receiver, ReceiverEffect, ReceiverError, SetOutcome};
pub use sender::{Sender, SenderEffect, SenderError};

/// How far a lane of a shard is held by whoever says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeldLane {
    /// The shard.
    pub shard: ShardIndex,
    /// The lane's owner.
    pub lane: ReplicaId,
    /// How far it is held, durably.
    pub mark: Mark,
}

/// The bounds of both ends of a stream, called the same at both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationLimits {
    /// The shortest time between two sendings of the own lane.
    pub pace: Duration,
    /// How often a receiver reports what it holds. Relays wait for it, and so does the detection
    /// of a peer that was rolled back; both can wait.
    pub report_interval: Duration,
    /// A receiver that still lacks what the sender held so long ago, of a lane that is not the
    /// sender's, gets it from there. Longer than a report takes over the slowest usual link, so
    /// that lanes are not sent twice while their owners are well.
    pub relay_interval: Duration,
    /// A sender with nothing to say says so this often, so that the receiver knows it is there.
    pub heartbeat_interval: Duration,
    /// A stream on which nothing comes for so long is dead, whatever the transport thinks of it.
    pub silence_max: Duration,
    /// Records that a shard is held for at a time while an interval is read: well below a
    /// millisecond's worth.
    pub piece_records_max: usize,
    /// Lanes of one report; a receiver with more sends several.
    pub report_lanes_max: usize,
    /// Lanes that a receiver may ever report on one stream: what one costs is some dozen bytes.
    pub stream_lanes_max: usize,
}

impl Default for ReplicationLimits {
    /// At 256 shards there is room for the lanes of 256 incarnations.
    fn default() -> Self {
        Self {
            pace: Duration::from_millis(10),
            report_interval: Duration::from_millis(100),
            relay_interval: Duration::from_millis(500),
            heartbeat_interval: Duration::from_secs(1),
            silence_max: Duration::from_secs(8),
            piece_records_max: 1_024,
            report_lanes_max: 8_192,
            stream_lanes_max: 65_536,
        }
    }
}
