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
    /// The lanes of the group being written.
    writing: Vec<ReplicaId>,
    /// What was taken since the own lane was committed last, if anything was.
    taken: Option<Content>,
}

impl State {
    /// What a commit has put into the own lane by itself: adds of claims that it has folded, or
    /// nothing but a new version. `None` where it has what was taken, and no more.
    fn settled(&mut self, gain: Content) -> Option<Content> {
        let taken = self.taken.take();
        (taken != Some(gain)).then(|| gain - taken.unwrap_or_default())
    }
}

impl ShardTrace {
    /// Watches a shard that holds these lanes.
    fn new(trace: Trace, index: ShardIndex, held: &[LaneAt]) -> Self {
        let contents = held.iter().map(|held| (held.lane, held.content));
        Self {
            trace,
            index,
            state: Mutex::new(State {
                contents: contents.collect(),
                ..State::default()
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
        shard.observed(Arc::new(ShardTrace::new(trace.clone(), index, &held)))
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
        .fold(Content::default(), |all, one| all + one)
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
        *self.state().taken.get_or_insert_default() += content;
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
        let own = shard.replica().id();
        let mut moved = Moved {
            replica: shard.replica(),
            totals: HashMap::new(),
        };
        let group: Vec<Written> = group
            .iter()
            .map(|interval| {
                let gain = moved.gain(interval);
                let Interval {
                    lane, after, to, ..
                } = *interval;
                if lane == own
                    && let Some(content) = state.settled(gain)
                {
                    self.trace.line(|| Step::Take {
                        shard: self.index,
                        round: round.get(),
                        mark: to,
                        adds: 0,
                        content,
                    });
                }
                state.writing.push(lane);
                let content = state.contents.entry(lane).or_default();
                *content += gain;
                Written {
                    lane,
                    after,
                    to,
                    content: *content,
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
