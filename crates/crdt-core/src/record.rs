//! Records: what a lane says of one counter.
//!
//! A lane's records are of several kinds, and an interval has one list a kind: sums here, the
//! owner's starts in [`history`](crate::history). A new kind is a new list.

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

/// All that one replica ever added to and subtracted from one counter. Both only grow, and pass 64
/// bits where large amounts cancel out.
///
/// ```
/// use crdt_core::{Sum, Total};
///
/// let mut total = Total::default();
/// for amount in [i64::MAX, -i64::MAX, i64::MAX, -i64::MAX, i64::MAX, -i64::MAX, 5] {
///     total = total.plus(Sum::of(amount));
/// }
/// assert_eq!(total.value(), 5);
/// assert!(total.incremented > u128::from(u64::MAX));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Total {
    /// The sum of the positive amounts.
    pub incremented: u128,
    /// The sum of the negative amounts, as a positive number.
    pub decremented: u128,
}

impl Total {
    /// The most that either part can be. It takes 2^57 of the largest adds to pass it, which at ten
    /// million a second is 450 years; an interval that says more was made up.
    pub const PART_MAX: u128 = 1 << 120;

    /// Increments less decrements.
    #[must_use]
    pub fn value(self) -> i128 {
        self.incremented.cast_signed() - self.decremented.cast_signed()
    }

    /// The total once this was added.
    #[must_use]
    pub fn plus(self, sum: Sum) -> Self {
        Self {
            incremented: self.incremented + u128::from(sum.incremented),
            decremented: self.decremented + u128::from(sum.decremented),
        }
    }
}

impl From<Sum> for Total {
    fn from(sum: Sum) -> Self {
        Self::default().plus(sum)
    }
}

/// Two forms of one record are ordered, since its parts only grow: the join is the newer one.
impl JoinSemilattice for Total {
    fn join(&mut self, other: &Self) {
        self.incremented = self.incremented.max(other.incremented);
        self.decremented = self.decremented.max(other.decremented);
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

    fn any_total() -> impl Strategy<Value = Total> {
        let part = || 0..=Total::PART_MAX;
        (part(), part()).prop_map(|(incremented, decremented)| Total {
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
        fn a_total_has_the_value_of_what_was_added(
            total in any_total(), incremented: u64, decremented: u64,
        ) {
            let sum = Sum { incremented, decremented };
            let after = total.plus(sum);
            prop_assert_eq!(after.value(), total.value() + sum.value());
            prop_assert_eq!(after.incremented - total.incremented, incremented.into());
            let signed = |part: u128| i128::try_from(part).expect("below 2^127");
            prop_assert_eq!(total.value(), signed(total.incremented) - signed(total.decremented));
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
}
