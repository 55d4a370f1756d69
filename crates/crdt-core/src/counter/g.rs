//! The grow-only counter (Shapiro et al., "A comprehensive study of Convergent and Commutative
//! Replicated Data Types", 2011, specification 6).

use alloc::collections::BTreeMap;

use crate::{JoinSemilattice, ReplicaId};

/// A counter that only grows: for each replica what it has added, merged by maximum.
///
/// ```
/// use crdt_core::{counter::GCounter, JoinSemilattice, ReplicaId};
///
/// let mut counter = GCounter::default();
/// let delta = counter.increment(ReplicaId::new(7), 10);
/// let mut elsewhere = GCounter::default();
/// elsewhere.join(&delta);
/// assert_eq!(elsewhere, counter);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GCounter {
    entries: BTreeMap<ReplicaId, u64>,
}

impl GCounter {
    /// Adds `amount` as `replica`, and returns the delta: the changed entry alone, whose join with
    /// the old state is the new one.
    ///
    /// # Panics
    ///
    /// When the entry would pass `u64::MAX`; the reference is for tests, where that is a mistake.
    #[expect(clippy::return_self_not_must_use, reason = "the delta is a by-product")]
    pub fn increment(&mut self, replica: ReplicaId, amount: u64) -> Self {
        if amount == 0 {
            // No entry and an entry of 0 would be the same state in two forms.
            return Self::default();
        }
        let entry = self.entries.entry(replica).or_default();
        *entry = entry
            .checked_add(amount)
            .expect("a reference counter's entry stays within 64 bits");
        Self {
            entries: BTreeMap::from([(replica, *entry)]),
        }
    }

    /// What `replica` has added.
    #[must_use]
    pub fn of(&self, replica: ReplicaId) -> u64 {
        self.entries.get(&replica).copied().unwrap_or(0)
    }

    /// The sum over all replicas.
    #[must_use]
    pub fn value(&self) -> u128 {
        self.entries.values().map(|&entry| u128::from(entry)).sum()
    }
}

impl JoinSemilattice for GCounter {
    fn join(&mut self, other: &Self) {
        for (&replica, &theirs) in &other.entries {
            let mine = self.entries.entry(replica).or_default();
            *mine = (*mine).max(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::lattice::laws;

    fn any_counter() -> impl Strategy<Value = GCounter> {
        vec((0..4u128, 1..1000u64), 0..6).prop_map(|adds| {
            let mut counter = GCounter::default();
            for (replica, amount) in adds {
                counter.increment(ReplicaId::new(replica), amount);
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
        fn an_increment_inflates_and_its_delta_joins_to_the_new_state(
            before in any_counter(), replica in 0..4u128, amount in 1..1000u64,
        ) {
            let mut after = before.clone();
            let delta = after.increment(ReplicaId::new(replica), amount);
            prop_assert!(before.is_at_most(&after));
            prop_assert_eq!(before.joined(&delta), after.clone());
            prop_assert_eq!(after.value(), before.value() + u128::from(amount));
        }
    }
}
