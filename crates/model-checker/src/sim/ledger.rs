//! The truth: what the owners of lanes have really put into them.
//!
//! The ledger is kept by the simulator, from the amounts that clients sent and the marks that
//! commits got; no sum of it comes from a replica. For every lane it knows every state the lane
//! ever had, so it can say exactly what a replica that holds a lane at some mark must show. After
//! a rollback a lane's states form a tree; a mark names one of its nodes.

use crdt_core::{Mark, ReplicaId};

use super::schedule::COUNTERS;

/// For each counter, all that a lane holds of it.
pub(crate) type Totals = [i128; COUNTERS];

const NOTHING: Totals = [0; COUNTERS];

/// One incarnation that has existed, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Incarnation(pub(crate) usize);

/// What the client of an add knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing yet, or nothing ever: the add may count or not.
    None,
    /// That it is durable.
    Acknowledged,
}

/// One amount that a node took for one counter.
#[derive(Clone, Debug)]
pub(crate) struct Add {
    pub(crate) counter: usize,
    pub(crate) amount: i64,
    pub(crate) shard: usize,
    pub(crate) taken_by: Incarnation,
    /// Its place in the lane, once it was in a commit.
    commit: Option<usize>,
    pub(crate) answer: Answer,
    /// A disk was lost that alone had it: known, reported, and no one's fault.
    pub(crate) excused: bool,
    /// The add that this one repeats.
    pub(crate) repeats: Option<usize>,
}

impl Add {
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.answer == Answer::Acknowledged
    }
}

/// A state that a lane had.
#[derive(Clone, Debug)]
struct Commit {
    mark: Mark,
    parent: Option<usize>,
    totals: Totals,
}

/// All states of one lane of one shard.
#[derive(Clone, Debug, Default)]
struct Lane {
    commits: Vec<Commit>,
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
}

/// Everything that was ever taken and committed.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    shards: usize,
    ids: Vec<ReplicaId>,
    lanes: Vec<Lane>,
    pub(crate) adds: Vec<Add>,
}

impl Ledger {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards,
            ids: Vec::new(),
            lanes: Vec::new(),
            adds: Vec::new(),
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

    /// Notes an add that a node took.
    pub(crate) fn take(&mut self, add: (usize, i64), shard: usize, by: Incarnation) -> usize {
        let (counter, amount) = add;
        self.adds.push(Add {
            counter,
            amount,
            shard,
            taken_by: by,
            commit: None,
            answer: Answer::None,
            excused: false,
            repeats: None,
        });
        self.adds.len() - 1
    }

    /// Notes that a commit moved a lane by these adds. A commit that is lost with the page cache
    /// may be followed by another one of the same mark only if starts are reused; then the newer
    /// is what the owner holds.
    pub(crate) fn commit(
        &mut self,
        (shard, of): (usize, Incarnation),
        (after, to): (Mark, Mark),
        adds: &[usize],
    ) {
        let parent = self.lane(shard, of).place(after);
        let mut totals = parent.map_or(NOTHING, |place| self.lane(shard, of).commits[place].totals);
        for &add in adds {
            totals[self.adds[add].counter] += i128::from(self.adds[add].amount);
        }
        let commit = Commit {
            mark: to,
            parent,
            totals,
        };
        let lane = self.lane_mut(shard, of);
        let place = if let Some(place) = lane.place(to) {
            lane.commits[place] = commit;
            place
        } else {
            lane.commits.push(commit);
            lane.commits.len() - 1
        };
        for &add in adds {
            self.adds[add].commit = Some(place);
        }
    }

    /// What a lane holds at a mark; `None` when it never was there.
    pub(crate) fn totals(&self, shard: usize, of: Incarnation, at: Mark) -> Option<&Totals> {
        if at == Mark::ZERO {
            return Some(&NOTHING);
        }
        let lane = self.lane(shard, of);
        lane.place(at).map(|place| &lane.commits[place].totals)
    }

