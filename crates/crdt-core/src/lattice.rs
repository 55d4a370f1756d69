//! Join-semilattices: the one algebraic fact that everything else rests on.
//!
//! A set of states with a *join* (least upper bound) that is associative, commutative and
//! idempotent. Replicas that change their state only upwards, and merge by join, agree as soon as
//! they have seen the same changes, in whatever order and however often (Shapiro, Preguiça,
//! Baquero, Zawirski, "Conflict-free Replicated Data Types", 2011, section 2.3).
//!
//! The laws are stated here and tested beside each implementation; Rust cannot enforce them.

/// A value that can be merged with another of its kind.
///
/// Laws, for all `a`, `b`, `c`, writing `a ∨ b` for the join:
///
/// - associative: `(a ∨ b) ∨ c == a ∨ (b ∨ c)`
/// - commutative: `a ∨ b == b ∨ a`
/// - idempotent: `a ∨ a == a`
///
/// ```
/// use crdt_core::{JoinSemilattice, counter::GCounter, ReplicaId};
///
/// let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
/// let mut left = GCounter::default();
/// left.increment(a, 3);
/// let mut right = GCounter::default();
/// right.increment(b, 4);
/// left.join(&right);
/// left.join(&right);
/// assert_eq!(left.value(), 7);
/// ```
pub trait JoinSemilattice: Clone + PartialEq {
    /// Replaces `self` by the least upper bound of `self` and `other`.
    fn join(&mut self, other: &Self);

    /// The join as a new value.
    #[must_use]
    fn joined(&self, other: &Self) -> Self {
        let mut result = self.clone();
        result.join(other);
        result
    }

    /// The order that the join induces: `self ≤ other` just when `self ∨ other == other`.
    fn is_at_most(&self, other: &Self) -> bool {
        self.joined(other) == *other
    }
}

#[cfg(test)]
pub(crate) mod laws {
    //! The laws, as checks that every implementation's property tests call.

    use core::fmt::Debug;

    use super::JoinSemilattice;

    /// Panics unless the three join laws and the upper-bound property hold for these values.
    pub(crate) fn check<T: JoinSemilattice + Debug>(a: &T, b: &T, c: &T) {
        assert_eq!(a.joined(b).joined(c), a.joined(&b.joined(c)), "associative");
        assert_eq!(a.joined(b), b.joined(a), "commutative");
        assert_eq!(a.joined(a), *a, "idempotent");
        assert!(a.is_at_most(&a.joined(b)), "the join is an upper bound");
        assert!(b.is_at_most(&a.joined(b)), "the join is an upper bound");
    }
}
