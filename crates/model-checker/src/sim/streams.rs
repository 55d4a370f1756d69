//! Replication streams: connections between nodes, and the two ends that `wire` drives.
//!
//! A node dials each peer and is the receiving end of that connection; the peer is the sending
//! end. What is on a connection is bytes. It breaks with a message that is lost or cut off, with a
//! process, or by itself; each end notices later, so for a while one end may live on alone.

use std::collections::{BTreeMap, VecDeque};

use crdt_core::{Fork, ReplicaId};
use prost::Message as _;
use protocol::{Claim, HeldLane, Outcome, ReceiverError};
use wire::stream::{
    Received, Receiving, ReceivingEnd, ReceivingError, Sending, SendingEnd, SendingError,
    held_to_wire,
};
use wire::v1::{PullRequest, PullResponse};

use super::kinds::{Coverage, FaultKind};
use super::mutants;
use super::network::{Fate, Pipe};
use super::node::REPLICATION;
use super::oracle::Violation;
use super::queue::SimTime;
use super::trace::{MessageEntry, TraceEntry};
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;

/// After this time an end knows that its connection is broken.
const NOTICE_US: (u64, u64) = (5_000, 60_000);
/// Messages that a sending end may have under way.
const MESSAGES_QUEUED_MAX: usize = 4;

/// One end's process: void once another life has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) node: usize,
    pub(super) life: u32,
}

/// A connection that `dialler` has opened to `acceptor`.
pub(super) struct Connection {
    pub(super) dialler: Owner,
    pub(super) acceptor: Owner,
    pub(super) receiving: Option<ReceivingEnd>,
    pub(super) sending: Option<SendingEnd>,
    /// Nothing passes any more.
    pub(super) is_broken: bool,
    to_acceptor: Pipe,
    to_dialler: Pipe,
    /// What has arrived at the dialler and is not yet read.
    inbox: VecDeque<Vec<u8>>,
    /// The lane of the interval whose parts are being sent.
    lane_under_way: Vec<u8>,
    receiving_wakes_at: Option<SimTime>,
    sending_wakes_at: Option<SimTime>,
}

