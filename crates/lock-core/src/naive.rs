//! Naive: read, add, write, and no word to the others.
//!
//! With one contender this is exact. With two, both may read 10 and both write 11: one add is
//! acknowledged and lost. Nothing fails and nothing is logged, which is why it happens in
//! production.
//!
//! The other side is a plain [`Register`](crate::register::Register). Where request and reply are
//! delivered in one step, this is shared memory; where they travel, it is a remote store.

use alloc::{vec, vec::Vec};

use crate::register::{FencingToken, Reply, Request};
use crate::{Add, Effect, Outcome, Refusal, UnexpectedReply};

/// Reads, adds and writes, for one add at a time.
///
/// ```
/// use lock_core::register::Register;
/// use lock_core::{naive::Contender, Amount, Effect, Add, AddId, Value};
///
/// let add = Add { id: AddId(0), amount: Amount::ONE };
/// let mut register = Register::default();
/// let mut servers = [Contender::default(), Contender::default()];
/// // Both read 0 ...
/// let writes = servers.each_mut().map(|server| {
///     let Effect::Send(read) = server.start(add)[0] else { unreachable!() };
///     server.receive(register.receive(read)).expect("a value was awaited")[0]
/// });
/// // ... and both write 1.
/// for (server, write) in servers.iter_mut().zip(writes) {
///     let Effect::Send(write) = write else { unreachable!() };
///     server.receive(register.receive(write)).expect("a confirmation was awaited");
/// }
/// assert_eq!(register.value(), Value(1), "two adds, one lost");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contender {
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    #[default]
    Idle,
    Reading(Add),
    Writing(Add),
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
            self.phase
        );
        self.phase = Phase::Reading(add);
        vec![Effect::Send(Request::Read {
            token: FencingToken::UNFENCED,
        })]
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
        match (self.phase, reply) {
            (Phase::Reading(add), Reply::Value(value)) => {
                let Some(value) = value.plus(add.amount) else {
                    return Ok(self.settle(add, Outcome::Refused(Refusal::OutOfRange)));
                };
                self.phase = Phase::Writing(add);
                let token = FencingToken::UNFENCED;
                Ok(vec![Effect::Send(Request::Write { value, token })])
            }
            (Phase::Writing(add), Reply::Written) => Ok(self.settle(add, Outcome::Counted)),
            (Phase::Idle, found) => Err(UnexpectedReply {
                awaited: "nothing",
                found,
            }),
            (Phase::Reading(_), found) => Err(UnexpectedReply {
                awaited: "a value",
                found,
            }),
            (Phase::Writing(_), found) => Err(UnexpectedReply {
                awaited: "written",
                found,
            }),
        }
    }

    /// The register is gone, and no answer will come.
    pub fn connection_lost(&mut self) -> Vec<Effect<Request>> {
        match self.phase {
            Phase::Idle => Vec::new(),
            Phase::Reading(add) => self.settle(add, Outcome::Refused(Refusal::ServerLost)),
            Phase::Writing(add) => self.settle(add, Outcome::Indeterminate),
        }
    }

    /// Whether it works on no add.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    fn settle(&mut self, add: Add, outcome: Outcome) -> Vec<Effect<Request>> {
        self.phase = Phase::Idle;
        vec![Effect::Settled {
            add: add.id,
            outcome,
        }]
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
    fn an_add_is_refused_before_the_write_and_indeterminate_after_it() {
        let mut contender = Contender::default();
        contender.start(ADD);
        assert!(!contender.is_idle());
        let refused = settled(Outcome::Refused(Refusal::ServerLost));
        assert_eq!(contender.connection_lost(), refused);

        contender.start(ADD);
        contender
            .receive(Reply::Value(Value(0)))
            .expect("a value was awaited");
        assert_eq!(contender.connection_lost(), settled(Outcome::Indeterminate));
        assert!(contender.is_idle());
    }

    #[test]
    fn a_sum_past_64_bits_is_never_written() {
        let mut contender = Contender::default();
        contender.start(ADD);
        let effects = contender.receive(Reply::Value(Value(i64::MAX)));
        assert_eq!(effects, Ok(settled(Outcome::Refused(Refusal::OutOfRange))));
    }

    #[test]
    fn an_unexpected_reply_changes_nothing() {
        let mut contender = Contender::default();
        contender.start(ADD);
        let before = contender.clone();
        let error = contender
            .receive(Reply::Written)
            .expect_err("a value was awaited");
        assert_eq!(error.awaited, "a value");
        assert_eq!(contender, before);
    }
}
