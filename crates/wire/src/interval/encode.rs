//! The writing end: intervals, whole or in pieces, as parts.
//!
//! Parts are made one at a time, so that whoever needs a lock to look names up holds it for one
//! part only, and whoever writes them keeps one in memory.

use crdt_core::{
    CounterIndex, CounterName, Interval, IntervalPiece, Mark, RecordContent, Records, ReplicaId,
    StartId, SumRecord, Sums, Version,
};
use prost::{Message, length_delimiter_len};

use super::{PART_BYTES_TARGET, records};
use crate::v1;

/// Two columns of every record at their longest: an index, a version.
const KEY_BYTES_MAX: usize = 5 + 10;

/// The two columns of a total that is not wide, at their longest.
const TOTAL_BYTES_MAX: usize = 10 + 10;

/// The writing end of a stream of intervals.
#[derive(Debug)]
pub struct IntervalEncoder {
    /// For each shard, whether a counter was introduced.
    introduced: Vec<Vec<bool>>,
}

impl IntervalEncoder {
    /// For a new stream: no name has been introduced.
    #[must_use]
    pub fn new(shard_count: u32) -> Self {
        Self {
            introduced: vec![Vec::new(); shard_count as usize],
        }
    }

    /// All parts of an interval that is a set by itself. They must be written in this order with nothing in between.
    /// `name` tells the name behind an index of the replica that made the interval.
    ///
    /// # Panics
    ///
    /// When the shard does not exist.
    pub fn encode(
        &mut self,
        shard: u32,
        interval: &Interval,
        name: impl FnMut(CounterIndex) -> CounterName,
    ) -> Vec<v1::IntervalPart> {
        PartsOf::interval(shard, interval).collect(self, name)
    }

    /// All parts of a piece of an interval; those of its other pieces go before and after, with
    /// nothing in between. A piece without records that neither begins nor ends has none.
    ///
    /// # Panics
    ///
    /// When the shard does not exist.
    pub fn encode_piece(
        &mut self,
        shard: u32,
        piece: &IntervalPiece,
        name: impl FnMut(CounterIndex) -> CounterName,
    ) -> Vec<v1::IntervalPart> {
        PartsOf::piece(shard, piece).collect(self, name)
    }

    /// Introduces the counter in this part, unless the stream has had it; how many bytes that takes.
    fn introduce(
        &mut self,
        part: &mut v1::IntervalPart,
        shard: u32,
        counter: CounterIndex,
        name: impl FnOnce(CounterIndex) -> CounterName,
    ) -> usize {
        let introduced = &mut self.introduced[shard as usize];
        if counter.as_usize() >= introduced.len() {
            introduced.resize(counter.as_usize() + 1, false);
        }
        if std::mem::replace(&mut introduced[counter.as_usize()], true) {
            return 0;
        }
        let introduced = v1::IntroducedCounter {
            index: counter.get(),
            name: name(counter).as_str().to_owned(),
        };
        let bytes = field_bytes(&introduced);
        part.introduced.push(introduced);
        bytes
    }
}

/// The parts of an interval, or of a piece of one, one at a time.
#[derive(Debug)]
pub struct PartsOf<'a> {
    shard: u32,
    after: Mark,
    /// The lane, until the interval's first part is made.
    begin: Option<ReplicaId>,
    sums: &'a Sums,
    /// How many records of sums the parts made so far have ...
    given: usize,
    /// ... how many of sessions ...
    given_records: usize,
    /// ... and how many gaps.
    given_gaps: usize,
    /// Where the interval ends, until its last part is made.
    end: Option<End<'a>>,
    set_goes_on: bool,
}

/// What is told at an interval's end.
#[derive(Debug)]
struct End<'a> {
    to: Mark,
    starts: &'a [(Version, StartId)],
    records: &'a Records,
    needs: &'a [(ReplicaId, Mark)],
}

impl<'a> PartsOf<'a> {
    /// The parts of a whole interval.
    #[must_use]
    pub fn interval(shard: u32, interval: &'a Interval) -> Self {
        Self {
            shard,
            after: interval.after,
            begin: Some(interval.lane),
            sums: &interval.sums,
            given: 0,
            given_records: 0,
            given_gaps: 0,
            end: Some(End {
                to: interval.to,
                starts: &interval.starts,
                records: &interval.records,
                needs: &interval.needs,
            }),
            set_goes_on: false,
        }
    }

