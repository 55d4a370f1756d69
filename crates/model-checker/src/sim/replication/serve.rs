//! The sender's end of a stream: knows what it has sent, and decides what is due.

use crdt_core::{CounterName, Digest, Interval, Mark, ReplicaId};

use crate::mutation::Mutation;
use crate::sim::ledger::Ledger;
use crate::sim::network::Message;
use crate::sim::oracle::Violation;
use crate::sim::queue::SimTime;
use crate::sim::trace::MessageEntry;
use crate::sim::world::{Event, World};

/// A stream sends at most once in this time.
const PACE_US: i64 = 10_000;
/// A lane of another node is sent when the receiver has lacked it for this long.
const RELAY_AFTER_US: i64 = 60_000;

/// What the sender knows of one lane at the receiver.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    mark: Mark,
    /// Since when the receiver lacks something, by the sender's clock.
    lacking_since_us: Option<i64>,
    /// The lane has forked between the two.
    forked: bool,
}

/// The sender's end of a stream.
#[derive(Debug)]
pub(in crate::sim) struct Serving {
    pub(super) stream: u64,
    /// By incarnation and shard.
    cursors: Vec<Cursor>,
    sent_at_us: Option<i64>,
    wakes_at: Option<SimTime>,
}

impl World<'_> {
    /// The node's own clock, in microseconds: it paces streams, and decides nothing else.
    fn clock_us(&self, node: usize) -> i64 {
        let now = i64::try_from(self.now.us()).expect("a run ends before 2^63 microseconds");
        now + self.nodes[node].clock_offset_us
    }

    pub(in crate::sim) fn opened(
        &mut self,
        (from, node): (usize, usize),
        stream: u64,
        held: &[Digest],
    ) -> Result<(), Violation> {
        let before = self.nodes[node].servings[from].take();
        if before
            .as_ref()
            .is_some_and(|serving| serving.stream > stream)
        {
            self.nodes[node].servings[from] = before;
            return Ok(());
        }
        let cursors = match before {
            Some(serving) if self.breaks(Mutation::CursorKept) => serving.cursors,
            _ => Vec::new(),
        };
        let serving = Serving {
            stream,
            cursors,
            sent_at_us: None,
            wakes_at: None,
        };
        self.nodes[node].servings[from] = Some(serving);
        let marks = held
            .iter()
            .enumerate()
            .flat_map(|(shard, digest)| digest.iter().map(move |(lane, mark)| (shard, lane, mark)));
        self.held_reported((from, node), &marks.collect::<Vec<_>>())?;
        self.wake(node, from, self.now);
        Ok(())
    }

    /// The receiver holds these lanes so far: checks each against what is known of it here.
    pub(in crate::sim) fn held_reported(
        &mut self,
        (from, node): (usize, usize),
        marks: &[(usize, ReplicaId, Mark)],
    ) -> Result<(), Violation> {
        let life = self.nodes[node].life;
        for &(shard, lane, mark) in marks {
            let admitted = self.nodes[node].replicas[shard].admits(lane, mark);
            let place = self.cursor_place(shard, lane);
            if let Err(fork) = admitted {
                self.fork_found(node, shard, &fork)?;
                if self.nodes[node].life != life {
                    return Ok(());
                }
                self.cursor(node, from, place).forked = true;
                continue;
            }
            let cursor = self.cursor(node, from, place);
            if mark.version > cursor.mark.version {
                cursor.mark = mark;
                cursor.lacking_since_us = None;
            }
        }
        Ok(())
    }

    fn cursor_place(&self, shard: usize, lane: ReplicaId) -> usize {
        Ledger::number(lane).0 * self.schedule.shards + shard
    }

    fn cursor(&mut self, node: usize, to: usize, place: usize) -> &mut Cursor {
        let serving = self.nodes[node].servings[to]
            .as_mut()
            .expect("the stream is open");
        if place >= serving.cursors.len() {
            serving.cursors.resize(place + 1, Cursor::default());
        }
        &mut serving.cursors[place]
    }

    /// Something new is held: every stream looks whether it has something to send.
    pub(in crate::sim) fn wake_streams(&mut self, node: usize) {
        for to in (0..self.nodes.len()).filter(|&to| to != node) {
            self.wake(node, to, self.now);
        }
    }

    fn wake(&mut self, node: usize, to: usize, at: SimTime) {
        let Some(serving) = &mut self.nodes[node].servings[to] else {
            return;
        };
        if serving.wakes_at.is_none_or(|planned| at < planned) {
            serving.wakes_at = Some(at);
            self.queue.plan(at, Event::Serve { from: node, to });
        }
    }

    /// Sends what is due, and plans to look again when the next thing is.
    pub(in crate::sim) fn serve(&mut self, node: usize, to: usize) -> Result<(), Violation> {
        let clock_us = self.clock_us(node);
        let now = self.now;
        let Some(serving) = &mut self.nodes[node].servings[to] else {
            return Ok(());
        };
        if serving.wakes_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        serving.wakes_at = None;
        let stream = serving.stream;
        let paced_us = serving.sent_at_us.map_or(clock_us, |sent| sent + PACE_US);
        let mut intervals = Vec::new();
        let mut next_us: Option<i64> = None;
        for (shard, lane) in self.all_lanes() {
            let Some(due_us) = self.due_us(node, to, (shard, lane), clock_us) else {
                continue;
            };
            let due_us = due_us.max(paced_us);
            if due_us > clock_us {
                next_us = Some(next_us.map_or(due_us, |next| next.min(due_us)));
                continue;
            }
            let life = self.nodes[node].life;
            if let Some(interval) = self.collect(node, to, shard, lane)? {
                intervals.push((shard, interval));
            }
            if self.nodes[node].life != life {
                return Ok(());
            }
        }
        if let Some(due_us) = next_us {
            let wait_us = u64::try_from(due_us - clock_us).expect("what is due later");
            self.wake(node, to, self.now.after_us(wait_us));
        }
        if !intervals.is_empty() {
            if let Some(serving) = &mut self.nodes[node].servings[to] {
                serving.sent_at_us = Some(clock_us);
            }
            self.send_intervals(node, to, stream, intervals);
        }
        Ok(())
    }

    fn all_lanes(&self) -> Vec<(usize, ReplicaId)> {
        let shards = 0..self.schedule.shards;
        shards
            .flat_map(|shard| self.ledger.ids().iter().map(move |&lane| (shard, lane)))
            .collect()
    }

    /// When the lane is to be sent, by the sender's clock; `None` when the receiver lacks nothing.
    fn due_us(
        &mut self,
        node: usize,
        to: usize,
        (shard, lane): (usize, ReplicaId),
        clock_us: i64,
    ) -> Option<i64> {
        let replica = &self.nodes[node].replicas[shard];
        let (held, own) = (replica.held(lane), replica.id() == lane);
        if held == Mark::ZERO || (!own && self.breaks(Mutation::NoRelay)) {
            return None;
        }
        let place = self.cursor_place(shard, lane);
        let cursor = self.cursor(node, to, place);
        if cursor.forked || held.version <= cursor.mark.version {
            cursor.lacking_since_us = None;
            return None;
        }
        let since_us = *cursor.lacking_since_us.get_or_insert(clock_us);
        Some(if own {
            clock_us
        } else {
            since_us + RELAY_AFTER_US
        })
    }

    /// The interval that the receiver lacks; its cursor moves to the interval's end.
    fn collect(
        &mut self,
        node: usize,
        to: usize,
        shard: usize,
        lane: ReplicaId,
    ) -> Result<Option<Interval<CounterName>>, Violation> {
        let place = self.cursor_place(shard, lane);
        let after = self.cursor(node, to, place).mark;
        let replica = &self.nodes[node].replicas[shard];
        match replica.interval(lane, after) {
            Ok(None) => Ok(None),
            Ok(Some(interval)) => {
                let interval = replica.export(&interval);
                let cursor = self.cursor(node, to, place);
                cursor.mark = interval.to;
                cursor.lacking_since_us = None;
                let (after, upto) = (after.version.get(), interval.to.version.get());
                let lane = Ledger::number(lane).0;
                self.trace_message(MessageEntry::Sent {
                    from: node,
                    to,
                    shard,
                    lane,
                    after,
                    upto,
                });
                Ok(Some(interval))
            }
            Err(fork) => {
                self.cursor(node, to, place).forked = true;
                self.fork_found(node, shard, &fork)?;
                Ok(None)
            }
        }
    }

    fn send_intervals(
        &mut self,
        node: usize,
        to: usize,
        stream: u64,
        intervals: Vec<(usize, Interval<CounterName>)>,
    ) {
        if !self.breaks(Mutation::Piecemeal) {
            self.send(node, to, Message::Intervals { stream, intervals });
            return;
        }
        for (shard, interval) in intervals {
            for part in cut_in_two(&interval) {
                self.send(
                    node,
                    to,
                    Message::Intervals {
                        stream,
                        intervals: vec![(shard, part)],
                    },
                );
            }
        }
    }
}

/// What a careless sender does with a large interval: the older half of its records as one
/// interval, the rest as another. The first is no state that the lane ever had.
fn cut_in_two(whole: &Interval<CounterName>) -> Vec<Interval<CounterName>> {
    let versions = whole.to.version.get() - whole.after.version.get();
    if versions < 2 {
        return vec![whole.clone()];
    }
    let version = crdt_core::Version::new(whole.after.version.get() + versions / 2);
    let started = whole.starts.iter().rfind(|&&(first, _)| first <= version);
    let start = started.map_or(whole.after.start, |&(_, start)| start);
    let middle = Mark { version, start };
    let (mut older, mut newer) = (whole.clone(), whole.clone());
    older.to = middle;
    older.starts.retain(|&(first, _)| first <= version);
    older.sums.retain(|record| record.version <= version);
    newer.after = middle;
    newer.starts.retain(|&(first, _)| first > version);
    newer.sums.retain(|record| record.version > version);
    vec![older, newer]
}
