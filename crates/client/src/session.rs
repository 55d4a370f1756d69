//! Adds that are retried and count once: requests of sessions.
//!
//! The rules that a client keeps are in `proto/README.md`. Here is what keeps them: the numbers of a session
//! are in [`book`], what a failure says of a request in [`verdict`], and both know neither nodes nor time.
//! How a request finds a node is in [`deliver`], which sessions a client has open in [`pool`].
//!
//! Adds of a [`Client`] share one session for each node. A [`Session`] is one that a program has to itself:
//! it keeps what was not answered, so that it can be sent again later, even by the process that
//! comes after this one.

mod book;
mod deliver;
mod home;
mod kept;
mod pool;
mod saved;
mod verdict;

use std::{sync::Arc, time::Instant};

use self::deliver::Delivered;
pub(crate) use self::{
    book::Numbering,
    deliver::HOME_ATTEMPTS,
    home::{HomeSession, NoNumber},
    pool::Pool,
    verdict::{Attempted, Verdict, verdict},
};
use crate::{
    Client, Error,
    adds::{Adds, Answer},
    error::Effect,
    nodes::Tried,
};

#[cfg(test)]
pub(crate) use self::book::Book;
pub use self::kept::{Prepared, Session};

/// A number that one call has to itself. When the call ends, however it does, the request is never
/// sent again.
struct Numbered {
    session: Arc<HomeSession>,
    number: u64,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.session.settle(self.number);
    }
}

impl Client {
    /// Adds, once, until the deadline.
    pub(crate) async fn count(&self, adds: &Adds) -> Result<Answer, Error> {
        if !self.shared.options.sessions {
            return self.count_without_session(adds).await;
        }
        let options = &self.shared.options;
        let deadline = Instant::now() + options.deadline;
        let mut tried = Tried::default();
        let mut attempts = 0;
        loop {
            let pool = &self.shared.sessions;
            let (session, number) = self
                .numbered(pool, adds.call(), deadline, &mut tried)
                .await?;
            let numbered = Numbered { session, number };
            let delivered = self
                .deliver(&numbered.session, number, adds, deadline)
                .await;
            match delivered {
                Delivered::Answered(answer) => return Ok(answer),
                Delivered::Failed(error) => return Err(error),
                Delivered::Anew(None) => {}
                Delivered::Anew(Some(error)) => {
                    attempts += 1;
                    if attempts >= options.attempts_max {
                        return Err(error);
                    }
                    let (nodes, now) = (&self.shared.nodes, Instant::now());
                    let node = numbered.session.home().map(|home| self.node(home.node));
                    let node = node.expect("a new session has a home");
                    nodes.leave_alone_here(node, error, &mut tried, now);
                }
            }
        }
    }

    async fn count_without_session(&self, adds: &Adds) -> Result<Answer, Error> {
        self.call(
            adds.call(),
            Effect::Adds,
            adds.clone(),
            |stub, adds| Adds::send(stub, adds, None),
            |_, answer| adds.accept(answer),
        )
        .await
    }

    /// A number in the session of the node that is preferred now.
    async fn numbered(
        &self,
        pool: &Pool,
        call: &'static str,
        deadline: Instant,
        tried: &mut Tried,
    ) -> Result<(Arc<HomeSession>, u64), Error> {
        loop {
            let session = self.session_of(pool, call, deadline, tried).await?;
            match session.number(deadline).await {
                Ok(number) => return Ok((session, number)),
                Err(NoNumber::GivenUp) => {}
                Err(NoNumber::Full) => {
                    let home = session.home().expect("an open session has a home");
                    let address = &self.node(home.node).address;
                    let waited = self.shared.options.deadline;
                    return Err(Error::deadline(address, call, Effect::Reads, waited));
                }
            }
        }
    }

    /// The session of the node that is preferred now; it is opened if there is none.
    async fn session_of(
        &self,
        pool: &Pool,
        call: &'static str,
        deadline: Instant,
        tried: &mut Tried,
    ) -> Result<Arc<HomeSession>, Error> {
        let (nodes, options) = (&self.shared.nodes, &self.shared.options);
        let mut attempts = 0;
        loop {
            let (node, pause) = nodes.choose(Instant::now(), tried);
            if deadline <= Instant::now() + pause {
                let last_error = tried.last_error.take();
                let backoff = || Error::backoff(call, pause, options.deadline);
                return Err(last_error.unwrap_or_else(backoff));
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            let error = match pool.session(self, node.index, deadline).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            attempts += 1;
            self.failed(node.index, &error);
            if !(error.is_retryable() && attempts < options.attempts_max) {
                return Err(error);
            }
            nodes.leave_alone_here(node, error, tried, Instant::now());
        }
    }
}