    /// The parts of a piece.
    #[must_use]
    pub fn piece(shard: u32, piece: &'a IntervalPiece) -> Self {
        Self {
            shard,
            after: piece.after,
            begin: piece.is_first.then_some(piece.lane),
            sums: &piece.sums,
            given: 0,
            given_records: 0,
            given_gaps: 0,
            end: piece.end.as_ref().map(|end| End {
                to: end.to,
                starts: &end.starts,
                records: &end.records,
                needs: &end.needs,
            }),
            set_goes_on: false,
        }
    }

    /// The same parts, of an interval after which its set goes on, or not. The next interval of a
    /// set must be written next, and be of the same shard.
    #[must_use]
    pub fn of_set(mut self, goes_on: bool) -> Self {
        self.set_goes_on = goes_on;
        self
    }

    /// The next part, if there is one. `name` tells the name behind an index of the replica that
    /// made the interval.
    ///
    /// # Panics
    ///
    /// When the shard does not exist.
    pub fn next(
        &mut self,
        encoder: &mut IntervalEncoder,
        mut name: impl FnMut(CounterIndex) -> CounterName,
    ) -> Option<v1::IntervalPart> {
        let is_given = self.given == self.sums.len();
        if is_given && self.begin.is_none() && self.end.is_none() {
            return None;
        }
        let mut part = v1::IntervalPart::default();
        if let Some(lane) = self.begin.take() {
            part.shard = self.shard;
            part.replica_id = crate::replica_id_to_bytes(lane);
            part.after = Some(self.after.into());
        }
        let mut part_bytes = 0;
        while let Some(record) = self.sums.get(self.given) {
            if part_bytes >= PART_BYTES_TARGET {
                return Some(part);
            }
            part_bytes += encoder.introduce(&mut part, self.shard, *record.counter, &mut name);
            part_bytes += push_record(&mut part, self.after.version, &record);
            self.given += 1;
        }
        if self.end.is_some() && !self.push_records(&mut part, part_bytes, encoder, &mut name) {
            return Some(part);
        }
        if let Some(end) = self.end.take() {
            part.to = Some(end.to.into());
            part.starts = end.starts.iter().map(lane_start).collect();
            part.needs = end.needs.iter().map(records::need_to_wire).collect();
            part.last = true;
            part.set_goes_on = self.set_goes_on;
        }
        Some(part)
    }

    /// Adds records about sessions, and gaps, to a part that has so many bytes; whether they are all
    /// given then.
    fn push_records(
        &mut self,
        part: &mut v1::IntervalPart,
        mut part_bytes: usize,
        encoder: &mut IntervalEncoder,
        mut name: impl FnMut(CounterIndex) -> CounterName,
    ) -> bool {
        let Some(End { records: all, .. }) = self.end else {
            return true;
        };
        let after = self.after.version;
        while let Some(record) = all.changed.get(self.given_records) {
            // A claim may have many names: those go ahead of it, over several parts.
            if let RecordContent::Claim(adds) = &record.content {
                for &(counter, _) in adds {
                    if part_bytes >= PART_BYTES_TARGET {
                        return false;
                    }
                    part_bytes += encoder.introduce(part, self.shard, counter, &mut name);
                }
            }
            if part_bytes >= PART_BYTES_TARGET {
                return false;
            }
            let record = records::record_to_wire(after, record);
            part_bytes += field_bytes(&record);
            part.records.push(record);
            self.given_records += 1;
        }
        while let Some(gap) = all.gaps.get(self.given_gaps) {
            if part_bytes >= PART_BYTES_TARGET {
                return false;
            }
            let gap = records::gap_to_wire(after, gap);
            part_bytes += field_bytes(&gap);
            part.gaps.push(gap);
            self.given_gaps += 1;
        }
        true
    }

