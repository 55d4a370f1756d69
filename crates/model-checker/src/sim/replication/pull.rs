//! The receiver's end of a stream: asks, takes what comes, and reports what it holds.

use crdt_core::{CounterName, Interval, ReceiveError, Received, Replica, ReplicaId};

use crate::guarantee::Guarantee;
use crate::sim::disk::Frames;
use crate::sim::kinds::Coverage;
use crate::sim::ledger::Ledger;
use crate::sim::network::Message;
use crate::sim::oracle::Violation;
use crate::sim::trace::MessageEntry;
use crate::sim::world::{Event, World};

/// What a receiver holds is reported at most once in this time.
const REPORT_US: u64 = 20_000;
/// After this time a receiver knows that its stream is broken.
const NOTICE_US: (u64, u64) = (5_000, 60_000);

/// The receiver's end of a stream.
#[derive(Debug, Default)]
pub(in crate::sim) struct Pull {
    /// The stream's number; 0 when there is none.
    pub(in crate::sim) stream: u64,
    /// Lanes of which the sender does not know yet how far they are held.
    changed: Vec<(usize, ReplicaId)>,
    reporting: bool,
}

impl World<'_> {
    /// Opens a stream from `peer`, instead of the one there may be.
    pub(in crate::sim) fn open(&mut self, node: usize, peer: usize) {
        let stream = self.network.next_stream();
        let held = self.nodes[node]
            .replicas
            .iter()
            .map(Replica::digest)
            .collect();
        self.nodes[node].pulls[peer] = Pull {
            stream,
            changed: Vec::new(),
            reporting: false,
        };
        self.trace_message(MessageEntry::Opened { node, peer });
        self.send(node, peer, Message::Open { stream, held });
    }

    /// The stream of this number is broken: opens another, unless that has happened.
    pub(in crate::sim) fn reopen(&mut self, node: usize, peer: usize, stream: u64) {
        if self.nodes[node].up && self.nodes[node].pulls[peer].stream == stream {
            self.open(node, peer);
        }
    }

    /// The receiver will notice that the stream is broken.
    pub(in crate::sim) fn break_stream(&mut self, node: usize, peer: usize, stream: u64) {
        let notice_us = self.random.between(NOTICE_US.0, NOTICE_US.1);
        self.queue.plan(
            self.now.after_us(notice_us),
            Event::Reopen { node, peer, stream },
        );
    }

    /// The process has ended, and with it the streams it served.
    pub(in crate::sim) fn break_streams(&mut self, peer: usize) {
        for node in (0..self.nodes.len()).filter(|&node| node != peer) {
            let stream = self.nodes[node].pulls[peer].stream;
            self.break_stream(node, peer, stream);
        }
    }

    /// The group is held: it is reported to senders, a little later and together with what follows.
    pub(in crate::sim) fn note_held(&mut self, node: usize, frames: &Frames) {
        for peer in (0..self.nodes.len()).filter(|&peer| peer != node) {
            let pull = &mut self.nodes[node].pulls[peer];
            for frame in frames {
                let lane = (frame.shard, frame.interval.lane);
                if !pull.changed.contains(&lane) {
                    pull.changed.push(lane);
                }
            }
            if !pull.reporting {
                pull.reporting = true;
                let stream = pull.stream;
                let at = self.now.after_us(REPORT_US);
                self.queue
                    .plan(at, Event::ReportHeld { node, peer, stream });
            }
        }
    }

    /// Reports to a sender what has changed in what is held.
    pub(in crate::sim) fn report_held(&mut self, node: usize, peer: usize, stream: u64) {
        if !self.nodes[node].up || self.nodes[node].pulls[peer].stream != stream {
            return;
        }
        self.nodes[node].pulls[peer].reporting = false;
        let changed = std::mem::take(&mut self.nodes[node].pulls[peer].changed);
        let replicas = &self.nodes[node].replicas;
        let marks = changed
            .into_iter()
            .map(|(shard, lane)| (shard, lane, replicas[shard].held(lane)))
            .collect();
        self.send(node, peer, Message::Held { stream, marks });
    }

    pub(in crate::sim) fn receive(
        &mut self,
        (from, node): (usize, usize),
        stream: u64,
        intervals: &[(usize, Interval<CounterName>)],
    ) -> Result<(), Violation> {
        let life = self.nodes[node].life;
        for (shard, interval) in intervals {
            let (shard, number) = (*shard, Ledger::number(interval.lane).0);
            let replica = &mut self.nodes[node].replicas[shard];
            let imported = replica.import(interval);
            match replica.receive(imported) {
                Ok(received) => {
                    let taken = received == Received::Taken;
                    let upto = interval.to.version.get();
                    self.trace_message(MessageEntry::Received {
                        node,
                        shard,
                        lane: number,
                        upto,
                        taken,
                    });
                    let relayed = self.nodes[from].incarnation.0 != number;
                    if taken && relayed {
                        self.cover(Coverage::IntervalRelayed);
                    } else if !taken {
                        self.cover(Coverage::IntervalKnown);
                    }
                }
                Err(ReceiveError::Gap { .. }) => {
                    self.cover(Coverage::GapRefused);
                    self.trace_message(MessageEntry::Gap {
                        node,
                        shard,
                        lane: number,
                    });
                    self.reopen(node, from, stream);
                }
                Err(ReceiveError::Fork(fork)) => self.fork_found(node, shard, &fork)?,
                Err(error @ ReceiveError::Malformed { .. }) => {
                    return Err(self.violation(
                        Guarantee::Convergence,
                        Some(node),
                        error.to_string(),
                    ));
                }
            }
            if self.nodes[node].life != life {
                return Ok(());
            }
        }
        self.kick(node)
    }
}
