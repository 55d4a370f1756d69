//! A lane's records about sessions, with the gaps between them.

mod marks;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::ops::Bound::{Excluded, Unbounded};

use crate::{
    Gap, RecordContent, RecordKey, Records, ReplicaId, RequestId, SessionId, SessionRecord,
    StartId, Version,
};
use marks::{Found, Marks};

/// How many of the last changes are remembered, so that what changed a moment ago is found without
/// a walk over all records. It takes 20 KiB.
const RECENT_MAX: usize = 256;

/// The newest form of each record.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordMap {
    marks: Marks,
    /// All but the marks.
    others: BTreeMap<RecordKey, Entry>,
    /// When a record last went from the gap behind this one, and from all gaps up to the next that
    /// is named here. `None` stands before all records. Neighbouring gaps are mostly alike.
    gaps: BTreeMap<Option<RecordKey>, Version>,
    /// The last changes: keys that changed, or stand beside a gap that did, in the order of their
    /// versions.
    recent: VecDeque<(Version, RecordKey)>,
    /// All changes after this version are among the recent ones.
    recent_after: Version,
    claimed_adds: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    version: Version,
    content: RecordContent,
}

/// The first key that a mark can have, and the first one of the kind after it.
const MARKS: (RecordKey, RecordKey) = (
    RecordKey::Session {
        start: StartId::NONE,
        count: 0,
    },
    RecordKey::Claim(RequestId {
        session: SessionId {
            home: ReplicaId::new(0),
            start: StartId::NONE,
            count: 0,
        },
        number: 0,
    }),
);

impl RecordMap {
    /// The newest form of a record.
    pub(crate) fn get(&self, key: RecordKey) -> Option<&RecordContent> {
        self.record(key).map(|(_, content)| content)
    }

    /// The newest form of a record, with the version at which it got that.
    pub(crate) fn record(&self, key: RecordKey) -> Option<(Version, &RecordContent)> {
        if let RecordKey::Session { start, count } = key {
            return self.marks.get(start, count);
        }
        let entry = self.others.get(&key);
        entry.map(|it| (it.version, &it.content))
    }

