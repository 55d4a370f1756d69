//! Reading a lane: the intervals that a replica serves, whole or in pieces.
//!
//! Whoever reads holds the replica for as long as one piece takes. Between two pieces it may take
//! adds, commit and receive: what changes meanwhile comes in a later piece, so that at the end
//! everything that changed after the mark was given as it is at the end. Where the reading stands
//! is the reader's to remember; the replica knows nothing of it.

use super::Replica;
use crate::{Fork, Interval, IntervalEnd, IntervalPiece, Mark, ReplicaId, lane::Walk};

/// Reads what changed in a lane after a mark, a bounded number of records at a time, while the
/// replica goes on changing between the pieces. It belongs to one replica: its place means nothing
/// to another.
///
/// After an interval's last piece it stands at that interval's end, and reads on from there.
///
/// ```
/// use crdt_core::{CounterName, IntervalReader, Mark, Replica, ReplicaId, StartId, Sum};
///
/// let mut replica = Replica::new(ReplicaId::new(0xa), StartId::new(1));
/// for name in ["likes", "views", "shares"] {
///     let counter = replica.counter(&name.parse::<CounterName>()?);
///     replica.add(counter, Sum::of(1))?;
/// }
/// replica.commit();
/// replica.synced();
///
/// let mut reader = IntervalReader::new(replica.id(), Mark::ZERO);
/// let first = replica.read(&mut reader, 2)?.expect("there are three records");
/// assert_eq!((first.sums.len(), first.end), (2, None));
/// let last = replica.read(&mut reader, 2)?.expect("there is one more");
/// assert_eq!(last.end.expect("it is the last").to, replica.held(replica.id()));
/// assert_eq!(replica.read(&mut reader, 2)?, None, "nothing has changed since");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct IntervalReader {
    lane: ReplicaId,
    after: Mark,
    /// Where the reading stands, once it has begun.
    walk: Option<Walk>,
}

impl IntervalReader {
    /// A reader of all that changed in `lane` after `after`.
    #[must_use]
    pub fn new(lane: ReplicaId, after: Mark) -> Self {
        Self {
            lane,
            after,
            walk: None,
        }
    }

    /// The lane that is read.
    #[must_use]
    pub fn lane(&self) -> ReplicaId {
        self.lane
    }

    /// The mark after which the interval begins that is being read, or is read next.
    #[must_use]
    pub fn after(&self) -> Mark {
        self.after
    }
}

impl Replica {
    /// The next piece of an interval, of about `records_max` records at most; `None` when nothing
    /// has changed after the reader's mark, which only the first piece can tell. A piece may have
    /// no records while the first one is being looked for.
    ///
    /// The pieces up to the one that has the [end](IntervalPiece::end) are one [`Interval`], and
    /// are applied as one: their records in this order, a later record of a counter in the place of
    /// an earlier one. To end however fast the lane changes, pieces grow once the reading has
    /// lasted for long: they double each time, after what was there when it began was given.
    ///
    /// # Errors
    ///
    /// As [`interval`](Self::interval).
    ///
    /// # Panics
    ///
    /// When `records_max` is 0.
    pub fn read(
        &self,
        reader: &mut IntervalReader,
        records_max: usize,
    ) -> Result<Option<IntervalPiece>, Fork> {
        assert!(records_max > 0, "a piece has room for a record");
        let IntervalReader { lane, after, .. } = *reader;
        self.admits(lane, after)?;
        let Some(held) = self.lanes.get(&lane) else {
            return Ok(None);
        };
        let to = held.history.mark();
        if after.version >= to.version {
            return Ok(None);
        }
        let is_first = reader.walk.is_none();
        let new = || Walk::new(held, after.version);
        let (sums, is_last) = reader.walk.get_or_insert_with(new).next(held, records_max);
        let end = is_last.then(|| IntervalEnd {
            to,
            starts: held.history.starts_after(after.version),
            records: held.records.changes_after(after.version),
            needs: held.needs_after(after.version),
        });
        if is_last {
            *reader = IntervalReader::new(lane, to);
        }
        Ok(Some(IntervalPiece {
            lane,
            after,
            is_first,
            sums,
            end,
        }))
    }

    /// The answer to a peer's question: all that changed in `lane` after the mark that the peer
    /// holds, up to what is held here. `None` when that is nothing. Any replica may be asked for
    /// any lane. An interval after [`Mark::ZERO`] is the whole lane: a snapshot. Where that may be
    /// long, [`read`](Self::read) gives it in pieces.
    ///
    /// # Errors
    ///
    /// When the peer's mark does not lie on this lane's history, so that the lane has forked. For
    /// the own lane this says that the replica has forgotten what others have seen of it; it must
    /// stop serving.
    pub fn interval(&self, lane: ReplicaId, after: Mark) -> Result<Option<Interval>, Fork> {
        let piece = self.read(&mut IntervalReader::new(lane, after), usize::MAX)?;
        Ok(piece.map(|piece| {
            let end = piece.end.expect("a piece without a bound is the last");
            Interval {
                lane,
                after,
                to: end.to,
                starts: end.starts,
                sums: piece.sums,
                records: end.records,
                needs: end.needs,
            }
        }))
    }
}
