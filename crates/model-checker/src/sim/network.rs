//! The network between nodes: who reaches whom, and what becomes of a message.
//!
//! Between two nodes messages come in order, as on a TCP connection, except for one that is held
//! back or doubled. Losing a message breaks its stream, which the receiver notices some time
//! later.

use crdt_core::{CounterName, Digest, Interval, Mark, ReplicaId};

use super::queue::SimTime;
use super::random::Random;
use super::schedule::Conditions;

/// Even in one rack a message takes this long.
const LATENCY_US_MIN: u64 = 100;
/// How long a message may be held back: longer than the pace of streams and than most latencies,
/// so that others overtake it.
const HELD_BACK_US_MAX: u64 = 120_000;

/// What nodes say to each other. `stream` tells the streams of a pair of nodes apart.
pub(super) enum Message {
    /// To a sender: begin a stream; this is what I hold of each shard.
    Open { stream: u64, held: Vec<Digest> },
    /// To a sender: I now hold these lanes so far.
    Held {
        stream: u64,
        marks: Vec<(usize, ReplicaId, Mark)>,
    },
    /// To a receiver: intervals, with their shards.
    Intervals {
        stream: u64,
        intervals: Vec<(usize, Interval<CounterName>)>,
    },
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The way is cut.
    Cut,
    /// Lost.
    Lost,
    /// It arrives then.
    Arrives { at: SimTime, overtakes: bool },
    /// It is held back until then.
    HeldBack { at: SimTime },
    /// It arrives twice.
    Twice { at: SimTime, again: SimTime },
}

/// One direction between two nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// How many partitions cut it.
    cuts: u32,
    last_arrival: SimTime,
    held_back_until: SimTime,
}

/// All ways.
pub(super) struct Network {
    nodes: usize,
    ways: Vec<Way>,
    conditions: Conditions,
    streams: u64,
}

impl Network {
    pub(super) fn new(nodes: usize, conditions: Conditions) -> Self {
        Self {
            nodes,
            ways: vec![Way::default(); nodes * nodes],
            conditions,
            streams: 0,
        }
    }

    fn way(&mut self, from: usize, to: usize) -> &mut Way {
        &mut self.ways[from * self.nodes + to]
    }

    /// A number for a new stream, larger than all before.
    pub(super) fn next_stream(&mut self) -> u64 {
        self.streams += 1;
        self.streams
    }

    /// Cuts a way, once more.
    pub(super) fn cut(&mut self, from: usize, to: usize) {
        self.way(from, to).cuts += 1;
    }

    /// Takes back one cut.
    pub(super) fn mend(&mut self, from: usize, to: usize) {
        let way = self.way(from, to);
        way.cuts = way.cuts.saturating_sub(1);
    }

    /// Whether nothing passes.
    pub(super) fn is_cut(&mut self, from: usize, to: usize) -> bool {
        self.way(from, to).cuts > 0
    }

    /// All ways are open, and nothing is lost any more.
    pub(super) fn heal(&mut self) {
        self.ways.iter_mut().for_each(|way| way.cuts = 0);
        self.conditions = Conditions {
            latency_us_max: self.conditions.latency_us_max,
            ..Conditions::default()
        };
    }

    /// Decides what becomes of a message; `slow` is how many times longer than usual it takes.
    pub(super) fn fate(
        &mut self,
        (from, to): (usize, usize),
        now: SimTime,
        slow: u64,
        random: &mut Random,
    ) -> Fate {
        let conditions = self.conditions;
        let latency_us = slow
            * random.between(
                LATENCY_US_MIN,
                conditions.latency_us_max.max(LATENCY_US_MIN),
            );
        let way = self.way(from, to);
        if way.cuts > 0 {
            return Fate::Cut;
        }
        if random.chance(conditions.lost) {
            return Fate::Lost;
        }
        let at = now.after_us(latency_us).max(way.last_arrival);
        if random.chance(conditions.held_back) {
            let at = at.after_us(random.between(1, HELD_BACK_US_MAX));
            way.held_back_until = at.max(way.held_back_until);
            return Fate::HeldBack { at };
        }
        way.last_arrival = at;
        if random.chance(conditions.duplicated) {
            return Fate::Twice {
                at,
                again: at.after_us(random.below(HELD_BACK_US_MAX)),
            };
        }
        Fate::Arrives {
            at,
            overtakes: at < way.held_back_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_order_in_good_conditions() {
        let conditions = Conditions {
            latency_us_max: 60_000,
            ..Conditions::default()
        };
        let mut network = Network::new(2, conditions);
        let mut random = Random::new(3);
        let mut last = SimTime::default();
        for sent in 0..100 {
            let now = SimTime::from_us(sent * 1000);
            let fate = network.fate((0, 1), now, 1, &mut random);
            let Fate::Arrives {
                at,
                overtakes: false,
            } = fate
            else {
                panic!("{fate:?} in good conditions")
            };
            assert!(at >= last && at > now);
            last = at;
        }
    }

    #[test]
    fn a_way_that_is_cut_twice_is_mended_twice() {
        let mut network = Network::new(2, Conditions::default());
        network.cut(0, 1);
        network.cut(0, 1);
        network.mend(0, 1);
        assert!(network.is_cut(0, 1) && !network.is_cut(1, 0));
        network.mend(0, 1);
        assert!(!network.is_cut(0, 1));
    }
}
