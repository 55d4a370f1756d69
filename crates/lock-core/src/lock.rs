//! The lock: one server at a time, in the order in which they asked.
//!
//! The lock server is where the register is, so that the value can **travel with the lock**: the
//! grant carries it to the holder, the release carries the new one back and lets the next one
//! begin. That is a lock at its best, one round trip for each hold. [`ValueTravels::Separately`]
//! is the lock as it is mostly used: acquire, read and write are a round trip each. Both can put
//! several adds into one hold.
//!
//! The lock never expires. If its holder dies, the others wait for ever, unless somebody *knows*
//! that it is dead and says so ([`LockServer::forget`]); if the lock server dies, so does
//! everybody's turn. What a lock that expires does about the first, and what that costs, is in
//! [`lease`](crate::lease).

mod contender;

use alloc::{collections::VecDeque, vec, vec::Vec};

pub use contender::Contender;

use crate::register::{self, Fencing, Register};
use crate::{ContenderId, Value};

/// How the value gets to the holder of the lock and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueTravels {
    /// In the grant, and back in the release: one round trip a hold.
    WithTheLock,
    /// Read and written by messages of their own: three round trips a hold.
    Separately,
}

/// What a contender asks of the lock server and of the register beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// Let me hold the lock, after all those who asked before. May be sent together with the
    /// release of the hold before.
    Acquire {
        /// Whether the grant is to carry the value.
        travels: ValueTravels,
    },
    /// I hold the lock no more.
    Release {
        /// The new value, where it travels with the lock and has changed.
        carried: Option<Value>,
    },
    /// Read or write the register. It does not ask who holds the lock: the lock is an agreement
    /// among contenders.
    Register(register::Request),
}

/// What the lock server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// You hold the lock.
    Granted {
        /// The value, where it travels with the lock.
        carried: Option<Value>,
    },
    /// The value that your release carried is in the register.
    Stored,
    /// From the register.
    Register(register::Reply),
}

/// A request that breaks the protocol. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// A contender asks for the lock twice.
    #[error("{from:?} already waits for the lock; nothing changed: await the grant first")]
    AlreadyWaiting {
        /// Who asks.
        from: ContenderId,
    },
    /// A contender releases what it does not hold.
    #[error("{from:?} releases the lock, which is held by {holder:?}; nothing changed")]
    NotHolder {
        /// Who releases.
        from: ContenderId,
        /// Who holds the lock, if any.
        holder: Option<ContenderId>,
    },
}

/// The lock, its queue, and the register that it guards.
///
/// ```
/// use lock_core::lock::{LockServer, Reply, Request, ValueTravels};
/// use lock_core::{ContenderId, Value};
///
/// let mut server = LockServer::default();
/// let (ann, bob) = (ContenderId(1), ContenderId(2));
/// let acquire = Request::Acquire { travels: ValueTravels::WithTheLock };
/// let granted = |value| Reply::Granted { carried: Some(Value(value)) };
/// assert_eq!(server.receive(ann, acquire)?, [(ann, granted(0))]);
/// assert_eq!(server.receive(bob, acquire)?, []);
/// let release = Request::Release { carried: Some(Value(1)) };
/// assert_eq!(server.receive(ann, release)?, [(ann, Reply::Stored), (bob, granted(1))]);
/// # Ok::<(), lock_core::lock::LockError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockServer {
    register: Register,
    holder: Option<ContenderId>,
    /// First come, first served. A contender is in it once at most.
    waiting: VecDeque<Waiter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Waiter {
    contender: ContenderId,
    travels: ValueTravels,
}

impl LockServer {
    /// A lock that nobody holds, beside a register with this value. That is also what a restart
    /// finds where the value was durable: the holder and the queue are forgotten.
    #[must_use]
    pub const fn new(value: Value) -> Self {
        let register = Register::new(Fencing::None, value);
        Self {
            register,
            holder: None,
            waiting: VecDeque::new(),
        }
    }

    /// The register that the lock guards.
    #[must_use]
    pub const fn register(&self) -> &Register {
        &self.register
    }

    /// Who holds the lock, as far as the server knows.
    #[must_use]
    pub const fn holder(&self) -> Option<ContenderId> {
        self.holder
    }

    /// All that the server knows of: the holder, and then the queue.
    pub fn contenders(&self) -> impl Iterator<Item = ContenderId> {
        self.holder
            .into_iter()
            .chain(self.waiting.iter().map(|waiter| waiter.contender))
    }

