//! How long ago each lane of a shard was last heard of.

use alloc::collections::BTreeMap;
use core::time::Duration;

use crdt_core::{Digest, Mark, ReplicaId};

use crate::Time;

/// For each lane when its newest interval became durable here, as this process knows.
#[derive(Clone, Debug, Default)]
pub struct LaneAges(BTreeMap<ReplicaId, (Mark, Option<Time>)>);

impl LaneAges {
    /// What is held when the process starts is of an unknown age.
    #[must_use]
    pub fn new(held: &Digest) -> Self {
        Self(
            held.iter()
                .map(|(lane, mark)| (lane, (mark, None)))
                .collect(),
        )
    }

    /// What is held now.
    pub fn note(&mut self, held: &Digest, now: Time) {
        for (lane, mark) in held.iter() {
            let noted = self.0.entry(lane).or_insert((Mark::ZERO, None));
            if noted.0 != mark {
                *noted = (mark, Some(now));
            }
        }
    }

    /// The age of a lane; nothing where its newest interval is older than the process.
    #[must_use]
    pub fn age(&self, lane: ReplicaId, now: Time) -> Option<Duration> {
        let (_, since) = self.0.get(&lane)?;
        since.map(|since| now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::{StartId, Version};

    use super::*;

    #[test]
    fn a_lane_is_as_old_as_its_newest_interval() {
        let (a, b) = (ReplicaId::new(1), ReplicaId::new(2));
        let digest = |lanes: &[(ReplicaId, u64)]| {
            let mut digest = Digest::default();
            for &(lane, version) in lanes {
                let mark = Mark {
                    version: Version::new(version),
                    start: StartId::new(7),
                };
                digest.note(lane, mark);
            }
            digest
        };
        let at = |ms: u64| Time::from_us(ms * 1_000);
        let mut ages = LaneAges::new(&digest(&[(a, 3)]));
        ages.note(&digest(&[(a, 3), (b, 1)]), at(10));
        assert_eq!(ages.age(a, at(15)), None, "older than the process");
        assert_eq!(ages.age(b, at(15)), Some(Duration::from_millis(5)));
        ages.note(&digest(&[(a, 4), (b, 1)]), at(20));
        assert_eq!(ages.age(a, at(21)), Some(Duration::from_millis(1)));
        assert_eq!(ages.age(b, at(21)), Some(Duration::from_millis(11)));
    }
}
