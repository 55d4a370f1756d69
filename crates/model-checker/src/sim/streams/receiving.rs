//! The receiving end of a stream: reads what comes, in order, and dials again when it ends.

use crdt_core::ReplicaId;
use prost::Message as _;
use protocol::{Outcome, ReceiverError, Time};
use wire::stream::{Received, Receiving, ReceivingError};
use wire::v1::PullResponse;

use crate::guarantee::Guarantee;
use crate::mutation::Mutation;
use crate::sim::kinds::Coverage;
use crate::sim::mutants;
use crate::sim::oracle::Violation;
use crate::sim::trace::MessageEntry;
use crate::sim::world::{Event, World};

impl World<'_> {
    /// Lets the receiving end do what is due.
    pub(in crate::sim) fn drive_receiving(&mut self, number: u64) -> Result<(), Violation> {
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
                Receiving::Read(until) => {
                    let Some(bytes) = connection.inbox.pop_front() else {
                        self.plan_receiving(number, until);
                        return Ok(());
                    };
                    self.read_response(number, &bytes)?;
                    self.drive_sending(number)?;
                }
            }
        }
    }

    /// The machine asks to be asked again then.
    fn plan_receiving(&mut self, number: u64, until: Time) {
        let connection = self.connections.get_mut(&number).expect("it is open");
        let at = self.nodes[connection.dialler.node].when(until, self.now);
        let wakes_at = &mut connection.receiving_wakes_at;
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
    }

    pub(in crate::sim) fn read_response(
        &mut self,
        number: u64,
        bytes: &[u8],
    ) -> Result<(), Violation> {
        let mut response = PullResponse::decode(bytes).expect("our own bytes");
        if self.breaks(Mutation::NeedsIgnored) {
            mutants::forget_needs(&mut response);
            mutants::split_sets(&mut response);
        }
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
            self.know(node, peer);
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

    pub(in crate::sim) fn note_received(
        &mut self,
        (node, peer): (usize, Option<ReplicaId>),
        received: &Received,
    ) {
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

    pub(in crate::sim) fn close_receiving(
        &mut self,
        number: u64,
        error: &ReceivingError,
    ) -> Result<(), Violation> {
        let node = self.connections[&number].dialler.node;
        match error {
            ReceivingError::Receiver(ReceiverError::Silent { .. }) => {
                self.cover(Coverage::SilenceNoticed);
            }
            ReceivingError::Receiver(ReceiverError::Hello(_)) => {
                // A copy of a directory meets itself.
                self.cover(Coverage::StrangerRefused);
            }
            ReceivingError::Receiver(
                ReceiverError::Receive(_)
                | ReceiverError::NotOurs { .. }
                | ReceiverError::Lanes { .. },
            )
            | ReceivingError::Decode(_) => {
                let says = format!("a peer sends what cannot be taken: {error}");
                return Err(self.violation(Guarantee::Convergence, Some(node), says));
            }
        }
        self.break_connection(number);
        self.end_receiving(number);
        Ok(())
    }
}
