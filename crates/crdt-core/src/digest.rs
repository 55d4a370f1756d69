//! Digests: what a replica holds of every lane, as a version vector (Parker et al., "Detection of
//! Mutual Inconsistency in Distributed Systems", 1983) whose entries are [`Mark`]s.
//!
//! Two replicas with equal digests hold the same lanes, and so the same values.

use alloc::collections::BTreeMap;

use crate::{JoinSemilattice, Mark, ReplicaId};

/// For each lane held, how far. Lanes at version 0 are not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    marks: BTreeMap<ReplicaId, Mark>,
}

impl Digest {
    /// How far `lane` is held; [`Mark::ZERO`] where it is not.
    #[must_use]
    pub fn mark(&self, lane: ReplicaId) -> Mark {
        self.marks.get(&lane).copied().unwrap_or(Mark::ZERO)
    }

    /// Notes that `lane` is held up to `mark`. A mark that is not later than the noted one changes
    /// nothing.
    pub fn note(&mut self, lane: ReplicaId, mark: Mark) {
        if mark.version > self.mark(lane).version {
            self.marks.insert(lane, mark);
        }
    }

    /// All lanes held, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaId, Mark)> + '_ {
        self.marks.iter().map(|(&lane, &mark)| (lane, mark))
    }

    /// Whether every lane of `other` is held here at least as far. It compares versions: of a lane
    /// that may have forked, ask [`Replica::admits`](crate::Replica::admits) too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|(lane, mark)| self.mark(lane).version >= mark.version)
    }
}

/// The join is the later mark of each lane: a lattice as long as no lane has forked.
impl JoinSemilattice for Digest {
    fn join(&mut self, other: &Self) {
        for (lane, mark) in other.iter() {
            self.note(lane, mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{StartId, Version, lattice::laws};

    fn any_digest() -> impl Strategy<Value = Digest> {
        vec((0..4u128, 1..9u64), 0..5).prop_map(|marks| {
            let mut digest = Digest::default();
            for (lane, version) in marks {
                // One start a version: a lane without forks.
                let mark = Mark {
                    version: Version::new(version),
                    start: StartId::new(1 + version / 3),
                };
                digest.note(ReplicaId::new(lane), mark);
            }
            digest
        })
    }

    proptest! {
        #[test]
        fn join_laws_hold(a in any_digest(), b in any_digest(), c in any_digest()) {
            laws::check(&a, &b, &c);
            prop_assert!(a.joined(&b).covers(&a));
            prop_assert_eq!(a.covers(&b), b.is_at_most(&a));
        }
    }

    #[test]
    fn of_two_marks_with_one_version_the_first_stays() {
        let mark = |start| Mark {
            version: Version::new(3),
            start: StartId::new(start),
        };
        let lane = ReplicaId::new(1);
        let mut digest = Digest::default();
        digest.note(lane, mark(7));
        digest.note(lane, mark(8));
        assert_eq!(digest.mark(lane), mark(7));
    }
}
