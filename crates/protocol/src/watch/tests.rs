//! Watches over shards without a node around them.

use alloc::{format, string::ToString, vec};
use core::cell::RefCell;

use crdt_core::{Replica, ReplicaId, StartId, Sum};

use super::*;
use crate::{Adds, ClusterHash, Coverage, Round};

const SHARDS: u32 = 3;
const INTERVAL: Duration = Duration::from_millis(100);

struct Node {
    shards: RefCell<Vec<Shard>>,
    budgets: WatchBudgets,
    limits: WatchLimits,
}

impl Node {
    fn new() -> Self {
        let replica = || Replica::new(ReplicaId::new(1), StartId::new(1));
        let shards = (0..SHARDS).map(|_| Shard::new(replica())).collect();
        Self {
            shards: RefCell::new(shards),
            budgets: WatchBudgets {
                watches: Budget::new(2),
                counters: Budget::new(10),
            },
            limits: WatchLimits {
                counters_max: 6,
                message_bytes_max: 4 * (VALUE_BYTES + 2),
                piece_counters_max: 2,
            },
        }
    }

    fn add(&self, adds: &[(&str, i64)]) {
        let mut taken = Adds::default();
        for &(counter, amount) in adds {
            taken.add_named(shard_of(counter), name(counter), Sum::of(amount));
        }
        taken.take(&self.shards, 100).expect("they fit");
        for shard in self.shards.borrow_mut().iter_mut() {
            if shard.collect(Round::FIRST).is_some() {
                shard.synced();
            }
        }
    }

    fn watch(&self, watched: Watched) -> Result<Watch, WatchError> {
        let now = at_ms(0);
        Watch::new(watched, INTERVAL, self.limits, &self.budgets, now, SHARDS)
    }

    fn named(&self, counters: &[&str]) -> Result<Watch, WatchError> {
        let named = counters.iter().map(|it| (shard_of(it), name(it)));
        self.watch(Watched::Named(named.collect()))
    }

    fn prefix(&self, prefix: &str) -> Watch {
        let watch = self.watch(Watched::Prefix(prefix.to_string()));
        watch.expect("within the bounds")
    }
}

fn name(name: &str) -> CounterName {
    name.parse().expect("a name")
}

/// By the last letter, so that tests can choose.
fn shard_of(counter: &str) -> ShardIndex {
    u32::from(counter.as_bytes()[counter.len() - 1]) % SHARDS
}

fn at_ms(ms: u64) -> Time {
    Time::from_us(ms * 1000)
}

/// What a watch tells.
fn told(effect: WatchEffect) -> Vec<(alloc::string::String, i128)> {
    let WatchEffect::Tell(values) = effect else {
        panic!("it tells something, and not {effect:?}");
    };
    let text = |(name, value): (CounterName, i128)| (name.as_str().to_string(), value);
    values.into_iter().map(text).collect()
}

fn values(expected: &[(&str, i128)]) -> Vec<(alloc::string::String, i128)> {
    let text = |&(name, value): &(&str, i128)| (name.to_string(), value);
    expected.iter().map(text).collect()
}

#[test]
fn a_watch_tells_all_at_once_and_then_at_a_pace_what_has_changed() {
    let node = Node::new();
    node.add(&[("c", 3)]);
    let mut watch = node.named(&["c", "a", "b", "a"]).expect("three counters");
    let all = values(&[("a", 0), ("b", 0), ("c", 3)]);
    assert_eq!(told(watch.poll(at_ms(5), &node.shards)), all);
    assert_eq!(watch.poll(at_ms(6), &node.shards), WatchEffect::AwaitRound);
    for _ in 0..3 {
        node.add(&[("b", 1), ("unwatched", 1)]);
        watch.completed();
    }
    let wait = WatchEffect::Wait { until: at_ms(105) };
    assert_eq!(watch.poll(at_ms(104), &node.shards), wait);
    let changed = values(&[("b", 3)]);
    assert_eq!(told(watch.poll(at_ms(105), &node.shards)), changed);
    // What ends where it began is no change.
    node.add(&[("a", 1)]);
    node.add(&[("a", -1)]);
    watch.completed();
    assert_eq!(
        watch.poll(at_ms(300), &node.shards),
        WatchEffect::AwaitRound
    );
}

#[test]
fn a_prefix_is_watched_with_the_counters_that_come_later() {
    let node = Node::new();
    node.add(&[("x/a", 1), ("y/a", 1), ("x/d", 2)]);
    let mut watch = node.prefix("x/");
    let first = values(&[("x/a", 1), ("x/d", 2)]);
    assert_eq!(told(watch.poll(at_ms(0), &node.shards)), first);
    node.add(&[("x/b", 1), ("x", 1), ("z", 1)]);
    watch.completed();
    let later = values(&[("x/b", 1)]);
    assert_eq!(told(watch.poll(at_ms(100), &node.shards)), later);
}

