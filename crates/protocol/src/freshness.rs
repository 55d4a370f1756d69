//! How old what a node holds may be: for each lane, when it last went on here, and until when it is
//! known to be complete.
//!
//! A value lacks what other replicas have added and this node has not yet got. Since when that may
//! be so is bounded by the owner's word that its receiver has *caught up*: it had nothing more to
//! send. All that it had made durable up to a pace before is then held, in every shard. That stays
//! young while the two are connected, idle or busy, and grows when they are not. What it does not
//! include is the trip of that message, which no clock of one node can measure.
//!
//! The *newest interval* of a lane tells when something last came. It is no bound: a lane that goes
//! on rarely has an old one and lacks nothing, and one that a relay had for long is young here.
//!
//! Ages are of this process: of what was read back from disk it is only known that it is older than
//! the process.

use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;

use crdt_core::{Group, ReplicaId};

use crate::{Reading, ShardIndex, Time};

/// How old what a node holds of one lane may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneAge {
    /// The lane's owner.
    pub lane: ReplicaId,
    /// How long ago the newest interval became durable here; of several shards, the one where that
    /// is longest ago. None where nothing of the lane is held in the shards asked about.
    pub interval: Option<Age>,
    /// How long ago the owner said that it had nothing more to send; none where it has not since
    /// this process started.
    pub caught_up: Option<Duration>,
}

/// An age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is so old.
    Exactly(Duration),
    /// It is older than the process, which is so old.
    AtLeast(Duration),
}

/// What a process knows of the age of what it holds. It grows with the lanes held: one time a lane
/// of a shard.
#[derive(Clone, Debug)]
pub struct Freshness {
    own: ReplicaId,
    started: Time,
    newest: BTreeMap<(ReplicaId, ShardIndex), Time>,
    caught_up: BTreeMap<ReplicaId, Time>,
}

impl Freshness {
    /// That of a process of `own` that has started now.
    #[must_use]
    pub fn new(own: ReplicaId, started: Time) -> Self {
        Self {
            own,
            started,
            newest: BTreeMap::new(),
            caught_up: BTreeMap::new(),
        }
    }

    /// A shard's group is held from now on.
    pub fn held(&mut self, shard: ShardIndex, group: &Group, now: Time) {
        for interval in group.iter().filter(|interval| interval.lane != self.own) {
            self.newest.insert((interval.lane, shard), now);
        }
    }

    /// All that a lane's owner had to send at that time is held: see
    /// [`Receiver::caught_up`](crate::Receiver::caught_up).
    pub fn caught_up(&mut self, lane: ReplicaId, at: Time) {
        let known = self.caught_up.entry(lane).or_default();
        *known = at.max(*known);
    }