    /// All records, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Found<'_>> {
        self.found_from(RecordKey::Knows(ReplicaId::new(0)))
    }

    /// Records from this key on, in order.
    pub(crate) fn from(&self, key: RecordKey) -> impl Iterator<Item = (RecordKey, &RecordContent)> {
        self.found_from(key).map(|(key, _, content)| (key, content))
    }

    fn found_from(&self, key: RecordKey) -> impl Iterator<Item = Found<'_>> {
        let (first, end) = MARKS;
        let before = (key < first).then(|| self.others.range(key..first));
        let mark = if let RecordKey::Session { start, count } = key {
            Some((start, count))
        } else {
            (key < first).then_some((StartId::NONE, 0))
        };
        let marks = mark.map(|(start, count)| self.marks.from(start, count));
        let behind = self.others.range(key.max(end)..);
        let before = before.into_iter().flatten().map(of_entry);
        before
            .chain(marks.into_iter().flatten())
            .chain(behind.map(of_entry))
    }

    /// The record at this key, or else the last one before it.
    pub(crate) fn at_or_before(&self, key: RecordKey) -> Option<(RecordKey, &RecordContent)> {
        let key = if self.get(key).is_some() {
            Some(key)
        } else {
            self.before(key)
        };
        let key = key?;
        self.get(key).map(|content| (key, content))
    }

    /// How many adds the claims have, each at least one.
    pub(crate) fn claimed_adds(&self) -> usize {
        self.claimed_adds
    }

    /// The last key before this one.
    pub(crate) fn before(&self, key: RecordKey) -> Option<RecordKey> {
        let (first, _) = MARKS;
        let mark = if let RecordKey::Session { start, count } = key {
            self.marks.before(start, count)
        } else if key > first {
            self.marks.before(StartId::new(u64::MAX), u64::MAX)
        } else {
            None
        };
        let other = self.others.range(..key).next_back().map(|(&key, _)| key);
        other.max(mark.map(|(key, _, _)| key))
    }

    /// The first key behind this one.
    pub(crate) fn behind(&self, key: RecordKey) -> Option<RecordKey> {
        let mut keys = self.found_from(key).map(|(key, _, _)| key);
        keys.find(|&found| found > key)
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
        let Gap { after, before, .. } = *gap;
        let first = after.unwrap_or(RecordKey::Knows(ReplicaId::new(0)));
        let keys = self.found_from(first).map(|(key, _, _)| key);
        keys.skip_while(move |&key| Some(key) == after)
            .take_while(move |&key| before.is_none_or(|before| key < before))
    }

    /// Takes in what an interval says of the time after `held`.
    pub(crate) fn apply(&mut self, records: &Records, held: Version) {
        if records.is_empty() {
            return;
        }
        // New records first, so that what goes leaves its gap between the right neighbours.
        let changed = records.changed.iter().filter(|it| it.version > held);
        let mut recent = Vec::new();
        for record in changed {
            self.put(record.key, record.version, record.content.clone());
            recent.push((record.version, record.key));
        }
        let gaps = || records.gaps.iter().filter(|gap| gap.version > held);
        let gone: Vec<RecordKey> = gaps().flat_map(|gap| self.in_gap(gap)).collect();
        self.remove(&gone);
        for gap in gaps() {
            self.set_gap(gap.after, gap.version);
            // A gap is found again by a neighbour: see `changes_after`.
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
            // The gap before a record is behind another one.
            self.note_gap(self.before(key), after, &mut records);
            if let Some((version, content)) = self.record(key) {
                note((key, version, content), after, &mut records);
                self.note_gap(Some(key), after, &mut records);
            }
        }
        records
    }

    /// The same, by looking at every record.
    pub(crate) fn changes_by_walk(&self, after: Version) -> Records {
        let mut records = Records::default();
        self.note_gap(None, after, &mut records);
        for found in self.iter() {
            note(found, after, &mut records);
            self.note_gap(Some(found.0), after, &mut records);
        }
        records
    }

    /// Notes the gap behind a record, or the first one, unless it is there already.
    fn note_gap(&self, behind: Option<RecordKey>, after: Version, records: &mut Records) {
        let version = self.gap(behind);
        if version <= after || records.gaps.last().is_some_and(|last| last.after == behind) {
            return;
        }
        let before = match behind {
            None => self.iter().next().map(|(key, _, _)| key),
            Some(key) => self.behind(key),
        };
        records.gaps.push(Gap {
            after: behind,
            before,
            version,
        });
    }

    /// When a record last went from the gap behind this record, or from the first one.
    fn gap(&self, behind: Option<RecordKey>) -> Version {
        let named = self.gaps.range(..=behind).next_back();
        named.map_or(Version::ZERO, |(_, &version)| version)
    }

    fn set_gap(&mut self, behind: Option<RecordKey>, version: Version) {
        let next = match behind {
            None => self.iter().next().map(|(key, _, _)| key),
            Some(key) => self.behind(key),
        };
        let of_next = next.map(|next| (next, self.gap(Some(next))));
        let bounds = (
            Excluded(behind),
            next.map_or(Unbounded, |next| Excluded(Some(next))),
        );
        let inside: Vec<_> = self.gaps.range(bounds).map(|(&key, _)| key).collect();
        for key in inside {
            self.gaps.remove(&key);
        }
        self.gaps.insert(behind, version);
        if let Some((next, of_next)) = of_next {
            if of_next == version {
                self.gaps.remove(&Some(next));
            } else {
                self.gaps.insert(Some(next), of_next);
            }
        }
    }

    /// A new form of a record. One that is new splits a gap, and both parts are as old as it was.
    fn put(&mut self, key: RecordKey, version: Version, content: RecordContent) {
        if let RecordKey::Session { start, count } = key {
            self.marks.put((start, count), version, content);
            return;
        }
        self.claimed_adds += claimed_adds(&content);
        let last = self.others.insert(key, Entry { version, content });
        self.claimed_adds -= last.map_or(0, |it| claimed_adds(&it.content));
    }

    /// Removes records whose keys are in order.
    fn remove(&mut self, keys: &[RecordKey]) {
        let mut marks = Vec::new();
        for &key in keys {
            if let RecordKey::Session { start, count } = key {
                marks.push((start, count));
            } else if let Some(entry) = self.others.remove(&key) {
                self.claimed_adds -= claimed_adds(&entry.content);
            }
        }
        self.marks.remove(&marks);
    }
}

fn of_entry<'a>((&key, entry): (&'a RecordKey, &'a Entry)) -> Found<'a> {
    (key, entry.version, &entry.content)
}

fn note((key, version, content): Found<'_>, after: Version, records: &mut Records) {
    if version > after {
        records.changed.push(SessionRecord {
            key,
            version,
            content: content.clone(),
        });
    }
}

/// How many adds a record claims, at least one; none, where it is no claim.
pub(crate) fn claimed_adds(content: &RecordContent) -> usize {
    if let RecordContent::Claim(adds) = content {
        adds.len().max(1)
    } else {
        0
    }
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
