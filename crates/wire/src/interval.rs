//! Delta-intervals as bytes, for replication streams, log segments and snapshots alike.
//!
//! A stream (a connection, a file) has one [`IntervalEncoder`] at its writing end and one
//! [`IntervalDecoder`] at its reading end. Both remember the names that the stream has introduced,
//! so a counter that changes often costs a few bytes each time. A long interval is cut into parts
//! of about [`PART_BYTES_TARGET`]; the decoder hands it out once it is whole, because an interval
//! is applied whole or not at all.
//!
//! What is decoded is well-formed; whether it fits the receiver's lanes is for
//! [`Replica::receive`](crdt_core::Replica::receive) to say.

use crdt_core::{
    CounterIndex, CounterName, CounterNameError, Interval, Mark, StartId, Sum, SumRecord, Version,
};
use rustc_hash::FxHashMap;
use thiserror::Error;

use crate::v1;

/// A part is closed once it has about this many bytes: well below the 4 MiB that a gRPC message
/// may have, well above what a part costs by itself.
pub const PART_BYTES_TARGET: usize = 1 << 20;

/// At most this many records in one interval: more than fit in a node's memory, few enough that
/// a sender gone mad is stopped.
pub const INTERVAL_RECORDS_MAX: usize = 1 << 27;

/// A record's columns, at their longest: an index, a version, two sums.
const RECORD_BYTES_MAX: usize = 5 + 10 + 10 + 10;

/// Why bytes are no interval.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A required field is absent.
    #[error("the interval has no {0}")]
    Absent(&'static str),
    /// A replica id has another length than 16 bytes.
    #[error("a replica id has {found} bytes; it must have 16")]
    ReplicaId {
        /// Bytes found.
        found: usize,
    },
    /// The shard does not exist.
    #[error("shard {found} does not exist; the cluster has {shard_count}, numbered from 0")]
    Shard {
        /// Shard named.
        found: u32,
        /// Shards there are.
        shard_count: u32,
    },
    /// A name is not one.
    #[error("counter {index} is introduced with a bad name: {reason}")]
    Name {
        /// Index introduced.
        index: u32,
        /// What is wrong with the name.
        reason: CounterNameError,
    },
    /// An index was not introduced before its use.
    #[error("counter {index} of shard {shard} was never introduced on this stream")]
    NotIntroduced {
        /// The shard.
        shard: u32,
        /// The index.
        index: u32,
    },
    /// The columns do not make records.
    #[error(
        "the columns differ in length: {counters} counters, {versions} versions, {incremented} \
         increments, {decremented} decrements"
    )]
    Columns {
        /// Entries of the column of counters.
        counters: usize,
        /// Entries of the column of versions.
        versions: usize,
        /// Entries of the column of increments.
        incremented: usize,
        /// Entries of the column of decrements.
        decremented: usize,
    },
    /// A version passes 64 bits.
    #[error("a record's version passes 64 bits: {after} + {offset}")]
    VersionOverflow {
        /// Where the interval begins.
        after: u64,
        /// The record's offset from there.
        offset: u64,
    },
    /// The interval does not end.
    #[error("an interval has more than {INTERVAL_RECORDS_MAX} records")]
    TooLong,
}

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

    /// The interval as parts, which must be written in this order with nothing in between.
    /// `name` tells the name behind an index of the replica that made the interval.
    ///
    /// # Panics
    ///
    /// When the shard does not exist.
    pub fn encode<'a>(
        &mut self,
        shard: u32,
        interval: &Interval,
        name: impl Fn(CounterIndex) -> &'a CounterName,
    ) -> Vec<v1::IntervalPart> {
        let mut parts = Vec::new();
        let mut part = first_part(shard, interval);
        let mut part_bytes = 0;
        for record in &interval.sums {
            if part_bytes >= PART_BYTES_TARGET {
                parts.push(std::mem::take(&mut part));
                part_bytes = 0;
            }
            if self.introduce(shard, record.counter) {
                let name = name(record.counter).as_str().to_owned();
                part_bytes += name.len() + RECORD_BYTES_MAX;
                let index = record.counter.get();
                part.introduced.push(v1::IntroducedCounter { index, name });
            }
            part_bytes += RECORD_BYTES_MAX;
            push_record(&mut part, interval.after.version, record);
        }
        part.last = true;
        parts.push(part);
        parts
    }

    /// Notes that the counter is used; whether that is the first time.
    fn introduce(&mut self, shard: u32, counter: CounterIndex) -> bool {
        let introduced = &mut self.introduced[shard as usize];
        if counter.as_usize() >= introduced.len() {
            introduced.resize(counter.as_usize() + 1, false);
        }
        !std::mem::replace(&mut introduced[counter.as_usize()], true)
    }
}

fn first_part(shard: u32, interval: &Interval) -> v1::IntervalPart {
    let start = |&(version, start): &(Version, StartId)| v1::LaneStart {
        version: version.get(),
        start: start.get(),
    };
    v1::IntervalPart {
        shard,
        lane: crate::replica_id_to_bytes(interval.lane),
        after: Some(interval.after.into()),
        to: Some(interval.to.into()),
        starts: interval.starts.iter().map(start).collect(),
        ..Default::default()
    }
}

