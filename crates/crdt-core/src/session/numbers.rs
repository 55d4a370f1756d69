//! Sets of request numbers: few, and mostly neighbours.

use alloc::{boxed::Box, vec::Vec};

/// A set of numbers, kept as ranges, so that a thousand neighbours cost as much as one.
///
/// ```
/// use crdt_core::Numbers;
///
/// let mut numbers: Numbers = [3, 1, 2, 7].into_iter().collect();
/// assert_eq!(numbers.ranges(), [(1, 3), (7, 7)]);
/// numbers.remove_below(3);
/// assert!(numbers.contains(3) && !numbers.contains(2));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Numbers {
    /// First and last of each range, ascending; between two ranges at least one number is missing.
    /// Boxed, since most marks have none or one, and a capacity is not worth its bytes.
    ranges: Box<[(u64, u64)]>,
}

impl Numbers {
    /// The set of these ranges; `None` when they are not what [`ranges`](Self::ranges) gives.
    #[must_use]
    pub fn of_ranges(ranges: Vec<(u64, u64)>) -> Option<Self> {
        let are_ranges = ranges.iter().all(|&(first, last)| first <= last);
        let are_apart = ranges
            .windows(2)
            .all(|pair| pair[0].1 < pair[1].0 && pair[1].0 - pair[0].1 > 1);
        let ranges = ranges.into_boxed_slice();
        (are_ranges && are_apart).then_some(Self { ranges })
    }

    /// First and last of each range, ascending, none of them next to another.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether it has the number.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let next = self.ranges.partition_point(|&(first, _)| first <= number);
        next > 0 && number <= self.ranges[next - 1].1
    }

    /// Adds a number; it may be there already.
    pub fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let mut ranges = core::mem::take(&mut self.ranges).into_vec();
        let next = ranges.partition_point(|&(first, _)| first <= number);
        let joins_last = next > 0 && ranges[next - 1].1 + 1 == number;
        let joins_next = next < ranges.len() && number + 1 == ranges[next].0;
        match (joins_last, joins_next) {
            (true, true) => ranges[next - 1].1 = ranges.remove(next).1,
            (true, false) => ranges[next - 1].1 = number,
            (false, true) => ranges[next].0 = number,
            (false, false) => ranges.insert(next, (number, number)),
        }
        self.ranges = ranges.into_boxed_slice();
    }

    /// Removes all numbers below this one.
    pub fn remove_below(&mut self, bound: u64) {
        if self.ranges.first().is_none_or(|&(first, _)| first >= bound) {
            return;
        }
        let kept = self.ranges.iter().filter(|&&(_, last)| last >= bound);
        self.ranges = kept
            .map(|&(first, last)| (first.max(bound), last))
            .collect();
    }

    /// The highest number, if there is one.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last().map(|&(_, last)| last)
    }
}

impl FromIterator<u64> for Numbers {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_a_set(
            steps in vec((0..24u64, any::<bool>()), 0..40), bound in 0..24u64,
        ) {
            let (mut set, mut reference) = (Numbers::default(), BTreeSet::new());
            for (number, is_insert) in steps {
                if is_insert {
                    set.insert(number);
                    reference.insert(number);
                } else {
                    set.remove_below(number / 4);
                    reference.retain(|&it| it >= number / 4);
                }
            }
            set.remove_below(bound);
            reference.retain(|&it| it >= bound);
            for number in 0..24 {
                prop_assert_eq!(set.contains(number), reference.contains(&number), "{}", number);
            }
            prop_assert_eq!(set.is_empty(), reference.is_empty());
            prop_assert_eq!(set.last(), reference.last().copied());
            prop_assert_eq!(Numbers::of_ranges(set.ranges().to_vec()), Some(set));
        }
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for ranges in [
            [(2, 1), (5, 6)],
            [(1, 2), (3, 4)],
            [(5, 6), (1, 2)],
            [(1, 4), (3, 8)],
        ] {
            assert_eq!(Numbers::of_ranges(ranges.into()), None, "{ranges:?}");
        }
    }
}
