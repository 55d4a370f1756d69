//! A lane: everything that one replica has counted, as it was at one version.
//!
//! Only the newest form of each record is kept. The records hang in a list in the order of their
//! versions, so that "all that changed after v" is a [`walk`] over just those records. Slots are
//! indexed by counter and linked by index: moving a record to the list's end allocates nothing.

mod walk;

use alloc::vec::Vec;

use crate::{
    CounterIndex, Interval, Mark, ReplicaId, Total, Version,
    history::History,
    packed::{Aside, Packed},
    record_map::{Needs, RecordMap},
};
pub(crate) use walk::Walk;

/// No slot: the end of the list.
const NONE: u32 = u32::MAX;

/// A record's place. A version of 0 means that the lane has no record of the counter.
#[derive(Clone, Copy, Debug)]
struct Slot {
    version: Version,
    total: Packed,
    older: u32,
    newer: u32,
}

const VACANT: Slot = Slot {
    version: Version::ZERO,
    total: Packed::ZERO,
    older: NONE,
    newer: NONE,
};

/// One replica's counts, exactly as they were at [`History::mark`].
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) history: History,
    slots: Vec<Slot>,
    aside: Aside,
    oldest: u32,
    newest: u32,
    pub(crate) records: RecordMap,
    needs: Needs,
}

impl Lane {
    /// The lane at version 0.
    pub(crate) fn empty() -> Self {
        Self {
            history: History::default(),
            slots: Vec::new(),
            aside: Aside::default(),
            oldest: NONE,
            newest: NONE,
            records: RecordMap::default(),
            needs: Needs::new(),
        }
    }

    /// What must be held of other lanes because of what changed here after a version.
    pub(crate) fn needs_after(&self, after: Version) -> Vec<(ReplicaId, Mark)> {
        let needs = self.needs.iter().filter(|(_, (since, _))| *since > after);
        needs.map(|(&lane, &(_, mark))| (lane, mark)).collect()
    }

    /// All needs, and since when they are there.
    pub(crate) fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The value that the lane gives a counter; 0 where it has no record of it.
    pub(crate) fn value(&self, counter: CounterIndex) -> i128 {
        let place = counter.as_usize();
        let slot = self.slots.get(place);
        slot.map_or(0, |slot| self.aside.value(place, slot.total))
    }

    /// The lane's record of a counter, if it has one.
    pub(crate) fn record(&self, counter: CounterIndex) -> Option<(Version, Total)> {
        let place = counter.as_usize();
        let slot = self.slots.get(place)?;
        let record = || (slot.version, self.aside.total(place, slot.total));
        (slot.version > Version::ZERO).then(record)
    }

    /// Moves the lane to the interval's end. The interval continues the lane's history, and its
    /// records are in the order of their versions.
    pub(crate) fn apply(&mut self, interval: &Interval) {
        let held = self.history.mark().version;
        // What changed up to the held version is held already.
        let is_held = |&(_, version, _): &(_, Version, _)| version <= held;
        for (&counter, version, total) in interval.sums.packed().skip_while(is_held) {
            self.put(counter, version, total);
        }
        self.records.apply(&interval.records, held);
        for &(lane, mark) in &interval.needs {
            let need = self.needs.entry(lane).or_default();
            // An interval tells where it ends, not where the need arose.
            if mark.version > need.1.version {
                *need = (interval.to.version, mark);
            }
        }
        self.history.advance(interval);
    }

    /// Panics when the lane contradicts itself.
    pub(crate) fn assert_invariants(&self) {
        self.history.assert_invariants();
        let (mut at, mut older, mut linked) = (self.oldest, NONE, 0);
        let mut version = Version::ZERO.next();
        while at != NONE {
            let slot = &self.slots[at as usize];
            assert_eq!(slot.older, older, "slot {at} is linked both ways");
            assert!(
                slot.version >= version,
                "slot {at} is in the order of versions"
            );
            (older, at, version) = (at, slot.newer, slot.version);
            linked += 1;
        }
        assert_eq!(self.newest, older, "the newest record ends the list");
        assert!(
            linked == 0 || version <= self.history.mark().version,
            "no record is newer than the lane"
        );
        let is_record = |slot: &&Slot| slot.version > Version::ZERO;
        let records = self.slots.iter().filter(is_record).count();
        assert_eq!(linked, records, "every record is in the list");
    }

