//! What a node reads: values, what they were made of, and how old that may be.

use crdt_core::{CounterName, Group, ReplicaId};
use protocol::{Budget, LaneAge, Reading, ShardIndex, Shards as _, Time, Token, WatchBudgets};

use super::Node;

/// Names that a shard is held for at a time: well below a millisecond's worth.
const PIECE_NAMES_MAX: usize = 512;

/// Watches that a node serves at a time: each is a task, some buffers of its stream, and a few
/// kilobytes; many more than the people who look at something at the same moment on one node.
const WATCHES_MAX: u64 = 16_384;

/// Counters of all watches: what one costs is its name and about a hundred bytes, so all of them
/// together some hundred megabytes, and 300 MB where all names are as long as they may be.
const WATCHED_COUNTERS_MAX: u64 = 500_000;

/// The bounds of all watches of a node.
pub(super) fn watch_budgets() -> WatchBudgets {
    WatchBudgets {
        watches: Budget::new(WATCHES_MAX),
        counters: Budget::new(WATCHED_COUNTERS_MAX),
    }
}

impl Node {
    /// Values of counters in the order of their names as given, of durable adds only, 0 where nobody
    /// added to one; and what they were made of.
    #[must_use]
    pub fn read(&self, names: &[CounterName]) -> (Vec<i128>, Reading) {
        let mut places: Vec<(ShardIndex, usize)> = names
            .iter()
            .enumerate()
            .map(|(place, name)| (self.shard_of(name), place))
            .collect();
        places.sort_unstable();
        let (mut values, mut reading) = (vec![0; names.len()], Reading::default());
        for of_shard in places.chunk_by(|a, b| a.0 == b.0) {
            for piece in of_shard.chunks(PIECE_NAMES_MAX) {
                let shard = piece[0].0;
                self.with(shard, |it| {
                    // In the same moment as the values.
                    reading.note(shard, it);
                    let replica = it.replica();
                    for &(_, place) in piece {
                        let counter = replica.find(names[place].as_str());
                        values[place] = counter.map_or(0, |counter| replica.value(counter));
                    }
                });
            }
        }
        (values, reading)
    }

    /// The token of what was read.
    #[must_use]
    pub fn token_of(&self, reading: &Reading) -> Token {
        reading.token(self.identity.cluster_hash())
    }

    /// How old what was read may be, lane by lane.
    #[must_use]
    pub fn lane_ages(&self, reading: &Reading) -> Vec<LaneAge> {
        let freshness = self.freshness.read();
        let freshness = freshness.unwrap_or_else(std::sync::PoisonError::into_inner);
        freshness.ages(reading, self.clock.now())
    }

    /// These groups of shards are held from now on.
    pub(super) fn note_held(&self, groups: &[(ShardIndex, Group)]) {
        let now = self.clock.now();
        let freshness = self.freshness.write();
        let mut freshness = freshness.unwrap_or_else(std::sync::PoisonError::into_inner);
        for (shard, group) in groups {
            freshness.held(*shard, group, now);
        }
    }

    /// All that a lane's owner had to send at that time is held.
    pub fn note_caught_up(&self, lane: ReplicaId, at: Time) {
        let freshness = self.freshness.write();
        let mut freshness = freshness.unwrap_or_else(std::sync::PoisonError::into_inner);
        freshness.caught_up(lane, at);
    }

    /// The bounds of all its watches.
    #[must_use]
    pub fn watches(&self) -> &WatchBudgets {
        &self.watches
    }
}
