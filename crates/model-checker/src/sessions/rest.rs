//! At rest: what a world of sessions comes to when it is left alone.
//!
//! Every reachable state is followed to its end by the real anti-entropy, once for each set of nodes
//! that may have survived: everybody asks everybody for all that it lacks, takes that as one set,
//! and settles what is due, until nobody learns anything.

use std::sync::Arc;

use crdt_core::{Mark, Received, RecordKey, Replica};

use super::Rules;
use super::count;
use super::ids::{HOME, id};
use crate::crdt::view::value;
use crate::mutation::Mutation;
use crate::shared::Shared;

/// Nobody needs more rounds; whoever does has no rest.
const ROUNDS_MAX: usize = 40;

/// How a world ends, for each set of nodes that may have survived.
#[derive(Clone, Debug)]
pub struct AtRest {
    /// The survivors, and how it ends with them; the last one is with everybody.
    pub outcomes: Vec<(Vec<usize>, Arc<Outcome>)>,
}

impl AtRest {
    /// With everybody alive.
    #[must_use]
    pub fn whole(&self) -> &Outcome {
        let (_, outcome) = self.outcomes.last().expect("at least two nodes");
        outcome
    }
}

/// How a world ends with some survivors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What each of them reads.
    pub values: Vec<i128>,
    /// Whether all hold the same, refuse nothing, and have come to rest.
    pub is_at_rest: bool,
    /// Whether there is still a claim, a report or a closed session that should have gone: with
    /// everybody alive, or once an operator has promised that those who are missing never come back.
    pub is_left: bool,
}

/// Follows these nodes to rest: each with its place, and whether it waits for a sync.
pub(super) fn outcome(
    alive: &[(usize, &Shared<Replica>, bool)],
    everybody: usize,
    rules: &Rules,
) -> Outcome {
    let mut end = End {
        rules,
        replicas: alive.iter().map(finished).collect(),
        has_refused: false,
    };
    let mut is_at_rest = end.comes_to_rest();
    let reads = |replica: &Replica| match count::Rule::broken_by(rules) {
        Some(rule) => count::value(replica, rule),
        None => value(replica, 0),
    };
    let values: Vec<i128> = end.replicas.iter().map(reads).collect();
    let missing: Vec<usize> = (0..everybody)
        .filter(|at| alive.iter().all(|(alive, ..)| alive != at))
        .collect();
    let has_home = alive.iter().any(|&(at, ..)| at == HOME);
    if has_home && !missing.is_empty() {
        for &at in &missing {
            end.replicas[HOME].forget_replica(id(at));
        }
        is_at_rest &= end.comes_to_rest();
        is_at_rest &= end.replicas.iter().map(reads).eq(values.iter().copied());
    }
    let digest = end.replicas[0].digest();
    let is_like_all = |it: &Replica| it.digest() == digest && it.uncovered_needs().next().is_none();
    is_at_rest &= end.replicas.iter().all(is_like_all) && !end.has_refused;
    Outcome {
        values,
        is_at_rest,
        is_left: has_home && end.replicas.iter().any(|it| is_left(it, &missing)),
    }
}

/// What was written becomes durable.
fn finished(&(_, replica, is_writing): &(usize, &Shared<Replica>, bool)) -> Replica {
    let mut replica = Replica::clone(replica);
    if is_writing {
        replica.synced();
    }
    replica
}

/// Whether a replica holds something that should have gone. A claim of a node that is missing may
/// stay, and with it its session.
fn is_left(replica: &Replica, missing: &[usize]) -> bool {
    let is_missing = |lane| missing.iter().any(|&at| id(at) == lane);
    let claims: Vec<bool> = replica
        .held_claims()
        .map(|(by, _)| is_missing(by))
        .collect();
    let has_orphans = claims.contains(&true);
    let reports = |(lane, _)| {
        let whole = replica.interval(lane, Mark::ZERO);
        let whole = whole.expect("from its begin");
        let changed = whole.iter().flat_map(|it| &it.records.changed);
        changed
            .into_iter()
            .any(|record| matches!(record.key, RecordKey::Heard(_)) && !is_missing(lane))
    };
    let has_closed = replica.own_sessions().any(|(_, mark)| mark.closed);
    claims.contains(&false)
        || (!has_orphans && (has_closed || replica.digest().iter().any(reports)))
}

/// The survivors on their way to rest.
struct End<'a> {
    rules: &'a Rules,
    replicas: Vec<Replica>,
    has_refused: bool,
}

impl End<'_> {
    /// Goes on until nobody learns anything; whether that comes.
    fn comes_to_rest(&mut self) -> bool {
        for replica in &mut self.replicas {
            finish(replica);
        }
        let is_over = (0..ROUNDS_MAX).any(|_| !self.everybody_asks());
        self.replicas.iter().for_each(Replica::assert_invariants);
        is_over
    }

    /// Everybody asks everybody; whether anybody has changed.
    fn everybody_asks(&mut self) -> bool {
        let mut has_changed = false;
        for asker in 0..self.replicas.len() {
            for server in (0..self.replicas.len()).filter(|&it| it != asker) {
                self.ask(asker, server);
                has_changed |= finish(&mut self.replicas[asker]);
            }
        }
        has_changed
    }

    /// One asks another for all that it lacks.
    fn ask(&mut self, asker: usize, server: usize) {
        let mut set = Vec::new();
        let digest = self.replicas[server].digest();
        for (lane, _) in digest.iter() {
            let after = self.replicas[asker].held(lane);
            let Ok(interval) = self.replicas[server].interval(lane, after) else {
                self.has_refused = true;
                continue;
            };
            if let Some(interval) = interval {
                let named = self.replicas[server].export(&interval);
                set.push(self.replicas[asker].import(&named));
            }
        }
        let replica = &mut self.replicas[asker];
        if self.rules.breaks(Mutation::SetsSplit) {
            for interval in set {
                // What is refused is asked for again.
                let _: Result<Received, _> = replica.receive(interval);
            }
        } else {
            self.has_refused |= replica.receive_set(set).is_err();
        }
    }
}

/// Commits and syncs until nothing is due; whether anything was.
fn finish(replica: &mut Replica) -> bool {
    let mut has_changed = false;
    while replica.commit().is_some() {
        replica.synced();
        has_changed = true;
    }
    has_changed
}
