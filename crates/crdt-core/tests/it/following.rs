//! A replica that is followed knows the fingerprints of its lanes at every mark, whatever happens to
//! it meanwhile: they are those of the records that can be read.

use std::collections::BTreeMap;

use crdt_core::{
    CounterName, Fingerprint, IntervalReader, Mark, NameHash, PAST_MARKS_MAX, RecordHash, Replica,
    ReplicaId, StartId, Sum, Sums, Version,
};
use proptest::{collection::vec, prelude::*, sample::Index};

const COUNTERS: usize = 9;
const OWN: ReplicaId = ReplicaId::new(1);
const OTHER: ReplicaId = ReplicaId::new(2);

#[derive(Clone, Debug)]
enum Step {
    /// The followed replica commits adds.
    Change(Vec<usize>, i64),
    /// Its peer commits adds.
    ChangePeer(Vec<usize>, i64),
    /// It takes what it lacks of its peer's lane, read in pieces while that goes on changing: some
    /// counters have several records then.
    Receive(Vec<usize>),
    Follow,
    Walk(usize),
    Unfollow,
}

fn any_step() -> impl Strategy<Value = Step> {
    let counters = || vec(0..COUNTERS, 1..4);
    let amount = || prop_oneof![Just(1), Just(-3), Just(i64::MAX), Just(-i64::MAX)];
    prop_oneof![
        4 => (counters(), amount()).prop_map(|(counters, amount)| Step::Change(counters, amount)),
        3 => (counters(), amount())
            .prop_map(|(counters, amount)| Step::ChangePeer(counters, amount)),
        3 => counters().prop_map(Step::Receive),
        2 => Just(Step::Follow),
        5 => (1..5usize).prop_map(Step::Walk),
        1 => Just(Step::Unfollow),
    ]
}

fn change(replica: &mut Replica, counters: &[usize], amount: i64) {
    for counter in counters {
        let name: CounterName = format!("counter-{counter}").parse().expect("a name");
        let counter = replica.counter(&name);
        replica.take(counter, Sum::of(amount));
    }
    replica.commit();
    replica.synced();
}

fn receive(replica: &mut Replica, peer: &mut Replica, meanwhile: &[usize]) {
    let mut reader = IntervalReader::new(OTHER, replica.held(OTHER));
    let mut sums = Sums::new();
    while let Some(piece) = peer.read(&mut reader, 2).expect("no fork") {
        sums.extend(piece.sums.into_records());
        let Some(end) = piece.end else {
            change(peer, meanwhile, 1);
            continue;
        };
        let interval = crdt_core::Interval {
            lane: OTHER,
            after: piece.after,
            to: end.to,
            starts: end.starts,
            sums,
            records: crdt_core::Records::default(),
            needs: Vec::new(),
        };
        let interval = replica.import(&peer.export(&interval));
        replica.receive(interval).expect("it continues the lane");
        replica.commit();
        replica.synced();
        return;
    }
}

/// A hash that is simple and mixes little: nothing here may rest on it.
fn hash_name(name: &CounterName) -> NameHash {
    let step = |hash: u64, &byte: &u8| hash.wrapping_mul(31) ^ u64::from(byte);
    NameHash::new(name.as_str().as_bytes().iter().fold(7, step))
}

/// The sum over what can be read.
fn fingerprint(replica: &Replica, lane: ReplicaId) -> Fingerprint {
    let mut sum = Fingerprint::default();
    for (name, record) in replica.records_after(lane, None) {
        if let Some((version, total)) = record {
            sum.add(RecordHash::of_sum(hash_name(name), version, total));
        }
    }
    sum
}

#[derive(Debug)]
struct Followed {
    replica: Replica,
    is_through: Option<bool>,
    /// Of the own lane, since the walk was through.
    past: BTreeMap<Version, (Mark, Fingerprint)>,
}

