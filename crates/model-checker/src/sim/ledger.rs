//! The truth: what the owners of lanes have really put into them.
//!
//! The ledger is kept by the simulator, from the amounts that clients sent and the marks that
//! commits got; no sum of it comes from a replica. For every lane it knows every state the lane
//! ever had, so it can say exactly what a replica that holds a lane at some mark must show. After
//! a rollback a lane's states form a tree; a mark names one of its nodes.
//!
//! A claim is in no sum until its lane folds it. *That* a claim is gone and *whom* a home grants a
//! request is what replicas decide; *whether* a claim that is gone counts in its lane from then on is
//! the ledger's own judgement: when the home had granted it to the lane, as far as that held the home,
//! and had not forgotten it, as it can have only where the lane was rolled back.

mod requests;

use std::rc::Rc;

use crdt_core::{Mark, ReplicaId, RequestId};

use super::schedule::COUNTERS;

pub(crate) use requests::{Add, Answer, PartStanding, Requested};

/// For each counter, all that a lane holds of it.
pub(crate) type Totals = [i128; COUNTERS];

const NOTHING: Totals = [0; COUNTERS];

/// One incarnation that has existed, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Incarnation(pub(crate) usize);

/// A state that a lane had.
#[derive(Clone, Debug)]
struct Commit {
    mark: Mark,
    parent: Option<usize>,
    totals: Totals,
    /// How far other lanes must be held by whoever holds this state: what this commit needs, and all
    /// before it.
    needs: Rc<[(ReplicaId, Mark)]>,
}

/// All states of one lane of one shard.
#[derive(Clone, Debug, Default)]
struct Lane {
    commits: Vec<Commit>,
    /// The adds of the lane that were taken as claims, once they were in a commit.
    claims: Vec<usize>,
    /// As a home: which requests it has granted to whom, and in which commit.
    grants: Vec<(RequestId, ReplicaId, usize)>,
    /// The owner's directory was rolled back or copied, so that it may have two histories.
    forkable: bool,
    /// A replica has said that it has.
    reported: bool,
}

impl Lane {
    fn place(&self, mark: Mark) -> Option<usize> {
        // Mostly one of the newest is asked for.
        self.commits.iter().rposition(|commit| commit.mark == mark)
    }

    /// Which commits are part of the lane's state at `end`.
    fn path(&self, end: Mark, onto: &mut Vec<bool>) {
        onto.resize(self.commits.len(), false);
        let mut at = self.place(end);
        while let Some(place) = at {
            onto[place] = true;
            at = self.commits[place].parent;
        }
    }
}

/// What a commit did to its owner's lane.
pub(crate) struct Committed<'a> {
    pub(crate) shard: usize,
    pub(crate) of: Incarnation,
    pub(crate) after: Mark,
    pub(crate) to: Mark,
    /// What was taken with it.
    pub(crate) adds: &'a [usize],
    /// Requests that the owner, as a home, says it has granted.
    pub(crate) grants: &'a [(RequestId, ReplicaId)],
    /// What it needs.
    pub(crate) needs: &'a [(ReplicaId, Mark)],
    /// Whether the lane may have lost claims.
    pub(crate) has_gaps: bool,
}

/// What a replica has of a claim of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnClaim {
    Open,
    Settled,
    /// The home has forgotten the session.
    Forgotten,
}

/// Claims that a commit has settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) folded: usize,
    pub(crate) dropped: usize,
}

/// Everything that was ever taken and committed.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    shards: usize,
    ids: Vec<ReplicaId>,
    lanes: Vec<Lane>,
    pub(crate) adds: Vec<Add>,
    pub(crate) requests: Vec<Requested>,
    /// Requests of which anything was claimed, or was taken twice.
    repeated: Vec<usize>,
}

