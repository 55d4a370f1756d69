//! A lane's records about sessions, with the gaps between them.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::ops::Bound::{Excluded, Unbounded};

use crate::{Gap, RecordContent, RecordKey, Records, ReplicaId, SessionRecord, Version};

/// How many of the last changes are remembered, so that what changed a moment ago is found without
/// a walk over all records. It takes 72 KiB.
const RECENT_MAX: usize = 1_024;

/// The newest form of each record.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordMap {
    by_key: BTreeMap<RecordKey, Entry>,
    /// When a record before the first one last went.
    first_gap: Version,
    /// The last changes: keys that changed or went, in the order of their versions.
    recent: VecDeque<(Version, RecordKey)>,
    /// All changes after this version are among the recent ones.
    recent_after: Version,
    claims: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry {
    version: Version,
    content: RecordContent,
    /// When a record between this one and the next last went.
    gap: Version,
}

impl RecordMap {
    pub(crate) fn get(&self, key: RecordKey) -> Option<&RecordContent> {
        self.by_key.get(&key).map(|entry| &entry.content)
    }

    /// The newest form of a record, with the version at which it got that.
    pub(crate) fn record(&self, key: RecordKey) -> Option<(Version, &RecordContent)> {
        self.by_key.get(&key).map(|it| (it.version, &it.content))
    }

