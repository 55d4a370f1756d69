//! Counters and their names: integers inside a replica, text outside of it.

use super::Replica;
use crate::{CounterIndex, CounterName, Interval};

impl Replica {
    /// The index of a counter, given now if it had none. Indices are kept for ever, so the driver
    /// bounds how many names it lets in.
    ///
    /// # Panics
    ///
    /// At 2^32 counters.
    pub fn counter(&mut self, name: &CounterName) -> CounterIndex {
        self.catalogue.index(name)
    }

    /// The index of a counter that has one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<CounterIndex> {
        self.catalogue.find(name)
    }

    /// The name behind an index.
    ///
    /// # Panics
    ///
    /// When this replica did not give the index.
    #[must_use]
    pub fn name(&self, counter: CounterIndex) -> &CounterName {
        self.catalogue.name(counter)
    }

    /// How many counters have an index.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.catalogue.len()
    }

    /// An interval of this replica for another one: indices become names.
    #[must_use]
    pub fn export(&self, interval: &Interval) -> Interval<CounterName> {
        interval.map_counters(|&counter| self.name(counter).clone())
    }

    /// An interval of another replica for this one: names become indices.
    pub fn import(&mut self, interval: &Interval<CounterName>) -> Interval {
        interval.map_counters(|name| self.catalogue.index(name))
    }
}
