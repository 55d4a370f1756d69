//! Totals in 16 bytes: nearly every total fits in 64 bits each way, and millions of them are in
//! memory. The few that do not fit are kept aside, by the number of their place, so that no place
//! grows for their sake.

use alloc::collections::BTreeMap;

use crate::{Sum, Total};

/// A total, or a note that it is kept aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Packed {
    /// [`ASIDE`], or what it says.
    incremented: u64,
    decremented: u64,
}

/// In the place of increments: the total is kept aside.
const ASIDE: u64 = u64::MAX;

impl Packed {
    /// A total of nothing.
    pub(crate) const ZERO: Self = Self {
        incremented: 0,
        decremented: 0,
    };

    const KEPT_ASIDE: Self = Self {
        incremented: ASIDE,
        decremented: 0,
    };

    fn new(total: Total) -> Option<Self> {
        let incremented = u64::try_from(total.incremented).ok()?;
        let decremented = u64::try_from(total.decremented).ok()?;
        (incremented != ASIDE).then_some(Self {
            incremented,
            decremented,
        })
    }

    fn is_aside(self) -> bool {
        self.incremented == ASIDE
    }
}

/// The totals of numbered places that do not fit there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Aside(BTreeMap<usize, Total>);

impl Aside {
    /// What a place holds.
    #[inline]
    pub(crate) fn total(&self, place: usize, held: Packed) -> Total {
        if held.is_aside() {
            return self.0[&place];
        }
        Total {
            incremented: held.incremented.into(),
            decremented: held.decremented.into(),
        }
    }

    /// The value of what a place holds.
    #[inline]
    pub(crate) fn value(&self, place: usize, held: Packed) -> i128 {
        if held.is_aside() {
            return self.0[&place].value();
        }
        i128::from(held.incremented) - i128::from(held.decremented)
    }

    /// Puts a total into a place.
    pub(crate) fn put(&mut self, place: usize, held: &mut Packed, total: Total) {
        if let Some(packed) = Packed::new(total) {
            if held.is_aside() {
                self.0.remove(&place);
            }
            *held = packed;
        } else {
            self.0.insert(place, total);
            *held = Packed::KEPT_ASIDE;
        }
    }

    /// Puts into a place what another one holds, maybe elsewhere.
    #[inline]
    pub(crate) fn copy(
        &mut self,
        place: usize,
        held: &mut Packed,
        (from, from_place, from_held): (&Self, usize, Packed),
    ) {
        // Every record passes here, and nearly none of them is wide.
        if held.is_aside() | from_held.is_aside() {
            self.copy_wide(place, held, from.total(from_place, from_held));
        } else {
            *held = from_held;
        }
    }

    #[cold]
    fn copy_wide(&mut self, place: usize, held: &mut Packed, total: Total) {
        self.put(place, held, total);
    }

    /// Adds to what a place holds.
    pub(crate) fn add(&mut self, place: usize, held: &mut Packed, sum: Sum) {
        let incremented = held.incremented.checked_add(sum.incremented);
        let decremented = held.decremented.checked_add(sum.decremented);
        match (incremented, decremented) {
            (Some(incremented), Some(decremented)) if incremented != ASIDE => {
                *held = Packed {
                    incremented,
                    decremented,
                };
            }
            _ => self.put(place, held, self.total(place, *held).plus(sum)),
        }
    }

    /// Whether every place holds its total itself.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The totals themselves.
    pub(crate) fn totals(&self) -> impl Iterator<Item = &Total> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Around all the ends.
    fn any_part() -> impl Strategy<Value = u128> {
        let end = u128::from(u64::MAX);
        prop_oneof![0..3u128, end - 2..end + 3, Just(Total::PART_MAX)]
    }

    fn any_total() -> impl Strategy<Value = Total> {
        (any_part(), any_part()).prop_map(|(incremented, decremented)| Total {
            incremented,
            decremented,
        })
    }

    fn any_sum() -> impl Strategy<Value = Sum> {
        let part = || prop_oneof![0..3u64, u64::MAX - 3..=u64::MAX, any::<u64>()];
        (part(), part()).prop_map(|(incremented, decremented)| Sum {
            incremented,
            decremented,
        })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(usize, Total),
        Add(usize, Sum),
        /// From the other row of places.
        Copy(usize, usize),
    }

    const PLACES: usize = 3;

    fn any_step() -> impl Strategy<Value = Step> {
        let place = || 0..PLACES;
        prop_oneof![
            (place(), any_total()).prop_map(|(place, total)| Step::Put(place, total)),
            (place(), any_sum()).prop_map(|(place, sum)| Step::Add(place, sum)),
            (place(), place()).prop_map(|(to, from)| Step::Copy(to, from)),
        ]
    }

    proptest! {
        #[test]
        fn places_hold_what_was_put_into_them(steps in vec((0..2usize, any_step()), 0..30)) {
            let mut rows = [0, 1].map(|_| (Aside::default(), [Packed::ZERO; PLACES]));
            let mut expected = [[Total::default(); PLACES]; 2];
            for (at, step) in steps {
                let other = rows[1 - at].clone();
                let (aside, held) = &mut rows[at];
                match step {
                    Step::Put(place, total) => {
                        aside.put(place, &mut held[place], total);
                        expected[at][place] = total;
                    }
                    Step::Add(place, sum) => {
                        aside.add(place, &mut held[place], sum);
                        expected[at][place] = expected[at][place].plus(sum);
                    }
                    Step::Copy(to, from) => {
                        aside.copy(to, &mut held[to], (&other.0, from, other.1[from]));
                        expected[at][to] = expected[1 - at][from];
                    }
                }
                for ((aside, held), expected) in rows.iter().zip(&expected) {
                    let totals = (0..PLACES).map(|place| aside.total(place, held[place]));
                    prop_assert_eq!(&totals.collect::<Vec<_>>(), expected);
                    let values = (0..PLACES).map(|place| aside.value(place, held[place]));
                    prop_assert!(values.eq(expected.iter().map(|total| total.value())));
                    // What fits is not kept aside, so equal totals are equal in memory.
                    let fits = |part: u128| part < u128::from(u64::MAX);
                    let is_wide = |total: &&Total| {
                        !fits(total.incremented) || total.decremented > u128::from(u64::MAX)
                    };
                    prop_assert!(aside.totals().eq(expected.iter().filter(is_wide)));
                }
            }
        }
    }
}
