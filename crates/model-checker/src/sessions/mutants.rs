//! What mutants make of an interval of the own lane, before anybody else gets it. Mutants of a
//! node's steps are in `node`, of the client in `client`, of values in `count`.
//!
//! A report that a closing is held needs the closing as well, and has no mutant: only the home looks
//! at reports, and it holds its own lane.

use crdt_core::{
    CounterName, Interval, RecordContent, RecordKey, Replica, SessionMark, SumRecord, Total,
};

use super::Rules;
use super::ids::amount;
use crate::crdt::view::{counter_name, sum_of};
use crate::mutation::Mutation;

/// Why an interval needs another lane, and the mutant that leaves just this out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ground {
    Grant,
    Fold,
    Drop,
    Forgetting,
}

impl Ground {
    const ALL: [(Self, Mutation); 4] = [
        (Self::Grant, Mutation::GrantWithoutNeeds),
        (Self::Fold, Mutation::FoldWithoutNeeds),
        (Self::Drop, Mutation::DropWithoutNeeds),
        (Self::Forgetting, Mutation::ForgettingWithoutNeeds),
    ];

    /// Whether an interval of a lane that was so before has needs on this ground.
    fn is_of(self, before: &Replica, interval: &Interval<CounterName>) -> bool {
        let changed = &interval.records.changed;
        let claims_go = interval.records.gaps.iter().any(|gap| {
            let own = before.held_claims().filter(|&(by, _)| by == before.id());
            own.into_iter()
                .any(|(_, request)| gap.holds(RecordKey::Claim(request)))
        });
        match self {
            Self::Grant => changed.iter().any(|record| {
                matches!(&record.content,
                    RecordContent::Session(mark) if mark.grants().len() > grants_of(before))
            }),
            Self::Fold => claims_go && !interval.sums.is_empty(),
            Self::Drop => claims_go && interval.sums.is_empty(),
            Self::Forgetting => forgets(interval),
        }
    }
}

fn forgets(interval: &Interval<CounterName>) -> bool {
    let mut changed = interval.records.changed.iter();
    changed.any(|record| matches!(record.key, RecordKey::Gone { .. }))
}

fn grants_of(replica: &Replica) -> usize {
    let marks = replica.own_sessions();
    marks.map(|(_, mark)| mark.grants().len()).sum()
}

impl Rules {
    /// The interval that a commit adds to the own lane, as others will get it.
    pub(super) fn on_commit(
        &self,
        before: &Replica,
        mut interval: Interval<CounterName>,
    ) -> Interval<CounterName> {
        let grounds = Ground::ALL
            .into_iter()
            .filter(|(ground, _)| ground.is_of(before, &interval));
        let mut grounds = grounds.map(|(_, mutation)| self.breaks(mutation));
        // What also stands on another ground keeps its needs.
        if grounds.next() == Some(true) && grounds.all(|is_broken| is_broken) {
            interval.needs.clear();
        }
        if self.breaks(Mutation::FoldedUngranted) {
            fold_claims(before, &mut interval);
        }
        if self.breaks(Mutation::TakenGranted) {
            grant_taken(before, &mut interval);
        }
        interval
    }
}

/// New claims become part of the sums, as if they were granted.
fn fold_claims(before: &Replica, interval: &mut Interval<CounterName>) {
    let number = |key: RecordKey| {
        if let RecordKey::Claim(request) = key {
            Some(request.number)
        } else {
            None
        }
    };
    let new: Vec<u64> = interval
        .records
        .changed
        .iter()
        .filter_map(|record| number(record.key))
        .collect();
    if new.is_empty() {
        return;
    }
    let held = before
        .held_claims()
        .filter(|&(by, _)| by == before.id())
        .map(|(_, request)| request.number);
    let folded: i128 = held.chain(new).map(|it| i128::from(amount(it))).sum();
    let written = interval.sums.iter().map(|it| it.total).next_back();
    let total = written.unwrap_or_else(|| sum_of(before, before.id(), 0));
    let incremented = total.incremented + folded.unsigned_abs();
    interval.sums = std::iter::once(SumRecord {
        counter: counter_name(0).clone(),
        version: interval.to.version,
        total: Total {
            incremented,
            ..total
        },
    })
    .collect();
    interval
        .records
        .changed
        .retain(|record| number(record.key).is_none());
}

/// A taken request that somebody claims becomes a granted one.
fn grant_taken(before: &Replica, interval: &mut Interval<CounterName>) {
    let claims: Vec<_> = before
        .held_claims()
        .filter(|&(by, _)| by != before.id())
        .collect();
    for record in &mut interval.records.changed {
        let RecordContent::Session(mark) = &mut record.content else {
            continue;
        };
        let mut grants = mark.grants().clone();
        for &(by, request) in &claims {
            if mark.taken().contains(request.number) {
                grants.entry(request.number).or_insert(by);
                let need = (by, before.held(by));
                if let Err(place) = interval.needs.binary_search_by_key(&by, |it| it.0) {
                    interval.needs.insert(place, need);
                }
            }
        }
        let ranges = mark.taken();
        let numbers = ranges.ranges().iter();
        let numbers = numbers.flat_map(|&(first, last)| first..=last);
        let taken = numbers.filter(|number| !grants.contains_key(number));
        let mut granted = SessionMark::default();
        granted.answered_below = mark.answered_below;
        granted.closed = mark.closed;
        let granted = granted.with_taken(&taken.collect());
        let void = mark.void().cloned().unwrap_or_default();
        *mark = granted.expect("some of what was taken").with(void, grants);
    }
}
