//! One node of a world of sessions: the real replica, its lane at every version, and ghosts.
//!
//! The lanes of a replica hold only what is durable, so they are its disk as well: a restart recovers
//! them. Every version of the own lane is kept as a replica that has recovered it and done nothing
//! else; it answers for the lane as any relay would that holds just so much of it.

use crdt_core::{
    CounterName, Interval, Mark, ReceiveError, Received, Replica, ReplicaId, RequestState, StartId,
    Sum,
};

use super::client::bit;
use super::ids::{HOME, amount, id, request, session};
use super::{Bounds, Rules, count};
use crate::crdt::Grain;
use crate::crdt::view::{counter_name, recovered, value};
use crate::mutation::Mutation;
use crate::shared::Shared;

/// A lane as it was at a version.
pub(super) type History = Shared<Replica>;

/// The id and the start of a replica that only keeps a lane. It adds nothing, so no lane shows them.
const KEEPER: ReplicaId = ReplicaId::new(u128::MAX);
const KEEPER_START: StartId = StartId::new(u64::MAX);

/// Room for the starts of one node before those of the next one.
const STARTS_PER_NODE: u64 = 100;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// The state machine that `tallyd` runs.
    pub replica: Shared<Replica>,
    /// The own lane at each version that became durable, from the first on.
    pub past: Vec<Shared<Replica>>,
    /// The own lane's part of the group that is written and not synced.
    tail: Option<Interval<CounterName>>,
    /// Whether the replica waits for the sync of a group.
    pub(super) is_writing: bool,
    /// Which node this is, from 0.
    index: usize,
    /// How often its process was started.
    starts: u64,
    /// Ghost: the highest value ever read here.
    pub highest_read: i128,
    /// Ghost: requests of which it has been able to tell that they count.
    told: u8,
    /// Ghost: requests that it refused, in memory only.
    refused: u8,
    /// Ghost: whether it has refused a lane, or written one that is refused, as malformed or forked.
    pub has_refused_a_lane: bool,
}

impl Node {
    /// All nodes: the home knows those that do not join later, and they hold that.
    pub(super) fn all(bounds: &Bounds, rules: &Rules) -> Vec<Self> {
        let mut nodes: Vec<Self> = (0..bounds.replicas).map(Self::new).collect();
        let known = 1..bounds.replicas - bounds.joins;
        if known.is_empty() {
            return nodes;
        }
        let home = nodes[HOME].clone().changed(|home| {
            for other in known {
                home.know(id(other));
            }
        });
        nodes[HOME] = home.write_through(rules).expect("it knows somebody");
        let history = nodes[HOME].past[0].clone();
        for node in &mut nodes[1..] {
            let served = [(HOME, &history, false)];
            let held = node.clone().receive(&served, rules);
            let held = held.expect("what needs nothing is taken");
            *node = held.clone().write_through(rules).unwrap_or(held);
        }
        nodes
    }

    fn new(index: usize) -> Self {
        let start = StartId::new(1 + STARTS_PER_NODE * index as u64);
        Self {
            replica: Shared::new(Replica::new(id(index), start)),
            past: Vec::new(),
            tail: None,
            is_writing: false,
            index,
            starts: 0,
            highest_read: 0,
            told: 0,
            refused: 0,
            has_refused_a_lane: false,
        }
    }

    /// The counter's value here.
    pub(super) fn value(&self, rules: &Rules) -> i128 {
        match count::Rule::broken_by(rules) {
            Some(rule) => count::value(&self.replica, rule),
            None => value(&self.replica, 0),
        }
    }

    /// How far it holds a lane.
    pub(super) fn holds(&self, lane: ReplicaId) -> usize {
        usize::try_from(self.replica.held(lane).version.get()).expect("a few versions")
    }

    /// Whether somebody may have heard from it that a request counts.
    pub(super) fn has_told(&self, number: u64) -> bool {
        self.told & bit(number) != 0
    }

