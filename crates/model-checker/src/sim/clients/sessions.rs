//! Sessions of clients, by the rules for clients: number, send again until there is an answer, move
//! what the home does not answer, close.
//!
//! - A request is sent to the home again and again, until it is answered or patience is over.
//! - Then the session has *moved*: what is unanswered goes to other nodes, nothing new goes to the
//!   home, and `answered_below` is never raised any more. New adds go into a new session.
//! - A refusal for good is believed where the request was sent to the home alone. Every other refusal
//!   leaves the request without an answer, and the client goes on; what it has at the end instead of
//!   an answer is the reason why the request may count or not.

use crdt_core::{RequestId, SessionId};
use protocol::SessionToken;

use super::state::{Ending, Sent, Session};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;
use crate::sim::calls::call::{Call, Refusal, Told};
use crate::sim::kinds::{Coverage, FaultKind};
use crate::sim::ledger::Answer;
use crate::sim::limits::CLUSTER_HASH;
use crate::sim::oracle::Violation;
use crate::sim::queue::SimTime;
use crate::sim::trace::TraceEntry;
use crate::sim::world::{Event, World};

/// How long a call or its answer is on its way.
const LATENCY_US: (u64, u64) = (50, 1_500);
/// How much later one comes that is late.
const LATE_US: (u64, u64) = (20_000, 900_000);
/// After this time without an answer a request is sent again.
const RETRY_US: (u64, u64) = (4_000, 25_000);
/// The time doubles so often.
const BACK_OFF_MAX: u32 = 4;
/// After this time without an answer a client gives up on a home.
const PATIENCE_US: (u64, u64) = (15_000, 250_000);
/// So many requests a session has at most: some have few, and are closed soon.
const SESSION_REQUESTS: (u64, u64) = (1, 24);
/// So many sessions of a thousand are closed by their clients; the others are left.
const CLOSED: u64 = 650;
/// A close is tried so often.
const CLOSE_TRIES: u32 = 6;
/// After this time it is tried again.
const CLOSE_RETRY_US: u64 = 50_000;

