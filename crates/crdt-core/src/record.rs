//! Records: what a lane says of one counter.
//!
//! A lane's records are of several kinds, and an interval has one list a kind: sums here, the
//! owner's starts in [`history`](crate::history). A new kind is a new list.

use alloc::boxed::Box;
use core::{cmp::Ordering, fmt, num::NonZeroU64};

use crate::{CounterIndex, JoinSemilattice, Version};

/// What one add puts on top of a counter, or several taken as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sum {
    /// The sum of the positive amounts.
    pub incremented: u64,
    /// The sum of the negative amounts, as a positive number.
    pub decremented: u64,
}

impl Sum {
    /// Increments less decrements.
    #[must_use]
    pub fn value(self) -> i128 {
        i128::from(self.incremented) - i128::from(self.decremented)
    }

    /// A signed amount as a sum.
    #[must_use]
    pub fn of(amount: i64) -> Self {
        let size = amount.unsigned_abs();
        if amount >= 0 {
            Self {
                incremented: size,
                decremented: 0,
            }
        } else {
            Self {
                incremented: 0,
                decremented: size,
            }
        }
    }

    /// Both parts added up; `None` when one would pass `u64::MAX`.
    #[must_use]
    pub fn checked_add(self, more: Self) -> Option<Self> {
        Some(Self {
            incremented: self.incremented.checked_add(more.incremented)?,
            decremented: self.decremented.checked_add(more.decremented)?,
        })
    }
}

/// All that one replica ever added to and subtracted from one counter. Both only grow.
///
/// Nearly every total fits in 64 bits each way, and takes 16 bytes; one that does not takes more,
/// apart. So a counter whose adds cancel out can go on for ever.
///
/// ```
/// use crdt_core::{Sum, Total};
///
/// let mut total = Total::default();
/// for amount in [i64::MAX, -i64::MAX, i64::MAX, -i64::MAX, i64::MAX, -i64::MAX, 5] {
///     total.add(Sum::of(amount));
/// }
/// assert_eq!(total.value(), 5);
/// assert!(total.incremented() > u128::from(u64::MAX));
/// assert_eq!(size_of::<Total>(), 16);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Total(Parts);

/// Each total has one form only: wide, where it must be.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Parts {
    /// The number that is never 0 leaves room to tell the two forms apart.
    Narrow {
        incremented_plus_one: NonZeroU64,
        decremented: u64,
    },
    Wide(Box<Wide>),
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Wide {
    incremented: u128,
    decremented: u128,
}

impl Total {
    /// The largest total each way. Adds reach it after 2^57 of the largest amounts, which at ten
    /// million a second is 450 years; the values of 127 lanes still add up without overflow.
    pub const PART_MAX: u128 = 1 << 120;

    /// A total of nothing.
    pub(crate) const ZERO: Self = Self(Parts::Narrow {
        incremented_plus_one: NonZeroU64::MIN,
        decremented: 0,
    });

    /// A total; `None` when a part is larger than [`Self::PART_MAX`].
    #[must_use]
    pub fn new(incremented: u128, decremented: u128) -> Option<Self> {
        let is_possible = incremented <= Self::PART_MAX && decremented <= Self::PART_MAX;
        is_possible.then(|| Self::of_parts(incremented, decremented))
    }

    fn of_parts(incremented: u128, decremented: u128) -> Self {
        let plus_one = u64::try_from(incremented + 1)
            .ok()
            .and_then(NonZeroU64::new);
        match (plus_one, u64::try_from(decremented)) {
            (Some(incremented_plus_one), Ok(decremented)) => Self(Parts::Narrow {
                incremented_plus_one,
                decremented,
            }),
            _ => Self(Parts::Wide(Box::new(Wide {
                incremented,
                decremented,
            }))),
        }
    }

    /// The sum of the positive amounts.
    #[must_use]
    pub fn incremented(&self) -> u128 {
        match &self.0 {
            Parts::Narrow {
                incremented_plus_one,
                ..
            } => u128::from(incremented_plus_one.get() - 1),
            Parts::Wide(wide) => wide.incremented,
        }
    }

    /// The sum of the negative amounts, as a positive number.
    #[must_use]
    pub fn decremented(&self) -> u128 {
        match &self.0 {
            Parts::Narrow { decremented, .. } => u128::from(*decremented),
            Parts::Wide(wide) => wide.decremented,
        }
    }

    /// Increments less decrements.
    #[must_use]
    pub fn value(&self) -> i128 {
        match &self.0 {
            Parts::Narrow {
                incremented_plus_one,
                decremented,
            } => i128::from(incremented_plus_one.get() - 1) - i128::from(*decremented),
            Parts::Wide(wide) => wide.incremented.cast_signed() - wide.decremented.cast_signed(),
        }
    }

    /// Adds to the total.
    pub fn add(&mut self, sum: Sum) {
        // In place: this is the path of every add.
        if let Parts::Narrow {
            incremented_plus_one,
            decremented,
        } = &mut self.0
            && let Some(incremented_more) = incremented_plus_one.checked_add(sum.incremented)
            && let Some(decremented_more) = decremented.checked_add(sum.decremented)
        {
            *incremented_plus_one = incremented_more;
            *decremented = decremented_more;
            return;
        }
        *self = Self::of_parts(
            self.incremented() + u128::from(sum.incremented),
            self.decremented() + u128::from(sum.decremented),
        );
    }
}