    pub(crate) fn collect(
        mut self,
        encoder: &mut IntervalEncoder,
        mut name: impl FnMut(CounterIndex) -> CounterName,
    ) -> Vec<v1::IntervalPart> {
        std::iter::from_fn(|| self.next(encoder, &mut name)).collect()
    }
}

fn lane_start(&(version, start): &(Version, StartId)) -> v1::LaneStart {
    v1::LaneStart {
        version: version.get(),
        start: start.get(),
    }
}

/// Adds a record to the part's columns; the bytes that it takes at most.
fn push_record(
    part: &mut v1::IntervalPart,
    after: Version,
    record: &SumRecord<&CounterIndex>,
) -> usize {
    let entry = part.counters.len();
    part.counters.push(record.counter.get());
    part.version_offsets
        .push(record.version.get() - after.get());
    let (incremented, decremented) = (record.total.incremented, record.total.decremented);
    let (Ok(incremented), Ok(decremented)) = (incremented.try_into(), decremented.try_into())
    else {
        let wide = v1::WideTotal {
            record: u32::try_from(entry).expect("far fewer records a part"),
            incremented_low: low(incremented),
            incremented_high: low(incremented >> 64),
            decremented_low: low(decremented),
            decremented_high: low(decremented >> 64),
        };
        let bytes = field_bytes(&wide);
        part.wide.push(wide);
        return KEY_BYTES_MAX + bytes;
    };
    // The column of decrements is written from its first entry that is not 0 on, zeros before it.
    if decremented != 0 || !part.decremented.is_empty() {
        part.decremented.resize(part.incremented.len(), 0);
        part.decremented.push(decremented);
    }
    part.incremented.push(incremented);
    KEY_BYTES_MAX + TOTAL_BYTES_MAX
}

/// What a message takes within another one: a tag of one byte, its length, and itself.
fn field_bytes(message: &impl Message) -> usize {
    let bytes = message.encoded_len();
    1 + length_delimiter_len(bytes) + bytes
}

/// The lower 64 bits.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn low(part: u128) -> u64 {
    part as u64
}

#[cfg(test)]
mod tests {
    use crdt_core::{StartId, Total};

    use super::*;

    /// The longest index and version, with this in both parts of the total.
    fn grows_by(part: &mut v1::IntervalPart, total: u128) -> (usize, usize) {
        let before = part.encoded_len();
        let record = SumRecord {
            counter: &CounterIndex::new(u32::MAX),
            version: Version::new(u64::MAX),
            total: Total {
                incremented: total,
                decremented: total,
            },
        };
        let said = push_record(part, Version::ZERO, &record);
        (part.encoded_len() - before, said)
    }

    /// So parts are closed neither early nor late.
    #[test]
    fn a_part_grows_by_what_its_longest_records_are_said_to_take() {
        for total in [u128::from(u64::MAX), u128::MAX] {
            let mut part = v1::IntervalPart::default();
            for _ in 0..2 {
                // The columns begin.
                grows_by(&mut part, total);
            }
            let (bytes, said) = grows_by(&mut part, total);
            assert_eq!(bytes, said, "{total:x}");
        }
    }

    #[test]
    fn a_part_is_closed_once_it_has_the_bytes_that_it_is_to_have() {
        let start = StartId::new(1);
        let to = Mark {
            version: Version::new(1),
            start,
        };
        let record = |counter| SumRecord {
            counter: CounterIndex::new(counter),
            version: to.version,
            total: Total::default(),
        };
        let interval = Interval {
            lane: ReplicaId::new(1),
            after: Mark::ZERO,
            to,
            starts: vec![(to.version, start)],
            sums: (0..600).map(record).collect(),
            records: crdt_core::Records::default(),
            needs: Vec::new(),
        };
        let name = "x".repeat(CounterName::BYTES_MAX);
        let name = |_| name.parse().expect("a long name");
        let parts = IntervalEncoder::new(1).encode(0, &interval, name);
        let (_, full) = parts.split_last().expect("an interval has a part");
        assert_eq!(full.len(), 2);
        for part in full {
            let bytes = part.encoded_len();
            let short = PART_BYTES_TARGET - bytes;
            // A record's numbers are shorter here than they can be.
            assert!(short < PART_BYTES_TARGET / 10, "{bytes}");
        }
    }
}