impl World<'_> {
    /// A client adds: in its session, or in a new one at a node.
    pub(super) fn add(&mut self, node: usize, client: usize, items: &[(usize, i64)]) {
        let session = self.clients.current[client].filter(|&session| self.is_usable(session));
        let session = session.or_else(|| self.open_anywhere(node, client));
        self.clients.current[client] = session;
        if let Some(session) = session {
            let request = self.number(session, items);
            self.send_request(request);
        }
    }

    fn is_usable(&self, session: usize) -> bool {
        let of = &self.clients.sessions[session];
        let stays = !of.has_moved || self.breaks(Mutation::AnsweredAfterMove);
        stays && of.ending != Ending::Closed && of.requests.len() < of.requests_max
    }

    /// Opens a session at a node, or at the next one that opens one.
    fn open_anywhere(&mut self, node: usize, client: usize) -> Option<usize> {
        let nodes = self.nodes.len();
        (0..nodes).find_map(|next| self.open_session((node + next) % nodes, Some(client)))
    }

    /// Opens a session at a node, if that opens one.
    pub(super) fn open_session(&mut self, node: usize, client: Option<usize>) -> Option<usize> {
        if !self.answers(node) {
            return None;
        }
        let id = self.open_at(node)?;
        Some(self.begin_session(node, client, id))
    }

    /// A client has a session.
    pub(super) fn begin_session(
        &mut self,
        node: usize,
        client: Option<usize>,
        id: SessionId,
    ) -> usize {
        let requests_max = self.random.between(SESSION_REQUESTS.0, SESSION_REQUESTS.1);
        let ending = if self.random.chance(CLOSED) {
            Ending::Closes
        } else {
            Ending::Left
        };
        let session = Session {
            id,
            home: node,
            client,
            stays: false,
            requests: Vec::new(),
            answered_below: 1,
            has_moved: false,
            requests_max: usize::try_from(requests_max).expect("a small number"),
            ending,
            patience_us: self.random.between(PATIENCE_US.0, PATIENCE_US.1),
        };
        self.clients.sessions.push(session);
        self.clients.sessions.len() - 1
    }

    /// The next request of a session.
    pub(in crate::sim) fn number(&mut self, session: usize, items: &[(usize, i64)]) -> usize {
        for &(counter, amount) in items {
            self.clients.invoked[counter] += i128::from(amount.max(0));
        }
        let of = &mut self.clients.sessions[session];
        let number = of.requests.len() as u64 + 1;
        let id = RequestId {
            session: of.id,
            number,
        };
        let request = self.ledger.ask(id, items);
        of.requests.push(request);
        self.clients.sent.push(Sent {
            session,
            number,
            since: self.now,
            tries: 0,
            was_moved: false,
            last_node: of.home,
            is_done: false,
            refused: None,
            is_given_up: false,
        });
        request
    }

    /// Sends a request, to the home or, after a move, to the next other node.
    pub(super) fn send_request(&mut self, request: usize) {
        self.retry_later(request);
        let nodes = self.nodes.len();
        let sent = &mut self.clients.sent[request];
        let session = &self.clients.sessions[sent.session];
        let is_new = !sent.was_moved && sent.since == self.now;
        let stays = is_new && self.mutation == Some(Mutation::AnsweredAfterMove);
        let is_moved = session.has_moved && !stays;
        if is_moved {
            sent.was_moved = true;
            sent.last_node = (sent.last_node + 1) % nodes;
            if sent.last_node == session.home {
                sent.last_node = (sent.last_node + 1) % nodes;
            }
        }
        let call = Call {
            request,
            node: sent.last_node,
            answered_below: session.answered_below.min(sent.number),
            is_moved,
        };
        self.trace(TraceEntry::Sent {
            request,
            node: call.node,
            is_moved,
        });
        let unanswered = self.network.unanswered();
        let at = self.call_arrival();
        let is_lost = self.random.chance(unanswered);
        let is_late = self.random.chance(unanswered);
        if is_lost {
            self.count_fault(call.node, FaultKind::RequestLost);
        } else if is_late {
            self.count_fault(call.node, FaultKind::RequestLate);
            let late_us = self.random.between(LATE_US.0, LATE_US.1);
            self.queue.plan(at.after_us(late_us), Event::Call(call));
        } else {
            self.queue.plan(at, Event::Call(call));
        }
        if self.random.chance(unanswered) {
            self.count_fault(call.node, FaultKind::RequestDoubled);
            let at = self.call_arrival();
            self.queue.plan(at, Event::Call(call));
        }
    }

    /// Without an answer until then the request is sent again.
    pub(in crate::sim) fn retry_later(&mut self, request: usize) {
        let retry_us = self.random.between(RETRY_US.0, RETRY_US.1);
        let tries = &mut self.clients.sent[request].tries;
        *tries += 1;
        let again = self.now.after_us(retry_us << (*tries).min(BACK_OFF_MAX));
        self.queue.plan(again, Event::Retry { request });
    }

    /// A session as bytes, the number of a request in it, and what was answered.
    pub(in crate::sim) fn head_of(&self, request: usize) -> (Vec<u8>, u64, u64) {
        let sent = &self.clients.sent[request];
        let of = &self.clients.sessions[sent.session];
        let token = SessionToken {
            cluster: CLUSTER_HASH,
            session: of.id,
        };
        let below = of.answered_below.min(sent.number);
        (token.to_bytes(), sent.number, below)
    }

    fn call_arrival(&mut self) -> SimTime {
        let us = self.random.between(LATENCY_US.0, LATENCY_US.1);
        self.now.after_us(us)
    }

    /// A node's answer is on its way to the client.
    pub(in crate::sim) fn tell(&mut self, node: usize, request: usize, told: Told) {
        let unanswered = self.network.unanswered();
        let mut at = self.call_arrival();
        if self.random.chance(unanswered) {
            self.count_fault(node, FaultKind::ResponseLost);
            return;
        }
        if self.random.chance(unanswered) {
            self.count_fault(node, FaultKind::ResponseLate);
            at = at.after_us(self.random.between(LATE_US.0, LATE_US.1));
        }
        let event = Event::Answered {
            node,
            request,
            told,
        };
        self.queue.plan(at, event);
    }

    /// The client has waited for an answer.
    pub(in crate::sim) fn retry(&mut self, request: usize) -> Result<(), Violation> {
        let sent = &self.clients.sent[request];
        if sent.is_done || sent.is_given_up {
            return Ok(());
        }
        let session = &self.clients.sessions[sent.session];
        let is_over = self.now >= sent.since.after_us(session.patience_us);
        if is_over && !session.has_moved && !session.stays {
            self.move_session(sent.session);
        }
        self.cover(Coverage::RequestRetried);
        if self.breaks(Mutation::RetriedElsewhere) {
            return self.retry_blindly(request);
        }
        self.send_request(request);
        Ok(())
    }

    /// A session that is for a stream with so many requests: its client closes it after those.
    pub(in crate::sim) fn open_for_stream(
        &mut self,
        node: usize,
        requests: usize,
    ) -> Option<usize> {
        let session = self.open_session(node, None)?;
        self.clients.sessions[session].requests_max = requests;
        Some(session)
    }

    /// Whether the client of a session has given up on its home.
    pub(in crate::sim) fn has_moved(&self, session: usize) -> bool {
        self.clients.sessions[session].has_moved
    }

    fn move_session(&mut self, session: usize) {
        self.cover(Coverage::SessionMoved);
        self.clients.sessions[session].has_moved = true;
    }

    /// An answer has come.
    pub(in crate::sim) fn answered(
        &mut self,
        node: usize,
        request: usize,
        told: Told,
    ) -> Result<(), Violation> {
        let sent = &self.clients.sent[request];
        if sent.is_done {
            return Ok(());
        }
        let (session, was_moved) = (sent.session, sent.was_moved);
        match told {
            Ok(token) => {
                self.trace(TraceEntry::Acknowledged { node, request });
                let client = self.clients.sessions[session].client;
                if let (Some(client), Some(token)) = (client, token) {
                    self.clients.tokens[client] = Some((request, token));
                }
                self.done(request);
            }
            Err(Refusal::ForGood) if !was_moved => {
                self.cover(Coverage::RequestRefused);
                self.refused_for_good(node, request)?;
                self.done(request);
            }
            Err(refusal) => {
                let sent = &mut self.clients.sent[request];
                sent.refused = Some(refusal);
                // No home takes it any more, and it was nowhere else.
                sent.is_given_up = refusal == Refusal::Closed && !was_moved;
                if refusal == Refusal::NotHome && !self.clients.sessions[session].has_moved {
                    self.move_session(session);
                    self.send_request(request);
                }
                return Ok(());
            }
        }
        self.close_if_over(session);
        Ok(())
    }

    fn done(&mut self, request: usize) {
        self.clients.sent[request].is_done = true;
        let session = self.clients.sent[request].session;
        if !self.clients.sessions[session].has_moved || self.breaks(Mutation::AnsweredAfterMove) {
            self.clients.raise(session);
        }
    }

    fn refused_for_good(&mut self, node: usize, request: usize) -> Result<(), Violation> {
        if self.ledger.requests[request].answer == Answer::Counted {
            // A home with two histories says what its own one says.
            if !self.ledger.is_tainted(request) {
                let says = format!("request {request} was said to count, and is refused for good");
                return Err(self.violation(Guarantee::Idempotence, Some(node), says));
            }
            return Ok(());
        }
        self.ledger.requests[request].answer = Answer::Refused;
        Ok(())
    }

    // Closing.

    /// A client that is done with a session closes it.
    fn close_if_over(&mut self, session: usize) {
        let of = &self.clients.sessions[session];
        let is_over = of.has_moved || of.requests.len() >= of.requests_max;
        if is_over && of.ending == Ending::Closes && self.clients.all_done(session) {
            self.clients.sessions[session].ending = Ending::Closed;
            let at = self.call_arrival();
            self.queue.plan(at, Event::Close { session, tries: 1 });
        }
    }

    /// A close arrives at the session's home.
    pub(in crate::sim) fn close(&mut self, session: usize, tries: u32) -> Result<(), Violation> {
        let of = &self.clients.sessions[session];
        let (node, id, has_moved) = (of.home, of.id, of.has_moved);
        let unanswered = self.network.unanswered();
        let is_lost = self.random.chance(unanswered) || !self.answers(node);
        if is_lost {
            if tries < CLOSE_TRIES {
                let tries = tries + 1;
                let at = self.now.after_us(CLOSE_RETRY_US);
                self.queue.plan(at, Event::Close { session, tries });
            }
            return Ok(());
        }
        let may_say = !has_moved || self.breaks(Mutation::ForgottenUnheard);
        let all_is_answered = may_say && self.random.chance(700);
        self.close_at(node, id, all_is_answered)
    }
}
