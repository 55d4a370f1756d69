//! Walking a lane's list in pieces, while its records move between the pieces.
//!
//! A record that changes moves to the newest end, so whoever walks from the oldest record to the
//! newest passes each record in its newest form sooner or later. To go on where the last piece
//! ended, the walk remembers a few records there: one has not moved since just when its version is
//! the same. When all of them have moved, the place is found again by its version.
//!
//! The work of one piece is bounded by the records that it may have. So that the walk ends however
//! fast the lane changes, that bound doubles where newer records keep coming: in every piece after
//! the walk has passed the version at which it began, and when the way back from the newest end was
//! lost.

use alloc::vec::Vec;
use core::iter;

use super::{Lane, NONE, Slot};
use crate::{CounterIndex, Sums, Version};

/// The records remembered at the end of a piece. All of them move between two pieces only where
/// nearly everything does, and then the lane's old end is near.
const TRAIL_RECORDS_MAX: usize = 64;

/// A walk over the records from one version on, which goes on while the lane changes.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// How far the lane had come when the walk began.
    began: Version,
    /// Records below this version are not wanted, or have been given.
    from: Version,
    trail: Trail,
    /// What the bound of a piece is multiplied by.
    patience: usize,
}

/// Records that lay side by side at the walk's place, the nearest to it first.
#[derive(Clone, Debug)]
enum Trail {
    /// Passed on the way back from the newest record to the first one wanted, which is not found
    /// yet. Empty before the first step.
    Back(Vec<Seen>),
    /// Given last; the first record not given is the next newer one.
    Forth(Vec<Seen>),
}

/// A record where it was seen. It is still there just when its version is the same.
#[derive(Clone, Copy, Debug)]
struct Seen {
    slot: u32,
    version: Version,
}

impl Walk {
    /// A walk over the records of `lane` that changed after `after`.
    pub(crate) fn new(lane: &Lane, after: Version) -> Self {
        Self {
            began: lane.history.mark().version,
            from: after.next(),
            trail: Trail::Back(Vec::new()),
            patience: 1,
        }
    }

    /// The next records, and whether they are the last. They may be none when the place is still
    /// being looked for.
    pub(crate) fn next(&mut self, lane: &Lane, records_max: usize) -> (Sums, bool) {
        let Some(first) = self.find(lane, records_max) else {
            return (Sums::new(), false);
        };
        if first != NONE && lane.slot(first).version > self.began {
            self.be_patient();
        }
        let bound = records_max.saturating_mul(self.patience);
        let mut records = lane.from(first, |slot| slot.newer);
        let given = records.by_ref().take(bound);
        let given = given.map(|(at, slot)| (CounterIndex::new(at), slot.version, slot.total));
        let sums = Sums::of_places(&lane.aside, given);
        let Some((_, rest)) = records.next() else {
            return (sums, true);
        };
        self.from = lane.slot(rest.older).version;
        self.trail = Trail::Forth(lane.trail(rest.older, bound, |slot| slot.older));
        (sums, false)
    }

    /// The first record that is wanted and not given, or none if there is no such record; `None`
    /// when it was not found within as many steps as the piece may have records.
    fn find(&mut self, lane: &Lane, records_max: usize) -> Option<u32> {
        if let Trail::Forth(given) = &self.trail {
            if let Some(last) = lane.first_unmoved(given) {
                return Some(lane.slot(last).newer);
            }
            self.trail = Trail::Back(Vec::new());
        }
        if lane.oldest == NONE || lane.slot(lane.oldest).version >= self.from {
            return Some(lane.oldest);
        }
        let mut at = self
            .last_passed(lane)
            .map_or(lane.newest, |passed| lane.slot(passed).older);
        let bound = records_max.saturating_mul(self.patience);
        // One step more than there may be records, so that what fits a piece is found and given.
        for _ in 0..=bound {
            let slot = lane.slot(at);
            if slot.version < self.from {
                return Some(slot.newer);
            }
            // There is an older one: the oldest is not wanted.
            at = slot.older;
        }
        let passed = lane.slot(at).newer;
        self.trail = Trail::Back(lane.trail(passed, bound, |slot| slot.newer));
        None
    }

    /// Where the way back goes on, if it has begun and is not lost.
    fn last_passed(&mut self, lane: &Lane) -> Option<u32> {
        match &self.trail {
            Trail::Back(passed) if !passed.is_empty() => {
                let last = lane.first_unmoved(passed);
                if last.is_none() {
                    self.be_patient();
                }
                last
            }
            Trail::Back(_) | Trail::Forth(_) => None,
        }
    }

    fn be_patient(&mut self) {
        self.patience = self.patience.saturating_mul(2);
    }
}

impl Lane {
    fn slot(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    /// The record at `first`, if there is one, and all those in one direction from there.
    fn from(&self, first: u32, next: impl Fn(&Slot) -> u32) -> impl Iterator<Item = (u32, &Slot)> {
        let mut at = first;
        iter::from_fn(move || {
            let here = (at, self.slots.get(at as usize)?);
            at = next(here.1);
            Some(here)
        })
    }

    /// The record at `first` and its neighbours in one direction, as many as are worth
    /// remembering.
    fn trail(&self, first: u32, records_max: usize, next: impl Fn(&Slot) -> u32) -> Vec<Seen> {
        self.from(first, next)
            .take(records_max.min(TRAIL_RECORDS_MAX))
            .map(|(slot, &Slot { version, .. })| Seen { slot, version })
            .collect()
    }

    /// The nearest record of a trail that stands where it was seen.
    fn first_unmoved(&self, trail: &[Seen]) -> Option<u32> {
        let is_unmoved = |seen: &&Seen| self.slot(seen.slot).version == seen.version;
        trail.iter().find(is_unmoved).map(|seen| seen.slot)
    }
}
