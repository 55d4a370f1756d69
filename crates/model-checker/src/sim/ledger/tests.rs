//! What lanes hold after a rollback, and what claims count.

use crdt_core::{SessionId, StartId, Version};

use super::*;

const HOME: ReplicaId = ReplicaId::new(9);
const OTHER: ReplicaId = ReplicaId::new(8);

fn mark(version: u64, start: u64) -> Mark {
    Mark {
        version: Version::new(version),
        start: StartId::new(start),
    }
}

fn request(number: u64) -> RequestId {
    let session = SessionId {
        home: HOME,
        start: StartId::new(7),
        count: 0,
    };
    RequestId { session, number }
}

/// A commit of a lane, which loses no claim.
fn commit(ledger: &mut Ledger, of: Incarnation, (after, to): (Mark, Mark), adds: &[usize]) {
    let committed = Committed {
        shard: 0,
        of,
        after,
        to,
        adds,
        grants: &[],
        needs: &[],
        has_gaps: false,
    };
    ledger.commit(&committed, |_| OwnClaim::Open, |_| Mark::ZERO);
}

#[test]
fn a_lane_that_was_rolled_back_holds_the_adds_of_one_branch_at_a_time() {
    let mut ledger = Ledger::new(1);
    let owner = ledger.register(HOME);
    assert_eq!(ledger.number(HOME), owner);
    assert_eq!(ledger.register(HOME), owner);
    let mut take = |amount: i64| {
        let items = [(0, amount)];
        let asked = ledger.ask(request(amount.unsigned_abs()), &items);
        ledger.take(asked, items[0], 0, (owner, false))
    };
    let adds: Vec<usize> = (1..=3).map(&mut take).collect();
    commit(&mut ledger, owner, (Mark::ZERO, mark(1, 7)), &adds[..1]);
    commit(&mut ledger, owner, (mark(1, 7), mark(2, 7)), &adds[1..2]);
    commit(&mut ledger, owner, (mark(1, 7), mark(2, 8)), &adds[2..]);
    let first = |at| ledger.totals(0, owner, at).map(|totals| totals[0]);
    assert_eq!(first(mark(2, 7)), Some(3));
    assert_eq!(first(mark(2, 8)), Some(4));
    assert_eq!(first(mark(2, 9)), None);
    assert_eq!(ledger.counted(|_, _| vec![mark(2, 8)]), [true, false, true]);
    assert_eq!(
        ledger.counted(|_, _| vec![mark(2, 7), mark(2, 8)]),
        [true; 3]
    );
    assert!(ledger.holds(1, 0, |_| mark(2, 7)) && !ledger.holds(1, 0, |_| mark(2, 8)));
    assert!(ledger.on_one_branch(0, owner, mark(2, 8), mark(1, 7)));
    assert!(!ledger.on_one_branch(0, owner, mark(2, 8), mark(2, 7)));
}

/// A home that took a request, or granted it, and another replica that claimed it and has settled
/// that: what both lanes hold then.
fn settled(home_takes: bool) -> (Ledger, Settled) {
    let mut ledger = Ledger::new(1);
    let (home, other) = (ledger.register(HOME), ledger.register(OTHER));
    let items = [(0, 5)];
    let asked = ledger.ask(request(1), &items);
    let claim = ledger.take(asked, items[0], 0, (other, true));
    commit(&mut ledger, other, (Mark::ZERO, mark(1, 2)), &[claim]);
    let taken = home_takes.then(|| ledger.take(asked, items[0], 0, (home, false)));
    let granted = Committed {
        shard: 0,
        of: home,
        after: Mark::ZERO,
        to: mark(1, 1),
        adds: taken.as_slice(),
        grants: if home_takes {
            &[]
        } else {
            &[(request(1), OTHER)]
        },
        needs: &[],
        has_gaps: false,
    };
    ledger.commit(&granted, |_| OwnClaim::Open, |_| Mark::ZERO);
    let gone = Committed {
        of: other,
        after: mark(1, 2),
        to: mark(2, 2),
        adds: &[],
        grants: &[],
        needs: &[(HOME, mark(1, 1))],
        has_gaps: true,
        ..granted
    };
    let settled = ledger.commit(
        &gone,
        |_| OwnClaim::Settled,
        |lane| if lane == HOME { mark(1, 1) } else { mark(1, 2) },
    );
    (ledger, settled)
}

