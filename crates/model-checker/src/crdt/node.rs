//! One node of a CRDT world: the real replica, its disk, and what only the model knows.
//!
//! Every step of a node is a call of `crdt_core::Replica`, as in the driver loop of that crate.
//! The disk is what recovery makes of it: a second `Replica` that has recovered every synced
//! interval and done nothing else. Ghosts (the [`Ledger`]s) are written by the model alone and
//! never read by a step.

use std::fmt;
use std::sync::OnceLock;

use crdt_core::{
    CounterIndex, CounterName, Interval, Mark, ReceiveError, Received, Replica, ReplicaId, StartId,
    Sum, Total,
};

use super::ledger::Ledger;
use super::{Grain, Rules};
use crate::mutation::Mutation;
use crate::shared::Shared;

/// An interval on its way: as it was sent, for anybody.
pub type Message = Shared<Interval<CounterName>>;

/// The start that the disk's replica runs under. It adds nothing, so no lane ever shows it.
const DISK_START: StartId = StartId::new(u64::MAX);

/// The start of every process where a mutant cannot tell them apart.
const ONLY_START: StartId = StartId::new(1);

/// Room for the starts of one node before those of the next one.
const STARTS_PER_NODE: u64 = 100;

/// The names of a world's counters.
pub(super) fn counter_name(counter: usize) -> &'static CounterName {
    static NAMES: OnceLock<[CounterName; 2]> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        ["likes", "shares"].map(|name| CounterName::new(name).expect("a short name"))
    });
    &names[counter]
}

/// One node.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// The state machine that `tallyd` runs.
    pub replica: Replica,
    /// What recovery from the synced log gives.
    pub disk: Replica,
    /// The end of the log: written, not synced. A kill keeps it, a power loss does not.
    pub tail: Vec<Interval<CounterName>>,
    /// Whether the replica waits for the sync of a group.
    is_writing: bool,
    /// Earlier states of the disk, in worlds that roll one back.
    pub past: Vec<Replica>,
    /// How often its process was started.
    starts: u64,
    /// Which node this is, from 0.
    index: usize,
    /// Ghosts: the lanes that this node has owned; the last one is its own now.
    pub ledgers: Vec<Ledger>,
    /// Ghost: the highest value ever read here, by counter, in worlds that only increment.
    pub highest_read: Vec<i128>,
    /// Ghost: whether a step here has reported a fork or a malformed interval.
    pub has_alarmed: bool,
    /// Whether it takes steps at all.
    pub is_alive: bool,
}

/// The id of a node's first, second, ... incarnation.
fn incarnation(index: usize, number: usize) -> ReplicaId {
    ReplicaId::new(((index as u128 + 0xa) << 4) | number as u128)
}

impl Node {
    pub(super) fn new(index: usize, rules: &Rules) -> Self {
        let id = incarnation(index, 0);
        let disk = Replica::new(id, DISK_START);
        let mut node = Self {
            replica: disk.clone(),
            past: if rules.remembers_disks {
                vec![disk.clone()]
            } else {
                Vec::new()
            },
            disk,
            tail: Vec::new(),
            is_writing: false,
            starts: 0,
            index,
            ledgers: vec![Ledger::new(id, rules.counters)],
            highest_read: vec![0; rules.counters],
            has_alarmed: false,
            is_alive: true,
        };
        node.restart(rules);
        node
    }