    /// The ages of the lanes that an answer was made of, in the order of their ids. The own lane
    /// has age 0: its owner cannot know less than it holds.
    #[must_use]
    pub fn ages(&self, reading: &Reading, now: Time) -> Vec<LaneAge> {
        let mut lanes = reading.lanes();
        lanes.entry(self.own).or_default();
        // Who says that there is nothing to send tells of its lane too.
        for &lane in self.caught_up.keys() {
            lanes.entry(lane).or_default();
        }
        let age = |(lane, shards)| {
            if lane == self.own {
                let interval = Some(Age::Exactly(Duration::ZERO));
                let caught_up = Some(Duration::ZERO);
                return LaneAge {
                    lane,
                    interval,
                    caught_up,
                };
            }
            let shards: alloc::collections::BTreeSet<ShardIndex> = shards;
            let since = shards.iter().map(|&shard| self.newest.get(&(lane, shard)));
            // None comes first: what was read back is the oldest.
            let oldest = since.min();
            LaneAge {
                lane,
                interval: oldest.map(|since| match since {
                    Some(&since) => Age::Exactly(now.since(since)),
                    None => Age::AtLeast(now.since(self.started)),
                }),
                caught_up: self.caught_up.get(&lane).map(|&at| now.since(at)),
            }
        };
        lanes.into_iter().map(age).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use crdt_core::{Interval, Mark, Replica, StartId, Sums, Version};

    use super::*;
    use crate::{Round, Shard};

    const OWN: ReplicaId = ReplicaId::new(1);
    const PEER: ReplicaId = ReplicaId::new(2);

    fn at_ms(ms: u64) -> Time {
        Time::from_us(ms * 1000)
    }

    fn exactly(ms: u64) -> Age {
        Age::Exactly(Duration::from_millis(ms))
    }

    /// Brings a shard the next interval of the peer's lane.
    fn receive(shard: &mut Shard, freshness: &mut Freshness, index: ShardIndex, now: Time) {
        let after = shard.replica().held(PEER);
        let (start, version) = (StartId::new(7), after.version.next());
        let starts = if after == Mark::ZERO {
            vec![(Version::new(1), start)]
        } else {
            vec![]
        };
        let interval = Interval {
            lane: PEER,
            after,
            to: Mark { version, start },
            starts,
            sums: Sums::new(),
            records: crdt_core::Records::default(),
            needs: alloc::vec::Vec::new(),
        };
        shard.receive(interval).expect("the next one");
        let group = shard.collect(Round::FIRST).expect("it was taken");
        shard.synced();
        freshness.held(index, &group, now);
    }

    fn shards() -> [Shard; 2] {
        [(); 2].map(|()| Shard::new(Replica::new(OWN, StartId::new(1))))
    }

    fn of_peer(freshness: &Freshness, shards: &[Shard], now: Time) -> LaneAge {
        let mut reading = Reading::default();
        for (index, shard) in (0..).zip(shards) {
            reading.note(index, shard);
        }
        let ages = freshness.ages(&reading, now);
        assert_eq!(ages[0].lane, OWN);
        assert_eq!(ages[0].interval, Some(exactly(0)));
        assert_eq!(ages[0].caught_up, Some(Duration::ZERO));
        *ages.last().expect("the own one")
    }

    #[test]
    fn a_lane_is_as_old_as_its_newest_interval_in_the_shard_that_lags_most() {
        let (mut shards, mut freshness) = (shards(), Freshness::new(OWN, at_ms(5)));
        assert_eq!(of_peer(&freshness, &shards, at_ms(6)).lane, OWN, "unknown");
        receive(&mut shards[0], &mut freshness, 0, at_ms(10));
        receive(&mut shards[1], &mut freshness, 1, at_ms(30));
        let now = at_ms(50);
        assert_eq!(
            of_peer(&freshness, &shards, now).interval,
            Some(exactly(40))
        );
        receive(&mut shards[0], &mut freshness, 0, at_ms(45));
        let age = of_peer(&freshness, &shards, now);
        assert_eq!((age.lane, age.interval), (PEER, Some(exactly(20))));
        assert_eq!(age.caught_up, None);
    }

    #[test]
    fn what_was_read_back_from_disk_is_at_least_as_old_as_the_process() {
        let (mut shards, mut before) = (shards(), Freshness::new(OWN, at_ms(0)));
        receive(&mut shards[0], &mut before, 0, at_ms(1));
        let mut freshness = Freshness::new(OWN, at_ms(5));
        let old = Some(Age::AtLeast(Duration::from_millis(20)));
        assert_eq!(of_peer(&freshness, &shards, at_ms(25)).interval, old);
        // A shard that goes on does not make the other one younger.
        receive(&mut shards[1], &mut freshness, 1, at_ms(20));
        assert_eq!(of_peer(&freshness, &shards, at_ms(25)).interval, old);
        receive(&mut shards[0], &mut freshness, 0, at_ms(24));
        assert_eq!(
            of_peer(&freshness, &shards, at_ms(25)).interval,
            Some(exactly(5))
        );
    }

    #[test]
    fn an_owner_that_has_nothing_to_send_is_known_to_be_complete() {
        let (shards, mut freshness) = (shards(), Freshness::new(OWN, at_ms(5)));
        freshness.caught_up(PEER, at_ms(20));
        freshness.caught_up(PEER, at_ms(30));
        let age = of_peer(&freshness, &shards, at_ms(31));
        assert_eq!((age.lane, age.interval), (PEER, None));
        assert_eq!(age.caught_up, Some(Duration::from_millis(1)));
    }
}
