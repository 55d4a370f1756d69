//! What a transcript says, line by line, in short names.
//!
//! A replica id is the name of its node, and `A2`, `A3` are the incarnations of node A that follow;
//! a start is `s1`, `s2` in the order of all starts; a mark is `VERSION@START`, and `0` is the
//! empty lane; an interval is `(AFTER, TO]` with its records, each with the version that it got its
//! form at.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crdt_core::{CounterName, Fork, Interval, Mark, ReplicaId, StartId};
use protocol::{HeldLane, ShardIndex, Time};
use wire::v1::{IntervalPart, PullRequest, PullResponse};

/// The lines of the command at hand, and the names of all that they speak of.
#[derive(Debug, Default)]
pub(super) struct Output {
    lines: RefCell<Vec<String>>,
    lanes: RefCell<BTreeMap<ReplicaId, String>>,
    /// The time that lines begin with, while time passes.
    pub(super) stamp: Cell<Option<Time>>,
    pub(super) has_shards: Cell<bool>,
}

impl Output {
    /// Adds a line. Error texts of the machines are told with short names too.
    pub(super) fn say(&self, line: impl AsRef<str>) {
        let mut line = line.as_ref().to_owned();
        for (id, name) in self.lanes.borrow().iter() {
            line = line.replace(&id.to_string(), name);
        }
        while let Some(at) = line.find("start 0000") {
            let digits = &line[at + 6..at + 22];
            let start = u64::from_str_radix(digits, 16).expect("a start is shown in hexadecimal");
            line.replace_range(at + 6..at + 22, &format!("s{start}"));
        }
        if let Some(now) = self.stamp.get() {
            line = format!("{:>6} ms  {line}", now.us() / 1000);
        }
        self.lines.borrow_mut().push(line);
    }

    /// All lines since the last call.
    pub(super) fn take(&self) -> String {
        self.lines.take().join("\n")
    }

    /// Gives a replica a name: that of its node, with a number from its second incarnation on.
    pub(super) fn introduce(&self, id: ReplicaId, node: &str) {
        let mut lanes = self.lanes.borrow_mut();
        let is_of_node = |name: &&String| name.trim_end_matches(char::is_numeric) == node;
        let earlier = lanes.values().filter(is_of_node).count();
        let number = if earlier == 0 {
            String::new()
        } else {
            (earlier + 1).to_string()
        };
        lanes.entry(id).or_insert_with(|| format!("{node}{number}"));
    }

    /// Whose name this is.
    pub(super) fn find(&self, name: &str) -> Result<ReplicaId, String> {
        let lanes = self.lanes.borrow();
        let found = lanes.iter().find(|(_, it)| *it == name);
        let known = || lanes.values().cloned().collect::<Vec<_>>().join(", ");
        let (id, _) = found.ok_or_else(|| format!("no lane {name:?}; there are {}", known()))?;
        Ok(*id)
    }

    /// What a replica is called.
    pub(super) fn name(&self, id: ReplicaId) -> String {
        let lanes = self.lanes.borrow();
        lanes.get(&id).cloned().unwrap_or_else(|| id.to_string())
    }

    /// A replica's lane, with its shard where there are several.
    pub(super) fn lane(&self, shard: ShardIndex, id: ReplicaId) -> String {
        let name = self.name(id);
        if self.has_shards.get() {
            format!("{name}/{shard}")
        } else {
            name
        }
    }

    /// How far lanes are held, in the order of their names.
    pub(super) fn held(&self, held: &[HeldLane]) -> String {
        let one = |it: &HeldLane| format!("{} {}", self.lane(it.shard, it.lane), mark(it.mark));
        let mut all: Vec<String> = held.iter().map(one).collect();
        all.sort();
        if all.is_empty() {
            "nothing".to_owned()
        } else {
            all.join(", ")
        }
    }

    pub(super) fn span(&self, shard: ShardIndex, lane: ReplicaId, span: (Mark, Mark)) -> String {
        let (after, to) = span;
        format!("{} ({}, {}]", self.lane(shard, lane), mark(after), mark(to))
    }

