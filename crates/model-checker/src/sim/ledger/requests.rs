//! What clients asked for, and how often it counts.

use crdt_core::{Mark, ReplicaId, RequestId};

use super::{Incarnation, Ledger};

/// What nodes have told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing yet, or nothing ever: it counts once or not at all.
    None,
    /// That it counts.
    Counted,
    /// That it does not, and never will.
    Refused,
}

/// One request of a session: adds that count once, whoever takes them.
#[derive(Clone, Debug)]
pub(crate) struct Requested {
    pub(crate) id: RequestId,
    pub(crate) items: Vec<(usize, i64)>,
    pub(crate) answer: Answer,
    /// Shards whose part no disk has any more: known, and no one's fault.
    pub(crate) excused: Vec<usize>,
    /// All adds that nodes took for it.
    pub(crate) adds: Vec<usize>,
}

/// One amount of a request that a node took for one counter.
#[derive(Clone, Debug)]
pub(crate) struct Add {
    pub(crate) request: usize,
    pub(crate) counter: usize,
    pub(crate) amount: i64,
    pub(crate) shard: usize,
    pub(crate) taken_by: Incarnation,
    /// Whether it was taken as a claim, beside the sums.
    pub(crate) is_claim: bool,
    /// Its place in the lane, once it was in a commit.
    pub(super) commit: Option<usize>,
    /// Where a claim went, and whether it was folded there: more than one place where commits were
    /// lost.
    pub(super) ends: Vec<(usize, bool)>,
}

impl Add {
    /// Whether the claim was folded, if it went on this path.
    pub(super) fn end_on(&self, path: &[bool]) -> Option<bool> {
        let mut ends = self.ends.iter();
        ends.find(|&&(at, _)| path.get(at) == Some(&true))
            .map(|&(_, is_folded)| is_folded)
    }
}

/// How a part of a request stands in a state: the part of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartStanding {
    /// Lanes whose sums have it.
    pub(crate) sums: usize,
    /// Lanes that claim it.
    pub(crate) claims: usize,
    /// Lanes in which a claim of it has gone and that do not have it.
    pub(crate) dropped: usize,
}

impl PartStanding {
    /// Whether it counts.
    pub(crate) fn counts(self) -> bool {
        self.sums > 0 || self.claims > 0
    }
}

impl Ledger {
    /// Notes a request of a client.
    pub(crate) fn ask(&mut self, id: RequestId, items: &[(usize, i64)]) -> usize {
        self.requests.push(Requested {
            id,
            items: items.to_vec(),
            answer: Answer::None,
            excused: Vec::new(),
            adds: Vec::new(),
        });
        self.requests.len() - 1
    }

    /// Notes that a node took an add of a request: into its sums, or as a claim.
    pub(crate) fn take(
        &mut self,
        request: usize,
        (counter, amount): (usize, i64),
        shard: usize,
        (by, is_claim): (Incarnation, bool),
    ) -> usize {
        let number = self.adds.len();
        let of = &mut self.requests[request];
        let is_again = |&add: &usize| {
            let add = &self.adds[add];
            add.shard == shard && (add.taken_by, add.is_claim) != (by, is_claim)
        };
        let is_repeated = is_claim || of.adds.iter().any(is_again);
        if is_repeated && self.repeated.last() != Some(&request) {
            self.repeated.push(request);
        }
        of.adds.push(number);
        self.adds.push(Add {
            request,
            counter,
            amount,
            shard,
            taken_by: by,
            is_claim,
            commit: None,
            ends: Vec::new(),
        });
        number
    }

    /// A node says that a request counts. Of one whose refusal its client has heard, that is said to a
    /// late copy, which nobody waits for: all that was answered is the same to its home.
    pub(crate) fn told_counts(&mut self, request: usize) {
        let answer = &mut self.requests[request].answer;
        if *answer == Answer::None {
            *answer = Answer::Counted;
        }
    }

