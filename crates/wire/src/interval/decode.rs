//! The reading end: parts become intervals, or are refused.
//!
//! What comes over a network is not believed: a part is checked before anything is made of it, and
//! what a stream can make its reader hold is bounded by [`DecodeLimits`].

use crdt_core::{
    CounterIndex, CounterName, Interval, Mark, ReplicaId, StartId, SumRecord, Sums, Total, Version,
};
use rustc_hash::FxHashMap;

use super::DecodeError;
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

/// An interval whose last part has not come.
#[derive(Debug)]
struct Assembling {
    shard: u32,
    lane: ReplicaId,
    after: Mark,
    /// Its end, once a part has told it: the last one, or the first one where older versions of
    /// this program wrote it.
    end: Option<(Mark, Vec<(Version, StartId)>)>,
    sums: Sums,
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
                records: crdt_core::Records::default(),
                needs: Vec::new(),
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
        let records_max = self.limits.interval_records_max;
        if count > records_max.saturating_sub(interval.sums.len()) {
            let lane = interval.lane;
            return Err(DecodeError::Records { lane, records_max });
        }
        interval.sums.reserve(count);
        let shard = interval.shard;
        let known = &self.counters[shard as usize];
        let after = interval.after.version.get();
        let mut totals = Totals::of(part)?;
        for (entry, (&index, &offset)) in
            part.counters.iter().zip(&part.version_offsets).enumerate()
        {
            let counter = *known
                .get(&index)
                .ok_or(DecodeError::NotIntroduced { shard, index })?;
            let version = after
                .checked_add(offset)
                .ok_or(DecodeError::VersionOverflow { after, offset })?;
            interval.sums.push(SumRecord {
                counter,
                version: Version::new(version),
                total: totals.next(entry)?,
            });
        }
        Ok(())
    }
}

/// The totals of a part's records: in two columns, or in none where they are wide.
struct Totals<'a> {
    part: &'a v1::IntervalPart,
    /// How many came from the columns.
    narrow: usize,
    /// How many were wide.
    wide: usize,
}

impl<'a> Totals<'a> {
    /// Checks that there is one for each record.
    fn of(part: &'a v1::IntervalPart) -> Result<Self, DecodeError> {
        let (count, wide) = (part.counters.len(), part.wide.len());
        if part.version_offsets.len() != count
            || part.incremented.len() + wide != count
            || !(part.decremented.is_empty() || part.decremented.len() + wide == count)
        {
            return Err(DecodeError::Columns {
                counters: count,
                versions: part.version_offsets.len(),
                incremented: part.incremented.len(),
                decremented: part.decremented.len(),
                wide,
            });
        }
        Ok(Self {
            part,
            narrow: 0,
            wide: 0,
        })
    }

    /// The total of the next record, which is this one.
    fn next(&mut self, record: usize) -> Result<Total, DecodeError> {
        if let Some(wide) = self.part.wide.get(self.wide)
            && wide.record as usize == record
        {
            let join = |high: u64, low: u64| (u128::from(high) << 64) + u128::from(low);
            self.wide += 1;
            return Ok(Total {
                incremented: join(wide.incremented_high, wide.incremented_low),
                decremented: join(wide.decremented_high, wide.decremented_low),
            });
        }
        // Wide totals that name no record, or not in order, leave too few entries here.
        let entry = self.narrow;
        let incremented = *self
            .part
            .incremented
            .get(entry)
            .ok_or_else(|| self.refuse())?;
        self.narrow += 1;
        Ok(Total {
            incremented: incremented.into(),
            decremented: self.part.decremented.get(entry).map_or(0, |&it| it.into()),
        })
    }

    fn refuse(&self) -> DecodeError {
        DecodeError::WideTotal {
            entry: self.wide,
            record: self.part.wide[self.wide].record,
            records: self.part.counters.len(),
        }
    }
}

/// What the first part says.
fn begin(shard: u32, part: &v1::IntervalPart) -> Result<Assembling, DecodeError> {
    let after = part.after.ok_or(DecodeError::Absent("begin (`after`)"))?;
    Ok(Assembling {
        shard,
        lane: crate::replica_id_from_bytes(&part.replica_id)?,
        after: after.into(),
        end: None,
        sums: Sums::new(),
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
