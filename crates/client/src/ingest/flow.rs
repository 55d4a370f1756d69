//! The streams of one [`Ingest`](super::Ingest), one after the other: where each goes, and what is sent
//! on it again.
//!
//! Where messages are requests of sessions, each is kept until it has its fate. When a stream breaks, a
//! new one is opened, at the same node at first, and whatever has no fate is sent on it, with the
//! numbers that it had. When that fails too, the session's home is given up: the next stream goes to
//! another node, the messages that may have counted are marked as moved, and all others become requests of
//! a session of that node. Without sessions the first stream is the only one.

mod road;

use std::{future::Future, pin::Pin, sync::Arc, time::Instant};

use tokio::time::timeout_at;
use wire::v1::{IngestRefusal, IngestRequest};

use super::{
    CounterIndex, Outcome,
    link::Link,
    message::{Messages, Request},
    names::Names,
    refusal::error_of,
};
use crate::{
    Client, Error,
    error::Changes,
    nodes::Tried,
    session::{Attempted, HomeSession, Numbering, Pool, Verdict, verdict},
};

pub(super) struct Flow {
    client: Client,
    in_flight_max: usize,
    /// The caller wants this node and no other.
    is_pinned: bool,
    /// The node of the present stream, or of the next.
    node: usize,
    road: Road,
    /// Since when there is no stream.
    waits_since: Instant,
    pub(super) names: Names,
    /// Sessions of this flow alone; `None` without sessions.
    pool: Option<Arc<Pool>>,
    /// The session of messages that are sent from now on.
    session: Option<Arc<HomeSession>>,
    pub(super) messages: Messages,
    /// Streams to this node that failed in a row, without an acknowledgement in between.
    failures: u32,
    tried: Tried,
    /// Why a message was refused: nothing more is sent, and the flow ends when all have their fate.
    refusal: Option<Error>,
    /// Why a message is left to another stream: nothing more is sent on this one.
    moves_on: Option<Error>,
}

/// The way to the node.
enum Road {
    /// It may be asked from this moment on.
    Waits(Instant),
    /// A session is opened there.
    OpensSession(OpeningSession),
    Open(Box<Link>),
    /// Nothing is sent any more, and this is what was left behind.
    Over(Changes),
}

type OpeningSession = Pin<Box<dyn Future<Output = Result<Arc<HomeSession>, Error>> + Send>>;

impl Flow {
    /// A flow that begins at a node, at a moment.
    pub(super) fn new(
        client: Client,
        node: usize,
        opens_at: Instant,
        in_flight_max: usize,
        is_pinned: bool,
    ) -> Self {
        let shared = &client.shared;
        let nodes = shared.nodes.all().len();
        let pool = shared.options.sessions.then(|| Arc::new(Pool::new(nodes)));
        Self {
            client,
            in_flight_max,
            is_pinned,
            node,
            road: Road::Waits(opens_at),
            waits_since: Instant::now(),
            names: Names::default(),
            pool,
            session: None,
            messages: Messages::default(),
            failures: 0,
            tried: Tried::default(),
            refusal: None,
            moves_on: None,
        }
    }

    pub(super) fn node(&self) -> &str {
        &self.client.node(self.node).address
    }

    /// Waits until one message more can be sent. Cancel safe.
    pub(super) async fn ready(&mut self) -> Result<(), Error> {
        loop {
            if self.find_road().await?
                && self.take_answers()?
                && self.refusal.is_none()
                && self.moves_on.is_none()
                && self.has_space()
                && !self.is_overdue()
            {
                return Ok(());
            }
            self.step().await?;
        }
    }

    /// Waits until all messages up to this one count. Where one of them was refused, this is an error
    /// once all messages have their fate. Cancel safe.
    pub(super) async fn wait_until_acknowledged(&mut self, sequence: u64) -> Result<(), Error> {
        while !self.messages.all_count(sequence) {
            self.step().await?;
        }
        Ok(())
    }

    /// Puts a message on the stream, with names that are not introduced yet; its number. The caller has
    /// waited with [`Flow::ready`].
    pub(super) fn send(&mut self, counters: Vec<CounterIndex>, amounts: Vec<i64>) -> u64 {
        let counters = counters.into_iter().map(|CounterIndex(index)| index);
        let counters: Vec<u32> = counters.collect(); // in place
        let request = if counters.is_empty() {
            None // there are names alone
        } else {
            self.request(&counters, &amounts)
        };
        let node = self.node;
        let head = request.as_ref().map(
            |Request {
                 session, number, ..
             }| {
                let head = session.head(*number, node);
                head.expect("a new request may go to its home")
            },
        );
        let message = IngestRequest {
            sequence: 0, // the stream's own
            introduced: self.names.introduce(),
            counters,
            amounts,
            request: head,
        };
        let Road::Open(link) = &mut self.road else {
            unreachable!("a flow that is ready has a stream");
        };
        let link_sequence = link.send(message);
        self.messages.push(link_sequence, request)
    }

