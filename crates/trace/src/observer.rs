//! A shard's steps as lines.
//!
//! For each lane the content is kept as it moves: each record adds its new sum less the one that
//! is held. So a commit costs as much as it has records, whatever the lane's size.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crdt_core::{
    CounterIndex, CounterName, Group, Interval, Mark, ReceiveError, Replica, ReplicaId, StartId,
    Sum, Total,
};
use protocol::{Observer, Round, Shard, ShardIndex, Span};

use crate::records::LaneRecords;
use crate::{Content, FORMAT, LaneAt, Outcome, Step, Trace, Written};

/// Watches one shard.
#[derive(Debug)]
struct ShardTrace {
    trace: Trace,
    index: ShardIndex,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What each lane holds, or will hold once the group being written is held.
    contents: BTreeMap<ReplicaId, Content>,
    /// What each says of sessions, at the same place.
    records: BTreeMap<ReplicaId, LaneRecords>,
    /// The lanes of the group being written.
    writing: Vec<ReplicaId>,
}

impl ShardTrace {
    /// Watches a shard that holds these lanes.
    fn new(trace: Trace, index: ShardIndex, replica: &Replica, held: &[LaneAt]) -> Self {
        let contents = held.iter().map(|held| (held.lane, held.content));
        let records = held.iter().map(|held| {
            let (records, _) = LaneRecords::of(replica, held.lane);
            (held.lane, records)
        });
        Self {
            trace,
            index,
            state: Mutex::new(State {
                contents: contents.collect(),
                records: records.collect(),
                writing: Vec::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The shard is held by whoever calls, so nobody has changed half of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins the trace of a process that has read so much of segments and a snapshot back; its
/// shards, watched.
pub fn begin(
    trace: &Trace,
    (replica, start): (ReplicaId, StartId),
    shards: impl IntoIterator<Item = Shard>,
    (segment_bytes, snapshot_bytes): (u64, u64),
) -> Vec<Shard> {
    let shards: Vec<Shard> = shards.into_iter().collect();
    trace.line(|| Step::Start {
        format: FORMAT,
        replica,
        start,
        shards: u32::try_from(shards.len()).expect("at most 256 shards"),
    });
    let watch = |(index, shard): (ShardIndex, Shard)| {
        let held = lanes(index, shard.replica());
        for &lane in &held {
            trace.line(|| Step::Recovered(lane));
        }
        let observer = ShardTrace::new(trace.clone(), index, shard.replica(), &held);
        shard.observed(Arc::new(observer))
    };
    let shards = (0..).zip(shards).map(watch).collect();
    trace.told(|| Step::Open {
        segment_bytes,
        snapshot_bytes,
    });
    shards
}

/// The lanes that a shard's replica holds, each counted anew from all its records.
#[must_use]
pub fn lanes(shard: ShardIndex, replica: &Replica) -> Vec<LaneAt> {
    let lane_at = |(lane, mark)| LaneAt {
        shard,
        lane,
        mark,
        content: count(replica, lane),
    };
    replica.digest().iter().map(lane_at).collect()
}

fn count(replica: &Replica, lane: ReplicaId) -> Content {
    let index = |index| {
        let index = u32::try_from(index).expect("fewer than 2^32 counters a shard");
        CounterIndex::new(index)
    };
    let counters = (0..replica.counters()).map(index);
    counters
        .map(|counter| Content::of(replica.name(counter), replica.sum_of(lane, counter)))
        .fold(LaneRecords::of(replica, lane).1, |all, one| all + one)
}

impl Observer for ShardTrace {
    fn taken(
        &self,
        shard: &Shard,
        mark: Mark,
        adds: &mut dyn Iterator<Item = (&CounterName, Sum)>,
    ) {
        let (mut count, mut content) = (0, Content::default());
        for (name, sum) in adds {
            count += 1;
            content += Content::of(name, sum);
        }
        self.trace.line(|| Step::Take {
            shard: self.index,
            round: shard.next_round().get(),
            mark,
            adds: count,
            content,
        });
    }

    fn received(&self, _shard: &Shard, span: Span, outcome: &Result<Option<Round>, ReceiveError>) {
        let Span { lane, after, to } = span;
        self.trace.line(|| Step::Receive {
            shard: self.index,
            lane,
            after,
            to,
            outcome: Outcome::of(outcome),
        });
    }

    fn collected(&self, shard: &Shard, round: Round, group: Option<&Group>) {
        let group = group.map_or(&[][..], |group| group);
        let mut state = self.state();
        let State {
            contents,
            records,
            writing,
        } = &mut *state;
        let mut moved = Moved {
            replica: shard.replica(),
            totals: HashMap::new(),
        };
        let group: Vec<Written> = group
            .iter()
            .map(|interval| {
                let is_own = interval.lane == shard.replica().id();
                let folded = folded(shard.replica(), records, interval);
                let of_lane = records.entry(interval.lane).or_default();
                let settled = of_lane.apply(shard.replica(), interval);
                let content = contents.entry(interval.lane).or_default();
                *content += moved.gain(interval) + settled;
                writing.push(interval.lane);
                let has_settled = !interval.records.is_empty() || !interval.needs.is_empty();
                Written {
                    lane: interval.lane,
                    after: interval.after,
                    to: interval.to,
                    content: *content,
                    settled: (is_own && has_settled).then_some(settled + folded),
                }
            })
            .collect();
        self.trace.line(|| Step::Commit {
            shard: self.index,
            round: round.get(),
            group,
        });
    }

    fn held(&self, shard: &Shard) {
        let mut state = self.state();
        let mut lanes = std::mem::take(&mut state.writing);
        lanes.sort_unstable();
        lanes.dedup();
        let lane_at = |lane| LaneAt {
            shard: self.index,
            lane,
            mark: shard.replica().held(lane),
            content: state.contents.get(&lane).copied().unwrap_or_default(),
        };
        let lanes = lanes.into_iter().map(lane_at).collect();
        self.trace.line(|| Step::Held {
            shard: self.index,
            lanes,
        });
    }
}

/// The adds of own claims that an interval of the own lane folds into its sums: those that go, and
/// that their session's home, as it is held, has granted.
fn folded(
    replica: &Replica,
    records: &BTreeMap<ReplicaId, LaneRecords>,
    interval: &Interval,
) -> Content {
    let own = replica.id();
    let Some(held) = records.get(&own).filter(|_| interval.lane == own) else {
        return Content::default();
    };
    let mut folded = Content::default();
    for (request, adds) in held.claims_that_go(interval) {
        let home = records.get(&request.session.home);
        if home.is_some_and(|home| home.grants(request, own)) {
            for &(counter, sum) in adds {
                folded += Content::of(replica.name(counter), sum);
            }
        }
    }
    folded
}

/// The totals that the intervals of a group have moved so far, on top of what is held.
struct Moved<'a> {
    replica: &'a Replica,
    totals: HashMap<(ReplicaId, CounterIndex), Total>,
}

impl Moved<'_> {
    /// What the next interval of the group brings.
    fn gain(&mut self, interval: &Interval) -> Content {
        let (lane, replica) = (interval.lane, self.replica);
        let mut gain = Content::default();
        for record in interval.sums.iter() {
            let counter = *record.counter;
            let held = || replica.sum_of(lane, counter);
            let total = self.totals.entry((lane, counter)).or_insert_with(held);
            let before = std::mem::replace(total, record.total);
            let name = replica.name(counter);
            gain += Content::of(name, record.total) - Content::of(name, before);
        }
        gain
    }
}

#[cfg(test)]
mod tests;
