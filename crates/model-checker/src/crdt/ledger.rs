//! Ledgers: what the model remembers of a lane, to compare with what replicas show.
//!
//! Ghosts. They are kept in plain sums, apart from the replicas' own records, written as clients
//! would write down what they asked for and what they were promised, and read by guarantees only.

use crdt_core::{Mark, ReplicaId, Sum, Total, Version};

/// A point of a lane as its owner's clients know it: ghost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// What `add` returned.
    pub mark: Mark,
    /// The owner's total of each counter there.
    pub sums: Vec<Total>,
}

/// What the model knows of one lane: ghost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The lane.
    pub lane: ReplicaId,
    /// All that its owner was ever asked to add, counter by counter.
    pub made: Vec<Total>,
    /// Every version of the lane that became durable, oldest first; those whose owner lived to
    /// tell were acknowledged.
    pub durable: Vec<Point>,
    /// What was durable, and then lost with the owner's disk: of a lane that has forked, the
    /// branch that its owner no longer knows.
    pub abandoned: Vec<Point>,
    /// Adds that are taken and not yet durable, by the mark that they wait for.
    pub open: Vec<Point>,
}

impl Ledger {
    pub(super) fn new(lane: ReplicaId, counters: usize) -> Self {
        Self {
            lane,
            made: vec![Total::default(); counters],
            durable: Vec::new(),
            abandoned: Vec::new(),
            open: Vec::new(),
        }
    }

    /// The owner's totals with everything taken.
    #[must_use]
    pub fn taken(&self, counter: usize) -> Total {
        let last = self.open.last().or(self.durable.last());
        last.map_or_else(Total::default, |point| point.sums[counter])
    }

    pub(super) fn add(&mut self, counter: usize, amount: Sum, mark: Mark) {
        self.made[counter] = self.made[counter].plus(amount);
        let mut sums: Vec<Total> = (0..self.made.len()).map(|c| self.taken(c)).collect();
        sums[counter] = sums[counter].plus(amount);
        match self.open.last_mut() {
            Some(point) if point.mark == mark => point.sums = sums,
            _ => self.open.push(Point { mark, sums }),
        }
    }

    /// The owner's disk holds nothing after this version any more.
    pub(super) fn forget_after(&mut self, version: Version) {
        let is_held = |point: &Point| point.mark.version <= version;
        let first_lost = self.durable.iter().position(|point| !is_held(point));
        let first_lost = first_lost.unwrap_or(self.durable.len());
        self.abandoned.extend(self.durable.drain(first_lost..));
        self.open.clear();
    }

    /// The lane has durably reached `mark`.
    pub(super) fn reached(&mut self, mark: Mark) {
        let now = self
            .open
            .iter()
            .filter(|point| point.mark.version <= mark.version);
        self.durable.extend(now.cloned());
        self.open.retain(|point| point.mark.version > mark.version);
    }
}
