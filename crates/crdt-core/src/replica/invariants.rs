//! What holds of a replica in every state, whatever was done to it: for property tests, and for the
//! model checker's worlds.

use alloc::{collections::BTreeMap, vec::Vec};

use super::Replica;
use crate::{CounterIndex, ReplicaId, Total, history::History};

impl Replica {
    /// Panics when the replica's parts contradict each other. This takes as long as there are
    /// records; it is meant for tests and searches.
    ///
    /// - The records of every lane hang together in both directions and in the order of their
    ///   versions; all can be reached, and none is newer than the lane.
    /// - The own totals are those of the own lane, or of the group being written, except for the
    ///   counters that are due in the next commit.
    /// - What is pending of a lane is what is held, and then being written, and then received.
    ///
    /// # Panics
    ///
    /// When one of these does not hold.
    pub fn assert_invariants(&self) {
        for lane in self.lanes.values() {
            lane.assert_invariants();
        }
        self.assert_heads();
        self.assert_pending();
    }

    fn assert_heads(&self) {
        let own = self.writing.iter().flat_map(|group| group.iter());
        let own = own.filter(|interval| interval.lane == self.id);
        let written: BTreeMap<CounterIndex, Total> = own
            .flat_map(|interval| interval.sums.iter())
            .map(|record| (*record.counter, record.total))
            .collect();
        self.heads.assert_invariants(|counter| {
            let held = || self.sum_of(self.id, counter);
            written.get(&counter).copied().unwrap_or_else(held)
        });
    }

    fn assert_pending(&self) {
        let mut expected: BTreeMap<ReplicaId, History> = BTreeMap::new();
        let writing = self.writing.as_deref().unwrap_or_default();
        for interval in writing.iter().chain(&self.received) {
            assert_eq!(interval.contradiction(), None, "{interval:?}");
            let held = || self.lanes.get(&interval.lane).map(|lane| &lane.history);
            let history = expected
                .entry(interval.lane)
                .or_insert_with(|| held().cloned().unwrap_or_default());
            assert_eq!(history.continues(interval), Ok(true), "{interval:?}");
            history.advance(interval);
        }
        expected.remove(&self.id);
        assert_eq!(self.pending, expected, "what is pending of each lane");
        let lanes: Vec<_> = self.received.iter().map(|interval| interval.lane).collect();
        assert!(!lanes.contains(&self.id), "only the owner writes its lane");
    }
}
