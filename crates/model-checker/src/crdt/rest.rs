//! At rest: what a world comes to when it is left alone.
//!
//! Instead of a liveness property, every reachable state is followed to its end: each living node
//! finishes what it was writing, and then everybody asks everybody that it can dial for every lane,
//! by the real anti-entropy, until nobody learns anything. What stands there is judged lane by lane,
//! so that a fork of one lane excuses nothing in another. So "eventually" is never needed, and
//! nothing is missed on cycles.

use std::collections::BTreeSet;

use crdt_core::{Fork, ReceiveError, Received, Replica, ReplicaId, Total};

use super::Rules;
use super::ledger::{Ledger, Point};
use super::node::{Node, Presence};
use super::view::{sum_of, value};
use crate::mutation::Mutation;
use crate::shared::Shared;

/// How a world ends that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRest {
    /// What each living node then reads, counter by counter.
    pub values: Vec<Vec<i128>>,
    /// What is then known of each counter: a lane counts as its living owner says, or as far as any
    /// living node holds it.
    pub counted: Vec<i128>,
    /// Every lane that there ever was.
    pub lanes: Vec<LaneAtRest>,
    /// Whether somebody has refused an interval that is neither known nor of a forked lane.
    pub has_refused: bool,
    /// Whether every value is the sum over the lanes that there ever were.
    pub adds_up: bool,
}

/// How one lane ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneAtRest {
    /// The lane.
    pub lane: ReplicaId,
    /// Whether its owner has lost a part of it that was durable, or two owners have written to it.
    pub has_forked: bool,
    /// Whether somebody has reported that it has forked.
    pub is_reported: bool,
    /// How many living nodes own it.
    pub owners: usize,
    /// Whether every living node holds it as its owner does, if it can learn that from anybody, and
    /// as far as anybody from whom it can learn.
    pub is_exact: bool,
}

impl AtRest {
    /// Nobody complains, and everybody reads what was taken and not lost.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let is_exact = |it: &LaneAtRest| it.is_exact && !it.is_reported;
        !self.has_refused && self.adds_up && self.lanes.iter().all(is_exact)
    }

    /// A lane that is reported has forked, and every other one is exact.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        let is_safe = |it: &LaneAtRest| {
            if it.is_reported {
                it.has_forked
            } else {
                it.is_exact
            }
        };
        !self.has_refused && self.adds_up && self.lanes.iter().all(is_safe)
    }
}

/// Follows the nodes to rest.
pub(super) fn at_rest(nodes: &[Shared<Node>], rules: &Rules) -> AtRest {
    let living: Vec<&Node> = nodes
        .iter()
        .map(|it| &**it)
        .filter(|it| it.is_alive())
        .collect();
    let reported = nodes.iter().flat_map(|node| &node.reported).copied();
    let mut end = End {
        rules,
        replicas: living.iter().map(|node| node.finished()).collect(),
        reported: reported.collect(),
        has_refused: living.iter().any(|node| node.has_refused_malformed),
        living,
    };
    while end.everybody_asks() {}
    end.replicas.iter().for_each(Replica::assert_invariants);
    end.judge(nodes)
}

/// The living nodes on their way to rest, and what they complain of.
struct End<'a> {
    rules: &'a Rules,
    living: Vec<&'a Node>,
    /// Those of the living, in the same order.
    replicas: Vec<Replica>,
    reported: BTreeSet<ReplicaId>,
    has_refused: bool,
}

