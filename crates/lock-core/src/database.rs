//! Database: send the addition to where the number is.
//!
//! One message, "counter = counter + amount", which the register applies whole. It is exact
//! without a lock, any number can be under way at once, and it is what a well-run single
//! database does. What it costs: every add waits for a round trip to that one place, and there
//! are no adds while that place is away.
//!
//! The other side is a plain [`Register`](crate::register::Register).

use alloc::{vec, vec::Vec};

use crate::register::{Reply, Request};
use crate::{Add, Effect, Outcome, Refusal, UnexpectedReply};

/// Sends one addition at a time.
///
/// ```
/// use lock_core::register::{Register, Request};
/// use lock_core::{database::Contender, Amount, Effect, Add, AddId, Outcome, Value};
///
/// let add = Add { id: AddId(0), amount: Amount::ONE };
/// let (mut register, mut server) = (Register::default(), Contender::default());
/// let Effect::Send(request) = server.start(add)[0] else { unreachable!() };
/// let effects = server.receive(register.receive(request)).expect("an answer was awaited");
/// assert_eq!(effects, [Effect::Settled { add: add.id, outcome: Outcome::Counted }]);
/// assert_eq!(register.value(), Value(1));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contender {
    /// Sent and not yet answered.
    under_way: Option<Add>,
}

impl Contender {
    /// Begins to count an add.
    ///
    /// # Panics
    ///
    /// If the contender is not idle: give each add that is to run at the same time a contender
    /// of its own.
    pub fn start(&mut self, add: Add) -> Vec<Effect<Request>> {
        assert!(
            self.is_idle(),
            "one add at a time, but {:?} is not settled",
            self.under_way
        );
        self.under_way = Some(add);
        vec![Effect::Send(Request::Increment { amount: add.amount })]
    }

    /// Takes the register's answer.
    ///
    /// # Errors
    ///
    /// [`UnexpectedReply`] if it answers no question of this contender; nothing has changed.
    pub fn receive(
        &mut self,
        reply: Reply,
    ) -> Result<Vec<Effect<Request>>, UnexpectedReply<Reply>> {
        let outcome = match (self.under_way, reply) {
            (Some(_), Reply::Incremented) => Outcome::Counted,
            (Some(_), Reply::OutOfRange) => Outcome::Refused(Refusal::OutOfRange),
            (Some(_), found) => {
                return Err(UnexpectedReply {
                    awaited: "incremented",
                    found,
                });
            }
            (None, found) => {
                return Err(UnexpectedReply {
                    awaited: "nothing",
                    found,
                });
            }
        };
        Ok(self.settle(outcome))
    }

    /// The register is gone, and no answer will come.
    pub fn connection_lost(&mut self) -> Vec<Effect<Request>> {
        self.settle(Outcome::Indeterminate)
    }

    /// Whether it works on no add.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    fn settle(&mut self, outcome: Outcome) -> Vec<Effect<Request>> {
        let add = self.under_way.take();
        add.into_iter()
            .map(|add| Effect::Settled {
                add: add.id,
                outcome,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AddId, Amount, Value};

    const ADD: Add = Add {
        id: AddId(7),
        amount: Amount::ONE,
    };

    fn settled(outcome: Outcome) -> Vec<Effect<Request>> {
        vec![Effect::Settled {
            add: ADD.id,
            outcome,
        }]
    }

    #[test]
    fn an_add_is_settled_by_the_answer_or_indeterminate_without_one() {
        let mut contender = Contender::default();
        for (reply, outcome) in [
            (Reply::Incremented, Outcome::Counted),
            (Reply::OutOfRange, Outcome::Refused(Refusal::OutOfRange)),
        ] {
            contender.start(ADD);
            assert!(!contender.is_idle());
            assert_eq!(contender.receive(reply), Ok(settled(outcome)));
            assert!(contender.is_idle());
        }
        contender.start(ADD);
        assert_eq!(contender.connection_lost(), settled(Outcome::Indeterminate));
        assert_eq!(contender.connection_lost(), []);
    }

    #[test]
    fn an_unexpected_reply_changes_nothing() {
        let mut contender = Contender::default();
        let found = Reply::Value(Value(1));
        for awaited in ["nothing", "incremented"] {
            let before = contender.clone();
            let error = contender.receive(found);
            assert_eq!(error, Err(UnexpectedReply { awaited, found }));
            assert_eq!(contender, before);
            if contender.is_idle() {
                contender.start(ADD);
            }
        }
    }
}