    /// Whether somebody may hear from it that a request is refused for good.
    pub(super) fn has_refused(&self, number: u64, rules: &Rules) -> bool {
        if rules.breaks(Mutation::RefusalForgotten) {
            return self.refused & bit(number) != 0;
        }
        let state = self.replica.request(request(number));
        matches!(state, RequestState::Refused(mark) if self.is_durable(self.replica.id(), mark))
    }

    // Steps. `None`: the step is not possible, or changes nothing.

    /// A copy of a request arrives: it is taken at its home, and claimed anywhere else.
    pub(super) fn take(self, number: u64, answered_below: u64, rules: &Rules) -> Option<Self> {
        if !self.takes(number, rules) {
            return None;
        }
        let taken = self.changed(|replica| {
            let counter = replica.counter(counter_name(0));
            let sum = Sum::of(amount(number));
            replica.take_request(request(number), answered_below, &[(counter, sum)]);
        });
        taken.after_a_change(rules)
    }

    /// Whether the driver would take a request now.
    fn takes(&self, number: u64, rules: &Rules) -> bool {
        let is_home = self.index == HOME;
        match self.replica.request(request(number)) {
            RequestState::Open => true,
            RequestState::Counted { lane, .. } if is_home => {
                let mut marks = self.replica.own_sessions();
                let is_granted = marks.any(|(_, mark)| mark.grants().contains_key(&number));
                rules.breaks(Mutation::GrantedTaken) && lane == id(HOME) && is_granted
            }
            RequestState::Counted { lane, .. } => {
                rules.breaks(Mutation::DecidedClaimed) && lane == id(HOME)
            }
            RequestState::Closed => {
                let mutation = if is_home {
                    Mutation::ClosedTaken
                } else {
                    Mutation::ClosedClaimed
                };
                rules.breaks(mutation)
            }
            RequestState::UnknownToHome => rules.breaks(Mutation::ClaimedUnknown),
            RequestState::Refused(_) => false,
        }
    }

    pub(super) fn refuse(mut self, number: u64, rules: &Rules) -> Option<Self> {
        let is_new = self.refused & bit(number) == 0;
        if !is_new || self.replica.request(request(number)) != RequestState::Open {
            return None;
        }
        if rules.breaks(Mutation::RefusalForgotten) {
            self.refused |= bit(number);
            return Some(self);
        }
        let refused = self.changed(|replica| {
            replica.refuse_request(request(number), 1);
        });
        refused.after_a_change(rules)
    }

    pub(super) fn know(self, other: usize, rules: &Rules) -> Option<Self> {
        let known = self.changed(|replica| {
            replica.know(id(other));
        });
        known.after_a_change(rules)
    }

    pub(super) fn close(self, all_is_answered: bool, rules: &Rules) -> Option<Self> {
        let before = self.replica.clone();
        let closed = self.changed(|replica| {
            replica.close_session(session(), all_is_answered);
        });
        if closed.replica == before {
            return None;
        }
        closed.after_a_change(rules)
    }

    pub(super) fn commit(mut self, rules: &Rules) -> Option<Self> {
        let before = self.replica.clone();
        let mut replica = Replica::clone(&before);
        let Some(group) = replica.commit() else {
            // It may have looked at what was due, and found nothing to do.
            self.replica = Shared::new(replica);
            return (self.replica != before).then_some(self);
        };
        let own = group.first().filter(|it| it.lane == before.id());
        self.tail = own.map(|own| rules.on_commit(&before, replica.export(own)));
        self.replica = Shared::new(replica);
        self.is_writing = true;
        match rules.grain {
            Grain::Atomic => self.sync(rules),
            Grain::Interleaved => Some(self.noted(rules)),
        }
    }

