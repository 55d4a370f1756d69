//! Own records about sessions that are taken and not held yet.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    hash::Hash,
    ops::Bound::{Excluded, Unbounded},
};

use crate::{
    CounterIndex, CounterName, Gap, Mark, RecordContent, RecordKey, Records, ReplicaId, RequestId,
    SessionRecord, Sum, Version,
    record_map::{RecordMap, claimed_adds},
};

/// Changed records; `None` stands for one that goes.
type Changes = BTreeMap<RecordKey, Option<RecordContent>>;

/// Changes on top of the own lane: taken since the last commit, and in the group being written.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnRecords {
    taken: Changes,
    writing: Changes,
    needs: BTreeMap<ReplicaId, Mark>,
    /// What values will move by beyond the own sums, once what was taken is held: more for a claim,
    /// less for one that is folded, which counts as a claim until then.
    reserved_taken: BTreeMap<CounterIndex, i128>,
    reserved_writing: BTreeMap<CounterIndex, i128>,
    /// How many adds more are claimed, by what was taken and by what is being written.
    claimed_taken: isize,
    claimed_writing: isize,
    /// Whether somebody waits for the next commit.
    is_awaited: bool,
}

/// When a record became, or will become, durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Taken,
    Writing,
    Held,
}

impl OwnRecords {
    /// The newest form of a record, and its stage.
    pub(super) fn get<'a>(
        &'a self,
        held: &'a RecordMap,
        key: RecordKey,
    ) -> (Option<&'a RecordContent>, Stage) {
        if let Some(content) = self.taken.get(&key) {
            (content.as_ref(), Stage::Taken)
        } else if let Some(content) = self.writing.get(&key) {
            (content.as_ref(), Stage::Writing)
        } else {
            (held.get(key), Stage::Held)
        }
    }

    /// The last record before a key.
    pub(super) fn before(&self, held: &RecordMap, key: RecordKey) -> Option<RecordKey> {
        let mut bound = key;
        loop {
            let taken = self.taken.range(..bound).next_back().map(|(&key, _)| key);
            let writing = self.writing.range(..bound).next_back().map(|(&key, _)| key);
            bound = taken.max(writing).max(held.before(bound))?;
            if self.get(held, bound).0.is_some() {
                return Some(bound);
            }
        }
    }

    /// The first record behind a key.
    pub(super) fn behind(&self, held: &RecordMap, key: RecordKey) -> Option<RecordKey> {
        let mut bound = key;
        loop {
            let range = (Excluded(bound), Unbounded);
            let taken = self.taken.range(range).next().map(|(&key, _)| key);
            let writing = self.writing.range(range).next().map(|(&key, _)| key);
            let next = [taken, writing, held.behind(bound)];
            bound = next.into_iter().flatten().min()?;
            if self.get(held, bound).0.is_some() {
                return Some(bound);
            }
        }
    }

    pub(super) fn put(&mut self, key: RecordKey, content: RecordContent) {
        self.taken.insert(key, Some(content));
        self.is_awaited = true;
    }

    pub(super) fn remove(&mut self, key: RecordKey) {
        self.taken.insert(key, None);
        self.is_awaited = true;
    }

    /// What was taken rests on this much of another lane.
    pub(super) fn need(&mut self, lane: ReplicaId, mark: Mark) {
        if mark != Mark::ZERO {
            self.needs.insert(lane, mark);
        }
    }

    pub(super) fn reserve(&mut self, counter: CounterIndex, value: i128) {
        *self.reserved_taken.entry(counter).or_default() += value;
    }

    pub(super) fn reserved(&self, counter: CounterIndex) -> i128 {
        let of = |map: &BTreeMap<CounterIndex, i128>| map.get(&counter).copied().unwrap_or(0);
        if self.reserved_taken.is_empty() && self.reserved_writing.is_empty() {
            return 0;
        }
        of(&self.reserved_taken) + of(&self.reserved_writing)
    }

    /// A claim more.
    pub(super) fn claim(&mut self, request: RequestId, adds: Vec<(CounterIndex, Sum)>) {
        let content = RecordContent::Claim(adds);
        self.claimed_taken += claimed_adds(&content).cast_signed();
        self.put(RecordKey::Claim(request), content);
    }

    /// A claim with so many adds less.
    pub(super) fn unclaim(&mut self, request: RequestId, adds: usize) {
        self.claimed_taken -= adds.max(1).cast_signed();
        self.remove(RecordKey::Claim(request));
    }

    /// How many adds more are claimed than are held, by everything taken.
    pub(super) fn more_claimed_adds(&self) -> isize {
        self.claimed_taken + self.claimed_writing
    }

    pub(super) fn is_clean(&self) -> bool {
        !self.is_awaited
    }

    /// Everything taken, under one version. Nothing is being written.
    pub(super) fn commit(
        &mut self,
        held: &RecordMap,
        version: Version,
    ) -> (Records, Vec<(ReplicaId, Mark)>) {
        let mut records = Records::default();
        for (&key, content) in &self.taken {
            if let Some(content) = content {
                let content = content.clone();
                records.changed.push(SessionRecord {
                    key,
                    version,
                    content,
                });
            } else if held.get(key).is_some() {
                let gap = Gap {
                    after: self.before(held, key),
                    before: self.behind(held, key),
                    version,
                };
                if records.gaps.last() != Some(&gap) {
                    records.gaps.push(gap);
                }
            }
        }
        self.is_awaited = false;
        self.writing = core::mem::take(&mut self.taken);
        self.reserved_writing = core::mem::take(&mut self.reserved_taken);
        self.claimed_writing = core::mem::take(&mut self.claimed_taken);
        let needs = core::mem::take(&mut self.needs);
        (records, needs.into_iter().collect())
    }

    /// All of it by the names of counters, to compare it with another replica's.
    pub(super) fn named<'a, F: Fn(&CounterIndex) -> CounterName>(
        &'a self,
        name: F,
    ) -> impl PartialEq + Hash + use<'a, F> {
        let changes = |changes: &'a Changes| -> Vec<_> {
            let named = |content: &RecordContent| content.map_counters(&name);
            changes
                .iter()
                .map(|(key, it)| (*key, it.as_ref().map(named)))
                .collect()
        };
        let reserved = |of: &BTreeMap<CounterIndex, i128>| -> BTreeMap<CounterName, i128> {
            of.iter()
                .map(|(counter, value)| (name(counter), *value))
                .collect()
        };
        (
            changes(&self.taken),
            changes(&self.writing),
            &self.needs,
            reserved(&self.reserved_taken),
            reserved(&self.reserved_writing),
            self.is_awaited,
        )
    }

    /// What was being written is held.
    pub(super) fn synced(&mut self) {
        self.writing.clear();
        self.reserved_writing.clear();
        self.claimed_writing = 0;
    }
}

