//! The side that counts, under a lease: acquire, read, write with the token, release.
//!
//! It keeps no clock. Looking at one before the write would make the danger rarer and no less
//! real: the pause may come after the look, and the network has pauses of its own.

use alloc::{vec, vec::Vec};

use super::{LeaseReply, LeaseRequest};
use crate::register::{self, FencingToken};
use crate::{Add, Effect, Outcome, Refusal, UnexpectedReply};

/// What a contender sends, and to which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// To the lease server.
    Lease(LeaseRequest),
    /// To the register.
    Register(register::Request),
}

/// What a contender receives, and from which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// From the lease server.
    Lease(LeaseReply),
    /// From the register.
    Register(register::Reply),
}

/// Counts one add at a time, each under a lease of its own.
///
/// ```
/// use lock_core::lease::{Contender, LeaseReply, LeaseRequest, Reply, Request};
/// use lock_core::{register::FencingToken, Amount, Effect, Add, AddId};
///
/// let mut server = Contender::default();
/// let effects = server.start(Add { id: AddId(0), amount: Amount::ONE });
/// assert_eq!(effects, [Effect::Send(Request::Lease(LeaseRequest::Acquire))]);
/// let granted = LeaseReply::Granted { token: FencingToken(1) };
/// server.receive(Reply::Lease(granted)).expect("a grant was awaited");
/// assert!(server.believes_it_holds_the_lease());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contender {
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    #[default]
    Idle,
    Acquiring(Add),
    Reading(Add, FencingToken),
    Writing(Add, FencingToken),
}

type Effects = Vec<Effect<Request>>;

impl Contender {
    /// Begins to count an add.
    ///
    /// # Panics
    ///
    /// If the contender is not idle.
    pub fn start(&mut self, add: Add) -> Effects {
        assert!(
            self.is_idle(),
            "one add at a time, but {:?} is not settled",
            self.phase
        );
        self.phase = Phase::Acquiring(add);
        vec![Effect::Send(Request::Lease(LeaseRequest::Acquire))]
    }

    /// Takes an answer.
    ///
    /// # Errors
    ///
    /// [`UnexpectedReply`] if it answers no question of this contender; nothing has changed.
    pub fn receive(&mut self, reply: Reply) -> Result<Effects, UnexpectedReply<Reply>> {
        match (self.phase, reply) {
            (Phase::Acquiring(add), Reply::Lease(LeaseReply::Granted { token })) => {
                self.phase = Phase::Reading(add, token);
                Ok(vec![Effect::Send(Request::Register(
                    register::Request::Read { token },
                ))])
            }
            (Phase::Reading(add, token), Reply::Register(register::Reply::Value(value))) => {
                let Some(value) = value.plus(add.amount) else {
                    let refused = Outcome::Refused(Refusal::OutOfRange);
                    return Ok(vec![self.settle(add, refused), release(token)]);
                };
                self.phase = Phase::Writing(add, token);
                let write = register::Request::Write { value, token };
                Ok(vec![Effect::Send(Request::Register(write))])
            }
            (Phase::Writing(add, token), Reply::Register(register::Reply::Written)) => {
                Ok(vec![self.settle(add, Outcome::Counted), release(token)])
            }
            (Phase::Writing(add, _), Reply::Register(register::Reply::StaleToken { .. })) => {
                Ok(vec![self.settle(add, Outcome::Refused(Refusal::LeaseLost))])
            }
            (phase, found) => Err(UnexpectedReply {
                awaited: phase.awaited(),
                found,
            }),
        }
    }

    /// The servers are gone, and no answer will come.
    pub fn connection_lost(&mut self) -> Effects {
        match self.phase {
            Phase::Idle => Vec::new(),
            Phase::Acquiring(add) | Phase::Reading(add, _) => {
                vec![self.settle(add, Outcome::Refused(Refusal::ServerLost))]
            }
            Phase::Writing(add, _) => vec![self.settle(add, Outcome::Indeterminate)],
        }
    }

    /// Whether it works on no add.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Whether it was granted a lease that it has not released. It cannot know more.
    #[must_use]
    pub fn believes_it_holds_the_lease(&self) -> bool {
        matches!(self.phase, Phase::Reading(..) | Phase::Writing(..))
    }

    fn settle(&mut self, add: Add, outcome: Outcome) -> Effect<Request> {
        self.phase = Phase::Idle;
        Effect::Settled {
            add: add.id,
            outcome,
        }
    }
}

impl Phase {
    fn awaited(self) -> &'static str {
        match self {
            Self::Idle => "nothing",
            Self::Acquiring(_) => "granted",
            Self::Reading(..) => "a value",
            Self::Writing(..) => "written or a stale token",
        }
    }
}

fn release(token: FencingToken) -> Effect<Request> {
    Effect::Send(Request::Lease(LeaseRequest::Release { token }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AddId, Amount, Value};

    const ADD: Add = Add {
        id: AddId(7),
        amount: Amount::ONE,
    };
    const GRANTED: Reply = Reply::Lease(LeaseReply::Granted {
        token: FencingToken(3),
    });
    const VALUE: Reply = Reply::Register(register::Reply::Value(Value(10)));
    const WRITTEN: Reply = Reply::Register(register::Reply::Written);

    /// A contender that has begun, and has got these answers.
    fn after(replies: &[Reply]) -> Contender {
        let mut contender = Contender::default();
        contender.start(ADD);
        for &reply in replies {
            contender.receive(reply).expect("it was awaited");
        }
        contender
    }

    #[test]
    fn a_lease_is_believed_in_from_the_grant_to_the_release() {
        let idle = Contender::default();
        assert!(idle.is_idle() && !idle.believes_it_holds_the_lease());
        for (replies, believes) in [
            (&[][..], false),
            (&[GRANTED], true),
            (&[GRANTED, VALUE], true),
        ] {
            let contender = after(replies);
            assert!(!contender.is_idle());
            assert_eq!(contender.believes_it_holds_the_lease(), believes);
        }
        assert_eq!(after(&[GRANTED, VALUE, WRITTEN]), idle);
    }

    #[test]
    fn an_add_is_refused_before_the_write_and_indeterminate_after_it() {
        let refused = Outcome::Refused(Refusal::ServerLost);
        for (replies, outcome) in [
            (&[][..], refused),
            (&[GRANTED], refused),
            (&[GRANTED, VALUE], Outcome::Indeterminate),
        ] {
            let mut contender = after(replies);
            let settled = Effect::Settled {
                add: ADD.id,
                outcome,
            };
            assert_eq!(contender.connection_lost(), [settled]);
            assert_eq!(contender.connection_lost(), []);
        }
    }

    #[test]
    fn an_unexpected_reply_changes_nothing_and_says_what_was_awaited() {
        let found = Reply::Register(register::Reply::Incremented);
        for (mut contender, awaited) in [
            (Contender::default(), "nothing"),
            (after(&[]), "granted"),
            (after(&[GRANTED]), "a value"),
            (after(&[GRANTED, VALUE]), "written or a stale token"),
        ] {
            let before = contender.clone();
            let error = contender.receive(found);
            assert_eq!(error, Err(UnexpectedReply { awaited, found }));
            assert_eq!(contender, before);
        }
    }
}