    /// Where in its lane an add was committed.
    pub(crate) fn mark(&self, add: usize) -> Option<Mark> {
        let add = &self.adds[add];
        let lane = self.lane(add.shard, add.taken_by);
        add.commit.map(|place| lane.commits[place].mark)
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

    /// The client of an add is told that it is durable.
    pub(crate) fn acknowledge(&mut self, add: usize) {
        self.adds[add].answer = Answer::Acknowledged;
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
        self.path(shard, of, later, &mut path);
        earlier == Mark::ZERO
            || self
                .lane(shard, of)
                .place(earlier)
                .is_some_and(|place| path[place])
    }

    /// Which commits of a lane are part of its state at `end`.
    fn path(&self, shard: usize, of: Incarnation, end: Mark, onto: &mut Vec<bool>) {
        let lane = self.lane(shard, of);
        onto.resize(lane.commits.len(), false);
        let mut at = lane.place(end);
        while let Some(place) = at {
            onto[place] = true;
            at = lane.commits[place].parent;
        }
    }

    /// Which adds are part of a state that holds each lane at any of these marks.
    pub(crate) fn counted<'a>(
        &self,
        ends: impl Fn(usize, ReplicaId) -> Vec<Mark> + 'a,
    ) -> Vec<bool> {
        let mut paths = vec![Vec::new(); self.lanes.len()];
        for (number, &id) in self.ids.iter().enumerate() {
            for shard in 0..self.shards {
                for end in ends(shard, id) {
                    let path = &mut paths[number * self.shards + shard];
                    self.path(shard, Incarnation(number), end, path);
                }
            }
        }
        let holds = |add: &Add| {
            let path = &paths[add.taken_by.0 * self.shards + add.shard];
            add.commit
                .is_some_and(|place| path.get(place).copied().unwrap_or(false))
        };
        self.adds.iter().map(holds).collect()
    }

    /// Whether an add is part of its lane's state at `end`.
    pub(crate) fn holds(&self, add: usize, end: Mark) -> bool {
        let add = &self.adds[add];
        let mut path = Vec::new();
        self.path(add.shard, add.taken_by, end, &mut path);
        add.commit.is_some_and(|place| path[place])
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::{StartId, Version};

    use super::*;

    fn mark(version: u64, start: u64) -> Mark {
        Mark {
            version: Version::new(version),
            start: StartId::new(start),
        }
    }

    #[test]
    fn a_lane_that_was_rolled_back_holds_the_adds_of_one_branch_at_a_time() {
        let mut ledger = Ledger::new(1);
        let owner = ledger.register(ReplicaId::new(9));
        assert_eq!(ledger.number(ReplicaId::new(9)), owner);
        assert_eq!(ledger.register(ReplicaId::new(9)), owner);
        let adds: Vec<usize> = (1..=3).map(|n| ledger.take((0, n), 0, owner)).collect();
        ledger.commit((0, owner), (Mark::ZERO, mark(1, 7)), &adds[..1]);
        ledger.commit((0, owner), (mark(1, 7), mark(2, 7)), &adds[1..2]);
        ledger.commit((0, owner), (mark(1, 7), mark(2, 8)), &adds[2..]);
        assert_eq!(
            ledger.totals(0, owner, mark(2, 7)).expect("committed")[0],
            3
        );
        assert_eq!(
            ledger.totals(0, owner, mark(2, 8)).expect("committed")[0],
            4
        );
        assert_eq!(ledger.totals(0, owner, mark(2, 9)), None);
        assert_eq!(ledger.counted(|_, _| vec![mark(2, 8)]), [true, false, true]);
        assert_eq!(
            ledger.counted(|_, _| vec![mark(2, 7), mark(2, 8)]),
            [true; 3]
        );
        assert!(ledger.holds(adds[1], mark(2, 7)) && !ledger.holds(adds[1], mark(2, 8)));
        assert!(ledger.on_one_branch(0, owner, mark(2, 8), mark(1, 7)));
        assert!(!ledger.on_one_branch(0, owner, mark(2, 8), mark(2, 7)));
    }
}
