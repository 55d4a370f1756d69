//! One node of a CRDT world: the real replica, its disk, and what only the model knows.
//!
//! Every step of a node is a call of `crdt_core::Replica`, as in the driver loop of that crate.
//! The disk is what recovery makes of it: a second `Replica` that has recovered every synced
//! interval and done nothing else. Ghosts (the [`Ledger`]s) are written by the model alone and
//! never read by a step.

use std::fmt;

use crdt_core::{
    CounterName, Interval, ReceiveError, Received, Replica, ReplicaId, StartId, Sum, Version,
};

use super::ledger::Ledger;
use super::view::{counter_name, points, recovered, value};
use super::{Grain, Rules};
use crate::mutation::Mutation;
use crate::shared::Shared;

/// What a node has sent: for anybody who hears it, at any time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    /// Who sent it, in worlds where that matters: the same interval may come from several.
    pub from: Option<usize>,
    /// What it says.
    pub interval: Interval<CounterName>,
}

/// A message on its way.
pub type Message = Shared<Sent>;

/// The start that the disk's replica runs under. It adds nothing, so no lane ever shows it.
const DISK_START: StartId = StartId::new(u64::MAX);

/// The start of every process where a mutant cannot tell them apart.
const ONLY_START: StartId = StartId::new(1);

/// Room for the starts of one node before those of the next one.
const STARTS_PER_NODE: u64 = 100;

/// How far a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It takes steps, and others can dial it.
    Full,
    /// It takes steps and dials others, but nobody can dial it: it answers nobody.
    Undialled,
    /// It takes no step again.
    Dead,
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
    pub index: usize,
    /// Ghosts: the lanes that this node has owned; the last one is its own now.
    pub ledgers: Vec<Ledger>,
    /// Ghost: the highest value ever read here, by counter, in worlds that only increment.
    pub highest_read: Vec<i128>,
    /// Ghost: the lanes of which a step here has reported that they have forked, in order.
    pub reported: Vec<ReplicaId>,
    /// Ghost: whether a step here has refused an interval as malformed.
    pub has_refused_malformed: bool,
    /// Ghost: whether it has learnt of adds from another node than the one that took them, while
    /// that one was dead, or cut off from here.
    pub has_learnt_by_relay: bool,
    /// Whether it takes steps, and answers.
    pub presence: Presence,
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
            reported: Vec::new(),
            has_refused_malformed: false,
            has_learnt_by_relay: false,
            presence: Presence::Full,
        };
        node.restart(rules);
        node
    }

    /// The node once it has added 1 to each counter, and made each durable by itself.
    pub(super) fn primed(self, rules: &Rules) -> Self {
        let add = |node: Self, counter| {
            let committed = node.add(counter, 1)?.commit(rules)?;
            Some(committed.clone().sync(rules).unwrap_or(committed))
        };
        let primed = (0..rules.counters).try_fold(self, add);
        primed.expect("an add of 1 is taken")
    }

    /// Whether it takes steps.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.presence != Presence::Dead
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
        if rules.breaks(Mutation::OwnLaneWithheld) && message.interval.lane == self.replica.id() {
            return None;
        }
        let interval = self.replica.import(&message.interval);
        let interval = rules.on_receive(&self.replica, interval);
        match self.replica.receive(interval) {
            Ok(Received::Taken) if rules.grain == Grain::Atomic => self.commit(rules),
            Ok(Received::Taken) => Some(self),
            Err(ReceiveError::Gap { lane, .. }) if rules.breaks(Mutation::GapReported) => {
                self.report(lane)
            }
            Ok(Received::Known) | Err(ReceiveError::Gap { .. } | ReceiveError::Needs { .. }) => {
                None
            }
            Err(ReceiveError::Fork(fork)) => self.report(fork.lane),
            Err(ReceiveError::Malformed { .. }) => {
                let is_news = !self.has_refused_malformed;
                self.has_refused_malformed = true;
                is_news.then_some(self)
            }
        }
    }

    /// It reports that a lane has forked; `None` when it has done so before.
    fn report(mut self, lane: ReplicaId) -> Option<Self> {
        let place = self.reported.binary_search(&lane).err()?;
        self.reported.insert(place, lane);
        Some(self)
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
            let ledger = self.ledger_mut();
            ledger.forget_after(Version::ZERO);
            ledger.lane
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
        self.ledger_mut().forget_after(held);
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

    /// What it has just received came by a relay, and could not have come from the lane's owner.
    pub(super) fn learnt_by_relay(mut self) -> Self {
        self.has_learnt_by_relay = true;
        self
    }

    /// It never takes a step again.
    pub(super) fn die(mut self) -> Self {
        self.presence = Presence::Dead;
        self
    }

    /// Nobody can dial it any more; `None` when that is so already.
    pub(super) fn cut_inbound(mut self) -> Option<Self> {
        let before = std::mem::replace(&mut self.presence, Presence::Undialled);
        (before == Presence::Full).then_some(self)
    }

    /// What it can be asked for: each lane that it holds, after each point of that lane. Askers
    /// may hold any point, and messages may be late.
    pub(super) fn offers(&self, rules: &Rules) -> Vec<Message> {
        if self.presence != Presence::Full {
            return Vec::new();
        }
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
                let from = rules.names_senders.then_some(self.index);
                let sent = |interval| Shared::new(Sent { from, interval });
                offers.extend(parts.into_iter().map(sent));
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
