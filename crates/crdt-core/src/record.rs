//! Records: what a lane says of one counter.
//!
//! A lane's records are of several kinds, and an interval has one list a kind: sums here, the
//! owner's starts in [`history`](crate::history). A new kind is a new list.

use crate::{CounterIndex, JoinSemilattice, Version};

/// All that one replica ever added to and subtracted from one counter. Both only grow.
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

/// Two forms of one record are ordered, since its parts only grow: the join is the newer one.
impl JoinSemilattice for Sum {
    fn join(&mut self, other: &Self) {
        self.incremented = self.incremented.max(other.incremented);
        self.decremented = self.decremented.max(other.decremented);
    }
}

/// A sum with the lane version at which it last changed.
///
/// `C` is how the counter is called: [`CounterIndex`] inside a replica,
/// [`CounterName`](crate::CounterName) between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SumRecord<C = CounterIndex> {
    /// The counter.
    pub counter: C,
    /// The lane version at which the sum got this form.
    pub version: Version,
    /// The sum.
    pub sum: Sum,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lattice::laws;

    fn any_sum() -> impl Strategy<Value = Sum> {
        (any::<u64>(), any::<u64>()).prop_map(|(incremented, decremented)| Sum {
            incremented,
            decremented,
        })
    }

    proptest! {
        #[test]
        fn join_laws_hold(a in any_sum(), b in any_sum(), c in any_sum()) {
            laws::check(&a, &b, &c);
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
