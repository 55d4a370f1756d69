//! Naive: read, add, write, and no word to the others.
//!
//! With one contender this is exact. With two, both may read 10 and both write 11: one like is
//! acknowledged and lost. Nothing fails and nothing is logged, which is why it happens in
//! production.
//!
//! The other side is a plain [`Register`](crate::register::Register). Where request and reply are
//! delivered in one step, this is shared memory; where they travel, it is a remote store.

use alloc::{vec, vec::Vec};

use crate::register::{FencingToken, Reply, Request};
use crate::{Effect, Like, Outcome, Refusal, UnexpectedReply};

/// Reads, adds and writes, for one like at a time.
///
/// ```
/// use lock_core::register::Register;
/// use lock_core::{naive::Contender, Amount, Effect, Like, LikeId, Value};
///
/// let like = Like { id: LikeId(0), amount: Amount::ONE };
/// let mut register = Register::default();
/// let mut servers = [Contender::default(), Contender::default()];
/// // Both read 0 ...
/// let writes = servers.each_mut().map(|server| {
///     let Effect::Send(read) = server.start(like)[0] else { unreachable!() };
///     server.receive(register.receive(read)).expect("a value was awaited")[0]
/// });
/// // ... and both write 1.
/// for (server, write) in servers.iter_mut().zip(writes) {
///     let Effect::Send(write) = write else { unreachable!() };
///     server.receive(register.receive(write)).expect("a confirmation was awaited");
/// }
/// assert_eq!(register.value(), Value(1), "two likes, one lost");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contender {
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    #[default]
    Idle,
    Reading(Like),
    Writing(Like),
}

impl Contender {
    /// Begins to count a like.
    ///
    /// # Panics
    ///
    /// If the contender is not idle: give each like that is to run at the same time a contender
    /// of its own.
    pub fn start(&mut self, like: Like) -> Vec<Effect<Request>> {
        assert!(
            self.is_idle(),
            "one like at a time, but {:?} is not settled",
            self.phase
        );
        self.phase = Phase::Reading(like);
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
            (Phase::Reading(like), Reply::Value(value)) => {
                let Some(value) = value.plus(like.amount) else {
                    return Ok(self.settle(like, Outcome::Refused(Refusal::OutOfRange)));
                };
                self.phase = Phase::Writing(like);
                let token = FencingToken::UNFENCED;
                Ok(vec![Effect::Send(Request::Write { value, token })])
            }
            (Phase::Writing(like), Reply::Written) => Ok(self.settle(like, Outcome::Counted)),
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
            Phase::Reading(like) => self.settle(like, Outcome::Refused(Refusal::ServerLost)),
            Phase::Writing(like) => self.settle(like, Outcome::Indeterminate),
        }
    }

    /// Whether it works on no like.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    fn settle(&mut self, like: Like, outcome: Outcome) -> Vec<Effect<Request>> {
        self.phase = Phase::Idle;
        vec![Effect::Settled {
            like: like.id,
            outcome,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amount, LikeId, Value};

    const LIKE: Like = Like {
        id: LikeId(7),
        amount: Amount::ONE,
    };

    fn settled(outcome: Outcome) -> Vec<Effect<Request>> {
        vec![Effect::Settled {
            like: LIKE.id,
            outcome,
        }]
    }

    #[test]
    fn a_like_is_refused_before_the_write_and_indeterminate_after_it() {
        let mut contender = Contender::default();
        contender.start(LIKE);
        let refused = settled(Outcome::Refused(Refusal::ServerLost));
        assert_eq!(contender.connection_lost(), refused);

        contender.start(LIKE);
        contender
            .receive(Reply::Value(Value(0)))
            .expect("a value was awaited");
        assert_eq!(contender.connection_lost(), settled(Outcome::Indeterminate));
        assert!(contender.is_idle());
    }

    #[test]
    fn a_sum_past_64_bits_is_never_written() {
        let mut contender = Contender::default();
        contender.start(LIKE);
        let effects = contender.receive(Reply::Value(Value(i64::MAX)));
        assert_eq!(effects, Ok(settled(Outcome::Refused(Refusal::OutOfRange))));
    }

    #[test]
    fn an_unexpected_reply_changes_nothing() {
        let mut contender = Contender::default();
        contender.start(LIKE);
        let before = contender.clone();
        let error = contender
            .receive(Reply::Written)
            .expect_err("a value was awaited");
        assert_eq!(error.awaited, "a value");
        assert_eq!(contender, before);
    }
}