    /// Replaces a counter's record by a newer one, at the list's end.
    fn put(&mut self, counter: CounterIndex, version: Version, total: (&Aside, usize, Packed)) {
        let index = counter.as_usize();
        if index >= self.slots.len() {
            self.slots.resize(index + 1, VACANT);
        }
        if self.slots[index].version > Version::ZERO {
            self.unlink(index);
        }
        let last = self.newest;
        let slot = &mut self.slots[index];
        self.aside.copy(index, &mut slot.total, total);
        slot.version = version;
        (slot.older, slot.newer) = (last, NONE);
        match last {
            NONE => self.oldest = counter.get(),
            last => self.slots[last as usize].newer = counter.get(),
        }
        self.newest = counter.get();
    }

    /// Takes a linked slot out of the list.
    fn unlink(&mut self, index: usize) {
        let Slot { older, newer, .. } = self.slots[index];
        match older {
            NONE => self.oldest = newer,
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.slots[newer as usize].older = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Records, StartId, Sum, SumRecord, Sums, complaint::complaint};

    /// Counters 0, 2 and 3, changed in this order at versions 1 to 3. Counter 1 has no record.
    fn lane() -> Lane {
        let record = |(counter, version)| SumRecord {
            counter: CounterIndex::new(counter),
            version: Version::new(version),
            total: Sum::of(5).into(),
        };
        let (first, start) = (Version::new(1), StartId::new(7));
        let mut lane = Lane::empty();
        let interval = Interval {
            lane: ReplicaId::new(1),
            after: Mark::ZERO,
            to: Mark {
                version: Version::new(3),
                start,
            },
            starts: [(first, start)].into(),
            sums: [(0, 1), (2, 2), (3, 3)].map(record).into_iter().collect(),
            records: Records::default(),
            needs: Vec::new(),
        };
        lane.apply(&interval);
        lane
    }

    /// What makes of a good lane a bad one.
    type Damage = fn(&mut Lane);

    const DAMAGES: [(&str, Damage); 7] = [
        ("linked both ways", |it| it.slots[2].older = NONE),
        ("in the order of versions", |it| {
            it.slots[2].version = Version::new(4);
        }),
        ("linked both ways", |it| it.slots[3].newer = 0),
        ("ends the list", |it| it.newest = 2),
        ("newer than the lane", |it| {
            it.slots[3].version = Version::new(4);
        }),
        ("every record is in the list", |it| {
            it.slots[1].version = Version::new(1);
        }),
        ("the last start wrote the mark", |it| {
            it.history = History::default();
            it.history.advance(&Interval {
                lane: ReplicaId::new(1),
                after: Mark::ZERO,
                to: lane().history.mark(),
                starts: Vec::new(),
                sums: Sums::<CounterIndex>::new(),
                records: Records::default(),
                needs: Vec::new(),
            });
        }),
    ];

    #[test]
    fn a_lane_that_contradicts_itself_is_found() {
        let found = |lane: Lane| complaint(|| lane.assert_invariants());
        assert_eq!(found(lane()), None);
        for (what, damage) in DAMAGES {
            let mut lane = lane();
            damage(&mut lane);
            let complaint = found(lane).unwrap_or_default();
            assert!(complaint.contains(what), "{what}: {complaint}");
        }
    }

    #[test]
    fn a_need_is_known_since_it_arose() {
        let other = ReplicaId::new(2);
        let mark = |version| Mark {
            version: Version::new(version),
            start: StartId::new(9),
        };
        let mut lane = lane();
        let mut apply = |to, need| {
            let after = lane.history.mark();
            let (version, start) = (Version::new(to), after.start);
            lane.apply(&Interval {
                lane: ReplicaId::new(1),
                after,
                to: Mark { version, start },
                starts: Vec::new(),
                sums: Sums::new(),
                records: Records::default(),
                needs: [(other, mark(need))].into(),
            });
            let needs = [3, 4, 5, 6, 7].map(|it| lane.needs_after(Version::new(it)));
            (needs.map(|it| it.len()), lane.needs()[&other])
        };
        assert_eq!(apply(4, 5), ([1, 0, 0, 0, 0], (Version::new(4), mark(5))));
        assert_eq!(apply(5, 5), ([1, 0, 0, 0, 0], (Version::new(4), mark(5))));
        assert_eq!(apply(6, 8), ([1, 1, 1, 0, 0], (Version::new(6), mark(8))));
        assert_eq!(apply(7, 7), ([1, 1, 1, 0, 0], (Version::new(6), mark(8))));
    }

    /// Millions of these are in memory.
    #[test]
    fn wide_totals_make_no_slot_larger() {
        assert_eq!(size_of::<Slot>(), 32);
    }
}
