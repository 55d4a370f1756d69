//! How a request of a session reaches a node, and what happens when that fails.
//!
//! At first the home alone is asked. An attempt that fails there without an answer is repeated at once:
//! a connection that broke says little of the node. When that fails as well, or no answer came in the
//! time of an attempt, or the node says that it cannot, the home is given up: every request of the session
//! that is under way is then moved, to whichever node is well. (A client of one node has nowhere to move
//! to, and goes on asking.) Wherever it goes, a request keeps its number and its adds.

use std::time::{Duration, Instant};

use tonic::Request;

use super::{
    home::HomeSession,
    verdict::{Attempted, Verdict, verdict},
};
use crate::{
    Client, Error,
    adds::{Adds, Answer},
    attempt::{attempt, stub},
    error::{Changes, Effect},
    nodes::{Node, Tried},
};

/// Attempts at a home before it is given up.
pub(crate) const HOME_ATTEMPTS: u32 = 2;

/// What became of a request.
pub(crate) enum Delivered {
    /// It counts.
    Answered(Answer),
    /// It does not count, or nobody knows, as the error says.
    Failed(Error),
    /// Nobody has it, and nobody gets it any more: its adds may go into another session. The error of
    /// the attempt, if there was one.
    Anew(Option<Error>),
}

/// One request on its way.
struct Delivery<'a> {
    client: &'a Client,
    session: &'a HomeSession,
    number: u64,
    adds: &'a Adds,
    deadline: Instant,
    home_attempts: u32,
    tried: Tried,
}

/// What an attempt came to.
enum Attempt {
    Answered(Answer),
    Failed {
        error: Error,
        attempted: Attempted,
    },
    /// Another request gave up on the home meanwhile.
    HomeGivenUp,
}

impl Client {
    /// Sends a request, by the rules and until the deadline. It is settled afterwards, unless it may
    /// count and may still be sent. Nobody else sends it meanwhile.
    pub(crate) async fn deliver(
        &self,
        session: &HomeSession,
        number: u64,
        adds: &Adds,
        deadline: Instant,
    ) -> Delivered {
        let delivery = Delivery {
            client: self,
            session,
            number,
            adds,
            deadline,
            home_attempts: 0,
            tried: Tried::default(),
        };
        delivery.run().await
    }
}

impl<'a> Delivery<'a> {
    async fn run(mut self) -> Delivered {
        loop {
            if self.session.is_given_up() && !self.may_count() {
                self.session.settle(self.number);
                return Delivered::Anew(self.tried.last_error);
            }
            let (node, pause) = self.next_node();
            if self.deadline <= Instant::now() + pause {
                return Delivered::Failed(self.late(pause));
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            match self.attempt(node).await {
                Attempt::Answered(answer) => {
                    node.succeeded();
                    self.session.settle(self.number);
                    return self.answered(node, answer);
                }
                Attempt::HomeGivenUp => {}
                Attempt::Failed { error, attempted } => {
                    if let Some(delivered) = self.failed(node, error, attempted) {
                        return delivered;
                    }
                }
            }
        }
    }

    /// Where to send it next, and how long to wait before.
    fn next_node(&self) -> (&'a Node, Duration) {
        let now = Instant::now();
        if let Some(home) = self.session.home() {
            let asks_home_first = self.session.is_restored() && self.home_attempts == 0;
            if asks_home_first || !self.session.is_given_up() {
                let home = self.client.node(home.node);
                let is_repeated_at_once = self.home_attempts < HOME_ATTEMPTS;
                let pause = if is_repeated_at_once {
                    Duration::ZERO
                } else {
                    home.pause(now)
                };
                return (home, pause);
            }
        }
        self.client.shared.nodes.choose(now, &self.tried)
    }

    async fn attempt(&self, node: &Node) -> Attempt {
        let attempted = {
            let book = self.session.book();
            Attempted {
                at_home: self.session.is_home(node.index),
                may_count: book.may_count(self.number),
                was_moved: book.was_moved(self.number),
            }
        };
        let given_up = self.session.is_given_up();
        let Some(head) = self.session.head(self.number, node.index) else {
            return Attempt::HomeGivenUp;
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = if self.has_others() {
            left.min(self.client.shared.options.add_attempt_deadline)
        } else {
            left
        };
        let mut adds = Request::new(self.adds.clone());
        adds.set_timeout(timeout);
        let answer = Adds::send(stub(node), adds, Some(head));
        let answer = attempt(node, self.adds.call(), Effect::Adds, timeout, answer);
        let answer = tokio::select! {
            answer = answer => answer,
            () = self.session.wait_until_given_up(), if !given_up => return Attempt::HomeGivenUp,
        };
        match answer {
            Ok(answer) => Attempt::Answered(answer),
            Err(error) => Attempt::Failed { error, attempted },
        }
    }

    fn answered(&self, node: &Node, answer: Answer) -> Delivered {
        match self.adds.accept(answer) {
            Ok(answer) => Delivered::Answered(answer),
            Err(unexpected) => {
                let (address, call) = (&node.address, self.adds.call());
                let error = Error::unexpected(address, call, Effect::Adds, unexpected);
                self.client.failed(node.index, &error);
                Delivered::Failed(error)
            }
        }
    }

    /// What a failed attempt leads to; `None` to send it again.
    fn failed(&mut self, node: &Node, error: Error, attempted: Attempted) -> Option<Delivered> {
        self.client.failed(node.index, &error);
        match verdict(&error, attempted) {
            Verdict::Final => {
                self.session.settle(self.number);
                Some(Delivered::Failed(error))
            }
            Verdict::Anew => {
                if error.is_about_session() {
                    self.session.give_up(); // it takes nothing new
                }
                self.session.settle(self.number);
                Some(Delivered::Anew(Some(error)))
            }
            Verdict::Unknown => Some(Delivered::Failed(error.with_changes(Changes::Unknown))),
            Verdict::Again => {
                if attempted.at_home {
                    self.home_attempts += 1;
                    let is_lost = self.home_attempts >= HOME_ATTEMPTS
                        || error.is_deadline()
                        || error.reason().is_some();
                    if is_lost && self.has_others() {
                        self.session.give_up();
                    }
                }
                let (nodes, tried) = (&self.client.shared.nodes, &mut self.tried);
                nodes.leave_alone_here(node, error, tried, Instant::now());
                None
            }
        }
    }

    /// No node may be asked before the deadline.
    fn late(mut self, pause: Duration) -> Error {
        let deadline = self.client.shared.options.deadline;
        let last_error = self.tried.last_error.take();
        let error = last_error.unwrap_or_else(|| Error::backoff(self.adds.call(), pause, deadline));
        error.with_changes(if self.may_count() {
            Changes::Unknown
        } else {
            Changes::None
        })
    }

    fn may_count(&self) -> bool {
        self.session.book().may_count(self.number)
    }

    fn has_others(&self) -> bool {
        self.client.shared.nodes.all().len() > 1
    }
}
