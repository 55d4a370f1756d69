//! The reading end: parts become intervals, or are refused.
//!
//! What comes over a network is not believed: a part is checked before anything is made of it, and
//! what a stream can make its reader hold is bounded by [`DecodeLimits`].

use crdt_core::{
    CounterIndex, CounterName, CounterNameError, Interval, Mark, ReplicaId, StartId, Sum,
    SumRecord, Version,
};
use rustc_hash::FxHashMap;
use thiserror::Error;

use crate::v1;

/// What a stream may make its reader hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Records of one interval: they are assembled in memory, at 32 bytes each.
    pub interval_records_max: usize,
    /// Bytes of names that one interval introduces.
    pub interval_name_bytes_max: usize,
    /// Names that the stream introduces, over all shards: the dictionary remembers each, with
    /// about 20 bytes.
    pub stream_names_max: usize,
}

impl DecodeLimits {
    /// For a stream from a peer. A node has room for ten million counters unless its operator asks
    /// for more, and an interval that was read while everything changed names each about three
    /// times; so what a sender gone mad can use up is about a gigabyte.
    pub const STREAM: Self = Self {
        interval_records_max: 1 << 25,
        interval_name_bytes_max: 1 << 30,
        stream_names_max: 1 << 25,
    };

    /// For a file that this program has written: what it wrote fitted its memory, and it must be
    /// able to read it, however long it is.
    pub const FILE: Self = Self {
        interval_records_max: usize::MAX,
        interval_name_bytes_max: usize::MAX,
        stream_names_max: usize::MAX,
    };
}

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
    /// A name belongs to another shard.
    #[error(
        "counter {name:?} is introduced in shard {found}, but belongs to shard {expected}; the \
         writer places counters by another rule"
    )]
    NameShard {
        /// The name.
        name: CounterName,
        /// The shard in which it is introduced.
        found: u32,
        /// The shard that its name belongs to.
        expected: u32,
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
    /// The stream goes on with another interval than the one that has begun.
    #[error("an interval begins before the last part of the one before it")]
    Interrupted,
    /// The interval ends twice.
    #[error("the interval names its end (`to`) twice")]
    EndsTwice,
    /// The interval is too long.
    #[error(
        "an interval of lane {lane} has more than {records_max} records; the reader takes no \
         longer ones"
    )]
    Records {
        /// The lane.
        lane: ReplicaId,
        /// Records allowed.
        records_max: usize,
    },
    /// The interval introduces too much text.
    #[error(
        "an interval of lane {lane} introduces more than {bytes_max} bytes of names; the reader \
         takes no more"
    )]
    NameBytes {
        /// The lane.
        lane: ReplicaId,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The stream introduces too many names.
    #[error("the stream introduces more than {names_max} names; the reader remembers no more")]
    Names {
        /// Names allowed.
        names_max: usize,
    },
}

/// An interval whose last part has not come.
#[derive(Debug)]
struct Assembling {
    shard: u32,
    lane: ReplicaId,
    after: Mark,
    /// Its end, once a part has told it: the last one, or the first one where older versions of
    /// this program wrote it.
    end: Option<(Mark, Vec<(Version, StartId)>)>,
    sums: Vec<SumRecord>,
    name_bytes: usize,
}

/// The reading end of a stream of intervals.
#[derive(Debug)]
pub struct IntervalDecoder {
    limits: DecodeLimits,
    /// For each shard, what the writer's indices are called here.
    counters: Vec<FxHashMap<u32, CounterIndex>>,
    /// How many names these are.
    names: usize,
    assembling: Option<Assembling>,
}

impl IntervalDecoder {
    /// For a new stream.
    #[must_use]
    pub fn new(shard_count: u32, limits: DecodeLimits) -> Self {
        Self {
            limits,
            counters: vec![FxHashMap::default(); shard_count as usize],
            names: 0,
            assembling: None,
        }
    }

