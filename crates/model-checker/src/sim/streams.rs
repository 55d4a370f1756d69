//! Replication streams: connections between nodes, and the two ends that `wire` drives.
//!
//! A node dials each peer and is the receiving end of that connection; the peer is the sending
//! end. What is on a connection is bytes. It breaks with a message that is lost or cut off, with a
//! process, or by itself; each end notices later, so for a while one end may live on alone.

mod forks;
mod receiving;
mod sending;
pub(super) mod state;

use std::collections::VecDeque;

use wire::stream::ReceivingEnd;

use super::kinds::FaultKind;
use super::limits::REPLICATION;
use super::network::{Fate, Pipe};
use super::oracle::Violation;
use super::trace::MessageEntry;
use super::world::{Event, World};
use state::{Connection, Owner};

/// After this time an end knows that its connection is broken.
const NOTICE_US: (u64, u64) = (5_000, 60_000);
/// Messages that a sending end may have under way.
const MESSAGES_QUEUED_MAX: usize = 4;

impl World<'_> {
    // Dialling.

    /// A node dials a peer.
    pub(super) fn dial(&mut self, node: usize, peer: usize) -> Result<(), Violation> {
        let now = self.nodes[node].clock(self.now);
        let life = self.nodes[node].life;
        let hello = {
            let process = self.process(node);
            process.dialers[peer].dialled(now);
            process.hello.clone()
        };
        if self.nodes[peer].dial_only {
            self.faults.count(FaultKind::DialOnly);
            self.dial_again(node, peer);
            return Ok(());
        }
        let passes = |world: &mut Self, from, to| {
            let fate = world.network.fate((from, to), 1, &mut world.random);
            if let Fate::Cut(by) = fate {
                world.faults.count(by);
            }
            matches!(fate, Fate::Arrives { .. } | Fate::HeldBack { .. })
        };
        let reaches = passes(self, node, peer) && passes(self, peer, node);
        if !reaches || !self.nodes[peer].is_up() {
            self.trace_message(MessageEntry::Unreached { node, peer });
            self.dial_again(node, peer);
            return Ok(());
        }
        self.trace_message(MessageEntry::Opened { node, peer });
        let number = self.next_connection;
        self.next_connection += 1;
        let acceptor = Owner {
            node: peer,
            life: self.nodes[peer].life,
        };
        let connection = Connection {
            dialler: Owner { node, life },
            acceptor,
            receiving: Some(ReceivingEnd::new(REPLICATION, hello, now)),
            sending: None,
            is_known: false,
            is_broken: false,
            to_acceptor: Pipe::default(),
            to_dialler: Pipe::default(),
            inbox: VecDeque::new(),
            lane_under_way: Vec::new(),
            receiving_wakes_at: None,
            sending_wakes_at: None,
        };
        self.connections.insert(number, connection);
        self.drive_receiving(number)
    }

    /// The peer was not reached, or the connection has ended.
    fn dial_again(&mut self, node: usize, peer: usize) {
        let now = self.nodes[node].clock(self.now);
        let jitter = u16::try_from(self.random.below(1 << 16)).expect("below 2^16");
        let at = self.process(node).dialers[peer].ended(now, jitter);
        let (at, life) = (self.nodes[node].when(at, self.now), self.nodes[node].life);
        self.queue.plan(at, Event::Dial { node, peer, life });
    }

    // Breaking.

    /// The connection breaks: each end notices by itself.
    pub(super) fn break_connection(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if connection.is_broken {
            return;
        }
        connection.is_broken = true;
        for is_dialler in [true, false] {
            let notice_us = self.random.between(NOTICE_US.0, NOTICE_US.1);
            let at = self.now.after_us(notice_us);
            self.queue.plan(at, Event::Broken { number, is_dialler });
        }
    }

    /// An end learns that its connection is broken.
    pub(super) fn noticed(&mut self, number: u64, is_dialler: bool) {
        if is_dialler {
            self.end_receiving(number);
        } else if let Some(connection) = self.connections.get_mut(&number) {
            connection.sending = None;
        }
        self.forget_connection(number);
    }

    /// The receiving end is done with, and the peer is dialled again.
    fn end_receiving(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let (dialler, peer) = (connection.dialler, connection.acceptor.node);
        if connection.receiving.take().is_some() && self.is_alive(dialler) {
            self.dial_again(dialler.node, peer);
        }
    }

    fn forget_connection(&mut self, number: u64) {
        let is_over = |connection: &Connection| {
            connection.is_broken && connection.receiving.is_none() && connection.sending.is_none()
        };
        if self.connections.get(&number).is_some_and(is_over) {
            self.connections.remove(&number);
        }
    }

    /// A process has ended, and with it its ends.
    pub(super) fn drop_ends(&mut self, node: usize) {
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            let connection = self
                .connections
                .get_mut(&number)
                .expect("it was just listed");
            let (is_dialler, is_acceptor) = (
                connection.dialler.node == node,
                connection.acceptor.node == node,
            );
            if is_dialler {
                connection.receiving = None;
            }
            if is_acceptor {
                connection.sending = None;
            }
            if is_dialler || is_acceptor {
                self.break_connection(number);
            }
        }
    }

    pub(super) fn is_alive(&self, owner: Owner) -> bool {
        self.nodes[owner.node].is_up() && self.nodes[owner.node].life == owner.life
    }

    // Bytes on their way.

    fn send(&mut self, number: u64, to_dialler: bool, bytes: Vec<u8>) {
        let connection = self.connections.get_mut(&number).expect("it has an end");
        if connection.is_broken {
            return;
        }
        let (dialler, acceptor) = (connection.dialler.node, connection.acceptor.node);
        let (from, to) = if to_dialler {
            (acceptor, dialler)
        } else {
            (dialler, acceptor)
        };
        let slow = self.nodes[to].message_slowness;
        if slow > 1 {
            self.faults.count(FaultKind::NodeSlow);
        }
        let after_us = match self.network.fate((from, to), slow, &mut self.random) {
            Fate::Arrives { after_us } => after_us,
            Fate::HeldBack { after_us } => {
                self.count_fault(to, FaultKind::MessageHeldBack);
                after_us
            }
            Fate::Lost => {
                self.count_fault(to, FaultKind::MessageLost);
                return self.break_connection(number);
            }
            Fate::Cut(by) => {
                self.faults.count(by);
                self.trace_message(MessageEntry::Undelivered { from, to });
                return self.break_connection(number);
            }
        };
        let connection = self.connections.get_mut(&number).expect("it has an end");
        let pipe = if to_dialler {
            &mut connection.to_dialler
        } else {
            &mut connection.to_acceptor
        };
        pipe.push(bytes);
        let at = pipe.arrival(self.now, after_us);
        self.queue.plan(at, Event::Deliver { number, to_dialler });
    }

    /// The next message arrives: whatever stood still meanwhile, they stay in order.
    pub(super) fn deliver(&mut self, number: u64, to_dialler: bool) -> Result<(), Violation> {
        let connection = self.connections.get_mut(&number);
        let Some(connection) = connection.filter(|it| !it.is_broken) else {
            return Ok(());
        };
        if to_dialler {
            let bytes = connection.to_dialler.pop();
            connection.inbox.extend(bytes);
            return self.drive_receiving(number);
        }
        let bytes = connection.to_acceptor.pop().expect("it was sent");
        self.requested(number, &bytes)?;
        // There is room for the next report.
        self.drive_receiving(number)
    }

    /// A timer of a stream's end.
    pub(super) fn stream_timer(
        &mut self,
        number: u64,
        is_receiving: bool,
    ) -> Result<(), Violation> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Ok(());
        };
        let wakes_at = if is_receiving {
            &mut connection.receiving_wakes_at
        } else {
            &mut connection.sending_wakes_at
        };
        // One that was planned for later than what has happened since is void.
        if wakes_at.take_if(|at| *at <= self.now).is_none() {
            return Ok(());
        }
        if is_receiving {
            self.drive_receiving(number)
        } else {
            self.drive_sending(number)
        }
    }

    /// A round of this node is complete: both kinds of its ends may go on.
    pub(super) fn round_is_complete(&mut self, node: usize) -> Result<(), Violation> {
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            let Some(connection) = self.connections.get_mut(&number) else {
                continue;
            };
            if connection.acceptor.node == node
                && let Some(end) = &mut connection.sending
            {
                end.completed();
                self.drive_sending(number)?;
            } else if connection.dialler.node == node {
                self.drive_receiving(number)?;
            }
        }
        Ok(())
    }

    /// Whether a node has a stream from a peer on which it may have been told something.
    pub(super) fn hears(&self, node: usize, peer: usize) -> bool {
        self.connections.values().any(|connection| {
            let ends = (connection.dialler.node, connection.acceptor.node);
            ends == (node, peer) && connection.is_heard()
        })
    }
}
