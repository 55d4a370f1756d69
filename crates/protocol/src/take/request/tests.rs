//! A request counts once in all of its shards, or says which parts count.

use alloc::{string::ToString, vec};
use core::cell::RefCell;

use crdt_core::{CounterName, Interval, Replica, RequestId, SessionId, StartId};

use super::*;
use crate::TakeError;

const START: StartId = StartId::new(7);
const HOME: ReplicaId = ReplicaId::new(1);
const OTHER: ReplicaId = ReplicaId::new(2);

/// A node of two shards: the counters "0/..." are in the first, the others in the second.
struct Node {
    shards: RefCell<Vec<Shard>>,
    round: Round,
    counters_max: u64,
}

impl Node {
    fn new(id: ReplicaId) -> Self {
        let shard = || Shard::new(Replica::new(id, START));
        Self {
            shards: RefCell::new(vec![shard(), shard()]),
            round: Round::NONE,
            counters_max: 10,
        }
    }

    /// Two nodes that know each other.
    fn pair() -> [Self; 2] {
        let (mut home, mut other) = (Self::new(HOME), Self::new(OTHER));
        for at in 0..2 {
            home.shards.borrow_mut()[at].know(OTHER);
            other.shards.borrow_mut()[at].know(HOME);
        }
        home.complete();
        other.complete();
        home.tell(&mut other);
        other.tell(&mut home);
        [home, other]
    }

    fn request(
        &self,
        head: &RequestHead,
        adds: &[(&str, i64)],
    ) -> Result<RequestReceipt, RequestRefusal> {
        let mut all = Adds::default();
        for &(name, amount) in adds {
            let name: CounterName = name.parse().expect("a name");
            all.add_named(shard_of(name.as_str()), name, Sum::of(amount));
        }
        all.take_request(&self.shards, head, self.counters_max)
    }

    /// Makes durable what was taken in these shards.
    fn complete_in(&mut self, shards: &[usize]) -> Round {
        self.round = self.round.next();
        for &at in shards {
            let shard = &mut self.shards.borrow_mut()[at];
            if shard.collect(self.round).is_some() {
                shard.synced();
            }
        }
        self.round
    }

    fn complete(&mut self) -> Round {
        self.complete_in(&[0, 1])
    }

    fn interval(&self, at: usize, lane: ReplicaId, after: Mark) -> Option<Interval> {
        let shards = self.shards.borrow();
        let interval = shards[at].replica().interval(lane, after);
        interval.expect("no lane has forked")
    }

    /// Tells another node all of the own lane.
    fn tell(&self, other: &mut Self) {
        for at in 0..2 {
            let own = self.shards.borrow()[at].replica().id();
            let held = other.shards.borrow()[at].replica().held(own);
            let Some(interval) = self.interval(at, own, held) else {
                continue;
            };
            let interval = {
                let from = self.shards.borrow();
                let mut to = other.shards.borrow_mut();
                interval.map_counters(|&counter| {
                    let name = from[at].replica().name(counter).clone();
                    to[at].replica_mut().counter(&name)
                })
            };
            let taken = other.shards.borrow_mut()[at].receive(interval);
            taken.expect("it fits");
        }
        other.complete();
    }

    /// The node as it is read back after a crash: what is held.
    fn restart(&mut self) {
        for shard in self.shards.borrow_mut().iter_mut() {
            let before = shard.replica();
            let mut replica = Replica::new(before.id(), StartId::new(START.get() + 1));
            for index in 0..before.counters() {
                let index = CounterIndex::new(u32::try_from(index).expect("few"));
                replica.counter(before.name(index));
            }
            for (lane, _) in before.digest().iter() {
                let interval = before.interval(lane, Mark::ZERO).expect("no fork");
                if let Some(interval) = interval {
                    replica.recover(&interval).expect("it was held");
                }
            }
            *shard = Shard::new(replica);
        }
        self.round = Round::NONE;
    }

    fn value(&self, name: &str) -> i128 {
        let shards = self.shards.borrow();
        let replica = shards[shard_of(name) as usize].replica();
        replica.find(name).map_or(0, |index| replica.value(index))
    }
}

fn shard_of(name: &str) -> ShardIndex {
    u32::from(!name.starts_with('0'))
}

fn head(number: u64) -> RequestHead {
    RequestHead {
        id: RequestId {
            session: SessionId {
                home: HOME,
                start: START,
                count: 0,
            },
            number,
        },
        answered_below: 1,
        is_moved: false,
    }
}

fn moved(number: u64) -> RequestHead {
    RequestHead {
        is_moved: true,
        ..head(number)
    }
}

const BOTH: [(&str, i64); 3] = [("0/a", 2), ("1/b", 3), ("0/a", 1)];