    /// The lane that it writes now.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.ledgers.last().expect("a node owns a lane")
    }

    fn ledger_mut(&mut self) -> &mut Ledger {
        self.ledgers.last_mut().expect("a node owns a lane")
    }

    /// A counter's value here.
    #[must_use]
    pub fn value(&self, counter: usize) -> i128 {
        value(&self.replica, counter)
    }

    // Steps. `None`: the step is not possible, or changes nothing.

    pub(super) fn add(mut self, counter: usize, amount: i64) -> Option<Self> {
        let index = self.replica.counter(counter_name(counter));
        let mark = self.replica.add(index, Sum::of(amount)).ok()?;
        self.ledger_mut().add(counter, Sum::of(amount), mark);
        Some(self)
    }

    /// A second try of somebody else's add: the replica counts it, and no ledger knows.
    pub(super) fn retry(mut self, counter: usize, amount: i64) -> Option<Self> {
        let index = self.replica.counter(counter_name(counter));
        self.replica.add(index, Sum::of(amount)).ok()?;
        Some(self)
    }

    pub(super) fn commit(mut self, rules: &Rules) -> Option<Self> {
        let group = self.replica.commit()?;
        let own = group
            .iter()
            .find(|interval| interval.lane == self.replica.id());
        if let Some(own) = own.filter(|_| rules.breaks(Mutation::AcknowledgedBeforeSync)) {
            let mark = own.to;
            self.ledger_mut().reached(mark);
        }
        self.tail
            .extend(group.iter().map(|interval| self.replica.export(interval)));
        self.is_writing = true;
        self.note_reads(rules);
        match rules.grain {
            Grain::Atomic => self.sync(rules),
            Grain::Interleaved => Some(self),
        }
    }

    pub(super) fn sync(mut self, rules: &Rules) -> Option<Self> {
        if !self.is_writing {
            return None;
        }
        self.is_writing = false;
        self.make_tail_durable(rules);
        self.replica.synced();
        let held = self.replica.held(self.replica.id());
        self.ledger_mut().reached(held);
        self.note_reads(rules);
        Some(self)
    }

    pub(super) fn receive(mut self, message: &Message, rules: &Rules) -> Option<Self> {
        let interval = self.replica.import(message);
        let interval = rules.on_receive(&self.replica, interval);
        match self.replica.receive(interval) {
            Ok(Received::Taken) if rules.grain == Grain::Atomic => self.commit(rules),
            Ok(Received::Taken) => Some(self),
            Ok(Received::Known) | Err(ReceiveError::Gap { .. }) => None,
            Err(ReceiveError::Fork(_) | ReceiveError::Malformed { .. }) => {
                let is_news = !self.has_alarmed;
                self.has_alarmed = true;
                is_news.then_some(self)
            }
        }
    }

    /// The process dies; what it has written is still there.
    pub(super) fn kill(mut self, rules: &Rules) -> Self {
        let own = |interval: &&Interval<_>| interval.lane == self.replica.id();
        if let Some(mark) = self.tail.iter().rfind(own).map(|interval| interval.to) {
            self.ledger_mut().reached(mark);
        }
        if !rules.breaks(Mutation::ReplayedNotSynced) {
            // A restart syncs the log before anything that it finds there is seen by anybody.
            self.make_tail_durable(rules);
        }
        self.restart(rules);
        self
    }

    /// The machine loses power: what was not synced is gone.
    pub(super) fn lose_power(mut self, rules: &Rules) -> Self {
        self.tail.clear();
        self.restart(rules);
        self
    }

    /// The mutant's restart: the own lane as a peer knows it.
    pub(super) fn restart_from(mut self, peer: &Self, rules: &Rules) -> Self {
        self.disk = recovered(&peer.replica, self.replica.id(), DISK_START);
        self.lose_power(rules)
    }

    /// The directory is lost; the node starts with an empty one.
    pub(super) fn lose_disk(mut self, rules: &Rules) -> Self {
        let id = if rules.breaks(Mutation::IdReused) {
            let lane = self.ledger_mut();
            lane.durable.clear();
            lane.open.clear();
            lane.lane
        } else {
            let id = incarnation(self.index, self.ledgers.len());
            self.ledgers.push(Ledger::new(id, rules.counters));
            id
        };
        self.disk = Replica::new(id, DISK_START);
        self.lose_power(rules)
    }

    /// The directory is replaced by a backup of itself.
    pub(super) fn roll_back(mut self, to: usize, rules: &Rules) -> Self {
        self.past.truncate(to + 1);
        self.disk = self.past[to].clone();
        let held = self.disk.held(self.disk.id()).version;
        self.ledger_mut()
            .durable
            .retain(|point| point.mark.version <= held);
        self.lose_power(rules)
    }

    /// The directory is replaced by a copy of another node's.
    pub(super) fn copy_disk(mut self, of: &Self, rules: &Rules) -> Self {
        self.disk = of.disk.clone();
        let mut ledger = of.ledger().clone();
        ledger.open.clear();
        self.ledgers.push(ledger);
        self.lose_power(rules)
    }

    /// It never takes a step again.
    pub(super) fn die(mut self) -> Self {
        self.is_alive = false;
        self
    }

    /// What it can be asked for: each lane that it holds, after each point of that lane. Askers
    /// may hold any point, and messages may be late.
    pub(super) fn offers(&self, rules: &Rules) -> Vec<Message> {
        let mut sender = self.replica.clone();
        if rules.breaks(Mutation::SentBeforeDurable) && sender.commit().is_some() {
            // In this mutant's memory, what was taken counts as if it were synced.
            sender.synced();
        }
        let mut offers = Vec::new();
        for (lane, _) in sender.digest().iter() {
            for after in points(&sender, lane) {
                let interval = sender.interval(lane, after).expect("its own history");
                let Some(interval) = interval else { continue };
                let named = sender.export(&interval);
                let parts = rules.on_send(&sender, named);
                offers.extend(parts.into_iter().map(Shared::new));
            }
        }
        offers
    }

    /// Everything taken becomes durable, as it does in a node that is left alone.
    pub(super) fn finished(&self) -> Replica {
        let mut replica = self.replica.clone();
        if self.is_writing {
            replica.synced();
        }
        if replica.commit().is_some() {
            replica.synced();
        }
        replica
    }

    // Helpers.

    fn make_tail_durable(&mut self, rules: &Rules) {
        for interval in std::mem::take(&mut self.tail) {
            let interval = self.disk.import(&interval);
            self.disk
                .recover(&interval)
                .expect("a log that this node wrote");
        }
        if rules.remembers_disks && self.past.last() != Some(&self.disk) {
            self.past.push(self.disk.clone());
        }
    }

    /// A new start of the process, from the disk (and from the log's unsynced end, if any).
    fn restart(&mut self, rules: &Rules) {
        self.starts += 1;
        self.is_writing = false;
        let start = StartId::new(1 + self.starts + STARTS_PER_NODE * self.index as u64);
        let start = if rules.breaks(Mutation::StartsEqual) {
            ONLY_START
        } else {
            start
        };
        self.replica = recovered(&self.disk, self.disk.id(), start);
        for interval in &self.tail {
            let interval = self.replica.import(interval);
            self.replica
                .recover(&interval)
                .expect("a log that this node wrote");
        }
        self.ledger_mut().open.clear();
        self.note_reads(rules);
    }

    fn note_reads(&mut self, rules: &Rules) {
        if rules.only_increments {
            for counter in 0..rules.counters {
                let value = self.value(counter);
                let highest = &mut self.highest_read[counter];
                *highest = value.max(*highest);
            }
        }
    }
}

