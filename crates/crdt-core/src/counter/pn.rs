//! The counter that goes both ways: two grow-only counters, one for increments and one for
//! decrements (Shapiro et al., "A comprehensive study ...", 2011, specification 7).

use super::GCounter;
use crate::{JoinSemilattice, ReplicaId};

/// A counter of increments less decrements.
///
/// ```
/// use crdt_core::{counter::PnCounter, ReplicaId};
///
/// let mut counter = PnCounter::default();
/// counter.add(ReplicaId::new(1), 5);
/// counter.add(ReplicaId::new(2), -7);
/// assert_eq!(counter.value(), -2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PnCounter {
    increments: GCounter,
    decrements: GCounter,
}

impl PnCounter {
    /// Adds a signed amount as `replica`, and returns the delta.
    #[expect(clippy::return_self_not_must_use, reason = "the delta is a by-product")]
    pub fn add(&mut self, replica: ReplicaId, amount: i64) -> Self {
        let mut delta = Self::default();
        if amount >= 0 {
            delta.increments = self.increments.increment(replica, amount.unsigned_abs());
        } else {
            delta.decrements = self.decrements.increment(replica, amount.unsigned_abs());
        }
        delta
    }

    /// What `replica` alone has added: its two entries.
    #[must_use]
    pub fn of(&self, replica: ReplicaId) -> Self {
        let entry = |counter: &GCounter| {
            let mut own = GCounter::default();
            own.increment(replica, counter.of(replica));
            own
        };
        Self {
            increments: entry(&self.increments),
            decrements: entry(&self.decrements),
        }
    }

    /// Increments less decrements, over all replicas.
    ///
    /// # Panics
    ///
    /// When more than 2^63 replicas have counted to their limit.
    #[must_use]
    pub fn value(&self) -> i128 {
        let signed = |sum: u128| i128::try_from(sum).expect("fewer than 2^63 replicas");
        signed(self.increments.value()) - signed(self.decrements.value())
    }
}

impl JoinSemilattice for PnCounter {
    fn join(&mut self, other: &Self) {
        self.increments.join(&other.increments);
        self.decrements.join(&other.decrements);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::lattice::laws;

    fn any_counter() -> impl Strategy<Value = PnCounter> {
        vec((0..4u128, -1000..1000i64), 0..6).prop_map(|adds| {
            let mut counter = PnCounter::default();
            for (replica, amount) in adds {
                counter.add(ReplicaId::new(replica), amount);
            }
            counter
        })
    }

    proptest! {
        #[test]
        fn join_laws_hold(a in any_counter(), b in any_counter(), c in any_counter()) {
            laws::check(&a, &b, &c);
        }

        #[test]
        fn an_add_inflates_and_its_delta_joins_to_the_new_state(
            before in any_counter(), replica in 0..4u128, amount in -1000..1000i64,
        ) {
            let mut after = before.clone();
            let delta = after.add(ReplicaId::new(replica), amount);
            prop_assert!(before.is_at_most(&after));
            prop_assert_eq!(before.joined(&delta), after.clone());
            prop_assert_eq!(after.value(), before.value() + i128::from(amount));
        }
    }
}