    /// The shards that a request adds to, each once.
    pub(crate) fn shards_of(&self, request: usize, shard_of: &[usize]) -> Vec<usize> {
        let items = self.requests[request].items.iter();
        let mut shards: Vec<usize> = items.map(|&(counter, _)| shard_of[counter]).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Whether a lane that decides about the request, or counts it, may have forked: then it may
    /// count in one history and not in another, or in both.
    pub(crate) fn is_tainted(&self, request: usize) -> bool {
        let of = &self.requests[request];
        let home = self.find(of.id.session.home);
        let forkable = |number: Incarnation| self.may_have_forked(number);
        let mut takers = of.adds.iter().map(|&add| self.adds[add].taken_by);
        home.is_some_and(forkable) || takers.any(forkable)
    }

    /// Whether the value of a counter rests on a request of which a fork may have made two.
    pub(crate) fn is_uncertain(&self, counter: usize) -> bool {
        let mut repeated = self.repeated.iter();
        repeated.any(|&request| {
            let mut items = self.requests[request].items.iter();
            items.any(|&(of, _)| of == counter) && self.is_tainted(request)
        })
    }

    /// How the part of a request stands, where each lane of its shard is held as the paths say.
    fn standing(&self, request: usize, shard: usize, paths: &[Vec<bool>]) -> PartStanding {
        let mut standing = PartStanding::default();
        let mut seen: Vec<(Incarnation, Option<usize>)> = Vec::new();
        for &add in &self.requests[request].adds {
            let add = &self.adds[add];
            let path = &paths[add.taken_by.0 * self.shards + add.shard];
            let is_held = add.commit.is_some_and(|at| path.get(at) == Some(&true));
            // The part's adds were taken together: one of them stands for all.
            if add.shard != shard || !is_held || seen.contains(&(add.taken_by, add.commit)) {
                continue;
            }
            seen.push((add.taken_by, add.commit));
            match (add.is_claim, add.end_on(path)) {
                (false, _) | (true, Some(true)) => standing.sums += 1,
                (true, None) => standing.claims += 1,
                (true, Some(false)) => standing.dropped += 1,
            }
        }
        standing
    }

    /// How the parts of all requests stand, where each lane is held up to some mark: request, shard,
    /// and how.
    pub(crate) fn standings(
        &self,
        shard_of: &[usize],
        held: impl Fn(usize, ReplicaId) -> Mark,
    ) -> Vec<(usize, usize, PartStanding)> {
        let paths = self.paths(|shard, lane| vec![held(shard, lane)]);
        let all = 0..self.requests.len();
        let parts = all.flat_map(|request| {
            let shards = self.shards_of(request, shard_of).into_iter();
            shards.map(move |shard| (request, shard))
        });
        parts
            .map(|(request, shard)| (request, shard, self.standing(request, shard, &paths)))
            .collect()
    }

    /// What a counter must read where each lane of its shard is held up to some mark: all sums, and
    /// once each request that is claimed and in no sum. `None` where a fork may have made two of one.
    pub(crate) fn value(
        &self,
        (counter, shard): (usize, usize),
        held: impl Fn(ReplicaId) -> Mark,
    ) -> Option<i128> {
        let sums = self.ids.iter().enumerate().map(|(number, &id)| {
            let totals = self.totals(shard, Incarnation(number), held(id));
            totals.map_or(0, |totals| totals[counter])
        });
        let mut value: i128 = sums.sum();
        let adds_here = |request: usize| {
            let items = self.requests[request].items.iter();
            items
                .filter(|&&(of, _)| of == counter)
                .map(|&(_, amount)| i128::from(amount))
                .sum::<i128>()
        };
        if self.repeated.iter().all(|&request| adds_here(request) == 0) {
            return Some(value);
        }
        let paths = self.paths(|of, lane| {
            if of == shard {
                vec![held(lane)]
            } else {
                vec![]
            }
        });
        let mut requests = self.repeated.clone();
        requests.sort_unstable();
        requests.dedup();
        for request in requests {
            let standing = self.standing(request, shard, &paths);
            if adds_here(request) == 0 || standing.claims == 0 {
                continue;
            }
            if self.is_tainted(request) {
                return None;
            }
            if standing.sums == 0 {
                value += adds_here(request);
            }
        }
        Some(value)
    }

    /// Parts of requests that were said to count, and of which no add is held: request and shard. Those
    /// that are excused are left out.
    pub(crate) fn lost(&self, shard_of: &[usize], held: &[bool]) -> Vec<(usize, usize)> {
        let mut lost = Vec::new();
        for (number, request) in self.requests.iter().enumerate() {
            if request.answer != Answer::Counted {
                continue;
            }
            for shard in self.shards_of(number, shard_of) {
                let is_held = |&add: &usize| self.adds[add].shard == shard && held[add];
                if !request.excused.contains(&shard) && !request.adds.iter().any(is_held) {
                    lost.push((number, shard));
                }
            }
        }
        lost
    }

    /// Whether a part of a request was taken in a state that holds each lane of its shard so far. It
    /// counts there then: a claim goes only where what replaces it is held.
    pub(crate) fn holds(
        &self,
        request: usize,
        shard: usize,
        held: impl Fn(ReplicaId) -> Mark,
    ) -> bool {
        let mut adds = self.requests[request].adds.iter();
        adds.any(|&add| {
            let add = &self.adds[add];
            let lane = self.lane(add.shard, add.taken_by);
            let mut path = Vec::new();
            if add.shard == shard {
                lane.path(held(self.ids[add.taken_by.0]), &mut path);
            }
            add.commit.is_some_and(|at| path.get(at) == Some(&true))
        })
    }
}