/// As the Explorer shows it: what can be seen of the node, not how the replica stores it.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<_> = self.replica.values_from("").collect();
        f.debug_struct("Node")
            .field("reads", &values)
            .field("holds", &self.replica.digest())
            .field("on_disk", &self.disk.digest())
            .field("not_synced", &self.tail)
            .field("promised", self.ledger())
            .finish_non_exhaustive()
    }
}

/// A counter's value at a replica.
pub(super) fn value(replica: &Replica, counter: usize) -> i128 {
    index_at(replica, counter).map_or(0, |index| replica.value(index))
}

/// What a replica holds of one lane's counter.
pub(super) fn sum_of(replica: &Replica, lane: ReplicaId, counter: usize) -> Total {
    index_at(replica, counter).map_or_else(Total::default, |index| replica.sum_of(lane, index))
}

fn index_at(replica: &Replica, counter: usize) -> Option<CounterIndex> {
    replica.find(counter_name(counter).as_str())
}

/// A replica that has recovered all that another one holds: each lane as one interval, which is
/// what a snapshot is. A lane that is not served is lost, for the guarantees to notice.
pub(super) fn recovered(from: &Replica, id: ReplicaId, start: StartId) -> Replica {
    let mut replica = Replica::new(id, start);
    for (lane, _) in from.digest().iter() {
        let Ok(Some(whole)) = from.interval(lane, Mark::ZERO) else {
            continue;
        };
        let whole = replica.import(&from.export(&whole));
        replica
            .recover(&whole)
            .expect("a whole lane continues nothing");
    }
    replica
}

/// Every point of a lane that a replica holds, before its last one.
fn points(replica: &Replica, lane: ReplicaId) -> Vec<Mark> {
    let whole = replica
        .interval(lane, Mark::ZERO)
        .expect("every lane begins at zero");
    let Some(whole) = whole else {
        return Vec::new();
    };
    let versions = (0..whole.to.version.get()).map(crdt_core::Version::new);
    let start_of = |version| {
        let begun = whole.starts.iter().rfind(|(first, _)| *first <= version);
        begun.map_or(StartId::NONE, |&(_, start)| start)
    };
    versions
        .map(|version| Mark {
            version,
            start: start_of(version),
        })
        .collect()
}
