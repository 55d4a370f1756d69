//! Anti-entropy between nodes, as `tallyd` runs it: one stream for each ordered pair.
//!
//! The receiver opens a stream with all that it holds, and later reports what has changed in it. The
//! sender keeps a cursor for each lane: it advances by what was sent, not by what was confirmed,
//! and begins again from what the receiver holds when the stream is opened anew. The sender's own
//! lane goes out at its pace. Lanes of others are relayed, and only when the receiver has lacked
//! them for some time, for mostly their owners send them too.

mod pull;
mod serve;

use std::rc::Rc;

use crdt_core::Fork;

use super::kinds::{Coverage, FaultKind};
use super::ledger::Ledger;
use super::network::{Fate, Message};
use super::oracle::Violation;
use super::trace::MessageEntry;
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;

pub(super) use pull::Pull;
pub(super) use serve::Serving;

impl World<'_> {
    /// A replica has found two histories of a lane. If the lane is its own, the node stops.
    pub(super) fn fork_found(
        &mut self,
        node: usize,
        shard: usize,
        fork: &Fork,
    ) -> Result<(), Violation> {
        let number = Ledger::number(fork.lane);
        self.cover(Coverage::ForkFound);
        self.trace_message(MessageEntry::ForkFound {
            node,
            shard,
            lane: number.0,
        });
        if !self.ledger.report_fork(shard, number) {
            let says = format!("no directory was rolled back or copied, and yet: {fork}");
            return Err(self.violation(Guarantee::IncarnationSafety, Some(node), says));
        }
        if self.nodes[node].incarnation == number && !self.breaks(Mutation::ForkIgnored) {
            self.replace(node);
        }
        Ok(())
    }

    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        let slow = self.nodes[to].message_slowness;
        let fate = self
            .network
            .fate((from, to), self.now, slow, &mut self.random);
        let message = Rc::new(message);
        let mut arrive = |at| {
            let message = Rc::clone(&message);
            self.queue.plan(at, Event::Deliver { from, to, message });
        };
        match fate {
            Fate::Arrives { at, overtakes } => {
                arrive(at);
                if overtakes {
                    self.count_fault(to, FaultKind::MessageReordered);
                }
            }
            Fate::HeldBack { at } => {
                arrive(at);
                self.count_fault(to, FaultKind::MessageHeldBack);
            }
            Fate::Twice { at, again } => {
                arrive(at);
                arrive(again);
                self.count_fault(to, FaultKind::MessageDuplicated);
            }
            Fate::Lost => {
                self.count_fault(to, FaultKind::MessageLost);
                self.undelivered(from, to, &message);
            }
            Fate::Cut => self.undelivered(from, to, &message),
        }
    }

    /// A message that never arrives breaks its stream.
    fn undelivered(&mut self, from: usize, to: usize, message: &Message) {
        self.trace_message(MessageEntry::Undelivered { from, to });
        match *message {
            Message::Open { stream, .. } | Message::Held { stream, .. } => {
                self.break_stream(from, to, stream);
            }
            Message::Intervals { stream, .. } => self.break_stream(to, from, stream),
        }
    }

    pub(super) fn deliver(
        &mut self,
        from: usize,
        to: usize,
        message: &Message,
    ) -> Result<(), Violation> {
        if !self.nodes[to].up || self.network.is_cut(from, to) {
            self.undelivered(from, to, message);
            return Ok(());
        }
        match message {
            Message::Open { stream, held } => self.opened((from, to), *stream, held),
            Message::Held { stream, marks } => {
                let serving = self.nodes[to].servings[from].as_ref();
                if serving.is_some_and(|serving| serving.stream == *stream) {
                    self.held_reported((from, to), marks)?;
                }
                Ok(())
            }
            // Also those of an earlier stream, or for an earlier life: late is not wrong.
            Message::Intervals { stream, intervals } => {
                self.receive((from, to), *stream, intervals)
            }
        }
    }
}
