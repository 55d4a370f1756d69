//! The names of one shard's counters, and the small integers that stand for them inside it.
//!
//! A name is kept once; everything else is indexed by [`CounterIndex`], so that an add by index
//! touches no text. Indices are given in the order of arrival and differ between replicas.

use alloc::{collections::BTreeMap, vec::Vec};
use core::ops::{Bound, Range};

use crate::{CounterIndex, CounterName};

/// Names to indices and back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    by_name: BTreeMap<CounterName, CounterIndex>,
    names: Vec<CounterName>,
}

impl Catalogue {
    /// The index of a name that is known.
    pub(crate) fn find(&self, name: &str) -> Option<CounterIndex> {
        self.by_name.get(name).copied()
    }

    /// The index of a name, given now if it had none.
    pub(crate) fn index(&mut self, name: &CounterName) -> CounterIndex {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let number = u32::try_from(self.names.len()).expect("fewer than 2^32 counters a shard");
        let index = CounterIndex::new(number);
        self.names.push(name.clone());
        self.by_name.insert(name.clone(), index);
        index
    }

    /// The name of an index that this catalogue gave.
    pub(crate) fn name(&self, index: CounterIndex) -> &CounterName {
        &self.names[index.as_usize()]
    }

    /// Indices in this range, as far as they are given, with their names.
    pub(crate) fn range(
        &self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (CounterIndex, &CounterName)> {
        let count = range.end.saturating_sub(range.start);
        let names = self.names.iter().enumerate().skip(range.start).take(count);
        names.map(|(place, name)| {
            let number = u32::try_from(place).expect("fewer than 2^32 counters a shard");
            (CounterIndex::new(number), name)
        })
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// All names from `from` on, in the order of their bytes.
    pub(crate) fn sorted_from<'a>(
        &'a self,
        from: &str,
    ) -> impl Iterator<Item = (&'a CounterName, CounterIndex)> + use<'a> {
        self.by_name
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .map(|(name, &index)| (name, index))
    }
}
