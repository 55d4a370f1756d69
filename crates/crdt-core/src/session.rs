//! Sessions: requests that count once, on whichever node they are sent, and however often.
//!
//! A session is opened at one replica, its *home*, and its client numbers its requests 1, 2, 3, ...
//! In a shard the home's lane keeps one [`SessionMark`] a session: which requests it took. A client
//! that gives up on the home *moves* its unanswered requests to other replicas. Such a replica does
//! not know whether the home has taken a request; so it writes a *claim*, with the adds, into its own
//! lane, and answers. Whenever the home meets a claim of a request that it has not taken, it writes a
//! *grant*; the claimant then *folds* the claim into its sums. A claim of what was taken, or was
//! granted to another, is *dropped*. Until then a claim counts in every value by the rule in
//! [`Replica::value`](crate::Replica::value), which is a pure function of the lanes.
//!
//! The nearest theory: Lee et al., "Implementing Linearizability at Large Scale and Low Latency"
//! (RIFL, SOSP 2015), which keeps completion records beside the data, and Almeida and Baquero,
//! "Scalable Eventually Consistent Counters over Unreliable Networks" (2013), where what one replica
//! counted is handed to another exactly once. Nothing is leased here, and a session outlives its home.

mod mark;
mod numbers;
mod records;

use core::fmt;

use crate::{ReplicaId, StartId};

pub use mark::SessionMark;
pub use numbers::Numbers;
pub use records::{Gap, RecordContent, RecordKey, Records, SessionRecord};

/// How far above the lowest unanswered request a request may be numbered: what a client has in
/// flight at most.
pub const REQUESTS_WINDOW: u64 = 1_024;

/// The adds that a replica may have claimed in one shard, those that are granted and not folded yet
/// included; a claim without adds counts as one. More are refused before anything changes.
pub const CLAIMED_ADDS_MAX: usize = 65_536;

/// A session: never given twice, since a home draws its start at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// The replica that opened it.
    pub home: ReplicaId,
    /// The start of its process in which it did ...
    pub start: StartId,
    /// ... and how many it had opened before in that start.
    pub count: u64,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of start {:016x} of replica {}",
            self.count,
            self.start.get(),
            self.home
        )
    }
}

/// A request: the session, and the number that its client gave it, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    /// The session.
    pub session: SessionId,
    /// The number in it.
    pub number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} of session {}", self.number, self.session)
    }
}
