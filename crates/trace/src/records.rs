//! What lanes say of sessions, followed from interval to interval.
//!
//! Records of sessions are replaced and go, so their hash cannot be had from an interval alone; and
//! a shard's replica, when a group is collected, does not hold it yet. So the observer keeps them.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use crdt_core::{
    CounterIndex, Gap, Interval, Mark, RecordContent, RecordKey, Replica, ReplicaId, RequestId, Sum,
};

use crate::Content;

/// What one lane says of sessions, and what it needs.
#[derive(Debug, Default)]
pub(crate) struct LaneRecords {
    records: BTreeMap<RecordKey, RecordContent>,
    needs: BTreeMap<ReplicaId, Mark>,
}

impl LaneRecords {
    /// What a lane holds.
    pub(crate) fn of(replica: &Replica, lane: ReplicaId) -> (Self, Content) {
        let mut records = Self::default();
        let whole = replica.interval(lane, Mark::ZERO);
        let whole = whole.expect("a lane has one history up to its beginning");
        let moved = whole.map(|whole| records.apply(replica, &whole));
        (records, moved.unwrap_or_default())
    }

    /// Moves to the interval's end; what its records and needs bring.
    pub(crate) fn apply(&mut self, replica: &Replica, interval: &Interval) -> Content {
        let of = |key: &RecordKey, content: &RecordContent| {
            let name = |counter: &CounterIndex| replica.name(*counter).clone();
            Content::of_record(key, &content.map_counters(name))
        };
        let mut moved = Content::default();
        for gap in &interval.records.gaps {
            let gone: Vec<_> = self.in_gap(gap).map(|(&key, _)| key).collect();
            for key in gone {
                if let Some(content) = self.records.remove(&key) {
                    moved = moved - of(&key, &content);
                }
            }
        }
        for record in &interval.records.changed {
            moved += of(&record.key, &record.content);
            let before = self.records.insert(record.key, record.content.clone());
            if let Some(before) = before {
                moved = moved - of(&record.key, &before);
            }
        }
        for &(lane, mark) in &interval.needs {
            let need = self.needs.entry(lane).or_default();
            if mark.version > need.version {
                let before = std::mem::replace(need, mark);
                moved += Content::of_need(lane, mark) - Content::of_need(lane, before);
            }
        }
        moved
    }

    /// Claims that the interval removes, with their adds.
    pub(crate) fn claims_that_go<'a>(
        &'a self,
        interval: &'a Interval,
    ) -> impl Iterator<Item = (RequestId, &'a [(CounterIndex, Sum)])> {
        let gone = interval
            .records
            .gaps
            .iter()
            .flat_map(|gap| self.in_gap(gap));
        gone.filter_map(|(key, content)| match (key, content) {
            (RecordKey::Claim(request), RecordContent::Claim(adds)) => Some((*request, &adds[..])),
            _ => None,
        })
    }

    /// Whether this lane, the home's, grants a request to a replica.
    pub(crate) fn grants(&self, request: RequestId, to: ReplicaId) -> bool {
        let key = RecordKey::Session {
            start: request.session.start,
            count: request.session.count,
        };
        let Some(RecordContent::Session(mark)) = self.records.get(&key) else {
            return false;
        };
        mark.grants().get(&request.number) == Some(&to)
    }

    fn in_gap(&self, gap: &Gap) -> impl Iterator<Item = (&RecordKey, &RecordContent)> {
        let after = gap.after.map_or(Unbounded, Excluded);
        let before = gap.before.map_or(Unbounded, Excluded);
        self.records.range((after, before))
    }
}
