//! The sending end of a stream: opened by a first request, it sends while there is room.

use prost::Message as _;
use protocol::HeldLane;
use wire::stream::{Sending, SendingEnd, SendingError, held_to_wire};
use wire::v1::{PullRequest, PullResponse};

use super::MESSAGES_QUEUED_MAX;
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;
use crate::sim::kinds::Coverage;
use crate::sim::limits::REPLICATION;
use crate::sim::mutants;
use crate::sim::oracle::Violation;
use crate::sim::trace::MessageEntry;
use crate::sim::world::{Event, World};

impl World<'_> {
    /// A request has arrived: the first one opens the stream at this end.
    pub(in crate::sim) fn requested(&mut self, number: u64, bytes: &[u8]) -> Result<(), Violation> {
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
            Ok(()) => {
                let end = connection.sending.as_ref().expect("it was accepted");
                let (peer, is_known) = (end.peer(), connection.is_known);
                if !is_known && self.know_acquaintance(node, peer) {
                    let connection = self.connections.get_mut(&number);
                    connection.expect("it is open").is_known = true;
                    self.drive_commits(node)?;
                }
                self.drive_sending(number)
            }
            Err(error) => self.close_sending(number, &error),
        }
    }

    /// Lets the sending end do what is due, as long as there is room.
    pub(in crate::sim) fn drive_sending(&mut self, number: u64) -> Result<(), Violation> {
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

    pub(in crate::sim) fn send_response(
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
        if self.breaks(Mutation::SetsSplit) {
            mutants::split_sets(&mut message);
        }
        if self.breaks(Mutation::Piecemeal) {
            mutants::cut_intervals(&mut message);
        }
        self.send(number, true, message.encode_to_vec());
    }

    pub(in crate::sim) fn close_sending(
        &mut self,
        number: u64,
        error: &SendingError,
    ) -> Result<(), Violation> {
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
}