impl Followed {
    fn check(&mut self) {
        let Self {
            replica,
            is_through,
            past,
        } = self;
        let Some(prints) = replica.fingerprints() else {
            assert_ne!(*is_through, Some(true));
            assert_eq!(replica.fingerprint_at(OWN, replica.held(OWN)), Ok(None));
            past.clear();
            return;
        };
        assert_eq!(*is_through, Some(true));
        let lanes: Vec<_> = replica.digest().iter().collect();
        let printed: Vec<_> = prints.iter().map(|it| (it.lane, it.mark)).collect();
        assert_eq!(printed, lanes);
        for print in prints {
            assert_eq!(print.fingerprint, fingerprint(replica, print.lane));
            let at = replica.fingerprint_at(print.lane, print.mark);
            assert_eq!(at, Ok(Some(print.fingerprint)));
        }
        let own = replica.held(OWN);
        past.insert(own.version, (own, fingerprint(replica, OWN)));
        for &(mark, fingerprint) in past.values() {
            assert_eq!(replica.fingerprint_at(OWN, mark), Ok(Some(fingerprint)));
        }
    }
}

proptest! {
    #[test]
    fn fingerprints_are_those_of_the_records_at_every_mark(steps in vec(any_step(), 1..60)) {
        let mut peer = Replica::new(OTHER, StartId::new(2));
        let replica = Replica::new(OWN, StartId::new(1));
        let mut it = Followed { replica, is_through: None, past: BTreeMap::new() };
        for step in steps {
            match step {
                Step::Change(counters, amount) => change(&mut it.replica, &counters, amount),
                Step::ChangePeer(counters, amount) => change(&mut peer, &counters, amount),
                Step::Receive(meanwhile) => receive(&mut it.replica, &mut peer, &meanwhile),
                Step::Follow => {
                    it.replica.follow(hash_name);
                    (it.is_through, it.past) = (Some(false), BTreeMap::new());
                }
                Step::Walk(counters_max) if it.is_through.is_some() => {
                    it.is_through = Some(it.replica.walk(counters_max));
                }
                Step::Walk(_) => {}
                Step::Unfollow => {
                    it.replica.unfollow();
                    it.is_through = None;
                }
            }
            it.check();
        }
    }

    /// One record of one lane is another one on the second replica.
    #[test]
    fn lanes_that_differ_in_one_record_have_other_fingerprints(
        changes in vec((0..COUNTERS, 1..9i64), 1..20), at: Index, more in 1..3i64,
    ) {
        let at = at.index(changes.len());
        let of = |more: i64| {
            let mut replica = Replica::new(OWN, StartId::new(1));
            for (place, &(counter, amount)) in changes.iter().enumerate() {
                let amount = if place == at { amount + more } else { amount };
                change(&mut replica, &[counter], amount);
            }
            replica.follow(hash_name);
            while !replica.walk(1) {}
            replica.fingerprints().expect("the walk is through")
        };
        let (one, other) = (of(0), of(more));
        prop_assert_eq!(one[0].mark, other[0].mark);
        prop_assert_ne!(one[0].fingerprint, other[0].fingerprint);
    }
}

#[test]
fn so_many_past_marks_are_known_and_no_other_history() {
    let mut replica = Replica::new(OWN, StartId::new(1));
    replica.follow(hash_name);
    assert!(replica.walk(1), "there is nothing to read");
    for _ in 0..=PAST_MARKS_MAX {
        change(&mut replica, &[0], 1);
    }
    let mark = |version: usize, start| Mark {
        version: Version::new(version as u64),
        start: StartId::new(start),
    };
    let known = |mark| {
        let at = replica.fingerprint_at(OWN, mark).expect("no fork");
        at.is_some()
    };
    assert!(!known(mark(1, 1)), "it is too long ago");
    assert!(known(mark(2, 1)));
    assert!(known(mark(PAST_MARKS_MAX + 1, 1)));
    let to_come = replica.fingerprint_at(OWN, mark(PAST_MARKS_MAX + 2, 1));
    assert!(to_come.is_err(), "nobody knows more of it than its owner");
    assert!(replica.fingerprint_at(OWN, mark(2, 8)).is_err());
}

#[test]
fn marks_before_the_walk_was_through_are_not_known() {
    let mut replica = Replica::new(OWN, StartId::new(1));
    change(&mut replica, &[0, 1, 2], 1);
    replica.follow(hash_name);
    assert!(!replica.walk(1), "two counters are left");
    change(&mut replica, &[0], 1);
    let early = replica.held(OWN);
    change(&mut replica, &[1], 1);
    while !replica.walk(1) {}
    assert_eq!(replica.fingerprint_at(OWN, early), Ok(None));
    let print = fingerprint(&replica, OWN);
    let now = replica.fingerprint_at(OWN, replica.held(OWN));
    assert_eq!(now, Ok(Some(print)));
}