/// The counter whose value would leave its range.
fn out_of_range(error: &RequestError) -> &CounterName {
    if let RequestError::Take(error) = error
        && let TakeError::OutOfRange { counter, .. } = &**error
    {
        return counter;
    }
    panic!("{error}")
}

fn refusal(taken: Result<RequestReceipt, RequestRefusal>) -> RequestRefusal {
    taken.expect_err("it is refused")
}

#[test]
fn a_request_counts_once_at_its_home_and_a_copy_waits_for_the_first() {
    let home = Node::new(HOME);
    let first = home.request(&head(1), &BOTH).expect("it is new");
    assert!(!first.was_counted && first.round == Round::FIRST);
    assert_eq!(first.marks.len(), 2);
    // A copy before the first is durable, while it is written, and afterwards.
    let copy = home.request(&head(1), &BOTH).expect("a copy");
    assert!(copy.was_counted);
    assert_eq!((copy.round, &copy.marks), (Round::FIRST, &first.marks));
    for shard in home.shards.borrow_mut().iter_mut() {
        shard.collect(Round::FIRST).expect("something was taken");
    }
    let copy = home.request(&head(1), &BOTH).expect("a copy");
    assert!(copy.was_counted);
    assert_eq!(copy.round, Round::FIRST);
    for shard in home.shards.borrow_mut().iter_mut() {
        shard.synced();
    }
    let copy = home.request(&head(1), &BOTH).expect("a copy");
    assert!(copy.was_counted);
    assert_eq!(copy.round, Round::NONE);
    assert_eq!((home.value("0/a"), home.value("1/b")), (3, 3));
}

#[test]
fn a_request_that_touches_nothing_counts_at_once() {
    let receipt = Node::new(HOME)
        .request(&head(1), &[])
        .expect("nothing to do");
    assert_eq!(receipt, RequestReceipt::default());
}

#[test]
fn where_a_request_goes_is_checked_first() {
    let [home, other] = Node::pair();
    let not_home = refusal(other.request(&head(1), &BOTH));
    assert_eq!(not_home.error, RequestError::NotHome { home: HOME });
    let to_home = refusal(home.request(&moved(1), &BOTH));
    assert_eq!(to_home.error, RequestError::MovedToHome);
    let stranger = Node::new(ReplicaId::new(3));
    let unknown = refusal(stranger.request(&moved(1), &BOTH));
    assert_eq!(unknown.error, RequestError::UnknownToHome { home: HOME });
}

#[test]
fn a_moved_request_counts_once_wherever_it_was_taken() {
    let [mut home, mut other] = Node::pair();
    let taken = home.request(&head(1), &BOTH).expect("it is new");
    home.complete();
    let claimed = other.request(&moved(1), &BOTH).expect("it is new here");
    assert!(!claimed.was_counted);
    let copy = other.request(&moved(1), &BOTH).expect("a copy");
    assert!(copy.was_counted);
    assert_eq!(copy.round, claimed.round);
    other.complete();
    assert_eq!(other.value("0/a"), 3);
    home.tell(&mut other);
    other.tell(&mut home);
    for node in [&home, &other] {
        assert_eq!((node.value("0/a"), node.value("1/b")), (3, 3));
    }
    // Now the other knows that the home has it: the home's lane is the one to name.
    other.complete();
    let copy = other.request(&moved(1), &BOTH).expect("a copy");
    assert!(copy.was_counted);
    assert_eq!(copy.round, Round::NONE);
    assert!(copy.marks.iter().all(|&(_, lane, _)| lane == HOME));
    assert_eq!(taken.marks.len(), copy.marks.len());
}

#[test]
fn what_was_lost_of_a_request_is_taken_when_it_comes_again() {
    let mut home = Node::new(HOME);
    home.request(&head(1), &BOTH).expect("it is new");
    home.complete_in(&[1]);
    home.restart();
    assert_eq!((home.value("0/a"), home.value("1/b")), (0, 3));
    let again = home.request(&head(1), &BOTH).expect("the rest is taken");
    assert!(!again.was_counted);
    home.complete();
    assert_eq!((home.value("0/a"), home.value("1/b")), (3, 3));
    assert!(home.request(&head(1), &BOTH).expect("a copy").was_counted);
}

#[test]
fn a_refusal_of_the_home_is_for_good_and_durable_before_it_is_told() {
    let mut home = Node::new(HOME);
    home.request(&head(1), &[("1/b", i64::MAX)])
        .expect("it fits");
    home.complete();
    let refused = refusal(home.request(&head(2), &BOTH));
    assert_eq!(out_of_range(&refused.error).as_str(), "1/b");
    assert_eq!(refused.round, Round::new(2));
    // Before it is durable, a copy waits as well.
    let copy = refusal(home.request(&head(2), &BOTH));
    assert_eq!(
        (copy.error, copy.round),
        (RequestError::Refused, Round::new(2))
    );
    home.complete();
    home.request(&head(3), &[("1/b", -9)]).expect("it fits");
    home.complete();
    home.restart();
    let late = refusal(home.request(&head(2), &BOTH));
    assert_eq!(
        (late.error, late.round),
        (RequestError::Refused, Round::NONE)
    );
    assert_eq!(home.value("0/a"), 0);
}