#[test]
fn a_claim_counts_once_before_and_after_it_is_folded() {
    let (ledger, settled) = settled(false);
    let (folded, dropped) = (1, 0);
    assert_eq!(settled, Settled { folded, dropped });
    let value = |home, other| ledger.value((0, 0), |lane| if lane == HOME { home } else { other });
    assert_eq!(value(Mark::ZERO, Mark::ZERO), Some(0));
    assert_eq!(value(Mark::ZERO, mark(1, 2)), Some(5));
    assert_eq!(value(mark(1, 1), mark(1, 2)), Some(5));
    assert_eq!(value(mark(1, 1), mark(2, 2)), Some(5));
    let other = ledger.number(OTHER);
    assert_eq!(ledger.totals(0, other, mark(2, 2)).expect("it was")[0], 5);
}

#[test]
fn a_claim_of_what_its_home_has_taken_is_dropped_and_nobody_drops_it_alone() {
    let (ledger, settled) = settled(true);
    let (folded, dropped) = (0, 1);
    assert_eq!(settled, Settled { folded, dropped });
    let standing = |home, other| {
        let held = |_, lane| if lane == HOME { home } else { other };
        ledger.standings(&[0; COUNTERS], held)[0].2
    };
    assert_eq!(standing(mark(1, 1), mark(1, 2)).claims, 1);
    let both = standing(mark(1, 1), mark(2, 2));
    assert_eq!((both.sums, both.claims, both.dropped), (1, 0, 1));
    assert!(both.counts());
    assert!(
        !standing(Mark::ZERO, mark(2, 2)).counts(),
        "a need was broken"
    );
}

#[test]
fn a_lane_lacks_what_any_of_its_commits_needs() {
    let (mut ledger, _) = settled(false);
    let lacking = |ledger: &Ledger, home, other| {
        ledger.lacking(0, OTHER, |lane| if lane == HOME { home } else { other })
    };
    assert_eq!(lacking(&ledger, Mark::ZERO, mark(1, 2)), None);
    assert_eq!(lacking(&ledger, mark(1, 1), mark(2, 2)), None);
    let need = Some((HOME, mark(1, 1)));
    assert_eq!(lacking(&ledger, Mark::ZERO, mark(2, 2)), need);
    let other = ledger.number(OTHER);
    commit(&mut ledger, other, (mark(2, 2), mark(3, 2)), &[]);
    assert_eq!(lacking(&ledger, Mark::ZERO, mark(3, 2)), need);
    ledger.may_fork(ledger.number(HOME));
    assert_eq!(lacking(&ledger, Mark::ZERO, mark(3, 2)), None);
}

#[test]
fn what_was_said_to_count_and_is_held_nowhere_is_lost() {
    let (mut ledger, _) = settled(true);
    let shard_of = [0; COUNTERS];
    assert_eq!(ledger.lost(&shard_of, &[false, false]), []);
    ledger.requests[0].answer = Answer::Counted;
    assert_eq!(ledger.lost(&shard_of, &[false, true]), []);
    assert_eq!(ledger.lost(&shard_of, &[false, false]), [(0, 0)]);
    ledger.requests[0].excused.push(0);
    assert_eq!(ledger.lost(&shard_of, &[false, false]), []);
}

#[test]
fn a_request_is_tainted_by_a_fork_of_its_home_or_of_who_takes_it() {
    let (mut ledger, _) = settled(false);
    ledger.register(ReplicaId::new(7));
    ledger.may_fork(ledger.number(ReplicaId::new(7)));
    assert!(!ledger.is_tainted(0) && !ledger.is_uncertain(0));
    ledger.may_fork(ledger.number(OTHER));
    assert!(ledger.is_tainted(0) && ledger.is_uncertain(0) && !ledger.is_uncertain(1));
}
