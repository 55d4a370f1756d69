//! Heads: the own total of each counter with everything taken, durable or not.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    CounterIndex, Interval, Sum, Sums, Total, Version,
    packed::{Aside, Packed},
};

/// The own totals, and which of them have changed since the last commit.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads {
    by_counter: Vec<Head>,
    aside: Aside,
    dirty: Vec<CounterIndex>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    total: Packed,
    /// Whether the total has changed since the last commit.
    is_dirty: bool,
}

const UNTOUCHED: Head = Head {
    total: Packed::ZERO,
    is_dirty: false,
};

impl Heads {
    fn head(&self, counter: CounterIndex) -> Head {
        let head = self.by_counter.get(counter.as_usize());
        head.copied().unwrap_or(UNTOUCHED)
    }

    pub(super) fn value(&self, counter: CounterIndex) -> i128 {
        let place = counter.as_usize();
        self.aside.value(place, self.head(counter).total)
    }

    /// The counter's total, and whether it has changed since the last commit.
    pub(super) fn total(&self, counter: CounterIndex) -> (Total, bool) {
        let head = self.head(counter);
        let total = self.aside.total(counter.as_usize(), head.total);
        (total, head.is_dirty)
    }

    pub(super) fn add(&mut self, counter: CounterIndex, sum: Sum) {
        let place = counter.as_usize();
        if place >= self.by_counter.len() {
            self.by_counter.resize(place + 1, UNTOUCHED);
        }
        let head = &mut self.by_counter[place];
        self.aside.add(place, &mut head.total, sum);
        if !head.is_dirty {
            head.is_dirty = true;
            self.dirty.push(counter);
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.dirty.is_empty()
    }

    /// The records of all totals that have changed since the last commit, under one version.
    pub(super) fn commit(&mut self, version: Version) -> Sums {
        // In the order of indices, so that equal changes make equal intervals.
        self.dirty.sort_unstable();
        let by_counter = &mut self.by_counter;
        let records = self.dirty.drain(..).map(|counter| {
            let head = &mut by_counter[counter.as_usize()];
            head.is_dirty = false;
            (counter, version, head.total)
        });
        Sums::of_places(&self.aside, records)
    }

    /// The own totals after a restart are those of the own lane.
    pub(super) fn recover(&mut self, interval: &Interval) {
        for (&counter, _, total) in interval.sums.packed() {
            let place = counter.as_usize();
            if place >= self.by_counter.len() {
                self.by_counter.resize(place + 1, UNTOUCHED);
            }
            self.aside
                .copy(place, &mut self.by_counter[place].total, total);
        }
    }

    /// Panics when one of these counters is dirty and not listed, or else not committed.
    pub(super) fn assert_invariants(
        &self,
        counters: impl Iterator<Item = CounterIndex>,
        committed: impl Fn(CounterIndex) -> Total,
    ) {
        let mut listed = BTreeMap::<CounterIndex, usize>::new();
        for &counter in &self.dirty {
            *listed.entry(counter).or_default() += 1;
        }
        for counter in counters {
            let (total, is_dirty) = self.total(counter);
            let times = listed.get(&counter).copied().unwrap_or(0);
            assert_eq!(times, usize::from(is_dirty), "{counter:?} is listed");
            if !is_dirty {
                assert_eq!(total, committed(counter), "the own total of {counter:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complaint::complaint;

    #[test]
    fn heads_that_contradict_themselves_are_found() {
        let sum = Sum::of(5);
        let mut heads = Heads::default();
        (0..2).for_each(|counter| heads.add(CounterIndex::new(counter), sum));
        heads.commit(Version::new(1));
        heads.add(CounterIndex::new(1), sum);
        let found = |heads: &Heads, committed: Sum| {
            let counters = (0..2).map(CounterIndex::new);
            let check = || heads.assert_invariants(counters, |_| committed.into());
            complaint(check).unwrap_or_default()
        };
        assert_eq!(found(&heads, sum), "");
        assert!(found(&heads, Sum::of(6)).contains("the own total of"));
        for dirty in [&[][..], &[1, 1], &[0, 1]] {
            heads.dirty = dirty.iter().copied().map(CounterIndex::new).collect();
            assert!(found(&heads, sum).contains("is listed"), "{dirty:?}");
        }
    }

    /// Millions of these are in memory.
    #[test]
    fn wide_totals_make_no_head_larger() {
        assert_eq!(size_of::<Head>(), 24);
    }
}