impl End<'_> {
    /// Whether a node can dial another, and what that one sends arrives.
    fn can_ask(&self, asker: usize, server: usize) -> bool {
        let [from, to] = [server, asker].map(|it| self.living[it]);
        asker != server
            && from.presence == Presence::Full
            && self.rules.arrives(from.index, to.index)
    }

    /// Everybody asks everybody; whether anybody has learned anything.
    fn everybody_asks(&mut self) -> bool {
        let mut somebody_learned = false;
        for asker in 0..self.living.len() {
            for server in 0..self.living.len() {
                if self.can_ask(asker, server) {
                    somebody_learned |= self.ask(asker, server);
                }
            }
        }
        somebody_learned
    }

    /// One node asks another for everything; whether it has learned anything.
    fn ask(&mut self, asker: usize, server: usize) -> bool {
        let digests = [asker, server].map(|side| self.replicas[side].digest());
        let lanes: BTreeSet<ReplicaId> = digests
            .iter()
            .flat_map(|it| it.iter().map(|(lane, _)| lane))
            .collect();
        for lane in lanes {
            let is_own = lane == self.replicas[asker].id();
            if is_own && self.rules.breaks(Mutation::OwnLaneWithheld) {
                continue;
            }
            if let Err(fork) = self.ask_for(asker, server, lane) {
                self.reported.insert(fork.lane);
                if self.rules.breaks(Mutation::ForkEndsStream) {
                    break;
                }
            }
        }
        if self.replicas[asker].commit().is_none() {
            return false;
        }
        self.replicas[asker].synced();
        true
    }

    /// One node asks another for what it lacks of a lane.
    fn ask_for(&mut self, asker: usize, server: usize, lane: ReplicaId) -> Result<(), Fork> {
        let after = self.replicas[asker].held(lane);
        let Some(interval) = self.replicas[server].interval(lane, after)? else {
            return Ok(());
        };
        let named = self.replicas[server].export(&interval);
        let interval = self.replicas[asker].import(&named);
        match self.replicas[asker].receive(interval) {
            Ok(Received::Taken | Received::Known) => Ok(()),
            Err(ReceiveError::Fork(fork)) => Err(fork),
            // It begins where the asker is, so there is no gap either.
            Err(
                ReceiveError::Gap { .. }
                | ReceiveError::Needs { .. }
                | ReceiveError::Malformed { .. },
            ) => {
                self.has_refused = true;
                Ok(())
            }
        }
    }

    fn judge(&self, nodes: &[Shared<Node>]) -> AtRest {
        let counters = || 0..self.rules.counters;
        let everybody: Vec<usize> = (0..self.living.len()).collect();
        let learns_from: Vec<Vec<usize>> = everybody.iter().map(|&it| self.sources(it)).collect();
        let lanes: BTreeSet<ReplicaId> = ledgers(nodes).map(|ledger| ledger.lane).collect();
        let judge_lane = |&lane: &ReplicaId| LaneAtRest {
            lane,
            has_forked: has_forked(nodes, lane),
            is_reported: self.reported.contains(&lane),
            owners: self
                .living
                .iter()
                .filter(|node| node.ledger().lane == lane)
                .count(),
            is_exact: everybody
                .iter()
                .all(|&at| self.is_exact(at, lane, &learns_from[at])),
        };
        let counted = |counter: usize| {
            let newest = lanes
                .iter()
                .map(|&lane| self.newest(lane, &everybody)[counter]);
            newest.map(Total::value).sum()
        };
        let adds_up = |replica: &Replica| {
            counters().all(|counter| {
                let sums = lanes.iter().map(|&lane| sum_of(replica, lane, counter));
                value(replica, counter) == sums.map(Total::value).sum()
            })
        };
        let reads = |replica| counters().map(|counter| value(replica, counter)).collect();
        AtRest {
            values: self.replicas.iter().map(reads).collect(),
            counted: counters().map(counted).collect(),
            lanes: lanes.iter().map(judge_lane).collect(),
            has_refused: self.has_refused,
            adds_up: self.replicas.iter().all(adds_up),
        }
    }

    /// A node itself, and all those from which it learns, directly or by relays.
    fn sources(&self, at: usize) -> Vec<usize> {
        let mut sources = vec![at];
        let is_next = |it: usize, known: &[usize]| {
            !known.contains(&it) && known.iter().any(|&asker| self.can_ask(asker, it))
        };
        while let Some(next) = (0..self.living.len()).find(|&it| is_next(it, &sources)) {
            sources.push(next);
        }
        sources
    }

    /// Whether a node holds a lane as it should, by what those know from which it learns.
    fn is_exact(&self, at: usize, lane: ReplicaId, sources: &[usize]) -> bool {
        let expected = self.newest(lane, sources);
        let held = self.sums(lane, at);
        let mut owners = sources.iter().map(|&it| self.living[it].ledger());
        let agrees = |ledger: &Ledger| ledger.lane != lane || totals(ledger) == expected;
        let version = |it: usize| self.replicas[it].held(lane).version;
        held == expected
            && owners.all(agrees)
            && sources.iter().all(|&it| version(it) <= version(at))
    }

    /// A lane's sums as its owner has taken them, if that is among these nodes; else as far as any
    /// of them holds the lane.
    fn newest(&self, lane: ReplicaId, among: &[usize]) -> Vec<Total> {
        let mut ledgers = among.iter().map(|&it| self.living[it].ledger());
        if let Some(ledger) = ledgers.find(|ledger| ledger.lane == lane) {
            return totals(ledger);
        }
        let version = |it: &&usize| self.replicas[**it].held(lane).version;
        let furthest = among.iter().max_by_key(version);
        furthest.map_or_else(Vec::new, |&it| self.sums(lane, it))
    }

    /// What a node holds of a lane.
    fn sums(&self, lane: ReplicaId, at: usize) -> Vec<Total> {
        let counters = 0..self.rules.counters;
        counters
            .map(|counter| sum_of(&self.replicas[at], lane, counter))
            .collect()
    }
}

/// What the owner of a lane has taken of each counter.
fn totals(ledger: &Ledger) -> Vec<Total> {
    (0..ledger.made.len())
        .map(|counter| ledger.taken(counter))
        .collect()
}

/// Whether a lane has two histories: its owner has lost a part of it that was durable, or several
/// have owned it and have not written the same.
fn has_forked(nodes: &[Shared<Node>], lane: ReplicaId) -> bool {
    let mut written: Vec<Vec<&Point>> = Vec::new();
    for node in nodes {
        for ledger in node.ledgers.iter().filter(|it| it.lane == lane) {
            if !ledger.abandoned.is_empty() {
                return true;
            }
            // What is only taken will be written by an owner that lives, and by no other.
            let is_written = node.is_alive() && std::ptr::eq(ledger, node.ledger());
            let open = ledger.open.iter().filter(|_| is_written);
            written.push(ledger.durable.iter().chain(open).collect());
        }
    }
    written.windows(2).any(|pair| pair[0] != pair[1])
}

fn ledgers(nodes: &[Shared<Node>]) -> impl Iterator<Item = &Ledger> {
    nodes.iter().flat_map(|node| &node.ledgers)
}