    pub(super) fn sync(mut self, rules: &Rules) -> Option<Self> {
        if !self.is_writing {
            return None;
        }
        self.is_writing = false;
        let mut replica = Replica::clone(&self.replica);
        replica.synced();
        if let Some(own) = self.tail.take() {
            let first = || Replica::new(KEEPER, KEEPER_START);
            let mut kept = self.past.last().map_or_else(first, |it| Replica::clone(it));
            let own = kept.import(&own);
            match kept.recover(&own) {
                Ok(()) => self.past.push(Shared::new(kept)),
                // A mutant has written what everybody refuses.
                Err(_) => self.has_refused_a_lane = true,
            }
        }
        self.replica = Shared::new(replica);
        Some(self.noted(rules))
    }

    /// Lanes arrive in one set: each of a node, as it was, and whether without its needs.
    pub(super) fn receive(self, set: &[(usize, &History, bool)], rules: &Rules) -> Option<Self> {
        let held = |lane| self.replica.held(lane);
        let received = self.clone().receive_after(set, rules, held);
        if rules.broken.is_empty() && rules.grain == Grain::Atomic {
            // A sender may not know how far the receiver is.
            let whole = self.receive_after(set, rules, |_| Mark::ZERO);
            assert_eq!(whole, received, "intervals that overlap what is held");
        }
        received
    }

    fn receive_after(
        mut self,
        set: &[(usize, &History, bool)],
        rules: &Rules,
        after: impl Fn(ReplicaId) -> Mark,
    ) -> Option<Self> {
        let mut replica = Replica::clone(&self.replica);
        let intervals = set.iter().filter_map(|&(of, history, is_bare)| {
            let lane = id(of);
            let interval = history.interval(lane, after(lane));
            let interval = interval.expect("one history")?;
            let mut interval = replica.import(&history.export(&interval));
            if is_bare {
                interval.needs.clear();
            }
            Some(interval)
        });
        let intervals = intervals.collect();
        match replica.receive_set(intervals) {
            Ok(Received::Taken) => {
                self.replica = Shared::new(replica);
                self.after_a_change(rules)
            }
            Ok(Received::Known) | Err(ReceiveError::Gap { .. } | ReceiveError::Needs { .. }) => {
                None
            }
            Err(ReceiveError::Fork(_) | ReceiveError::Malformed { .. }) => {
                let is_news = !self.has_refused_a_lane;
                self.has_refused_a_lane = true;
                is_news.then_some(self)
            }
        }
    }

    /// The machine loses power: what is not held is gone.
    pub(super) fn lose_power(mut self, rules: &Rules) -> Self {
        self.starts += 1;
        self.tail = None;
        self.is_writing = false;
        let start = 1 + self.starts + STARTS_PER_NODE * self.index as u64;
        let restarted = recovered(&self.replica, self.replica.id(), StartId::new(start));
        self.replica = Shared::new(restarted);
        self.noted(rules)
    }

    // Helpers.

    fn changed(mut self, change: impl FnOnce(&mut Replica)) -> Self {
        let mut replica = Replica::clone(&self.replica);
        change(&mut replica);
        self.replica = Shared::new(replica);
        self
    }

    /// Where steps are atomic, what was taken is durable at once.
    fn after_a_change(self, rules: &Rules) -> Option<Self> {
        match rules.grain {
            Grain::Atomic => self.commit(rules),
            Grain::Interleaved => Some(self.noted(rules)),
        }
    }

    /// What was taken is committed and synced, whatever the grain.
    fn write_through(self, rules: &Rules) -> Option<Self> {
        let committed = self.commit(rules)?;
        Some(committed.clone().sync(rules).unwrap_or(committed))
    }

    fn is_durable(&self, lane: ReplicaId, mark: Mark) -> bool {
        mark.version <= self.replica.held(lane).version
    }

    /// What it reads and can tell now, for the guarantees to look at.
    fn noted(mut self, rules: &Rules) -> Self {
        self.highest_read = self.highest_read.max(self.value(rules));
        for number in 1..=rules.requests {
            if let RequestState::Counted { lane, mark } = self.replica.request(request(number))
                && (self.is_durable(lane, mark) || rules.breaks(Mutation::AnsweredBeforeSync))
            {
                self.told |= bit(number);
            }
        }
        self
    }
}
