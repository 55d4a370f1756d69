//! Clients: they add, they read, and they remember what they were told.
//!
//! Every add is a request of a session, and is sent until it is answered. Clients keep the token of
//! their last acknowledged adds, and read with it at any node. What clients know is kept apart from
//! what nodes know, because the guarantees are promises to clients.

mod reads;
mod sessions;
pub(super) mod state;

use crdt_core::SessionId;

use super::kinds::FaultKind;
use super::ledger::Answer;
use super::oracle::Violation;
use super::schedule::{COUNTERS_GROWING, Request};
use super::world::World;
use crate::guarantee::Guarantee;

impl World<'_> {
    /// A client asks.
    pub(super) fn request(&mut self, op: usize) -> Result<(), Violation> {
        let schedule = self.schedule;
        let node = schedule.ops[op].node;
        match &schedule.ops[op].request {
            Request::Add { client, items } => {
                self.add(node, *client, items);
                Ok(())
            }
            Request::Ingest { .. } => {
                if self.answers(node) {
                    self.open_ingest(op);
                }
                Ok(())
            }
            Request::Read { counter } if self.answers(node) => {
                self.read(node, *counter).map(|_| ())
            }
            Request::Read { .. } => Ok(()),
            Request::ReadOwn { client } => match self.clients.tokens[*client].clone() {
                Some((request, token)) => self.read_own(node, request, &token),
                None => Ok(()),
            },
        }
    }

    /// Whether a request gets through to the process; a client of one that stands still gives up.
    pub(super) fn answers(&mut self, node: usize) -> bool {
        let now = self.now;
        let is_paused = self.nodes[node]
            .paused_until
            .is_some_and(|until| until > now);
        if is_paused {
            self.faults.count(FaultKind::ProcessPaused);
        }
        self.nodes[node].is_up() && !is_paused
    }

    // Isolation: what a node can do by itself.

    /// Asks an isolated node for a read, and for one add to each counter that only grows.
    pub(super) fn probe_isolated(&mut self, node: usize) -> Result<(), Violation> {
        if !self.answers(node) {
            return Ok(());
        }
        let items: Vec<(usize, i64)> = (0..COUNTERS_GROWING).map(|counter| (counter, 1)).collect();
        for &(counter, _) in &items {
            self.read(node, counter)?;
        }
        let is_writable = self.process(node).standing.ensure_writable().is_ok();
        let opened = self.open_at(node);
        if !is_writable {
            return Ok(());
        }
        let session = opened.unwrap_or_else(|| self.no_session(node));
        let session = self.begin_session(node, None, session);
        self.clients.sessions[session].stays = true;
        let request = self.number(session, &items);
        self.clients.probes[node] = Some(request);
        if opened.is_some() {
            self.send_request(request);
            return Ok(());
        }
        // A node that opens no sessions still takes adds.
        self.take_blindly(node, request)
    }

    /// What stands for the session of adds that have none.
    fn no_session(&mut self, node: usize) -> SessionId {
        let process = self.process(node);
        SessionId {
            home: process.hello.replica,
            start: process.start,
            count: u64::MAX,
        }
    }

    /// All of them have been answered by now, but by nodes whose lane has forked.
    pub(super) fn judge_availability(&self) -> Result<(), Violation> {
        for (node, probe) in self.clients.probes.iter().enumerate() {
            let place = &self.nodes[node];
            let has_forked = place.process.as_ref().is_some_and(|process| {
                process.standing.forked().is_some()
                    && self.ledger.may_have_forked(place.incarnation)
            });
            let answer = probe.map(|request| self.ledger.requests[request].answer);
            if !has_forked && answer != Some(Answer::Counted) {
                let says = "it reaches no other node, and did not answer an add in time";
                return Err(self.violation(Guarantee::Availability, Some(node), says));
            }
        }
        Ok(())
    }
}
