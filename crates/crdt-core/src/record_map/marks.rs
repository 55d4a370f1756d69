//! The marks of sessions: by far the most records, so they lie side by side.
//!
//! A home has tens of thousands of them, in the order in which sessions are opened. A tree's node
//! for each few would cost twice the memory. New ones come at the end nearly always; what goes is
//! taken out in one pass an interval.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{RecordContent, RecordKey, StartId, Version};

/// Marks in the order of their keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    by_start: BTreeMap<StartId, Vec<Slot>>,
}

#[derive(Clone, Debug)]
struct Slot {
    count: u64,
    version: Version,
    content: RecordContent,
}

/// A record, with its key and the version at which it got its form.
pub(super) type Found<'a> = (RecordKey, Version, &'a RecordContent);

fn found(start: StartId, slot: &Slot) -> Found<'_> {
    let count = slot.count;
    let key = RecordKey::Session { start, count };
    (key, slot.version, &slot.content)
}

impl Marks {
    pub(super) fn get(&self, start: StartId, count: u64) -> Option<(Version, &RecordContent)> {
        let slots = self.by_start.get(&start)?;
        let place = slots.binary_search_by_key(&count, |slot| slot.count).ok()?;
        Some((slots[place].version, &slots[place].content))
    }

    /// Marks from this one on.
    pub(super) fn from(&self, start: StartId, count: u64) -> impl Iterator<Item = Found<'_>> {
        self.by_start.range(start..).flat_map(move |(&of, slots)| {
            let is_before = |slot: &Slot| of == start && slot.count < count;
            let slots = &slots[slots.partition_point(is_before)..];
            slots.iter().map(move |slot| found(of, slot))
        })
    }

    /// The last mark before this one.
    pub(super) fn before(&self, start: StartId, count: u64) -> Option<Found<'_>> {
        let mut starts = self.by_start.range(..=start).rev();
        starts.find_map(|(&of, slots)| {
            let is_before = |slot: &Slot| of < start || slot.count < count;
            let place = slots.partition_point(is_before).checked_sub(1)?;
            Some(found(of, &slots[place]))
        })
    }

    /// A new form of a mark.
    pub(super) fn put(
        &mut self,
        (start, count): (StartId, u64),
        version: Version,
        content: RecordContent,
    ) {
        let slots = self.by_start.entry(start).or_default();
        let slot = Slot {
            count,
            version,
            content,
        };
        match slots.binary_search_by_key(&count, |slot| slot.count) {
            Ok(place) => slots[place] = slot,
            Err(place) => slots.insert(place, slot),
        }
    }

    /// Removes these marks, which are in order.
    pub(super) fn remove(&mut self, keys: &[(StartId, u64)]) {
        for of_start in keys.chunk_by(|a, b| a.0 == b.0) {
            let (start, first) = of_start[0];
            let Some(slots) = self.by_start.get_mut(&start) else {
                continue;
            };
            let tail = slots.partition_point(|slot| slot.count < first);
            let mut kept = tail;
            for at in tail..slots.len() {
                if of_start.binary_search(&(start, slots[at].count)).is_err() {
                    slots.swap(kept, at);
                    kept += 1;
                }
            }
            slots.truncate(kept);
            if slots.is_empty() {
                self.by_start.remove(&start);
            } else if slots.capacity() > 4 * slots.len() {
                slots.shrink_to(2 * slots.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::SessionMark;

    proptest! {
        #[test]
        fn marks_are_a_sorted_map(
            puts in vec((1..3u64, 0..20u64), 0..30), gone in vec((1..3u64, 0..20u64), 0..20),
            at in (0..4u64, 0..21u64),
        ) {
            let (mut marks, mut reference) = (Marks::default(), BTreeMap::new());
            for (&(start, count), version) in puts.iter().zip(1..) {
                let content = RecordContent::Session(SessionMark::default());
                let (start, version) = (StartId::new(start), Version::new(version));
                marks.put((start, count), version, content);
                reference.insert((start, count), version);
            }
            let mut gone: Vec<_> = gone.iter().map(|&(it, count)| (StartId::new(it), count)).collect();
            gone.sort_unstable();
            marks.remove(&gone);
            reference.retain(|key, _| !gone.contains(key));
            let at = (StartId::new(at.0), at.1);
            let key = |(key, version, _): Found<'_>| {
                let RecordKey::Session { start, count } = key else {
                    panic!("{key:?} is a mark's");
                };
                ((start, count), version)
            };
            let own = |(key, version): (&(StartId, u64), &Version)| (*key, *version);
            let from: Vec<_> = marks.from(at.0, at.1).map(key).collect();
            prop_assert_eq!(from, reference.range(at..).map(own).collect::<Vec<_>>());
            let before = marks.before(at.0, at.1).map(key);
            prop_assert_eq!(before, reference.range(..at).next_back().map(own));
            let get = marks.get(at.0, at.1).map(|(version, _)| version);
            prop_assert_eq!(get, reference.get(&at).copied());
        }
    }
}
