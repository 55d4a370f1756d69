//! Delta-intervals: the only thing that travels, from memory to disk and from replica to replica.
//!
//! An interval `(after, to]` of a lane holds, for every record that changed after `after`, its
//! newest form at `to` (Almeida, Shoker, Baquero, "Delta State Replicated Data Types", 2018,
//! section 5). A record that changes again moves to a later version, so part of an interval is no
//! state that the lane ever had: it is applied whole or not at all. An interval after version 0 is
//! the whole lane, which makes it a snapshot and a bootstrap too.
//!
//! A long interval is read in [pieces](IntervalPiece), between which the lane changes. What changes
//! meanwhile comes again, with its newer form, so a counter may have several records, of which the
//! last is the newest form at the interval's end.

use alloc::vec::Vec;

use crate::{CounterIndex, Mark, Records, ReplicaId, StartId, Sums, Total, Version};

/// All that changed in one lane after one mark, up to another.
///
/// `C` is how counters are called: by [`CounterIndex`] within the replica that made or imported
/// the interval, by [`CounterName`](crate::CounterName) between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval<C = CounterIndex> {
    /// The lane's owner.
    pub lane: ReplicaId,
    /// The interval begins after this mark ...
    pub after: Mark,
    /// ... and ends with this one.
    pub to: Mark,
    /// The owner's starts whose first version lies in the interval, oldest first.
    pub starts: Vec<(Version, StartId)>,
    /// The changed sums, by version. Of several records of one counter the last is its form at
    /// the interval's end; the others are older forms, which no replica need ever show.
    pub sums: Sums<C>,
    /// Records about sessions that changed or went.
    pub records: Records<C>,
    /// Other lanes, and how far each must be held by whoever holds this one to its end: some records
    /// mean something only beside others. At most one mark a lane, in the order of the lanes.
    pub needs: Vec<(ReplicaId, Mark)>,
}

/// Some of an interval's records, in the order of reading: see
/// [`Replica::read`](crate::Replica::read).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntervalPiece<C = CounterIndex> {
    /// The lane's owner.
    pub lane: ReplicaId,
    /// The interval begins after this mark.
    pub after: Mark,
    /// Whether the interval begins with this piece.
    pub is_first: bool,
    /// Changed sums, by version; none below those of the piece before.
    pub sums: Sums<C>,
    /// Where the interval ends, on its last piece.
    pub end: Option<IntervalEnd<C>>,
}

/// Where an interval ends, and what only its end can say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntervalEnd<C = CounterIndex> {
    /// As [`Interval::to`].
    pub to: Mark,
    /// As [`Interval::starts`].
    pub starts: Vec<(Version, StartId)>,
    /// As [`Interval::records`].
    pub records: Records<C>,
    /// As [`Interval::needs`].
    pub needs: Vec<(ReplicaId, Mark)>,
}

impl<C> IntervalPiece<C> {
    /// The same piece with its counters called otherwise.
    pub fn map_counters<D>(&self, mut call: impl FnMut(&C) -> D) -> IntervalPiece<D> {
        IntervalPiece {
            lane: self.lane,
            after: self.after,
            is_first: self.is_first,
            sums: self.sums.map_counters(&mut call),
            end: self.end.as_ref().map(|end| IntervalEnd {
                to: end.to,
                starts: end.starts.clone(),
                records: end.records.map_counters(&mut call),
                needs: end.needs.clone(),
            }),
        }
    }
}

impl<C> Interval<C> {
    /// The same interval with its counters called otherwise.
    pub fn map_counters<D>(&self, mut call: impl FnMut(&C) -> D) -> Interval<D> {
        Interval {
            lane: self.lane,
            after: self.after,
            to: self.to,
            starts: self.starts.clone(),
            sums: self.sums.map_counters(&mut call),
            records: self.records.map_counters(call),
            needs: self.needs.clone(),
        }
    }

    /// Why the interval contradicts itself; `None` when it does not.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let within = |version| self.after.version < version && version <= self.to.version;
        let is_possible =
            |total: &Total| total.incremented.max(total.decremented) <= Total::PART_MAX;
        let last_start = self
            .starts
            .last()
            .map_or(self.after.start, |&(_, start)| start);
        if self.to.version <= self.after.version {
            Some("it does not end after it begins")
        } else if self.to.start == StartId::NONE || last_start != self.to.start {
            Some("its starts do not lead to its end")
        } else if !self.starts.iter().all(|&(first, _)| within(first)) {
            Some("a start lies outside of it")
        } else if !self.starts.is_sorted_by(|a, b| a.0 < b.0) {
            Some("its starts are not in order")
        } else if !self.sums.versions().all(within) {
            Some("a record lies outside of it")
        } else if !self.sums.versions().is_sorted() {
            Some("its records are not in the order of their versions")
        } else if !self.sums.wide_totals().all(is_possible) {
            Some("a total passes 2^120, which no adds can have made")
        } else if !self.needs.is_sorted_by(|a, b| a.0 < b.0) {
            Some("its needs are not in order")
        } else if self
            .needs
            .iter()
            .any(|&(lane, mark)| lane == self.lane || mark == Mark::ZERO)
        {
            Some("it needs itself or nothing")
        } else {
            self.records.contradiction(within)
        }
    }
}