fn push_record(part: &mut v1::IntervalPart, after: Version, record: &SumRecord) {
    part.counters.push(record.counter.get());
    part.version_offsets
        .push(record.version.get() - after.get());
    part.incremented.push(record.sum.incremented);
    // The column of decrements is written from its first entry that is not 0 on, zeros before it.
    if record.sum.decremented != 0 || !part.decremented.is_empty() {
        part.decremented.resize(part.counters.len() - 1, 0);
        part.decremented.push(record.sum.decremented);
    }
}

/// The reading end of a stream of intervals.
#[derive(Debug)]
pub struct IntervalDecoder {
    /// For each shard, what the writer's indices are called here.
    counters: Vec<FxHashMap<u32, CounterIndex>>,
    /// The interval whose last part has not come.
    assembling: Option<(u32, Interval)>,
}

impl IntervalDecoder {
    /// For a new stream.
    #[must_use]
    pub fn new(shard_count: u32) -> Self {
        Self {
            counters: vec![FxHashMap::default(); shard_count as usize],
            assembling: None,
        }
    }

    /// The shard that the next part belongs to: where its counters must be looked up.
    ///
    /// # Errors
    ///
    /// When the part names a shard that does not exist.
    pub fn shard_of(&self, part: &v1::IntervalPart) -> Result<u32, DecodeError> {
        let shard = self
            .assembling
            .as_ref()
            .map_or(part.shard, |&(shard, _)| shard);
        let shard_count = u32::try_from(self.counters.len()).expect("made from a u32");
        if shard >= shard_count {
            return Err(DecodeError::Shard {
                found: shard,
                shard_count,
            });
        }
        Ok(shard)
    }

    /// Takes the next part; the interval with its shard, once it is whole. `index` gives this
    /// side's index of a name, in the shard that [`shard_of`](Self::shard_of) told.
    ///
    /// # Errors
    ///
    /// When the part is not well-formed. The stream cannot be read on then.
    pub fn decode(
        &mut self,
        part: &v1::IntervalPart,
        mut index: impl FnMut(&CounterName) -> CounterIndex,
    ) -> Result<Option<(u32, Interval)>, DecodeError> {
        let shard = self.shard_of(part)?;
        for introduced in &part.introduced {
            let name = CounterName::new(&introduced.name).map_err(|reason| DecodeError::Name {
                index: introduced.index,
                reason,
            })?;
            self.counters[shard as usize].insert(introduced.index, index(&name));
        }
        let mut interval = match self.assembling.take() {
            Some((_, interval)) => interval,
            None => parse_head(part)?,
        };
        self.append_records(shard, part, &mut interval)?;
        if part.last {
            return Ok(Some((shard, interval)));
        }
        self.assembling = Some((shard, interval));
        Ok(None)
    }

    fn append_records(
        &self,
        shard: u32,
        part: &v1::IntervalPart,
        interval: &mut Interval,
    ) -> Result<(), DecodeError> {
        let count = part.counters.len();
        if part.version_offsets.len() != count
            || part.incremented.len() != count
            || !(part.decremented.is_empty() || part.decremented.len() == count)
        {
            return Err(DecodeError::Columns {
                counters: count,
                versions: part.version_offsets.len(),
                incremented: part.incremented.len(),
                decremented: part.decremented.len(),
            });
        }
        if interval.sums.len() + count > INTERVAL_RECORDS_MAX {
            return Err(DecodeError::TooLong);
        }
        interval.sums.reserve(count);
        let known = &self.counters[shard as usize];
        let after = interval.after.version.get();
        for (entry, &index) in part.counters.iter().enumerate() {
            let counter = *known
                .get(&index)
                .ok_or(DecodeError::NotIntroduced { shard, index })?;
            let offset = part.version_offsets[entry];
            let version = after
                .checked_add(offset)
                .ok_or(DecodeError::VersionOverflow { after, offset })?;
            let sum = Sum {
                incremented: part.incremented[entry],
                decremented: part.decremented.get(entry).copied().unwrap_or(0),
            };
            interval.sums.push(SumRecord {
                counter,
                version: Version::new(version),
                sum,
            });
        }
        Ok(())
    }
}

fn parse_head(part: &v1::IntervalPart) -> Result<Interval, DecodeError> {
    let start = |s: &v1::LaneStart| (Version::new(s.version), StartId::new(s.start));
    Ok(Interval {
        lane: crate::replica_id_from_bytes(&part.lane)?,
        after: part
            .after
            .ok_or(DecodeError::Absent("begin (`after`)"))?
            .into(),
        to: part.to.ok_or(DecodeError::Absent("end (`to`)"))?.into(),
        starts: part.starts.iter().map(start).collect(),
        sums: Vec::new(),
    })
}

impl From<Mark> for v1::Mark {
    fn from(mark: Mark) -> Self {
        Self {
            version: mark.version.get(),
            start: mark.start.get(),
        }
    }
}

impl From<v1::Mark> for Mark {
    fn from(mark: v1::Mark) -> Self {
        Self {
            version: Version::new(mark.version),
            start: StartId::new(mark.start),
        }
    }
}

#[cfg(test)]
mod tests;
