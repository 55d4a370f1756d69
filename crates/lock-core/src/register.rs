//! The shared register: one number in one place, which every server wants to change.
//!
//! It serves each request whole before the next one, and that is all it promises. Reading and
//! writing are two requests, so what was read may be old by the time of the write: that gap is
//! the subject of this crate. `Increment` has no gap; it is what a database does for
//! `counter = counter + 1`.
//!
//! A **fencing token** is the number of a lease. Tokens only grow, so a register that remembers
//! the highest one it has seen can refuse those who are late (Kleppmann, "How to do distributed
//! locking", 2016). [`Fencing`] says when it looks; the checker shows that only one of the three
//! ways is enough.

use crate::{Amount, Value};

/// When the register looks at fencing tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fencing {
    /// Never: who believes that they hold the lease may write.
    #[default]
    None,
    /// A write is refused when a *write* with a higher token has been seen. This is how fencing is
    /// usually described, and it is not enough for read-add-write: the new holder may have read,
    /// and not yet written, when the old one's write arrives.
    OnWrite,
    /// A write is refused when a *read or write* with a higher token has been seen.
    OnReadAndWrite,
}

/// The number of a lease; a later lease has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// Of those who hold no lease. A register without fencing does not look at it; one with
    /// fencing takes it for the oldest lease of all.
    pub const UNFENCED: Self = Self(0);
}

/// What the register is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// The value, please.
    Read {
        /// The reader's lease.
        token: FencingToken,
    },
    /// The value shall be this.
    Write {
        /// The new value.
        value: Value,
        /// The writer's lease.
        token: FencingToken,
    },
    /// Add to the value, whatever it is. Not fenced: it depends on nothing that was read.
    Increment {
        /// How much.
        amount: Amount,
    },
}

/// What the register answers. A driver whose register is on disk sends no answer before the
/// value that it confirms is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// To a read.
    Value(Value),
    /// To a write: done.
    Written,
    /// To a write: refused, nothing changed; a holder of this higher token was here.
    StaleToken {
        /// The highest token seen.
        highest: FencingToken,
    },
    /// To an increment: done.
    Incremented,
    /// To an increment: refused, nothing changed; 64 bits do not hold the sum.
    OutOfRange,
}

/// The register.
///
/// ```
/// use lock_core::register::{Fencing, FencingToken, Register, Reply, Request};
/// use lock_core::Value;
///
/// let mut register = Register::new(Fencing::OnReadAndWrite, Value(10));
/// let (old, new) = (FencingToken(1), FencingToken(2));
/// assert_eq!(register.receive(Request::Read { token: old }), Reply::Value(Value(10)));
/// assert_eq!(register.receive(Request::Read { token: new }), Reply::Value(Value(10)));
/// // The old holder is late: the new one has already read.
/// let late = Request::Write { value: Value(11), token: old };
/// assert_eq!(register.receive(late), Reply::StaleToken { highest: new });
/// assert_eq!(register.value(), Value(10));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    value: Value,
    fencing: Fencing,
    /// Of the requests at which `fencing` looks; `None` while it has looked at none.
    highest: Option<FencingToken>,
}

impl Register {
    /// A register that holds `value`; that is also what a restart finds, where it was durable.
    #[must_use]
    pub const fn new(fencing: Fencing, value: Value) -> Self {
        Self {
            value,
            fencing,
            highest: None,
        }
    }

    /// What it holds.
    #[must_use]
    pub const fn value(&self) -> Value {
        self.value
    }

    /// Serves one request.
    pub fn receive(&mut self, request: Request) -> Reply {
        match request {
            Request::Read { token } => {
                if self.fencing == Fencing::OnReadAndWrite {
                    self.highest = self.highest.max(Some(token));
                }
                Reply::Value(self.value)
            }
            Request::Write { value, token } => self.write(value, token),
            Request::Increment { amount } => match self.value.plus(amount) {
                Some(value) => {
                    self.value = value;
                    Reply::Incremented
                }
                None => Reply::OutOfRange,
            },
        }
    }

    fn write(&mut self, value: Value, token: FencingToken) -> Reply {
        if self.fencing != Fencing::None {
            if let Some(highest) = self.highest.filter(|highest| *highest > token) {
                return Reply::StaleToken { highest };
            }
            self.highest = Some(token);
        }
        self.value = value;
        Reply::Written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: i64, token: u64) -> Request {
        Request::Write {
            value: Value(value),
            token: FencingToken(token),
        }
    }

    fn read(token: u64) -> Request {
        Request::Read {
            token: FencingToken(token),
        }
    }

    #[test]
    fn without_fencing_the_last_write_wins() {
        let mut register = Register::default();
        assert_eq!(register.receive(write(2, 2)), Reply::Written);
        assert_eq!(register.receive(write(1, 1)), Reply::Written);
        assert_eq!(register.value(), Value(1));
    }

    #[test]
    fn fencing_on_write_does_not_hear_of_reads() {
        let mut register = Register::new(Fencing::OnWrite, Value(0));
        register.receive(read(2));
        assert_eq!(register.receive(write(1, 1)), Reply::Written);
        assert_eq!(register.receive(write(2, 2)), Reply::Written);
        let refused = Reply::StaleToken {
            highest: FencingToken(2),
        };
        assert_eq!(register.receive(write(1, 1)), refused);
    }

    #[test]
    fn fencing_on_read_and_write_refuses_who_read_earlier() {
        let mut register = Register::new(Fencing::OnReadAndWrite, Value(0));
        register.receive(read(1));
        register.receive(read(2));
        let refused = Reply::StaleToken {
            highest: FencingToken(2),
        };
        assert_eq!(register.receive(write(1, 1)), refused);
        assert_eq!(register.receive(write(5, 2)), Reply::Written);
        assert_eq!(register.value(), Value(5));
    }

    #[test]
    fn an_increment_past_64_bits_changes_nothing() {
        let mut register = Register::new(Fencing::None, Value(i64::MAX));
        let request = Request::Increment {
            amount: Amount::ONE,
        };
        assert_eq!(register.receive(request), Reply::OutOfRange);
        assert_eq!(register.value(), Value(i64::MAX));
    }
}
