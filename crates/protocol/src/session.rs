//! Sessions as clients hold them, and which of them a home keeps open.
//!
//! A session's bytes are opaque to clients. They name the cluster and the session, and say whether
//! they are whole. They are no secret, and no proof that the session was opened: who makes some up
//! has a session of its own, under the same bounds.
//!
//! Format: a version byte 1, the cluster (8 bytes, big-endian), the home (16), its start (8), the
//! count (8), and a check of all that (4).

mod open;

use alloc::vec::Vec;

use crdt_core::{REQUESTS_WINDOW, ReplicaId, RequestId, SessionId, StartId};
use thiserror::Error;

use crate::ClusterHash;

pub use open::{CLOSED_SESSIONS_MAX, OpenSessions, SESSIONS_MAX, SessionsExhausted};

/// Bytes that a session has at most, in this format and any later one.
pub const SESSION_BYTES_MAX: usize = 64;

const FORMAT: u8 = 1;
const CHECKED_BYTES: usize = 1 + 8 + 16 + 8 + 8;
const BYTES: usize = CHECKED_BYTES + 4;

/// A session, of a cluster.
///
/// ```
/// use crdt_core::{ReplicaId, SessionId, StartId};
/// use protocol::{ClusterHash, SessionToken};
///
/// let session = SessionId { home: ReplicaId::new(1), start: StartId::new(7), count: 0 };
/// let cluster = ClusterHash(5);
/// let bytes = SessionToken { cluster, session }.to_bytes();
/// assert_eq!(SessionToken::parse(&bytes, cluster), Ok(session));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionToken {
    /// The cluster.
    pub cluster: ClusterHash,
    /// The session.
    pub session: SessionId,
}

/// Why bytes are no session of this cluster.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The length fits no session.
    #[error(
        "a session has {BYTES} bytes, and this one has {0}; give it whole, as OpenSession gave it"
    )]
    Length(usize),
    /// Another version of the program wrote it.
    #[error(
        "the session has format {0}; this version reads format {FORMAT}: use a node of the version \
         that opened it, or open another session"
    )]
    Format(u8),
    /// Some of it has changed.
    #[error("the session's bytes were altered; give them as OpenSession gave them")]
    Altered,
    /// Another cluster gave it.
    #[error("the session is of another cluster; send its requests to a node of that one")]
    Cluster,
}

impl SessionToken {
    /// The session as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(FORMAT);
        bytes.extend(self.cluster.0.to_be_bytes());
        bytes.extend(self.session.home.get().to_be_bytes());
        bytes.extend(self.session.start.get().to_be_bytes());
        bytes.extend(self.session.count.to_be_bytes());
        bytes.extend(check_of(&bytes).to_be_bytes());
        bytes
    }

    /// Parses the session of a cluster.
    ///
    /// # Errors
    ///
    /// When the bytes are no session, or one of another cluster.
    pub fn parse(bytes: &[u8], cluster: ClusterHash) -> Result<SessionId, SessionError> {
        if let Some(&format) = bytes.first()
            && format != FORMAT
        {
            return Err(SessionError::Format(format));
        }
        let whole: &[u8; BYTES] = bytes
            .try_into()
            .map_err(|_| SessionError::Length(bytes.len()))?;
        let (checked, check) = whole.split_at(CHECKED_BYTES);
        if check_of(checked).to_be_bytes() != check {
            return Err(SessionError::Altered);
        }
        let number = |at: usize| {
            let bytes = checked[at..at + 8].try_into().expect("8 bytes were taken");
            u64::from_be_bytes(bytes)
        };
        if number(1) != cluster.0 {
            return Err(SessionError::Cluster);
        }
        let start = StartId::new(number(25));
        if start == StartId::NONE {
            return Err(SessionError::Altered);
        }
        Ok(SessionId {
            home: ReplicaId::new(u128::from(number(9)) << 64 | u128::from(number(17))),
            start,
            count: number(33),
        })
    }
}

/// The 32-bit FNV-1a hash: enough against what is cut or mistyped.
fn check_of(bytes: &[u8]) -> u32 {
    let step = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}

/// Which request of which session something is, as its client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The request.
    pub id: RequestId,
    /// All requests below were answered: 1 at least, and the request's number at most.
    pub answered_below: u64,
    /// Whether the client has given up on the session's home for it.
    pub is_moved: bool,
}

/// A request number that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestNumberError {
    /// 0.
    #[error("the request's number is 0; the requests of a session are numbered from 1 on")]
    Zero,
    /// Answered already, by the request's own word.
    #[error(
        "request {number} is below answered_below, {answered_below}: it was answered, and is not \
         sent again"
    )]
    Answered {
        /// The request's number.
        number: u64,
        /// What is answered.
        answered_below: u64,
    },
    /// More under way than may be.
    #[error(
        "request {number} is too far above answered_below, {answered_below}: a session may have \
         {REQUESTS_WINDOW} requests unanswered, so up to {last}; wait for answers first, or open \
         another session"
    )]
    PastWindow {
        /// The request's number.
        number: u64,
        /// What is answered.
        answered_below: u64,
        /// The highest number possible.
        last: u64,
    },
}

impl RequestHead {
    /// A request as its client gives it; an `answered_below` of 0 means 1.
    ///
    /// # Errors
    ///
    /// When the number cannot be.
    pub fn new(
        session: SessionId,
        number: u64,
        answered_below: u64,
        is_moved: bool,
    ) -> Result<Self, RequestNumberError> {
        let answered_below = answered_below.max(1);
        if number == 0 {
            return Err(RequestNumberError::Zero);
        }
        match number.checked_sub(answered_below) {
            None => Err(RequestNumberError::Answered {
                number,
                answered_below,
            }),
            Some(above) if above >= REQUESTS_WINDOW => Err(RequestNumberError::PastWindow {
                number,
                answered_below,
                last: answered_below + (REQUESTS_WINDOW - 1),
            }),
            Some(_) => Ok(Self {
                id: RequestId { session, number },
                answered_below,
                is_moved,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