impl Ledger {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards,
            ids: Vec::new(),
            lanes: Vec::new(),
            adds: Vec::new(),
            requests: Vec::new(),
            repeated: Vec::new(),
        }
    }

    /// The incarnation of an id that a directory has, which may be new.
    pub(crate) fn register(&mut self, id: ReplicaId) -> Incarnation {
        if let Some(known) = self.find(id) {
            return known;
        }
        self.ids.push(id);
        self.lanes
            .resize(self.ids.len() * self.shards, Lane::default());
        Incarnation(self.ids.len() - 1)
    }

    /// The incarnation of an id, if there has been one.
    pub(crate) fn find(&self, id: ReplicaId) -> Option<Incarnation> {
        self.ids.iter().position(|&it| it == id).map(Incarnation)
    }

    /// Every incarnation's id, in the order of their numbers.
    pub(crate) fn ids(&self) -> &[ReplicaId] {
        &self.ids
    }

    /// The number of an id that is known.
    pub(crate) fn number(&self, id: ReplicaId) -> Incarnation {
        self.find(id).expect("every directory's id is registered")
    }

    fn lane(&self, shard: usize, of: Incarnation) -> &Lane {
        &self.lanes[of.0 * self.shards + shard]
    }

    fn lane_mut(&mut self, shard: usize, of: Incarnation) -> &mut Lane {
        &mut self.lanes[of.0 * self.shards + shard]
    }

    /// Notes that a commit moved a lane. A commit that is lost with the page cache may be followed by
    /// another one of the same mark only if starts are reused; then the newer is what the owner
    /// holds. `claim` says what the owner has of its claim of a request, `held` how far it holds
    /// another lane of the shard.
    pub(crate) fn commit(
        &mut self,
        committed: &Committed<'_>,
        claim: impl Fn(RequestId) -> OwnClaim,
        held: impl Fn(ReplicaId) -> Mark,
    ) -> Settled {
        let &Committed { shard, of, .. } = committed;
        let parent = self.lane(shard, of).place(committed.after);
        let mut totals = parent.map_or(NOTHING, |place| self.lane(shard, of).commits[place].totals);
        for &add in committed.adds {
            let add = &self.adds[add];
            if !add.is_claim {
                totals[add.counter] += i128::from(add.amount);
            }
        }
        let commit = Commit {
            mark: committed.to,
            parent,
            totals,
            needs: self.all_needs(committed, parent),
        };
        let lane = self.lane_mut(shard, of);
        let place = if let Some(place) = lane.place(committed.to) {
            lane.commits[place] = commit;
            place
        } else {
            lane.commits.push(commit);
            lane.commits.len() - 1
        };
        for &add in committed.adds {
            self.adds[add].commit = Some(place);
            if self.adds[add].is_claim {
                self.lane_mut(shard, of).claims.push(add);
            }
        }
        self.note_grants(committed, place);
        self.settle(committed, place, claim, held)
    }

    fn all_needs(
        &self,
        committed: &Committed<'_>,
        parent: Option<usize>,
    ) -> Rc<[(ReplicaId, Mark)]> {
        let lane = self.lane(committed.shard, committed.of);
        let before = parent.map(|place| Rc::clone(&lane.commits[place].needs));
        let before = before.unwrap_or_default();
        if committed.needs.is_empty() {
            return before;
        }
        let mut needs = before.to_vec();
        for &(lane, mark) in committed.needs {
            match needs.iter_mut().find(|(needed, _)| *needed == lane) {
                Some((_, noted)) => *noted = mark,
                None => needs.push((lane, mark)),
            }
        }
        needs.into()
    }

    /// What a state of a lane needs and a replica lacks that holds others so far, where no fork explains
    /// it.
    pub(crate) fn lacking(
        &self,
        shard: usize,
        lane: ReplicaId,
        held: impl Fn(ReplicaId) -> Mark,
    ) -> Option<(ReplicaId, Mark)> {
        let of = self.lane(shard, self.number(lane));
        let commit = &of.commits[of.place(held(lane))?];
        let is_lacking = |&&(needed, mark): &&(ReplicaId, Mark)| {
            let forkable = self.lane(shard, self.number(needed)).forkable || of.forkable;
            !forkable && held(needed).version < mark.version
        };
        commit.needs.iter().find(is_lacking).copied()
    }

    /// A mark lists all grants of its session, so most are known.
    fn note_grants(&mut self, committed: &Committed<'_>, place: usize) {
        if committed.grants.is_empty() {
            return;
        }
        let lane = self.lane_mut(committed.shard, committed.of);
        let mut path = Vec::new();
        lane.path(committed.to, &mut path);
        for &(request, to) in committed.grants {
            let is_known = |&(granted, whom, at): &(RequestId, ReplicaId, usize)| {
                (granted, whom) == (request, to) && path[at]
            };
            if !lane.grants.iter().any(is_known) {
                lane.grants.push((request, to, place));
            }
        }
    }

    /// Claims that are gone from the lane count in its sums from now on, or nowhere.
    fn settle(
        &mut self,
        committed: &Committed<'_>,
        place: usize,
        claim: impl Fn(RequestId) -> OwnClaim,
        held: impl Fn(ReplicaId) -> Mark,
    ) -> Settled {
        let &Committed { shard, of, .. } = committed;
        let mut settled = Settled::default();
        let has_new = committed.adds.iter().any(|&add| self.adds[add].is_claim);
        if self.lane(shard, of).claims.is_empty() || !(committed.has_gaps || has_new) {
            return settled;
        }
        let mut path = Vec::new();
        self.lane(shard, of).path(committed.to, &mut path);
        for number in self.lane(shard, of).claims.clone() {
            let add = &self.adds[number];
            let id = self.requests[add.request].id;
            let was_open = add.commit.is_some_and(|at| path[at]) && add.end_on(&path).is_none();
            let now = claim(id);
            if !was_open || now == OwnClaim::Open {
                continue;
            }
            let home = held(id.session.home);
            let is_folded =
                now == OwnClaim::Settled && self.has_granted(shard, id, self.ids[of.0], home);
            let (counter, amount) = (add.counter, add.amount);
            self.adds[number].ends.push((place, is_folded));
            if is_folded {
                settled.folded += 1;
                let totals = &mut self.lane_mut(shard, of).commits[place].totals;
                totals[counter] += i128::from(amount);
            } else {
                settled.dropped += 1;
            }
        }
        settled
    }

    /// Whether a home had granted a request to a replica, by the time of a mark.
    fn has_granted(&self, shard: usize, request: RequestId, to: ReplicaId, by: Mark) -> bool {
        let Some(home) = self.find(request.session.home) else {
            return false;
        };
        let lane = self.lane(shard, home);
        let mut path = Vec::new();
        lane.path(by, &mut path);
        lane.grants
            .iter()
            .any(|&(granted, whom, at)| (granted, whom) == (request, to) && path[at])
    }

    /// What a lane holds at a mark; `None` when it never was there.
    pub(crate) fn totals(&self, shard: usize, of: Incarnation, at: Mark) -> Option<&Totals> {
        if at == Mark::ZERO {
            return Some(&NOTHING);
        }
        let lane = self.lane(shard, of);
        lane.place(at).map(|place| &lane.commits[place].totals)
    }

    /// A directory was rolled back or copied: the lane of its owner may fork.
    pub(crate) fn may_fork(&mut self, of: Incarnation) {
        for shard in 0..self.shards {
            self.lane_mut(shard, of).forkable = true;
        }
    }

    /// Whether the owner's directory was rolled back or copied.
    pub(crate) fn may_have_forked(&self, of: Incarnation) -> bool {
        (0..self.shards).any(|shard| self.lane(shard, of).forkable)
    }

    /// Somebody says that the lane has forked. False when it cannot have.
    pub(crate) fn report_fork(&mut self, shard: usize, of: Incarnation) -> bool {
        let lane = self.lane_mut(shard, of);
        lane.reported = true;
        lane.forkable
    }

    /// Whether the lane has two histories and somebody has said so.
    pub(crate) fn is_reported(&self, shard: usize, of: Incarnation) -> bool {
        self.lane(shard, of).reported
    }

    /// Whether one of the marks is the other's past: the lane has not forked between them.
    pub(crate) fn on_one_branch(&self, shard: usize, of: Incarnation, a: Mark, b: Mark) -> bool {
        let (earlier, later) = if a.version <= b.version {
            (a, b)
        } else {
            (b, a)
        };
        let mut path = Vec::new();
        self.lane(shard, of).path(later, &mut path);
        earlier == Mark::ZERO
            || self
                .lane(shard, of)
                .place(earlier)
                .is_some_and(|place| path[place])
    }

    /// By lane, which of its commits are part of a state that holds each lane at any of these marks.
    fn paths(&self, ends: impl Fn(usize, ReplicaId) -> Vec<Mark>) -> Vec<Vec<bool>> {
        let mut paths = vec![Vec::new(); self.lanes.len()];
        for (number, &id) in self.ids.iter().enumerate() {
            for shard in 0..self.shards {
                let place = number * self.shards + shard;
                for end in ends(shard, id) {
                    self.lanes[place].path(end, &mut paths[place]);
                }
            }
        }
        paths
    }

    /// Which adds were taken in a state that holds each lane at any of these marks.
    pub(crate) fn counted(&self, ends: impl Fn(usize, ReplicaId) -> Vec<Mark>) -> Vec<bool> {
        let paths = self.paths(ends);
        let holds = |add: &Add| {
            let path = &paths[add.taken_by.0 * self.shards + add.shard];
            add.commit
                .is_some_and(|place| path.get(place).copied().unwrap_or(false))
        };
        self.adds.iter().map(holds).collect()
    }
}

#[cfg(test)]
mod tests;