    pub(super) fn interval(&self, shard: ShardIndex, interval: &Interval<CounterName>) -> String {
        let records = interval.sums.iter().map(|it| {
            let (name, version) = (it.counter.as_str(), it.version.get());
            record(name, it.total.value(), version)
        });
        let mut all = abridge(records.collect());
        let starts = interval.starts.iter();
        all.extend(starts.map(|(from, start)| start_from(from.get(), *start)));
        let span = self.span(shard, interval.lane, (interval.after, interval.to));
        format!("{span}: {}", all.join(", "))
    }

    pub(super) fn request(&self, request: &PullRequest) -> String {
        let held = wire::stream::held_from_wire(&request.held).expect("our own message");
        let hello = if request.hello.is_some() {
            "hello; "
        } else {
            ""
        };
        format!("{hello}I hold {}", self.held(&held))
    }

    pub(super) fn response(&self, parts: &mut PartReader, response: &PullResponse) -> String {
        let mut all = Vec::new();
        if response.hello.is_some() {
            all.push("hello".to_owned());
        }
        all.extend(response.parts.iter().map(|part| parts.part(self, part)));
        if !response.held.is_empty() {
            let held = wire::stream::held_from_wire(&response.held).expect("our own message");
            all.push(format!("I hold {}", self.held(&held)));
        }
        if all.is_empty() {
            all.push("heartbeat".to_owned());
        }
        all.join("; ")
    }
}

pub(super) fn mark(mark: Mark) -> String {
    if mark == Mark::ZERO {
        return "0".to_owned();
    }
    format!("{}@s{}", mark.version.get(), mark.start.get())
}

/// A counter's form, with the version at which it got it. Long names end in dots.
fn record(name: &str, value: i128, version: u64) -> String {
    format!("{}={value} v{version}", name.trim_end_matches('.'))
}

/// The first of many, how many are left out, and the last.
pub(super) fn abridge(mut all: Vec<String>) -> Vec<String> {
    if let Some(left_out) = all.len().checked_sub(4).filter(|&it| it > 2) {
        let between = format!("{left_out} more");
        all.splice(2..2 + left_out, [between]);
    }
    all
}

/// A lane's two histories.
pub(super) fn fork(lane: &str, fork: &Fork) -> String {
    let (held, seen) = (mark(fork.held), mark(fork.seen));
    format!("lane {lane} has two histories: {held} here, {seen} there")
}

fn start_from(version: u64, start: StartId) -> String {
    format!("s{} from v{version}", start.get())
}

/// Puts parts of intervals into words, in the order of a stream or a file: the names that it has
/// introduced, and the interval that is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct PartReader {
    names: BTreeMap<(ShardIndex, u32), String>,
    shard: ShardIndex,
    lane: String,
    after: u64,
}

impl PartReader {
    /// A part of an interval; `...` stands for what is in another part.
    pub(super) fn part(&mut self, output: &Output, part: &IntervalPart) -> String {
        let mut begin = "...".to_owned();
        if let Some(after) = part.after {
            let lane = wire::replica_id_from_bytes(&part.replica_id).expect("our own message");
            (self.shard, self.after) = (part.shard, after.version);
            self.lane = output.lane(part.shard, lane);
            begin = mark(after.into());
        }
        for counter in &part.introduced {
            let place = (self.shard, counter.index);
            self.names.insert(place, counter.name.clone());
        }
        let end = part.to.map_or("...".to_owned(), |to| mark(to.into()) + "]");
        let mut all = abridge(self.records(part));
        let starts = part.starts.iter();
        all.extend(starts.map(|it| start_from(it.version, StartId::new(it.start))));
        format!("{} ({begin}, {end}: {}", self.lane, all.join(", "))
    }

    fn records(&self, part: &IntervalPart) -> Vec<String> {
        let record_at = |(at, &index): (usize, &u32)| {
            let name = &self.names[&(self.shard, index)];
            let decremented = part.decremented.get(at).copied().unwrap_or_default();
            let value = i128::from(part.incremented[at]) - i128::from(decremented);
            let version = self.after + part.version_offsets[at];
            record(name, value, version)
        };
        part.counters.iter().enumerate().map(record_at).collect()
    }
}
