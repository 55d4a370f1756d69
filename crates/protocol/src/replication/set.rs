//! What a sender sends as one: an interval, and those that it needs.
//!
//! Some records mean something only to one who holds other lanes far enough; at its end an interval
//! says which, and how far ([`Interval::needs`](crdt_core::Interval::needs)). What the receiver
//! does not hold of those follows in the same *set*, and so does what that needs in turn. What this
//! node holds covers all its needs, so a set that is read at one moment ends. Lanes change while
//! they are read in pieces, and may need more of a lane that the set has had: then that lane comes
//! once more, from there on. Each time less of it is new; after a few times the rest is read at
//! once, before the lanes can change.

use alloc::collections::BTreeMap;

use crdt_core::{Fork, IntervalPiece, IntervalReader, Mark, Replica, ReplicaId};

use crate::ShardIndex;

/// So often a lane is read in pieces in one set. What has changed since the last time is little by
/// then: it is what happened while this was sent.
const IN_PIECES_MAX: u32 = 3;

/// A set that is being sent.
#[derive(Clone, Debug)]
pub(super) struct SetUnderWay {
    pub(super) shard: ShardIndex,
    /// The interval that is being read.
    reading: Option<IntervalReader>,
    /// Lanes that the set goes on with, and after which mark. Whoever has read an end was promised
    /// each of them, so each comes, also if the receiver has it from elsewhere meanwhile.
    promised: BTreeMap<ReplicaId, Mark>,
    /// How often the set has had a lane.
    had: BTreeMap<ReplicaId, u32>,
}

impl SetUnderWay {
    /// A set that begins with what comes after `after` in a lane.
    pub(super) fn new(shard: ShardIndex, lane: ReplicaId, after: Mark) -> Self {
        Self {
            shard,
            reading: Some(IntervalReader::new(lane, after)),
            promised: BTreeMap::new(),
            had: BTreeMap::new(),
        }
    }

    /// The next piece; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the lane has forked, which only the first interval of a set can tell: what was promised
    /// lies on the history that is held.
    pub(super) fn read(
        &mut self,
        replica: &Replica,
        records_max: usize,
    ) -> Result<Option<IntervalPiece>, Fork> {
        let next = self
            .next()
            .map(|(lane, after)| IntervalReader::new(lane, after));
        let Some(mut reader) = self.reading.take().or(next) else {
            return Ok(None);
        };
        let lane = reader.lane();
        self.promised.remove(&lane);
        let piece = replica.read(&mut reader, records_max)?;
        match piece.as_ref().map(|piece| piece.end.is_some()) {
            Some(true) => *self.had.entry(lane).or_default() += 1,
            Some(false) => self.reading = Some(reader),
            None => {}
        }
        Ok(piece)
    }

    /// The set goes on with what comes after `after` in a lane.
    pub(super) fn promise(&mut self, lane: ReplicaId, after: Mark) {
        self.promised.entry(lane).or_insert(after);
    }

    /// Whether the set goes on behind the end that was read last.
    pub(super) fn goes_on(&self) -> bool {
        !self.promised.is_empty()
    }

    /// Whether there is more to read.
    pub(super) fn is_left(&self) -> bool {
        self.reading.is_some() || self.goes_on()
    }

    /// Whether what is read next is to be read to its end at once.
    pub(super) fn is_closing(&self) -> bool {
        let reading = self.reading.as_ref().map(IntervalReader::lane);
        let next = reading.or_else(|| self.next().map(|(lane, _)| lane));
        next.is_some_and(|lane| self.times_had(lane) >= IN_PIECES_MAX)
    }

    /// The promised lane that the set has had least often.
    fn next(&self) -> Option<(ReplicaId, Mark)> {
        let promised = self.promised.iter().map(|(&lane, &after)| (lane, after));
        promised.min_by_key(|&(lane, _)| self.times_had(lane))
    }

    fn times_had(&self, lane: ReplicaId) -> u32 {
        self.had.get(&lane).copied().unwrap_or(0)
    }
}
