//! `lock-core`'s contenders behind one face.
//!
//! They differ in two ways that matter here: who has one (each add, or each counter), and which
//! of the server's messages concern them. A naive or database contender talks to the register
//! only; its messages are wrapped into those of the lock server that the register is part of.

use lock_core::lock::{self, Reply, Request};
use lock_core::{Add, AddId, Effect, UnexpectedReply, database, naive, register};

use super::Strategy;

/// A contender of any strategy.
#[derive(Debug)]
pub(super) enum Machine {
    Naive(naive::Contender),
    Database(database::Contender),
    Lock(lock::Contender),
}

type Effects = Vec<Effect<Request>>;

impl Machine {
    pub(super) fn new(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Naive => Self::Naive(naive::Contender::default()),
            Strategy::Database => Self::Database(database::Contender::default()),
            Strategy::Lock { travels, batch_max } => {
                Self::Lock(lock::Contender::new(travels, batch_max.get()))
            }
        }
    }

    pub(super) fn start(&mut self, add: Add) -> Effects {
        match self {
            Self::Naive(contender) => wrap(contender.start(add)),
            Self::Database(contender) => wrap(contender.start(add)),
            Self::Lock(contender) => contender.start(add),
        }
    }

    pub(super) fn receive(&mut self, reply: Reply) -> Result<Effects, UnexpectedReply<Reply>> {
        let effects = match (self, reply) {
            (Self::Lock(contender), reply) => return contender.receive(reply),
            (Self::Naive(contender), Reply::Register(reply)) => contender.receive(reply),
            (Self::Database(contender), Reply::Register(reply)) => contender.receive(reply),
            (Self::Naive(_) | Self::Database(_), found) => {
                return Err(UnexpectedReply {
                    awaited: "a reply of the register",
                    found,
                });
            }
        };
        effects
            .map(wrap)
            .map_err(|UnexpectedReply { awaited, found }| UnexpectedReply {
                awaited,
                found: Reply::Register(found),
            })
    }

    pub(super) fn connection_lost(&mut self) -> Effects {
        match self {
            Self::Naive(contender) => wrap(contender.connection_lost()),
            Self::Database(contender) => wrap(contender.connection_lost()),
            Self::Lock(contender) => contender.connection_lost(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        match self {
            Self::Naive(contender) => contender.is_idle(),
            Self::Database(contender) => contender.is_idle(),
            Self::Lock(contender) => contender.is_idle(),
        }
    }

    /// Takes back the adds for which `abandoned` holds, as far as the next hold would take them.
    pub(super) fn withdraw_where(&mut self, abandoned: impl Fn(AddId) -> bool) -> Vec<AddId> {
        let mut withdrawn = Vec::new();
        if let Self::Lock(contender) = self {
            loop {
                let next = contender.next_batch().find(|add| abandoned(*add));
                let Some(add) = next else { break };
                contender.withdraw(add);
                withdrawn.push(add);
            }
        }
        withdrawn
    }
}

fn wrap(effects: Vec<Effect<register::Request>>) -> Effects {
    let wrapped = effects.into_iter().map(|effect| match effect {
        Effect::Send(request) => Effect::Send(Request::Register(request)),
        Effect::Settled { add, outcome } => Effect::Settled { add, outcome },
    });
    wrapped.collect()
}
