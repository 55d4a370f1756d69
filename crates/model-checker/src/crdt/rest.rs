//! At rest: what a world comes to when it is left alone.
//!
//! Instead of a liveness property, every reachable state is followed to its end: each living node
//! finishes what it was writing, and then everybody asks everybody for every lane, by the real
//! anti-entropy, until nobody learns anything. What stands there must be right. So "eventually"
//! is never needed, and nothing is missed on cycles.

use crdt_core::{Replica, ReplicaId, Total};

use super::Rules;
use super::node::{Node, sum_of, value};
use crate::shared::Shared;

/// How a world ends that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRest {
    /// Whether somebody reported a fork, or refused an interval as malformed.
    pub has_alarmed: bool,
    /// What each living node then reads, counter by counter.
    pub values: Vec<Vec<i128>>,
    /// What it should read: per counter, the sum over all lanes of what counts. A lane with a
    /// living owner counts as its ledger says; the lane of a lost incarnation counts as far as
    /// any living node held it.
    pub expected: Vec<i128>,
    /// Whether two living nodes own one lane and have written different things to it.
    pub has_two_owners: bool,
}

impl AtRest {
    /// Nobody complained, and everybody reads what is expected.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.has_alarmed
            && !self.has_two_owners
            && self.values.iter().all(|values| *values == self.expected)
    }
}

/// Follows the nodes to rest.
pub(super) fn at_rest(nodes: &[Shared<Node>], rules: &Rules) -> AtRest {
    let living: Vec<&Shared<Node>> = nodes.iter().filter(|node| node.is_alive).collect();
    let mut replicas: Vec<Replica> = living.iter().map(|node| node.finished()).collect();
    let (expected, has_two_owners) = expected(nodes, &living, &replicas, rules);
    let mut has_alarmed = living.iter().any(|node| node.has_alarmed);
    loop {
        let mut somebody_learned = false;
        for asker in 0..replicas.len() {
            for server in (0..replicas.len()).filter(|&server| server != asker) {
                let outcome = ask(&mut replicas, asker, server);
                has_alarmed |= outcome == Asked::Alarmed;
                somebody_learned |= outcome == Asked::Learned;
            }
        }
        if !somebody_learned {
            break;
        }
    }
    let read = |replica| {
        (0..rules.counters)
            .map(|counter| value(replica, counter))
            .collect()
    };
    AtRest {
        has_alarmed,
        values: replicas.iter().map(read).collect(),
        expected,
        has_two_owners,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Learned,
    Nothing,
    Alarmed,
}

/// One node asks another for everything.
fn ask(replicas: &mut [Replica], asker: usize, server: usize) -> Asked {
    let mut lanes: Vec<ReplicaId> = Vec::new();
    for side in [asker, server] {
        lanes.extend(replicas[side].digest().iter().map(|(lane, _)| lane));
    }
    lanes.sort_unstable();
    lanes.dedup();
    let mut outcome = Asked::Nothing;
    for lane in lanes {
        let after = replicas[asker].held(lane);
        match replicas[server].interval(lane, after) {
            Ok(None) => {}
            Err(_) => outcome = Asked::Alarmed,
            Ok(Some(interval)) => {
                let named = replicas[server].export(&interval);
                let interval = replicas[asker].import(&named);
                match replicas[asker].receive(interval) {
                    Ok(crdt_core::Received::Taken) if outcome == Asked::Nothing => {
                        outcome = Asked::Learned;
                    }
                    Ok(_) => {}
                    Err(_) => outcome = Asked::Alarmed,
                }
            }
        }
    }
    if replicas[asker].commit().is_some() {
        replicas[asker].synced();
    }
    outcome
}

/// What counts, per counter, and whether a lane has two living owners who disagree.
fn expected(
    nodes: &[Shared<Node>],
    living: &[&Shared<Node>],
    replicas: &[Replica],
    rules: &Rules,
) -> (Vec<i128>, bool) {
    let mut lanes: Vec<ReplicaId> = nodes
        .iter()
        .flat_map(|node| node.ledgers.iter().map(|ledger| ledger.lane))
        .collect();
    lanes.sort_unstable();
    lanes.dedup();
    let mut has_two_owners = false;
    let mut totals = vec![0; rules.counters];
    for lane in lanes {
        let owners = living
            .iter()
            .map(|node| node.ledger())
            .filter(|it| it.lane == lane);
        for (counter, total) in totals.iter_mut().enumerate() {
            let mut written = owners.clone().map(|ledger| ledger.taken(counter));
            let counts = if let Some(taken) = written.next() {
                has_two_owners |= written.any(|other| other != taken);
                taken
            } else {
                most_held(replicas, lane, counter)
            };
            *total += counts.value();
        }
    }
    (totals, has_two_owners)
}

/// The newest form of a lane's sum that anybody holds.
fn most_held(replicas: &[Replica], lane: ReplicaId, counter: usize) -> Total {
    replicas
        .iter()
        .max_by_key(|replica| replica.held(lane).version)
        .map_or_else(Total::default, |replica| sum_of(replica, lane, counter))
}
