//! What one answer has read: for each shard touched, how far every lane was held.
//!
//! A value is the sum over the lanes as they were at some moment. Whoever reads it notes the shard
//! in the same moment, while nobody else can change it; the token of what was noted then stands
//! for "at least this": a node that covers it holds all that the answer was made of.

use alloc::collections::{BTreeMap, BTreeSet};

use crdt_core::{Mark, ReplicaId};

use crate::{ClusterHash, Shard, ShardIndex, Token, token::Marks};

/// The shards that an answer has touched, and what was held there.
///
/// ```
/// use crdt_core::{Replica, ReplicaId, StartId, Sum};
/// use protocol::{Adds, ClusterHash, Coverage, Reading, Round, Shard};
///
/// let mut shard = Shard::new(Replica::new(ReplicaId::new(1), StartId::new(1)));
/// let likes = shard.replica_mut().counter(&"likes".parse()?);
/// shard.replica_mut().add(likes, Sum::of(1))?;
/// shard.collect(Round::FIRST);
/// shard.synced();
///
/// let mut reading = Reading::default();
/// reading.note(0, &shard); // in the moment in which the value is read
/// let token = reading.token(ClusterHash(7));
/// assert_eq!(token.coverage(0, &shard), Coverage::Covered);
/// let elsewhere = Shard::new(Replica::new(ReplicaId::new(2), StartId::new(2)));
/// assert_eq!(token.coverage(0, &elsewhere), Coverage::Lacking);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    marks: Marks,
    shards: BTreeSet<ShardIndex>,
}

impl Reading {
    /// Something of this shard is read now. When it is read again, what is held then counts.
    pub fn note(&mut self, index: ShardIndex, shard: &Shard) {
        self.shards.insert(index);
        for (lane, mark) in shard.replica().digest().iter() {
            self.marks.insert((index, lane), mark);
        }
    }

    /// The token of all that was noted. It names those lanes of those shards alone.
    #[must_use]
    pub fn token(&self, cluster: ClusterHash) -> Token {
        Token::of_marks(cluster, self.marks.clone())
    }

    /// The shards that were touched, ascending.
    pub fn shards(&self) -> impl Iterator<Item = ShardIndex> {
        self.shards.iter().copied()
    }

    /// How far each lane was held in a shard, in the order of their owners' ids.
    pub fn marks(&self, shard: ShardIndex) -> impl Iterator<Item = (ReplicaId, Mark)> {
        let marks = self.marks.range((shard, ReplicaId::new(0))..);
        marks
            .take_while(move |((index, _), _)| *index == shard)
            .map(|(&(_, lane), &mark)| (lane, mark))
    }

    /// By lane, the touched shards in which something of it was held.
    pub(crate) fn lanes(&self) -> BTreeMap<ReplicaId, BTreeSet<ShardIndex>> {
        let mut lanes: BTreeMap<ReplicaId, BTreeSet<ShardIndex>> = BTreeMap::new();
        for (&(shard, lane), mark) in &self.marks {
            if *mark != Mark::ZERO {
                lanes.entry(lane).or_default().insert(shard);
            }
        }
        lanes
    }
}
