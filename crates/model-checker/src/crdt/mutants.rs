//! What mutants do to an interval on its way. Mutations of a node's own steps are in `node`.

use crdt_core::{Interval, Replica, SumRecord, Sums};

use super::Rules;
use crate::mutation::Mutation;

impl Rules {
    /// What a mutant makes of an interval that `sender` serves: the messages that travel.
    pub(super) fn on_send<C>(&self, sender: &Replica, interval: Interval<C>) -> Vec<Interval<C>>
    where
        C: Clone,
    {
        let with = |sums| Interval {
            sums,
            ..interval.clone()
        };
        if self.breaks(Mutation::Piecemeal) {
            let records = interval.sums.clone().into_records();
            return records
                .map(|record| with(Sums::from_iter([record])))
                .collect();
        }
        if self.breaks(Mutation::RelayOmitsRecords) && interval.lane != sender.id() {
            let mut sums = interval.sums.clone();
            sums.retain(|record| record.version == interval.to.version);
            return vec![with(sums)];
        }
        if self.breaks(Mutation::RelayOmitsStarts) && interval.lane != sender.id() {
            let starts = Vec::new();
            return vec![Interval { starts, ..interval }];
        }
        vec![interval]
    }

    /// What a mutant makes of an interval before `receiver` gets it.
    pub(super) fn on_receive(&self, receiver: &Replica, mut interval: Interval) -> Interval {
        let held = receiver.held(interval.lane);
        if self.breaks(Mutation::AdditiveMerge) {
            let add = |mut record: SumRecord| {
                let held = receiver.sum_of(interval.lane, record.counter);
                record.total.incremented += held.incremented;
                record.total.decremented += held.decremented;
                record
            };
            interval.sums = interval.sums.into_records().map(add).collect();
        }
        if self.breaks(Mutation::DeltaDroppedOnSend) && interval.after.version > held.version {
            // The gap is papered over: the interval claims to begin where the receiver is.
            let begun = (held.version.next(), interval.after.start);
            if held.start != interval.after.start {
                interval.starts.insert(0, begun);
            }
            interval.after = held;
        }
        interval
    }
}