    /// All records, with their versions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RecordKey, Version, &RecordContent)> {
        let entries = self.by_key.iter();
        entries.map(|(&key, entry)| (key, entry.version, &entry.content))
    }

    /// Records from this key on, in order.
    pub(crate) fn from(
        &self,
        key: RecordKey,
    ) -> impl DoubleEndedIterator<Item = (RecordKey, &RecordContent)> {
        let entries = self.by_key.range(key..);
        entries.map(|(&key, entry)| (key, &entry.content))
    }

    /// The record at this key, or else the last one before it.
    pub(crate) fn at_or_before(&self, key: RecordKey) -> Option<(RecordKey, &RecordContent)> {
        let last = self.by_key.range(..=key).next_back();
        last.map(|(&key, entry)| (key, &entry.content))
    }

    /// How many of the records are claims.
    pub(crate) fn claims(&self) -> usize {
        self.claims
    }

    /// Keys before this one, the nearest first.
    pub(crate) fn before(&self, key: RecordKey) -> impl Iterator<Item = RecordKey> {
        self.by_key.range(..key).rev().map(|(&key, _)| key)
    }

    /// Keys behind this one, the nearest first.
    pub(crate) fn behind(&self, key: RecordKey) -> impl Iterator<Item = RecordKey> {
        let behind = self.by_key.range((Excluded(key), Unbounded));
        behind.map(|(&key, _)| key)
    }

    /// All records and all gaps, for comparisons.
    pub(crate) fn content(&self) -> Records {
        self.changes_by_walk(Version::ZERO)
    }

    /// The records that will change or go when an interval that says this is applied.
    pub(crate) fn touched_by(&self, records: &Records, held: Version) -> Vec<RecordKey> {
        let changed = records.changed.iter().filter(|it| it.version > held);
        let mut touched: Vec<RecordKey> = changed.map(|it| it.key).collect();
        for gap in records.gaps.iter().filter(|gap| gap.version > held) {
            touched.extend(self.in_gap(gap));
        }
        touched
    }

    fn in_gap(&self, gap: &Gap) -> impl Iterator<Item = RecordKey> {
        let after = gap.after.map_or(Unbounded, Excluded);
        let before = gap.before.map_or(Unbounded, Excluded);
        self.by_key.range((after, before)).map(|(&key, _)| key)
    }

    /// Takes in what an interval says of the time after `held`.
    pub(crate) fn apply(&mut self, records: &Records, held: Version) {
        if records.is_empty() {
            return;
        }
        // New records first, so that what goes leaves its gap between the right neighbours.
        let mut changed: Vec<&SessionRecord> = records.changed.iter().collect();
        changed.retain(|record| record.version > held);
        for record in &changed {
            self.put(record.key, record.version, record.content.clone());
        }
        for gap in records.gaps.iter().filter(|gap| gap.version > held) {
            let keys: Vec<RecordKey> = self.in_gap(gap).collect();
            for key in keys {
                self.remove(key, gap.version);
            }
        }
        // A gap may be new to a lane that never had the record that went.
        for gap in records.gaps.iter().filter(|gap| gap.version > held) {
            match gap.after {
                None => self.first_gap = gap.version,
                Some(after) => {
                    if let Some(entry) = self.by_key.get_mut(&after) {
                        entry.gap = gap.version;
                    }
                }
            }
        }
        let mut recent: Vec<_> = changed.iter().map(|it| (it.version, it.key)).collect();
        // A gap is found again by a neighbour: see `changes_after`.
        let gaps = records.gaps.iter().filter(|gap| gap.version > held);
        for gap in gaps {
            match gap.after.or(gap.before) {
                Some(neighbour) => recent.push((gap.version, neighbour)),
                // Nothing is left at all: cheap to walk.
                None => self.recent_after = self.recent_after.max(gap.version),
            }
        }
        recent.sort_unstable();
        self.recent.extend(recent);
        while self.recent.len() > RECENT_MAX {
            if let Some((version, _)) = self.recent.pop_front() {
                self.recent_after = self.recent_after.max(version);
            }
        }
    }

    /// What changed or went after a version.
    pub(crate) fn changes_after(&self, after: Version) -> Records {
        if after < self.recent_after {
            return self.changes_by_walk(after);
        }
        let first = self
            .recent
            .partition_point(|&(version, _)| version <= after);
        let keys: BTreeSet<RecordKey> = self.recent.range(first..).map(|&(_, key)| key).collect();
        let mut records = Records::default();
        for &key in &keys {
            if let Some(entry) = self.by_key.get(&key) {
                // The gap before a record is behind another one.
                let before = self.by_key.range(..key).next_back().map(|(&key, _)| key);
                self.note_gap(before, after, &mut records);
                self.note(key, entry, after, &mut records);
                self.note_gap(Some(key), after, &mut records);
            } else {
                let before = self.by_key.range(..key).next_back().map(|(&key, _)| key);
                self.note_gap(before, after, &mut records);
            }
        }
        records
    }

    /// The same, by looking at every record.
    pub(crate) fn changes_by_walk(&self, after: Version) -> Records {
        let mut records = Records::default();
        self.note_gap(None, after, &mut records);
        for (&key, entry) in &self.by_key {
            self.note(key, entry, after, &mut records);
            self.note_gap(Some(key), after, &mut records);
        }
        records
    }

    fn note(&self, key: RecordKey, entry: &Entry, after: Version, records: &mut Records) {
        if entry.version > after {
            records.changed.push(SessionRecord {
                key,
                version: entry.version,
                content: entry.content.clone(),
            });
        }
    }

    /// Notes the gap behind a record, or the first one, unless it is there already.
    fn note_gap(&self, behind: Option<RecordKey>, after: Version, records: &mut Records) {
        let (version, next) = match behind {
            None => (self.first_gap, self.by_key.keys().next()),
            Some(key) => {
                let next = self.by_key.range((Excluded(key), Unbounded)).next();
                (self.by_key[&key].gap, next.map(|(key, _)| key))
            }
        };
        let gap = Gap {
            after: behind,
            before: next.copied(),
            version,
        };
        if version > after && records.gaps.last() != Some(&gap) {
            records.gaps.push(gap);
        }
    }

    /// A new form of a record. A new record splits the gap that it lies in.
    fn put(&mut self, key: RecordKey, version: Version, content: RecordContent) {
        if let Some(entry) = self.by_key.get_mut(&key) {
            (entry.version, entry.content) = (version, content);
            return;
        }
        let before = self.by_key.range(..key).next_back();
        let gap = before.map_or(self.first_gap, |(_, entry)| entry.gap);
        self.claims += usize::from(is_claim(key));
        self.by_key.insert(
            key,
            Entry {
                version,
                content,
                gap,
            },
        );
    }

    /// The gaps on both sides become one.
    fn remove(&mut self, key: RecordKey, version: Version) {
        self.by_key.remove(&key);
        self.claims -= usize::from(is_claim(key));
        let before = self.by_key.range_mut(..key).next_back();
        *before.map_or(&mut self.first_gap, |(_, entry)| &mut entry.gap) = version;
    }
}

fn is_claim(key: RecordKey) -> bool {
    matches!(key, RecordKey::Claim(_))
}

/// For each other lane, how far it must be held by whoever holds this one, and since which version.
pub(crate) type Needs = BTreeMap<ReplicaId, (Version, crate::Mark)>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReplicaId;

    #[test]
    fn changes_that_are_not_recent_are_found_by_a_walk() {
        let mut map = RecordMap::default();
        for number in 0..RECENT_MAX as u64 + 50 {
            let record = SessionRecord {
                key: RecordKey::Knows(ReplicaId::new(u128::from(number % 256))),
                version: Version::new(number + 1),
                content: RecordContent::Knows,
            };
            let records = Records {
                changed: Vec::from([record]),
                gaps: Vec::new(),
            };
            map.apply(&records, Version::new(number));
        }
        assert!(map.recent.len() <= RECENT_MAX && map.recent_after > Version::ZERO);
        for after in [0, 20, 49, 50, 51, 900] {
            let after = Version::new(after);
            assert_eq!(
                map.changes_after(after),
                map.changes_by_walk(after),
                "{after:?}"
            );
        }
    }
}
