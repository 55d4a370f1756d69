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
