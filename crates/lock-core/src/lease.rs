//! The lease: a lock that expires, so that a dead holder does not stop the others.
//!
//! Expiry mends the lock's deadlock and breaks its promise. A holder that was only slow (a long
//! pause, a late message) still believes that it holds the lease when the next one does; nothing
//! that it can check beforehand helps, since the pause may come right after the check. So the
//! place that is written to must tell the two apart, by the **fencing token** of each lease.
//! Which requests must carry and raise it is [`Fencing`](crate::register::Fencing).
//!
//! (Gray and Cheriton, "Leases", 1989; Burrows, "The Chubby lock service", 2006, section 2.4,
//! where tokens are called sequencers.)
//!
//! The lease server and the [`Register`](crate::register::Register) are two machines here, since
//! the danger lies between them. Time is an argument, and only [`LeaseServer::expire`] acts on
//! it. No driver of this project runs a lease between processes; the model checker does.

mod contender;

use alloc::{collections::VecDeque, vec::Vec};

pub use contender::{Contender, Reply, Request};

use crate::ContenderId;
use crate::register::FencingToken;

/// A point in time or a length of time, in milliseconds, by the lease server's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// What a contender asks of the lease server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseRequest {
    /// Let me hold the lease, after all those who asked before.
    Acquire,
    /// I need the lease with this token no more. Of no effect if it has expired.
    Release {
        /// The lease's.
        token: FencingToken,
    },
}

/// What the lease server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseReply {
    /// You hold the lease, for some time.
    Granted {
        /// Higher than that of every lease before.
        token: FencingToken,
    },
}

/// A contender asked for the lease twice. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{from:?} already waits for the lease; nothing changed: await the grant first")]
pub struct AlreadyWaiting {
    /// Who asks.
    pub from: ContenderId,
}

/// The lease and its queue.
///
/// ```
/// use lock_core::lease::{LeaseReply, LeaseRequest, LeaseServer, Millis};
/// use lock_core::{register::FencingToken, ContenderId};
///
/// let mut server = LeaseServer::new(Millis(1_000));
/// let (ann, bob) = (ContenderId(1), ContenderId(2));
/// let granted = |token| LeaseReply::Granted { token: FencingToken(token) };
/// assert_eq!(server.receive(Millis(0), ann, LeaseRequest::Acquire)?, [(ann, granted(1))]);
/// assert_eq!(server.receive(Millis(5), bob, LeaseRequest::Acquire)?, []);
/// assert_eq!(server.expire(Millis(999)), None);
/// assert_eq!(server.expire(Millis(1_000)), Some((bob, granted(2))));
/// # Ok::<(), lock_core::lease::AlreadyWaiting>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseServer {
    length: Millis,
    lease: Option<Lease>,
    waiting: VecDeque<ContenderId>,
    /// The token of the newest lease.
    newest: FencingToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Lease {
    holder: ContenderId,
    expires_at: Millis,
}

impl LeaseServer {
    /// A server whose leases expire after this time.
    #[must_use]
    pub const fn new(length: Millis) -> Self {
        let waiting = VecDeque::new();
        Self {
            length,
            lease: None,
            waiting,
            newest: FencingToken::UNFENCED,
        }
    }

    /// Who holds the lease, as far as the server knows.
    #[must_use]
    pub fn holder(&self) -> Option<ContenderId> {
        self.lease.map(|lease| lease.holder)
    }

    /// Serves one request, and says what to send to whom.
    ///
    /// # Errors
    ///
    /// [`AlreadyWaiting`] if the contender is in the queue; nothing has changed.
    pub fn receive(
        &mut self,
        now: Millis,
        from: ContenderId,
        request: LeaseRequest,
    ) -> Result<Vec<(ContenderId, LeaseReply)>, AlreadyWaiting> {
        match request {
            LeaseRequest::Acquire if self.waiting.contains(&from) => {
                return Err(AlreadyWaiting { from });
            }
            LeaseRequest::Acquire => self.waiting.push_back(from),
            LeaseRequest::Release { token } => {
                if token == self.newest {
                    self.lease = None;
                }
            }
        }
        Ok(self.grant(now).into_iter().collect())
    }

    /// Time has passed: ends the lease if it is over, and grants the next one. The holder is not
    /// told; it may be dead, and a message to it may be late.
    pub fn expire(&mut self, now: Millis) -> Option<(ContenderId, LeaseReply)> {
        if self.lease.is_some_and(|lease| lease.expires_at <= now) {
            self.lease = None;
        }
        self.grant(now)
    }

    /// Grants a free lease to the first in the queue.
    fn grant(&mut self, now: Millis) -> Option<(ContenderId, LeaseReply)> {
        if self.lease.is_some() {
            return None;
        }
        let holder = self.waiting.pop_front()?;
        let expires_at = Millis(now.0.saturating_add(self.length.0));
        self.lease = Some(Lease { holder, expires_at });
        self.newest = FencingToken(self.newest.0 + 1);
        Some((holder, LeaseReply::Granted { token: self.newest }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: ContenderId = ContenderId(1);
    const BOB: ContenderId = ContenderId(2);
    const NOW: Millis = Millis(0);
    const LATER: Millis = Millis(10);

    fn granted(token: u64) -> LeaseReply {
        LeaseReply::Granted {
            token: FencingToken(token),
        }
    }

    fn release(token: u64) -> LeaseRequest {
        LeaseRequest::Release {
            token: FencingToken(token),
        }
    }

    /// Ann holds the lease, Bob waits.
    fn contended() -> LeaseServer {
        let mut server = LeaseServer::new(LATER);
        let acquire = LeaseRequest::Acquire;
        assert_eq!(
            server.receive(NOW, ANN, acquire),
            Ok([(ANN, granted(1))].to_vec())
        );
        assert_eq!(server.receive(NOW, BOB, acquire), Ok(Vec::new()));
        server
    }

    #[test]
    fn a_release_lets_the_next_one_in() {
        let mut server = contended();
        assert_eq!(
            server.receive(NOW, ANN, release(1)),
            Ok([(BOB, granted(2))].to_vec())
        );
        assert_eq!(server.holder(), Some(BOB));
    }

    #[test]
    fn a_release_after_the_expiry_takes_nothing_from_the_next_holder() {
        let mut server = contended();
        assert_eq!(server.expire(LATER), Some((BOB, granted(2))));
        assert_eq!(server.receive(LATER, ANN, release(1)), Ok(Vec::new()));
        assert_eq!(server.holder(), Some(BOB));
    }

    #[test]
    fn a_lease_that_is_not_over_does_not_expire() {
        let mut server = contended();
        assert_eq!(server.expire(Millis(9)), None);
        assert_eq!(server, contended());
    }

    #[test]
    fn nobody_is_in_the_queue_twice() {
        let mut server = contended();
        let refused = server.receive(NOW, BOB, LeaseRequest::Acquire);
        assert_eq!(refused, Err(AlreadyWaiting { from: BOB }));
        assert_eq!(server, contended());
    }
}