impl Default for Total {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<Sum> for Total {
    fn from(sum: Sum) -> Self {
        let mut total = Self::ZERO;
        total.add(sum);
        total
    }
}

impl fmt::Debug for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{} -{}", self.incremented(), self.decremented())
    }
}

impl Ord for Total {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = |total: &Self| (total.incremented(), total.decremented());
        parts(self).cmp(&parts(other))
    }
}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Two forms of one record are ordered, since its parts only grow: the join is the newer one.
impl JoinSemilattice for Total {
    fn join(&mut self, other: &Self) {
        *self = Self::of_parts(
            self.incremented().max(other.incremented()),
            self.decremented().max(other.decremented()),
        );
    }
}

/// A total with the lane version at which it last changed.
///
/// `C` is how the counter is called: [`CounterIndex`] inside a replica,
/// [`CounterName`](crate::CounterName) between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SumRecord<C = CounterIndex> {
    /// The counter.
    pub counter: C,
    /// The lane version at which the total got this form.
    pub version: Version,
    /// The total.
    pub total: Total,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lattice::laws;

    /// Around all the bounds.
    fn any_part() -> impl Strategy<Value = u128> {
        let near = |bound: u128| (0..3u128).prop_map(move |less| bound - less);
        prop_oneof![
            0..3u128,
            near(u64::MAX.into()),
            near(u128::from(u64::MAX) + 3),
            near(Total::PART_MAX)
        ]
    }

    fn any_total() -> impl Strategy<Value = Total> {
        (any_part(), any_part()).prop_map(|(incremented, decremented)| {
            Total::new(incremented, decremented).expect("possible parts")
        })
    }

    fn any_sum() -> impl Strategy<Value = Sum> {
        let part = || prop_oneof![0..3u64, u64::MAX - 3..=u64::MAX, any::<u64>()];
        (part(), part()).prop_map(|(incremented, decremented)| Sum {
            incremented,
            decremented,
        })
    }

    proptest! {
        #[test]
        fn join_laws_hold(a in any_total(), b in any_total(), c in any_total()) {
            laws::check(&a, &b, &c);
        }

        #[test]
        fn a_total_has_the_parts_that_it_is_made_of(
            incremented in any_part(), decremented in any_part(),
        ) {
            let total = Total::new(incremented, decremented).expect("possible parts");
            prop_assert_eq!(total.incremented(), incremented);
            prop_assert_eq!(total.decremented(), decremented);
            let signed = |part: u128| i128::try_from(part).expect("below 2^127");
            prop_assert_eq!(total.value(), signed(incremented) - signed(decremented));
        }

        #[test]
        fn a_total_is_what_was_added_in_any_order(
            sums in proptest::collection::vec(any_sum(), 0..6), cut: prop::sample::Index,
        ) {
            let total = |sums: &mut dyn Iterator<Item = &Sum>| {
                let mut total = Total::default();
                sums.for_each(|&sum| total.add(sum));
                total
            };
            let all = total(&mut sums.iter());
            let sum_of = |part: fn(&Sum) -> u64| sums.iter().map(|sum| u128::from(part(sum))).sum();
            prop_assert_eq!(all.incremented(), sum_of(|sum| sum.incremented));
            prop_assert_eq!(all.decremented(), sum_of(|sum| sum.decremented));
            prop_assert_eq!(all.value(), sums.iter().map(|sum| sum.value()).sum::<i128>());
            // Equal totals are equal in every respect, however they came to be.
            let (before, after) = sums.split_at(if sums.is_empty() { 0 } else { cut.index(sums.len()) });
            let turned = total(&mut after.iter().chain(before));
            prop_assert_eq!(&turned, &all);
            prop_assert_eq!(Total::new(all.incremented(), all.decremented()), Some(turned));
        }

        #[test]
        fn totals_are_ordered_by_their_parts(a in any_total(), b in any_total()) {
            let parts = |total: &Total| (total.incremented(), total.decremented());
            prop_assert_eq!(a.cmp(&b), parts(&a).cmp(&parts(&b)));
        }

        #[test]
        fn a_sum_has_the_value_of_its_amounts(amounts in proptest::collection::vec(any::<i64>(), 0..2)) {
            let sum = amounts.iter().try_fold(Sum::default(), |sum, &a| sum.checked_add(Sum::of(a)));
            prop_assert_eq!(
                sum.expect("two amounts fit").value(),
                amounts.iter().map(|&a| i128::from(a)).sum::<i128>()
            );
        }

        #[test]
        fn a_sum_that_would_wrap_is_refused(near in 0..10u64, more in 10..20u64) {
            let full = Sum { incremented: u64::MAX - near, decremented: 0 };
            prop_assert_eq!(full.checked_add(Sum { incremented: more, decremented: 0 }), None);
        }
    }

    #[test]
    fn no_adds_reach_a_total_beyond_its_bound() {
        assert!(Total::new(Total::PART_MAX, Total::PART_MAX).is_some());
        assert_eq!(Total::new(Total::PART_MAX + 1, 0), None);
        assert_eq!(Total::new(0, Total::PART_MAX + 1), None);
    }

    /// Millions of these are in memory.
    #[test]
    fn wide_totals_make_no_record_larger() {
        assert_eq!(size_of::<Total>(), size_of::<Sum>());
        assert_eq!(size_of::<SumRecord>(), 32);
    }
}