    /// Serves one request, and says what to send to whom. The replies may be sent once the
    /// register is as durable as its driver promises.
    ///
    /// # Errors
    ///
    /// [`LockError`] if the request breaks the protocol; nothing has changed.
    pub fn receive(
        &mut self,
        from: ContenderId,
        request: Request,
    ) -> Result<Vec<(ContenderId, Reply)>, LockError> {
        match request {
            Request::Acquire { travels } => {
                if self.waiting.iter().any(|waiter| waiter.contender == from) {
                    return Err(LockError::AlreadyWaiting { from });
                }
                self.waiting.push_back(Waiter {
                    contender: from,
                    travels,
                });
                Ok(self.grant().into_iter().collect())
            }
            Request::Release { carried } => {
                if self.holder != Some(from) {
                    return Err(LockError::NotHolder {
                        from,
                        holder: self.holder,
                    });
                }
                self.holder = None;
                let stored = carried.map(|value| {
                    let token = register::FencingToken::UNFENCED;
                    self.register
                        .receive(register::Request::Write { value, token });
                    (from, Reply::Stored)
                });
                Ok(stored.into_iter().chain(self.grant()).collect())
            }
            Request::Register(request) => Ok(vec![(
                from,
                Reply::Register(self.register.receive(request)),
            )]),
        }
    }

    /// A contender is gone for ever, and everything that it sent has arrived or will be dropped:
    /// it leaves the queue, and the lock if it holds it.
    ///
    /// Nothing in the protocol tells the server so. A driver may call this where something else
    /// does, such as the end of a connection; a contender that is merely out of reach must not
    /// be forgotten while its messages may still arrive.
    pub fn forget(&mut self, gone: ContenderId) -> Vec<(ContenderId, Reply)> {
        self.waiting.retain(|waiter| waiter.contender != gone);
        if self.holder == Some(gone) {
            self.holder = None;
        }
        self.grant().into_iter().collect()
    }

    /// Gives a free lock to the first in the queue.
    fn grant(&mut self) -> Option<(ContenderId, Reply)> {
        if self.holder.is_some() {
            return None;
        }
        let Waiter { contender, travels } = self.waiting.pop_front()?;
        self.holder = Some(contender);
        let carried = match travels {
            ValueTravels::WithTheLock => Some(self.register.value()),
            ValueTravels::Separately => None,
        };
        Some((contender, Reply::Granted { carried }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: ContenderId = ContenderId(1);
    const BOB: ContenderId = ContenderId(2);
    const ACQUIRE: Request = Request::Acquire {
        travels: ValueTravels::Separately,
    };
    const RELEASE: Request = Request::Release { carried: None };
    const GRANTED: Reply = Reply::Granted { carried: None };

    /// Ann holds the lock, Bob waits.
    fn contended() -> LockServer {
        let mut server = LockServer::default();
        server.receive(ANN, ACQUIRE).expect("nobody waits");
        assert_eq!(server.receive(BOB, ACQUIRE), Ok(vec![]));
        assert!(server.contenders().eq([ANN, BOB]));
        server
    }

    #[test]
    fn only_the_holder_can_release() {
        let mut server = contended();
        let refused = LockError::NotHolder {
            from: BOB,
            holder: Some(ANN),
        };
        assert_eq!(server.receive(BOB, RELEASE), Err(refused));
        assert_eq!(server, contended());
        assert_eq!(server.receive(ANN, RELEASE), Ok(vec![(BOB, GRANTED)]));
    }

    #[test]
    fn nobody_is_in_the_queue_twice() {
        let mut server = contended();
        let refused = LockError::AlreadyWaiting { from: BOB };
        assert_eq!(server.receive(BOB, ACQUIRE), Err(refused));
        assert_eq!(server, contended());
    }

    #[test]
    fn an_acquire_may_overtake_the_release_before_it() {
        let mut server = contended();
        assert_eq!(server.receive(ANN, ACQUIRE), Ok(vec![]));
        assert_eq!(server.receive(ANN, RELEASE), Ok(vec![(BOB, GRANTED)]));
        assert_eq!(server.receive(BOB, RELEASE), Ok(vec![(ANN, GRANTED)]));
    }

    #[test]
    fn a_dead_holder_keeps_the_lock_until_it_is_forgotten() {
        let mut server = contended();
        assert_eq!(server.holder(), Some(ANN));
        assert_eq!(server.forget(ANN), vec![(BOB, GRANTED)]);
        assert_eq!(server.forget(BOB), vec![]);
        assert_eq!(server, LockServer::default());
    }

    #[test]
    fn one_that_waits_is_forgotten_without_a_trace() {
        let mut server = contended();
        assert_eq!(server.forget(BOB), vec![]);
        assert_eq!(server.receive(ANN, RELEASE), Ok(vec![]));
        assert_eq!(server, LockServer::default());
    }
}
