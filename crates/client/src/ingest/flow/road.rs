//! How a flow comes to its next stream, what it sends there again, and how it ends.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep_until, timeout_at};
use wire::v1::IngestRequest;

use super::{Flow, Link, Road, number};
use crate::{
    Error,
    error::{Changes, Effect},
    session::HOME_ATTEMPTS,
};

impl Flow {
    /// A stream broke, or none came about: the next one, or the end of the flow.
    pub(super) fn broke(&mut self, error: Error) -> Result<(), Error> {
        self.leave_stream(error.changes() == Changes::Unknown);
        self.client.failed(self.node, &error);
        let is_over = !(error.is_retryable() || error.changes() == Changes::Unknown);
        if self.pool.is_none() || is_over {
            return Err(self.end(error));
        }
        self.failures += 1;
        let is_lost =
            self.failures >= HOME_ATTEMPTS || error.is_deadline() || error.reason().is_some();
        let now = Instant::now();
        let nodes = &self.client.shared.nodes;
        let node = self.client.node(self.node);
        nodes.leave_alone_here(node, error, &mut self.tried, now);
        let (next, pause) = if is_lost && !self.is_pinned {
            nodes.choose(now, &self.tried)
        } else if self.failures < HOME_ATTEMPTS {
            (node, Duration::ZERO)
        } else {
            (node, node.pause(now))
        };
        if next.index != self.node {
            if let Some(session) = self.session.take() {
                session.give_up();
            }
            self.node = next.index;
            self.failures = 0;
        }
        if self.due() <= now + pause {
            let error = self.tried.last_error.take().expect("set above");
            return Err(self.end(error));
        }
        self.road = Road::Waits(now + pause);
        Ok(())
    }

    /// Leaves the present stream, if there is one. What it took may have counted.
    fn leave_stream(&mut self, is_in_doubt: bool) {
        self.moves_on = None;
        let now = Instant::now();
        let road = mem::replace(&mut self.road, Road::Waits(now));
        if let Road::Open(link) = road {
            self.waits_since = now;
            let ended = link.end();
            for message in self.messages.each() {
                let is_refused = mem::take(&mut message.is_refused_here);
                let is_in_doubt = is_in_doubt && !is_refused;
                message.is_in_doubt |= is_in_doubt && ended.took(message.link_sequence);
            }
        }
    }

    /// Comes to a stream, if there is none; whether there is one. Cancel safe.
    pub(super) async fn find_road(&mut self) -> Result<bool, Error> {
        let due = self.due();
        match &mut self.road {
            Road::Open(_) => Ok(true),
            Road::Over(changes) => {
                let changes = *changes;
                Err(Error::stream_over(self.node(), changes))
            }
            Road::Waits(until) => {
                if Instant::now() < *until {
                    sleep_until((*until).into()).await;
                }
                self.begin();
                Ok(false)
            }
            Road::OpensSession(opening) => {
                let opened = timeout_at(due.into(), opening).await;
                let opened = opened.unwrap_or_else(|_| {
                    let (node, options) = (self.node(), &self.client.shared.options);
                    let waited = options.deadline;
                    Err(Error::deadline(node, "ingest", Effect::Reads, waited))
                });
                match opened {
                    Ok(session) => {
                        self.session = Some(session);
                        self.open_stream();
                    }
                    Err(error) => self.broke(error)?,
                }
                Ok(false)
            }
        }
    }

    /// The node may be asked: for a session, if there must be one, or else for a stream.
    fn begin(&mut self) {
        let is_usable = self.session.as_ref().is_some_and(|it| !it.is_given_up());
        match &self.pool {
            Some(pool) if !is_usable => {
                let (pool, client, node) = (Arc::clone(pool), self.client.clone(), self.node);
                let deadline = self.due();
                let opening = async move { pool.session(&client, node, deadline).await };
                self.road = Road::OpensSession(Box::pin(opening));
            }
            Some(_) | None => self.open_stream(),
        }
    }

    /// Opens a stream, and sends on it whatever has no fate.
    fn open_stream(&mut self) {
        let options = &self.client.shared.options;
        let has_others = !self.is_pinned && self.client.shared.nodes.all().len() > 1;
        let patience = if self.pool.is_some() && has_others {
            options.deadline.min(options.add_attempt_deadline)
        } else {
            options.deadline
        };
        let mut link = Link::open(self.client.node(self.node), patience);
        self.names.forget_introduced();
        self.messages.forget_empty();
        if self.messages.in_flight() > 0 {
            while !self.names.fit_one_message() {
                link.send(IngestRequest {
                    introduced: self.names.introduce(),
                    ..IngestRequest::default()
                });
            }
        }
        for message in self.messages.each() {
            let (Some(request), Some(session)) = (&mut message.request, &self.session) else {
                continue; // without sessions nothing is sent twice
            };
            if !message.is_in_doubt && request.session.is_given_up() {
                request.settle();
                request.session = Arc::clone(session);
                request.number = number(session);
            }
            let head = request.session.head(request.number, self.node);
            message.link_sequence = link.send(IngestRequest {
                sequence: 0, // the stream's own
                introduced: self.names.introduce(),
                counters: request.counters.clone(),
                amounts: request.amounts.clone(),
                request: Some(head.expect("what may have counted may go anywhere")),
            });
        }
        self.road = Road::Open(Box::new(link));
    }

    /// Ends the flow: every message has the fate that it now has.
    pub(super) fn end(&mut self, error: Error) -> Error {
        self.leave_stream(error.changes() == Changes::Unknown);
        let changes = if self.messages.end() {
            Changes::Unknown
        } else if error.changes() == Changes::InPart {
            Changes::InPart
        } else {
            Changes::None
        };
        self.road = Road::Over(changes);
        error.with_changes(changes)
    }
}