#[test]
fn a_refusal_of_another_node_leaves_nothing_behind() {
    let [_, mut other] = Node::pair();
    other
        .request(&moved(1), &[("1/b", i64::MAX)])
        .expect("it fits");
    other.complete();
    let refused = refusal(other.request(&moved(2), &BOTH));
    assert!(
        matches!(refused.error, RequestError::Take(_)),
        "{refused:?}"
    );
    assert_eq!(refused.round, Round::NONE);
    other.request(&moved(3), &[("1/b", -9)]).expect("it fits");
    assert!(
        !other
            .request(&moved(2), &BOTH)
            .expect("it fits now")
            .was_counted
    );
}

#[test]
fn a_request_that_counts_in_part_and_cannot_in_whole_says_which_part() {
    let mut home = Node::new(HOME);
    home.request(&head(1), &BOTH).expect("it is new");
    home.complete_in(&[0]);
    home.restart();
    home.request(&head(2), &[("1/b", i64::MAX)])
        .expect("it fits");
    let refused = refusal(home.request(&head(1), &BOTH));
    let RequestError::InPart { counted, because } = &refused.error else {
        panic!("{refused:?}")
    };
    assert_eq!(counted, &[0]);
    let because = RequestError::Take(because.clone().expect("it is said"));
    assert_eq!(out_of_range(&because).as_str(), "1/b");
    assert!(
        refused.error.to_string().contains("1/b"),
        "{}",
        refused.error
    );
    assert_eq!(refused.round, Round::FIRST);
    home.complete();
    home.request(&head(3), &[("1/b", -9)]).expect("it fits");
    let late = refusal(home.request(&head(1), &BOTH));
    let in_part = RequestError::InPart {
        counted: vec![0],
        because: None,
    };
    assert_eq!(late.error, in_part, "for good");
    home.complete();
    assert_eq!(home.value("1/b"), i128::from(i64::MAX) - 9);
}

#[test]
fn a_claim_is_of_one_content() {
    let [_, other] = Node::pair();
    other.request(&moved(1), &BOTH).expect("it is new");
    for adds in [
        &[("0/a", 3), ("1/b", 4)][..],
        &[("0/a", 3), ("1/c", 3)],
        &[("0/a", 3), ("1/b", 3), ("1/c", 1)],
    ] {
        let refused = refusal(other.request(&moved(1), adds));
        assert_eq!(refused.error, RequestError::OtherAdds, "{adds:?}");
    }
    let same = [("1/b", 3), ("0/a", 3)];
    assert!(
        other
            .request(&moved(1), &same)
            .expect("the same")
            .was_counted
    );
}

#[test]
fn of_a_closed_session_only_what_counts_is_known() {
    let mut home = Node::new(HOME);
    home.request(&head(1), &BOTH).expect("it is new");
    let session = head(1).id.session;
    for shard in home.shards.borrow_mut().iter_mut() {
        assert_eq!(shard.close_session(session, false), Round::FIRST);
    }
    home.complete();
    for shard in home.shards.borrow_mut().iter_mut() {
        assert_eq!(shard.close_session(session, false), Round::NONE, "it was");
    }
    let closed = RequestError::Closed { session };
    assert_eq!(refusal(home.request(&head(2), &BOTH)).error, closed);
}

#[test]
fn new_counters_have_their_bound_and_no_place_is_kept_for_what_was_refused() {
    let mut home = Node::new(HOME);
    home.counters_max = 1;
    let refused = refusal(home.request(&head(1), &[("0/a", 1), ("0/b", 1)]));
    let exhausted = matches!(
        &refused.error,
        RequestError::Take(error) if matches!(**error, TakeError::CountersExhausted { .. })
    );
    assert!(exhausted, "{refused:?}");
    for (number, counter) in [(2, "0/a"), (3, "1/b")] {
        home.request(&head(number), &[(counter, 1)])
            .expect("a place");
    }
    home.complete();
    assert_eq!((home.value("0/a"), home.value("1/b")), (1, 1));
}

#[test]
fn a_large_request_is_taken_shard_by_shard() {
    let mut home = Node::new(HOME);
    home.counters_max = 10_000;
    let names: Vec<_> = (0..5_000).map(|n| alloc::format!("{n:04}")).collect();
    let adds: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    home.request(&head(1), &adds).expect("it is new");
    assert!(home.request(&head(1), &adds).expect("a copy").was_counted);
    home.complete();
    assert_eq!((home.value("0000"), home.value("4999")), (1, 1));
}
