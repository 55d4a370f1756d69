//! The reading end: parts become intervals, or are refused.
//!
//! What comes over a network is not believed: a part is checked before anything is made of it, and
//! what a stream can make its reader hold is bounded by [`DecodeLimits`].

use crdt_core::{
    CounterIndex, CounterName, Interval, Mark, Records, ReplicaId, StartId, SumRecord, Sums, Total,
    Version,
};
use prost::Message as _;
use rustc_hash::FxHashMap;

use super::{DecodeError, DecodeLimits, records};
use crate::v1;

/// A set of which not all has come.
#[derive(Debug)]
struct Assembling {
    shard: u32,
    /// Its intervals that are whole.
    whole: Vec<Interval>,
    /// The one whose last part has not come.
    begun: Option<Begun>,
    /// Records of its sums.
    records: usize,
    record_bytes: usize,
    name_bytes: usize,
}

/// An interval whose last part has not come.
#[derive(Debug)]
struct Begun {
    lane: ReplicaId,
    after: Mark,
    /// Its end, once a part has told it: the last one, or the first one where older versions of
    /// this program wrote it.
    end: Option<End>,
    sums: Sums,
    records: Records,
}

/// What is told beside an interval's end.
#[derive(Debug)]
struct End {
    to: Mark,
    starts: Vec<(Version, StartId)>,
    needs: Vec<(ReplicaId, Mark)>,
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
        let set = self.assembling.as_ref();
        let shard = set.map_or(part.shard, |set| set.shard);
        let shard_count = self.shard_count();
        if shard >= shard_count {
            return Err(DecodeError::Shard {
                found: shard,
                shard_count,
            });
        }
        Ok(shard)
    }

    /// Takes the next part; the set with its shard, once it is whole: mostly one interval. `index`
    /// gives this side's index of a name, in the shard that [`shard_of`](Self::shard_of) told.
    ///
    /// # Errors
    ///
    /// When the part is not well-formed, or passes a limit. The stream cannot be read on then.
    pub fn decode(
        &mut self,
        part: &v1::IntervalPart,
        index: impl FnMut(&CounterName) -> CounterIndex,
    ) -> Result<Option<(u32, Vec<Interval>)>, DecodeError> {
        let shard = self.shard_of(part)?;
        let mut set = self.assembling.take().unwrap_or_else(|| Assembling {
            shard,
            whole: Vec::new(),
            begun: None,
            records: 0,
            record_bytes: 0,
            name_bytes: 0,
        });
        let mut interval = match set.begun.take() {
            None => set.begin(&self.limits, part)?,
            Some(_) if part.after.is_some() => return Err(DecodeError::Interrupted),
            Some(begun) => begun,
        };
        self.introduce(&mut set, interval.lane, part, index)?;
        self.append_sums(&mut set, &mut interval, part)?;
        self.append_records(&mut set, &mut interval, part)?;
        self.take_end(&mut interval, part)?;
        if part.last {
            set.whole.push(interval.whole()?);
        } else if part.set_goes_on {
            return Err(DecodeError::Absent("last part before its set goes on"));
        } else {
            set.begun = Some(interval);
        }
        if part.last && !part.set_goes_on {
            return Ok(Some((set.shard, set.whole)));
        }
        self.assembling = Some(set);
        Ok(None)
    }

    fn shard_count(&self) -> u32 {
        u32::try_from(self.counters.len()).expect("made from a u32")
    }

    fn introduce(
        &mut self,
        set: &mut Assembling,
        lane: ReplicaId,
        part: &v1::IntervalPart,
        mut index: impl FnMut(&CounterName) -> CounterIndex,
    ) -> Result<(), DecodeError> {
        let found = set.shard;
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
            set.name_bytes += introduced.name.len();
            let bytes_max = self.limits.set_name_bytes_max;
            if set.name_bytes > bytes_max {
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

    fn append_sums(
        &self,
        set: &mut Assembling,
        interval: &mut Begun,
        part: &v1::IntervalPart,
    ) -> Result<(), DecodeError> {
        let count = part.counters.len();
        let records_max = self.limits.set_records_max;
        if count > records_max.saturating_sub(set.records) {
            let lane = interval.lane;
            return Err(DecodeError::Records { lane, records_max });
        }
        set.records += count;
        interval.sums.reserve(count);
        let after = interval.after.version;
        let mut totals = Totals::of(part)?;
        for (entry, (&index, &offset)) in
            part.counters.iter().zip(&part.version_offsets).enumerate()
        {
            interval.sums.push(SumRecord {
                counter: self.counter(set.shard, index)?,
                version: records::version_from_wire(after, offset)?,
                total: totals.next(entry)?,
            });
        }
        Ok(())
    }

    fn append_records(
        &self,
        set: &mut Assembling,
        interval: &mut Begun,
        part: &v1::IntervalPart,
    ) -> Result<(), DecodeError> {
        let records = part.records.iter().map(v1::SessionRecord::encoded_len);
        let gaps = part.gaps.iter().map(v1::RecordGap::encoded_len);
        // What says nothing takes two bytes all the same.
        set.record_bytes += records.chain(gaps).map(|bytes| bytes + 2).sum::<usize>();
        let bytes_max = self.limits.set_record_bytes_max;
        if set.record_bytes > bytes_max {
            let lane = interval.lane;
            return Err(DecodeError::RecordBytes { lane, bytes_max });
        }
        let after = interval.after.version;
        let counter = |index| self.counter(set.shard, index);
        for record in &part.records {
            let record = records::record_from_wire(&self.limits, after, record, counter)?;
            interval.records.changed.push(record);
        }
        for gap in &part.gaps {
            interval
                .records
                .gaps
                .push(records::gap_from_wire(after, gap)?);
        }
        Ok(())
    }

    /// Notes the interval's end, where the part tells it.
    fn take_end(&self, interval: &mut Begun, part: &v1::IntervalPart) -> Result<(), DecodeError> {
        let start = |s: &v1::LaneStart| (Version::new(s.version), StartId::new(s.start));
        let Some(to) = part.to else {
            return if !part.starts.is_empty() {
                Err(DecodeError::Absent("end (`to`) beside its starts"))
            } else if !part.needs.is_empty() {
                Err(DecodeError::Absent("end (`to`) beside its needs"))
            } else {
                Ok(())
            };
        };
        let end = End {
            to: to.into(),
            starts: part.starts.iter().map(start).collect(),
            needs: records::needs_from_wire(&self.limits, &part.needs)?,
        };
        match interval.end.replace(end) {
            None => Ok(()),
            Some(_) => Err(DecodeError::EndsTwice),
        }
    }

    /// This side's index of a counter that the stream has introduced.
    fn counter(&self, shard: u32, index: u32) -> Result<CounterIndex, DecodeError> {
        let known = self.counters[shard as usize].get(&index).copied();
        known.ok_or(DecodeError::NotIntroduced { shard, index })
    }
}

impl Assembling {
    /// The set's first interval, or its next one, begins.
    fn begin(&self, limits: &DecodeLimits, part: &v1::IntervalPart) -> Result<Begun, DecodeError> {
        let after = part.after.ok_or(DecodeError::Absent("begin (`after`)"))?;
        let (found, expected) = (part.shard, self.shard);
        if found != expected {
            return Err(DecodeError::SetShard { found, expected });
        }
        let intervals_max = limits.set_intervals_max;
        if self.whole.len() >= intervals_max {
            return Err(DecodeError::Intervals { intervals_max });
        }
        Ok(Begun {
            lane: crate::replica_id_from_bytes(&part.replica_id)?,
            after: after.into(),
            end: None,
            sums: Sums::new(),
            records: Records::default(),
        })
    }
}

impl Begun {
    fn whole(self) -> Result<Interval, DecodeError> {
        let end = self.end.ok_or(DecodeError::Absent("end (`to`)"))?;
        Ok(Interval {
            lane: self.lane,
            after: self.after,
            to: end.to,
            starts: end.starts,
            sums: self.sums,
            records: self.records,
            needs: end.needs,
        })
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
