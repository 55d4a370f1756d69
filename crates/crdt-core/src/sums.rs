//! The records of an interval: millions in the largest, so they are kept small.

use alloc::vec::Vec;

use crate::{
    CounterIndex, SumRecord, Total, Version,
    packed::{Aside, Packed},
};

/// Records in an order, each in 32 bytes, or more where its total passes 64 bits.
///
/// ```
/// use crdt_core::{CounterIndex, Sum, SumRecord, Sums, Total, Version};
///
/// let record = |counter, version| SumRecord {
///     counter: CounterIndex::new(counter),
///     version: Version::new(version),
///     total: Total::from(Sum::of(5)),
/// };
/// let mut sums: Sums = [record(0, 1), record(1, 1), record(0, 2)].into_iter().collect();
/// sums.retain(|record| record.version > Version::new(1));
/// assert_eq!(sums.into_records().collect::<Vec<_>>(), [record(0, 2)]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sums<C = CounterIndex> {
    records: Vec<Record<C>>,
    aside: Aside,
}

/// A [`SumRecord`] as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Record<C> {
    counter: C,
    version: Version,
    total: Packed,
}

impl<C> Sums<C> {
    /// No records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        self.records.reserve(more);
    }

    /// Appends a record.
    pub fn push(&mut self, record: SumRecord<C>) {
        let mut total = Packed::ZERO;
        self.aside.put(self.records.len(), &mut total, record.total);
        self.records.push(Record {
            counter: record.counter,
            version: record.version,
            total,
        });
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record at a position, from 0.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<SumRecord<&C>> {
        let record = self.records.get(at)?;
        Some(SumRecord {
            counter: &record.counter,
            version: record.version,
            total: self.aside.total(at, record.total),
        })
    }

    /// All records.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = SumRecord<&C>> {
        (0..self.len()).map(|at| self.get(at).expect("a position below the length"))
    }

    /// All records, taken out.
    pub fn into_records(self) -> impl Iterator<Item = SumRecord<C>> {
        let Self { records, aside } = self;
        let record = move |(at, record): (usize, Record<C>)| SumRecord {
            counter: record.counter,
            version: record.version,
            total: aside.total(at, record.total),
        };
        records.into_iter().enumerate().map(record)
    }

    /// Keeps only records of which this holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&SumRecord<&C>) -> bool) {
        let kept: Vec<_> = self.iter().map(|record| keep(&record)).collect();
        let records = core::mem::take(self).into_records().zip(kept);
        self.extend(records.filter_map(|(record, is_kept)| is_kept.then_some(record)));
    }

    /// The same records with their counters called otherwise.
    pub fn map_counters<D>(&self, mut call: impl FnMut(&C) -> D) -> Sums<D> {
        let rename = |record: &Record<C>| Record {
            counter: call(&record.counter),
            version: record.version,
            total: record.total,
        };
        Sums {
            records: self.records.iter().map(rename).collect(),
            aside: self.aside.clone(),
        }
    }

    /// Each record with the place of its total.
    pub(crate) fn packed(&self) -> impl Iterator<Item = (&C, Version, (&Aside, usize, Packed))> {
        let records = self.records.iter().enumerate();
        records.map(|(at, record)| {
            let total = (&self.aside, at, record.total);
            (&record.counter, record.version, total)
        })
    }

    /// The totals that pass 64 bits.
    pub(crate) fn wide_totals(&self) -> impl Iterator<Item = &Total> {
        self.aside.totals()
    }

    /// The records' versions.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Version> {
        self.records.iter().map(|record| record.version)
    }
}

impl Sums {
    /// Records of counters whose totals are in the places of their indices.
    pub(crate) fn of_places(
        places: &Aside,
        records: impl Iterator<Item = (CounterIndex, Version, Packed)>,
    ) -> Self {
        let record = |(counter, version, total)| Record {
            counter,
            version,
            total,
        };
        let mut records: Vec<_> = records.map(record).collect();
        let mut aside = Aside::default();
        if !places.is_empty() {
            for (at, record) in records.iter_mut().enumerate() {
                let total = places.total(record.counter.as_usize(), record.total);
                aside.put(at, &mut record.total, total);
            }
        }
        Self { records, aside }
    }
}

impl<C> Default for Sums<C> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            aside: Aside::default(),
        }
    }
}

impl<C> Extend<SumRecord<C>> for Sums<C> {
    fn extend<T: IntoIterator<Item = SumRecord<C>>>(&mut self, records: T) {
        let records = records.into_iter();
        self.reserve(records.size_hint().0);
        records.for_each(|record| self.push(record));
    }
}

impl<C> FromIterator<SumRecord<C>> for Sums<C> {
    fn from_iter<T: IntoIterator<Item = SumRecord<C>>>(records: T) -> Self {
        let mut sums = Self::new();
        sums.extend(records);
        sums
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn any_record() -> impl Strategy<Value = SumRecord<u8>> {
        let part = || prop_oneof![0..3u128, u128::from(u64::MAX)..1 << 65];
        let record = |(counter, version, incremented, decremented)| SumRecord {
            counter,
            version: Version::new(version),
            total: Total {
                incremented,
                decremented,
            },
        };
        (any::<u8>(), 1..9u64, part(), part()).prop_map(record)
    }

    proptest! {
        #[test]
        fn sums_are_a_list_of_records(
            records in vec(any_record(), 0..20), more in vec(any_record(), 0..9), kept in 1..9u64,
        ) {
            let mut sums: Sums<u8> = records.iter().cloned().collect();
            sums.extend(more.iter().cloned());
            let mut expected = [records, more].concat();
            prop_assert_eq!(sums.len(), expected.len());
            prop_assert_eq!(sums.is_empty(), expected.is_empty());
            prop_assert!(sums.get(expected.len()).is_none());
            let by_reference: Vec<_> = sums.iter().map(|record| SumRecord {
                counter: *record.counter,
                version: record.version,
                total: record.total,
            }).collect();
            prop_assert_eq!(&by_reference, &expected);
            let renamed = sums.map_counters(|&counter| u16::from(counter) + 1);
            let renamed: Vec<_> = renamed.into_records().map(|record| record.counter).collect();
            let names: Vec<_> = expected.iter().map(|record| u16::from(record.counter) + 1).collect();
            prop_assert_eq!(renamed, names);

            sums.retain(|record| record.version <= Version::new(kept));
            expected.retain(|record| record.version <= Version::new(kept));
            prop_assert_eq!(&sums, &expected.iter().cloned().collect());
            prop_assert_eq!(sums.into_records().collect::<Vec<_>>(), expected);
        }
    }

    /// Millions of these are in memory.
    #[test]
    fn wide_totals_make_no_record_larger() {
        assert_eq!(size_of::<Record<CounterIndex>>(), 32);
    }
}