    /// A new request of the present session, with a copy of what it adds.
    fn request(&self, counters: &[u32], amounts: &[i64]) -> Option<Request> {
        let session = self.session.as_ref()?;
        let number = number(session);
        Some(Request {
            session: Arc::clone(session),
            number,
            counters: counters.to_vec(),
            amounts: amounts.to_vec(),
        })
    }

    fn has_space(&self) -> bool {
        let has_number = self
            .session
            .as_ref()
            .is_none_or(|session| session.book().has_space());
        self.messages.in_flight() < self.in_flight_max && has_number
    }

    /// Takes one step towards a fate of what is in flight. Cancel safe.
    async fn step(&mut self) -> Result<(), Error> {
        if !self.find_road().await? {
            return Ok(());
        }
        if self.messages.in_flight() == 0 {
            return match self.refusal.take() {
                Some(refusal) => Err(self.end(refusal)),
                None => Ok(()),
            };
        }
        let due = self.due();
        let Road::Open(link) = &mut self.road else {
            unreachable!("the road is open");
        };
        let answer = match timeout_at(due.into(), link.wait_for_answer()).await {
            Ok(answer) => answer,
            Err(_) => Err(link.late()),
        };
        self.heard(answer)
    }

    /// Reads what has arrived; whether the stream goes on.
    fn take_answers(&mut self) -> Result<bool, Error> {
        let Road::Open(link) = &mut self.road else {
            return Ok(false);
        };
        let answer = link.take_answers();
        self.heard(answer)?;
        Ok(matches!(self.road, Road::Open(_)))
    }

    /// Takes note of what a stream has told, or how it failed.
    fn heard(&mut self, answer: Result<(), Error>) -> Result<(), Error> {
        let Road::Open(link) = &mut self.road else {
            unreachable!("a stream was read");
        };
        let (refused, acknowledged) = (link.take_refused(), link.acknowledged());
        let before = self.messages.acknowledged();
        for refusal in refused {
            self.refused(refusal);
        }
        self.messages.acknowledge(acknowledged);
        if self.messages.acknowledged() > before {
            self.client.node(self.node).succeeded();
            self.failures = 0;
        }
        answer.or_else(|error| self.broke(error))?;
        match self.moves_on.take_if(|_| self.messages.are_refused_here()) {
            Some(error) => self.broke(error),
            None => Ok(()),
        }
    }

    /// Takes note that a message was refused.
    fn refused(&mut self, refusal: IngestRefusal) {
        let error = error_of(&self.client.node(self.node).address, &refusal);
        let sequence = refusal.sequence;
        let message = self.messages.find(sequence);
        let Some((message, request)) = message.and_then(|message| {
            let request = message
                .request
                .as_ref()
                .map(|it| (Arc::clone(&it.session), it.number));
            request.map(|request| (message, request))
        }) else {
            return; // it was refused before
        };
        let (session, number) = request;
        let attempted = Attempted {
            at_home: session.is_home(self.node),
            may_count: message.is_in_doubt,
            was_moved: session.book().was_moved(number),
        };
        let (outcome, changes) = match verdict(&error, attempted) {
            Verdict::Final if error.changes() == Changes::InPart => {
                (Outcome::InPart, Changes::InPart)
            }
            Verdict::Final => (Outcome::Refused, Changes::None),
            Verdict::Anew | Verdict::Again if error.is_retryable() => {
                message.is_refused_here = true;
                if attempted.at_home && error.is_about_session() {
                    session.give_up(); // it takes nothing new
                }
                self.moves_on.get_or_insert(error);
                return;
            }
            Verdict::Anew | Verdict::Again | Verdict::Unknown => {
                (Outcome::Indeterminate, Changes::Unknown)
            }
        };
        let counted = refusal.counted_counters;
        self.messages.refuse(sequence, outcome, counted);
        self.refusal.get_or_insert(error.with_changes(changes));
    }

    /// When what is in flight, or is to be sent, must have come to something.
    fn due(&self) -> Instant {
        let since = self.messages.oldest_sent_at().unwrap_or(self.waits_since);
        since + self.client.shared.options.deadline
    }

    fn is_overdue(&self) -> bool {
        let link_due = match &self.road {
            Road::Open(link) => link.due(),
            Road::Waits(_) | Road::OpensSession(_) | Road::Over(_) => None,
        };
        link_due.is_some_and(|due| due <= Instant::now())
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.messages.end();
        if let Some(pool) = &self.pool {
            pool.close_unattended();
        }
    }
}

/// A number of an open session whose window has space.
fn number(session: &HomeSession) -> u64 {
    match session.book().number() {
        Numbering::Number(number) => number,
        Numbering::Full | Numbering::GivenUp => {
            unreachable!("the window has space for what a flow has in flight")
        }
    }
}