/// A message has room for four values here.
#[test]
fn what_does_not_fit_a_message_comes_with_the_next_and_nobody_is_kept_back() {
    let node = Node::new();
    let names = ["aa", "ad", "ag", "aj", "am", "ap"];
    let all: Vec<_> = names.iter().map(|it| (*it, 1)).collect();
    node.add(&all);
    let mut watch = node.named(&names).expect("six counters");
    let first = told(watch.poll(at_ms(0), &node.shards));
    assert_eq!(first, values(&[("aa", 1), ("ad", 1), ("ag", 1), ("aj", 1)]));
    // Without another round: the rest is due by itself. All change again meanwhile.
    node.add(&all);
    let wait = WatchEffect::Wait { until: at_ms(100) };
    assert_eq!(watch.poll(at_ms(1), &node.shards), wait);
    let second = told(watch.poll(at_ms(100), &node.shards));
    assert_eq!(second, values(&[("am", 2), ("ap", 2)]));
    let third = told(watch.poll(at_ms(200), &node.shards));
    assert_eq!(third, values(&[("aa", 2), ("ad", 2), ("ag", 2), ("aj", 2)]));
    assert_eq!(
        watch.poll(at_ms(300), &node.shards),
        WatchEffect::AwaitRound
    );
}

#[test]
fn the_token_of_a_watch_covers_all_that_was_told() {
    let node = Node::new();
    node.add(&[("a", 1), ("b", 1)]);
    let mut watch = node.named(&["a", "b"]).expect("two counters");
    let _all = watch.poll(at_ms(0), &node.shards);
    node.add(&[("a", 1)]);
    watch.completed();
    let _changed = watch.poll(at_ms(100), &node.shards);
    let token = watch.reading().token(ClusterHash(7));
    let shards = node.shards.borrow();
    for counter in ["a", "b"] {
        let index = shard_of(counter);
        let covered = token.coverage(index, &shards[index as usize]);
        assert_eq!(covered, Coverage::Covered);
        // A node that lacks any of it is not there yet.
        let behind = Shard::new(Replica::new(ReplicaId::new(2), StartId::new(2)));
        assert_eq!(token.coverage(index, &behind), Coverage::Lacking);
    }
    let untouched = Shard::new(Replica::new(ReplicaId::new(2), StartId::new(2)));
    assert_eq!(token.coverage(shard_of("c"), &untouched), Coverage::Covered);
}

#[test]
fn a_watch_of_too_many_counters_is_refused_or_ends_when_they_become_too_many() {
    let node = Node::new();
    let refused = node.named(&["a", "b", "c", "d", "e", "f", "g"]);
    let too_many = WatchError::TooMany {
        found: 7,
        counters_max: 6,
    };
    assert_eq!(refused.map(|_| ()), Err(too_many.clone()));
    let mut watch = node.prefix("");
    for at in 0..6 {
        node.add(&[(&format!("n{at}"), 1)]);
    }
    let mut now = 0;
    let mut next = || {
        now += 100;
        watch.completed();
        watch.poll(at_ms(now), &node.shards)
    };
    assert_eq!(told(next()).len(), 4);
    assert_eq!(told(next()).len(), 2);
    node.add(&[("n6", 1)]);
    // A look goes round all shards, so the seventh is found by the next one or the one after.
    let failed = [next(), next()];
    assert!(failed.contains(&WatchEffect::Fail(too_many)), "{failed:?}");
}

#[test]
fn all_watches_together_have_a_bound_and_give_back_what_they_had() {
    let node = Node::new();
    let first = node.named(&["a", "b", "c", "d", "e", "f"]).expect("six");
    let refused = node.named(&["a", "b", "c", "d", "e"]).map(|_| ());
    let exhausted = |more| WatchError::CountersExhausted {
        more,
        counters_max: 10,
    };
    assert_eq!(refused, Err(exhausted(5)));
    let second = node.prefix("");
    let refused = node.named(&["a"]).map(|_| ());
    let no_place = WatchError::WatchesExhausted { watches_max: 2 };
    assert_eq!(refused, Err(no_place));
    drop((first, second));
    assert_eq!(node.budgets.counters.used(), 0);
    assert_eq!(node.budgets.watches.used(), 0);
    let _six = node.named(&["a", "b", "c", "d", "e", "f"]).expect("room");
    let mut watch = node.prefix("");
    let five: Vec<_> = ["a", "b", "c", "d", "e"].map(|it| (it, 1)).into();
    node.add(&five);
    let mut effects = vec![];
    for step in 1..4 {
        watch.completed();
        effects.push(watch.poll(at_ms(100 * step), &node.shards));
    }
    assert!(
        effects.contains(&WatchEffect::Fail(exhausted(1))),
        "{effects:?}"
    );
}