/// The adds of a claim in all.
pub(super) fn values(adds: &[(CounterIndex, Sum)]) -> impl Iterator<Item = (CounterIndex, i128)> {
    adds.iter().map(|&(counter, sum)| (counter, sum.value()))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn key(number: u8) -> RecordKey {
        RecordKey::Knows(ReplicaId::new(number.into()))
    }

    /// An owner's records at each version, and what it committed with each.
    fn history(commits: &[Vec<(u8, bool)>]) -> Vec<RecordMap> {
        let mut states = Vec::from([RecordMap::default()]);
        for (changes, version) in commits.iter().zip(1..) {
            let mut map = states[states.len() - 1].clone();
            let mut own = OwnRecords::default();
            for &(number, is_put) in changes {
                if is_put {
                    own.put(key(number), RecordContent::Knows);
                } else {
                    own.remove(key(number));
                }
            }
            let (records, _) = own.commit(&map, Version::new(version));
            map.apply(&records, Version::new(version - 1));
            states.push(map);
        }
        states
    }

    proptest! {
        #[test]
        fn whoever_hears_of_changes_from_anywhere_has_what_the_owner_has(
            commits in vec(vec((0..12u8, any::<bool>()), 1..5), 1..24),
            stops in vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let states = history(&commits);
            let mut stops: Vec<usize> = stops.iter().map(|it| it.index(states.len())).collect();
            stops.sort_unstable();
            stops.push(states.len() - 1);
            let (mut map, mut held) = (RecordMap::default(), 0);
            for stop in stops {
                let version = |at: usize| Version::new(at as u64);
                let records = states[stop].changes_after(version(held));
                prop_assert_eq!(&records, &states[stop].changes_by_walk(version(held)));
                prop_assert_eq!(records.contradiction(|it| it > version(held)), None);
                map.apply(&records, version(held));
                held = stop;
                prop_assert_eq!(map.content(), states[stop].content());
                prop_assert_eq!(map.claimed_adds(), 0);
            }
        }
    }
}
