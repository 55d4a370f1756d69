//! When two replicas are equal: same incarnation and start, same lanes, same taken.
//!
//! How a replica numbers its counters is an accident of arrival and no part of its state, so
//! everything is compared and hashed by name, in the order of names. The model checker recognises
//! states by this.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::Replica;
use crate::{
    CounterIndex, CounterName, Interval, Records, ReplicaId, Total, Version, history::History,
    record_map::Needs,
};

impl Replica {
    /// All held records by counter name and lane: the content of the lanes, however numbered.
    fn records(&self) -> impl Iterator<Item = (&CounterName, ReplicaId, (Version, Total))> {
        self.catalogue
            .sorted_from("")
            .flat_map(move |(name, counter)| {
                self.lanes
                    .iter()
                    .filter_map(move |(&lane, held)| Some((name, lane, held.record(counter)?)))
            })
    }

    /// The histories of all lanes: the own one, and those of which anything is held.
    fn histories(&self) -> impl Iterator<Item = (ReplicaId, &History)> {
        self.lanes.iter().map(|(&id, lane)| (id, &lane.history))
    }

    /// The own totals that differ from the held ones, by name.
    fn taken(&self) -> impl Iterator<Item = (&CounterName, Total, bool)> {
        self.catalogue
            .sorted_from("")
            .filter_map(|(name, counter)| {
                let (total, is_dirty) = self.heads.total(counter);
                let differs = is_dirty || total != self.sum_of(self.id, counter);
                differs.then_some((name, total, is_dirty))
            })
    }

    /// What each lane says of sessions, by name, and what it needs.
    fn session_records(&self) -> impl Iterator<Item = (ReplicaId, Records<CounterName>, &Needs)> {
        let name = |counter: &CounterIndex| self.name(*counter).clone();
        self.lanes
            .iter()
            .map(move |(&id, lane)| (id, lane.records.content().map_counters(name), lane.needs()))
    }

    /// Own changes about sessions that are not held yet, by name, and what is due.
    fn sessions_under_way(&self) -> impl PartialEq + Hash {
        let name = |counter: &CounterIndex| self.name(*counter).clone();
        (
            self.own_records.named(name),
            self.due.clone(),
            self.forked.clone(),
        )
    }

    /// Intervals being written and received, in this order, by name.
    fn under_way(
        &self,
    ) -> (
        Option<Vec<Interval<CounterName>>>,
        Vec<Interval<CounterName>>,
    ) {
        let named = |intervals: &[Interval]| intervals.iter().map(|i| self.export(i)).collect();
        (self.writing.as_deref().map(named), named(&self.received))
    }
}

impl PartialEq for Replica {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.start) == (other.id, other.start)
            && self.histories().eq(other.histories())
            && self.records().eq(other.records())
            && self.session_records().eq(other.session_records())
            && self.taken().eq(other.taken())
            && self.sessions_under_way() == other.sessions_under_way()
            && self.under_way() == other.under_way()
    }
}

impl Eq for Replica {}

impl Hash for Replica {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.id, self.start).hash(state);
        self.histories().for_each(|history| history.hash(state));
        self.records().for_each(|record| record.hash(state));
        self.session_records()
            .for_each(|records| records.hash(state));
        self.taken().for_each(|taken| taken.hash(state));
        self.sessions_under_way().hash(state);
        self.under_way().hash(state);
    }
}