    /// The shard that the next part belongs to: where its counters must be looked up.
    ///
    /// # Errors
    ///
    /// When the part names a shard that does not exist.
    pub fn shard_of(&self, part: &v1::IntervalPart) -> Result<u32, DecodeError> {
        let begun = self.assembling.as_ref();
        let shard = begun.map_or(part.shard, |interval| interval.shard);
        let shard_count = self.shard_count();
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
    /// When the part is not well-formed, or passes a limit. The stream cannot be read on then.
    pub fn decode(
        &mut self,
        part: &v1::IntervalPart,
        index: impl FnMut(&CounterName) -> CounterIndex,
    ) -> Result<Option<(u32, Interval)>, DecodeError> {
        let shard = self.shard_of(part)?;
        let mut interval = match self.assembling.take() {
            None => begin(shard, part)?,
            Some(_) if part.after.is_some() => return Err(DecodeError::Interrupted),
            Some(interval) => interval,
        };
        self.introduce(&mut interval, part, index)?;
        self.append_records(&mut interval, part)?;
        take_end(&mut interval, part)?;
        if !part.last {
            self.assembling = Some(interval);
            return Ok(None);
        }
        let Assembling {
            lane,
            after,
            end,
            sums,
            ..
        } = interval;
        let (to, starts) = end.ok_or(DecodeError::Absent("end (`to`)"))?;
        Ok(Some((
            shard,
            Interval {
                lane,
                after,
                to,
                starts,
                sums,
            },
        )))
    }

    fn shard_count(&self) -> u32 {
        u32::try_from(self.counters.len()).expect("made from a u32")
    }

    fn introduce(
        &mut self,
        interval: &mut Assembling,
        part: &v1::IntervalPart,
        mut index: impl FnMut(&CounterName) -> CounterIndex,
    ) -> Result<(), DecodeError> {
        let (found, lane) = (interval.shard, interval.lane);
        let shard_count = self.shard_count();
        let dictionary = &mut self.counters[found as usize];
        for introduced in &part.introduced {
            let name = CounterName::new(&introduced.name).map_err(|reason| DecodeError::Name {
                index: introduced.index,
                reason,
            })?;
            let expected = crate::shard_of(&name, shard_count);
            if found != expected {
                return Err(DecodeError::NameShard {
                    name,
                    found,
                    expected,
                });
            }
            interval.name_bytes += introduced.name.len();
            let bytes_max = self.limits.interval_name_bytes_max;
            if interval.name_bytes > bytes_max {
                return Err(DecodeError::NameBytes { lane, bytes_max });
            }
            let names_max = self.limits.stream_names_max;
            if self.names >= names_max && !dictionary.contains_key(&introduced.index) {
                return Err(DecodeError::Names { names_max });
            }
            let counter = index(&name);
            if dictionary.insert(introduced.index, counter).is_none() {
                self.names += 1;
            }
        }
        Ok(())
    }

    fn append_records(
        &self,
        interval: &mut Assembling,
        part: &v1::IntervalPart,
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
        let records_max = self.limits.interval_records_max;
        if count > records_max.saturating_sub(interval.sums.len()) {
            let lane = interval.lane;
            return Err(DecodeError::Records { lane, records_max });
        }
        interval.sums.reserve(count);
        let shard = interval.shard;
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

/// What the first part says.
fn begin(shard: u32, part: &v1::IntervalPart) -> Result<Assembling, DecodeError> {
    let after = part.after.ok_or(DecodeError::Absent("begin (`after`)"))?;
    Ok(Assembling {
        shard,
        lane: crate::replica_id_from_bytes(&part.lane)?,
        after: after.into(),
        end: None,
        sums: Vec::new(),
        name_bytes: 0,
    })
}

/// Notes the interval's end, where the part tells it.
fn take_end(interval: &mut Assembling, part: &v1::IntervalPart) -> Result<(), DecodeError> {
    let start = |s: &v1::LaneStart| (Version::new(s.version), StartId::new(s.start));
    let Some(to) = part.to else {
        return if part.starts.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Absent("end (`to`) beside its starts"))
        };
    };
    let starts = part.starts.iter().map(start).collect();
    match interval.end.replace((to.into(), starts)) {
        None => Ok(()),
        Some(_) => Err(DecodeError::EndsTwice),
    }
}
