//! The network between nodes: who reaches whom, and what becomes of a message.
//!
//! A stream is a connection, as TCP gives it: what passes comes in order and once, or the
//! connection breaks, which each end notices some time later and by itself. What a connection
//! carries is bytes.

use std::collections::VecDeque;

use super::kinds::FaultKind;
use super::queue::SimTime;
use super::random::Random;
use super::schedule::Conditions;

/// Even in one rack a message takes this long.
const LATENCY_US_MIN: u64 = 100;
/// How long a connection may stall, and all that is on it: longer than most latencies.
const HELD_BACK_US_MAX: u64 = 120_000;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The way is cut, by this fault.
    Cut(FaultKind),
    /// Lost, and the connection with it.
    Lost,
    /// It arrives so much later.
    Arrives { after_us: u64 },
    /// It is held back, and arrives so much later.
    HeldBack { after_us: u64 },
}

/// One direction between two nodes.
#[derive(Clone, Debug, Default)]
struct Way {
    /// The partitions that cut it.
    cuts: Vec<FaultKind>,
}

/// All ways.
pub(super) struct Network {
    nodes: usize,
    ways: Vec<Way>,
    conditions: Conditions,
}

impl Network {
    pub(super) fn new(nodes: usize, conditions: Conditions) -> Self {
        Self {
            nodes,
            ways: vec![Way::default(); nodes * nodes],
            conditions,
        }
    }

    fn way(&mut self, from: usize, to: usize) -> &mut Way {
        &mut self.ways[from * self.nodes + to]
    }

    /// Cuts a way, once more.
    pub(super) fn cut(&mut self, from: usize, to: usize, by: FaultKind) {
        self.way(from, to).cuts.push(by);
    }

    /// Takes back one cut.
    pub(super) fn mend(&mut self, from: usize, to: usize) {
        self.way(from, to).cuts.pop();
    }

    /// All ways are open.
    pub(super) fn mend_all(&mut self) {
        self.ways.iter_mut().for_each(|way| way.cuts.clear());
    }

    /// Nothing is lost any more.
    pub(super) fn calm(&mut self) {
        self.conditions = Conditions {
            latency_us_max: self.conditions.latency_us_max,
            ..Conditions::default()
        };
    }

    /// How many calls of a thousand, and answers to them, are lost, come late or come twice.
    pub(super) fn unanswered(&self) -> u64 {
        self.conditions.unanswered
    }

    /// Decides what becomes of a message; `slow` is how many times longer than usual it takes.
    pub(super) fn fate(
        &mut self,
        (from, to): (usize, usize),
        slow: u64,
        random: &mut Random,
    ) -> Fate {
        let conditions = self.conditions;
        let latency_us_max = conditions.latency_us_max.max(LATENCY_US_MIN);
        let after_us = slow * random.between(LATENCY_US_MIN, latency_us_max);
        if let Some(&by) = self.way(from, to).cuts.last() {
            return Fate::Cut(by);
        }
        if random.chance(conditions.lost) {
            return Fate::Lost;
        }
        if random.chance(conditions.held_back) {
            let after_us = after_us + random.between(1, HELD_BACK_US_MAX);
            return Fate::HeldBack { after_us };
        }
        Fate::Arrives { after_us }
    }
}

/// One direction of a connection: what passes comes in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe {
    last_arrival: SimTime,
    under_way: VecDeque<Vec<u8>>,
}

impl Pipe {
    /// When something arrives that was sent now and takes so long by itself.
    pub(super) fn arrival(&mut self, now: SimTime, after_us: u64) -> SimTime {
        self.last_arrival = now.after_us(after_us).max(self.last_arrival);
        self.last_arrival
    }

    /// Sends something.
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        self.under_way.push_back(bytes);
    }

    /// What arrives next.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.under_way.pop_front()
    }

    /// How much is under way.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_connection_come_in_order_under_good_conditions() {
        let conditions = Conditions {
            latency_us_max: 60_000,
            ..Conditions::default()
        };
        let mut network = Network::new(2, conditions);
        let mut random = Random::new(3);
        let mut pipe = Pipe::default();
        let mut last = SimTime::default();
        for sent in 0..100 {
            let now = SimTime::from_us(sent * 1000);
            let fate = network.fate((0, 1), 1, &mut random);
            let Fate::Arrives { after_us } = fate else {
                panic!("{fate:?} under good conditions")
            };
            let at = pipe.arrival(now, after_us);
            assert!(at >= last && at > now);
            last = at;
        }
    }

    #[test]
    fn a_way_that_is_cut_twice_is_mended_twice() {
        let mut network = Network::new(2, Conditions::default());
        let mut random = Random::new(3);
        network.cut(0, 1, FaultKind::PartitionSplit);
        network.cut(0, 1, FaultKind::PartitionOneWay);
        network.mend(0, 1);
        let cut = Fate::Cut(FaultKind::PartitionSplit);
        assert_eq!(network.fate((0, 1), 1, &mut random), cut);
        let other_way = network.fate((1, 0), 1, &mut random);
        assert!(matches!(other_way, Fate::Arrives { .. }));
        network.mend(0, 1);
        assert!(matches!(
            network.fate((0, 1), 1, &mut random),
            Fate::Arrives { .. }
        ));
    }
}
