//! Copying a node's lanes into a snapshot, a bounded piece at a time, beside the commits.
//!
//! The lanes hold only what is durable, so whatever is read, whenever, is. What a snapshot must
//! have is the effect of all frames below its cut, and those were held before it began; that some
//! lanes are read further than that is harmless, since the log repeats it.

use alloc::{collections::VecDeque, vec::Vec};

use crdt_core::{IntervalPiece, IntervalReader, Mark, ReplicaId};

use crate::{ShardIndex, Shards};

/// The copying of all lanes of all shards.
#[derive(Clone, Debug)]
pub struct SnapshotReader {
    records_max: usize,
    shards_left: VecDeque<ShardIndex>,
    lanes_left: Vec<(ShardIndex, ReplicaId)>,
    reading: Option<(ShardIndex, IntervalReader)>,
}

impl SnapshotReader {
    /// Nothing is read yet; a shard is held for so many records at a time.
    #[must_use]
    pub fn new(shards: &impl Shards, records_max: usize) -> Self {
        Self {
            records_max,
            shards_left: shards.indices().into(),
            lanes_left: Vec::new(),
            reading: None,
        }
    }

    /// The next piece; `None` when everything was read. The pieces of a lane follow each other.
    pub fn poll(&mut self, shards: &impl Shards) -> Option<(ShardIndex, IntervalPiece)> {
        loop {
            let (shard, mut reader) = self.reading.take().or_else(|| self.next_lane(shards))?;
            let piece = shards.with(shard, |it| it.replica().read(&mut reader, self.records_max));
            // The empty lane is a past of every lane.
            let piece = piece.expect("no lane forks from its beginning");
            let Some(piece) = piece else { continue };
            if piece.end.is_none() {
                self.reading = Some((shard, reader));
            }
            return Some((shard, piece));
        }
    }

    fn next_lane(&mut self, shards: &impl Shards) -> Option<(ShardIndex, IntervalReader)> {
        loop {
            if let Some((shard, lane)) = self.lanes_left.pop() {
                return Some((shard, IntervalReader::new(lane, Mark::ZERO)));
            }
            let shard = self.shards_left.pop_front()?;
            let digest = shards.with(shard, |it| it.replica().digest());
            self.lanes_left = digest.iter().map(|(lane, _)| (shard, lane)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format};
    use core::cell::RefCell;

    use crdt_core::{Replica, StartId, Sum, Sums};

    use super::*;
    use crate::Shard;

    const RECORDS_MAX: usize = 2;

    /// Holds an own lane and one of a peer, each of so many counters.
    fn shard(counters: usize) -> Shard {
        let mut peer = Replica::new(ReplicaId::new(2), StartId::new(2));
        let mut own = Replica::new(ReplicaId::new(1), StartId::new(1));
        for replica in [&mut peer, &mut own] {
            for number in 0..counters {
                let name = format!("counter-{number}").parse().expect("a name");
                let counter = replica.counter(&name);
                replica.take(counter, Sum::of(1));
            }
            replica.commit().expect("adds");
            replica.synced();
        }
        let whole = peer.interval(peer.id(), Mark::ZERO).expect("no fork");
        own.receive(whole.expect("adds")).expect("it is the first");
        own.commit().expect("it was received");
        own.synced();
        Shard::new(own)
    }

    #[test]
    fn a_snapshot_is_every_lane_of_every_shard_in_pieces() {
        let empty = Shard::new(Replica::new(ReplicaId::new(1), StartId::new(1)));
        let shards = RefCell::new([shard(5), empty, shard(1)].into());
        let mut reader = SnapshotReader::new(&shards, RECORDS_MAX);
        let mut found = BTreeMap::new();
        let mut sums = Sums::new();
        while let Some((shard, piece)) = reader.poll(&shards) {
            assert!(piece.sums.len() <= RECORDS_MAX);
            assert_eq!(piece.is_first, sums.is_empty(), "one lane after the other");
            sums.extend(piece.sums.into_records());
            if let Some(end) = piece.end {
                let sums = core::mem::take(&mut sums);
                found.insert((shard, piece.lane), (end.to, end.starts, sums));
            }
        }
        let mut expected = BTreeMap::new();
        for shard in shards.indices() {
            shards.with(shard, |it| {
                for (lane, _) in it.replica().digest().iter() {
                    let whole = it.replica().interval(lane, Mark::ZERO).expect("no fork");
                    let whole = whole.expect("it is held");
                    expected.insert((shard, lane), (whole.to, whole.starts, whole.sums));
                }
            });
        }
        assert_eq!(found, expected);
        assert_eq!(found.len(), 4);
    }
}