/// Connections by number; those with an end that lives.
pub(super) type Connections = BTreeMap<u64, Connection>;

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

    // The receiving end.

    /// Lets the receiving end do what is due.
    pub(super) fn drive_receiving(&mut self, number: u64) -> Result<(), Violation> {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else {
                return Ok(());
            };
            let node = connection.dialler.node;
            let now = self.nodes[node].clock(self.now);
            let has_room = connection.to_acceptor.len() == 0;
            let (Some(end), Some(process)) =
                (&mut connection.receiving, &mut self.nodes[node].process)
            else {
                return Ok(());
            };
            end.completed(now, process.completed);
            match end.poll(now, &process.shards, has_room) {
                Receiving::Request(request) => self.send(number, false, request.encode_to_vec()),
                Receiving::AwaitRound(_) => return Ok(()),
                Receiving::Close(error) => {
                    let error = ReceivingError::from(error);
                    return self.close_receiving(number, &error);
                }
                Receiving::Read(until) => match connection.inbox.pop_front() {
                    Some(bytes) => {
                        self.read_response(number, &bytes)?;
                        self.drive_sending(number)?;
                    }
                    None => {
                        let at = self.nodes[node].when(until, self.now);
                        let connection = self.connections.get_mut(&number);
                        let wakes_at = &mut connection.expect("it is open").receiving_wakes_at;
                        if wakes_at.is_none_or(|planned| at < planned) {
                            *wakes_at = Some(at);
                            let is_receiving = true;
                            self.queue.plan(
                                at,
                                Event::StreamTimer {
                                    number,
                                    is_receiving,
                                },
                            );
                        }
                        return Ok(());
                    }
                },
            }
        }
    }

    fn read_response(&mut self, number: u64, bytes: &[u8]) -> Result<(), Violation> {
        let response = PullResponse::decode(bytes).expect("our own bytes");
        let connection = self.connections.get_mut(&number).expect("it is open");
        let node = connection.dialler.node;
        let now = self.nodes[node].clock(self.now);
        let end = connection.receiving.as_mut().expect("it reads");
        let process = self.nodes[node].process.as_mut().expect("it runs");
        let was_known = end.peer().is_some();
        let received = end.response(now, &process.shards, &response);
        let peer_lane = end.peer();
        if let (false, Some(peer)) = (was_known, end.peer()) {
            process.standing.meet(peer);
        }
        match received {
            Ok(received) => {
                self.note_received((node, peer_lane), &received);
                for (shard, fork) in &received.forks {
                    self.forked_here(node, *shard as usize, fork)?;
                    self.if_forks_end_streams(number);
                }
            }
            Err(error) => self.close_receiving(number, &error)?,
        }
        // What was taken before an error stays taken.
        self.taken(node)
    }

    fn note_received(&mut self, (node, peer): (usize, Option<ReplicaId>), received: &Received) {
        for taken in &received.taken {
            let (shard, lane) = (taken.shard as usize, taken.lane);
            let is_new = matches!(taken.outcome, Outcome::Taken(_));
            self.trace_message(MessageEntry::Received {
                node,
                shard,
                lane: self.ledger.number(lane).0,
                upto: taken.span.1.version.get(),
                taken: is_new,
            });
            if is_new && Some(lane) != peer {
                self.cover(Coverage::IntervalRelayed);
            } else if taken.outcome == Outcome::Known {
                self.cover(Coverage::IntervalKnown);
            }
        }
    }

    /// A peer that was dialled shows that a lane has forked.
    fn forked_here(&mut self, node: usize, shard: usize, fork: &Fork) -> Result<(), Violation> {
        let is_own = fork.lane == self.process(node).hello.replica;
        if is_own && !self.breaks(Mutation::ForkIgnored) {
            let claim = self.process(node).standing.forked_by_dialled(fork.clone());
            self.claimed(node, claim);
        }
        self.fork_found(node, shard, fork)
    }

    fn close_receiving(&mut self, number: u64, error: &ReceivingError) -> Result<(), Violation> {
        let node = self.connections[&number].dialler.node;
        match error {
            ReceivingError::Receiver(ReceiverError::Silent { .. }) => {
                self.cover(Coverage::SilenceNoticed);
            }
            ReceivingError::Receiver(ReceiverError::Hello(_)) => {
                // A copy of a directory meets itself.
                self.cover(Coverage::StrangerRefused);
            }
            ReceivingError::Receiver(ReceiverError::Receive(_) | ReceiverError::NotOurs { .. })
            | ReceivingError::Decode(_) => {
                let says = format!("a peer sends what cannot be taken: {error}");
                return Err(self.violation(Guarantee::Convergence, Some(node), says));
            }
        }
        self.break_connection(number);
        self.end_receiving(number);
        Ok(())
    }

    // The sending end.

    /// A request has arrived: the first one opens the stream at this end.
    fn requested(&mut self, number: u64, bytes: &[u8]) -> Result<(), Violation> {
        let mut request = PullRequest::decode(bytes).expect("our own bytes");
        let connection = self.connections.get_mut(&number).expect("it is open");
        let (acceptor, from) = (connection.acceptor, connection.dialler.node);
        let node = acceptor.node;
        if !(self.nodes[node].is_up() && self.nodes[node].life == acceptor.life) {
            self.break_connection(number);
            return Ok(());
        }
        let now = self.nodes[node].clock(self.now);
        if request.hello.is_some() && self.breaks(Mutation::CursorKept) {
            let kept = self
                .kept_cursors
                .get(&(node, from))
                .cloned()
                .unwrap_or_default();
            request.held.extend(held_to_wire(&kept));
        }
        let connection = self.connections.get_mut(&number).expect("it is open");
        let process = self.nodes[node].process.as_mut().expect("it is up");
        let judged = if let Some(end) = &mut connection.sending {
            end.request(&process.shards, &request)
        } else {
            let ours = &process.hello;
            SendingEnd::accept(REPLICATION, ours, &request, &process.shards, now)
                .map(|end| connection.sending = Some(end))
        };
        match judged {
            Ok(()) => self.drive_sending(number),
            Err(error) => self.close_sending(number, &error),
        }
    }

    /// Lets the sending end do what is due, as long as there is room.
    pub(super) fn drive_sending(&mut self, number: u64) -> Result<(), Violation> {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else {
                return Ok(());
            };
            let (node, to) = (connection.acceptor.node, connection.dialler.node);
            let now = self.nodes[node].clock(self.now);
            let (Some(end), Some(process)) =
                (&mut connection.sending, &mut self.nodes[node].process)
            else {
                return Ok(());
            };
            if connection.to_dialler.len() + connection.inbox.len() >= MESSAGES_QUEUED_MAX {
                return Ok(());
            }
            match end.poll(now, &process.shards) {
                Sending::Message(message) => self.send_response(number, (node, to), message),
                Sending::LaneForked(shard, fork) => {
                    let peer = end.peer();
                    self.forked_there(node, (peer, shard as usize), &fork)?;
                    self.if_forks_end_streams(number);
                }
                Sending::Wait(until) => {
                    let at = self.nodes[node].when(until, self.now);
                    let connection = self.connections.get_mut(&number);
                    let wakes_at = &mut connection.expect("it is open").sending_wakes_at;
                    if wakes_at.is_none_or(|planned| at < planned) {
                        *wakes_at = Some(at);
                        let is_receiving = false;
                        self.queue.plan(
                            at,
                            Event::StreamTimer {
                                number,
                                is_receiving,
                            },
                        );
                    }
                    return Ok(());
                }
            }
        }
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
        if is_receiving {
            connection.receiving_wakes_at = None;
            self.drive_receiving(number)
        } else {
            connection.sending_wakes_at = None;
            self.drive_sending(number)
        }
    }

    fn send_response(
        &mut self,
        number: u64,
        (node, to): (usize, usize),
        mut message: PullResponse,
    ) {
        let own = self.ledger.ids()[self.nodes[node].incarnation.0];
        let connection = self.connections.get_mut(&number).expect("it is open");
        let lanes = mutants::lanes(&message, &mut connection.lane_under_way);
        for (part, lane) in message.parts.iter().zip(&lanes) {
            let Some(mark) = part.to else { continue };
            let upto = mark.version;
            self.trace_message(MessageEntry::Sent {
                from: node,
                to,
                lane: self.ledger.number(*lane).0,
                upto,
            });
            if self.breaks(Mutation::CursorKept) {
                let cursor = HeldLane {
                    shard: part.shard,
                    lane: *lane,
                    mark: mark.into(),
                };
                let kept = self.kept_cursors.entry((node, to)).or_default();
                kept.push(cursor);
            }
        }
        if self.breaks(Mutation::NoRelay) {
            mutants::keep_lane(&mut message, &lanes, own);
        }
        if self.breaks(Mutation::ReceiverNotTold) {
            message.held.clear();
        }
        if self.breaks(Mutation::Piecemeal) {
            mutants::cut_intervals(&mut message);
        }
        self.send(number, true, message.encode_to_vec());
    }

    fn close_sending(&mut self, number: u64, error: &SendingError) -> Result<(), Violation> {
        let node = self.connections[&number].acceptor.node;
        match error {
            SendingError::Hello(_) => self.cover(Coverage::StrangerRefused),
            SendingError::Decode(_) | SendingError::Sender(_) => {
                let says = format!("a peer reports what cannot be: {error}");
                return Err(self.violation(Guarantee::Convergence, Some(node), says));
            }
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.sending = None;
        }
        self.break_connection(number);
        Ok(())
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

    // Forks.

    /// Somebody who has dialled this node shows that a lane has forked.
    fn forked_there(
        &mut self,
        node: usize,
        (reporter, shard): (ReplicaId, usize),
        fork: &Fork,
    ) -> Result<(), Violation> {
        let is_own = fork.lane == self.process(node).hello.replica;
        if is_own && !self.breaks(Mutation::ForkIgnored) {
            self.judge_reporter(node, reporter, fork);
        }
        self.fork_found(node, shard, fork)
    }

    /// Lets the node's standing judge a mark of its own lane that somebody has reported.
    pub(super) fn judge_reporter(&mut self, node: usize, reporter: ReplicaId, fork: &Fork) {
        let believes_all = self.breaks(Mutation::StrangerBelieved);
        let process = self.process(node);
        let claim = if believes_all {
            process.standing.forked_by_dialled(fork.clone())
        } else {
            let standing = &mut process.standing;
            standing.forked_by_reporter(&process.shards, reporter, fork.clone())
        };
        self.claimed(node, claim);
    }

    fn claimed(&mut self, node: usize, claim: Claim) {
        match claim {
            Claim::Believed => {
                self.cover(Coverage::NodeStopped);
                self.trace(TraceEntry::Stopped { node });
                self.plan_replacement(node);
            }
            Claim::Disbelieved => self.cover(Coverage::StrangerDisbelieved),
            Claim::Known => {}
        }
    }

    /// A replica has found two histories of a lane.
    pub(super) fn fork_found(
        &mut self,
        node: usize,
        shard: usize,
        fork: &Fork,
    ) -> Result<(), Violation> {
        let number = self.ledger.number(fork.lane);
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
        Ok(())
    }

    /// What was once a bug: two nodes that hold different histories of a third one's lane refused
    /// each other's whole stream.
    fn if_forks_end_streams(&mut self, number: u64) {
        if self.breaks(Mutation::ForkEndsStream) {
            self.break_connection(number);
        }
    }

    /// Whether a node has a stream from a peer on which it may have been told something.
    pub(super) fn hears(&self, node: usize, peer: usize) -> bool {
        self.connections.values().any(|connection| {
            let ends = (connection.dialler.node, connection.acceptor.node);
            ends == (node, peer) && !connection.is_broken && connection.sending.is_some()
        })
    }
}
