//! Nodes without sockets: adds, batches and limits.
//!
//! Two kinds of nodes: one without a commit thread, on which nothing ever becomes durable, and one
//! on a data directory, which is closed and read back.

use std::path::Path;
use std::sync::Arc;

use commit_log::{DataDirectory, ExpectedIdentity};
use crdt_core::{Interval, Mark, Sum, Version};
use protocol::Coverage;

use super::commit::Committer;
use super::*;

const SHARDS: u32 = 4;
const COUNTERS_MAX: u64 = 1_000;

fn name(name: &str) -> CounterName {
    CounterName::new(name).expect("a name")
}

fn identity(replica: u128) -> NodeIdentity {
    NodeIdentity {
        cluster: "test".into(),
        replica: ReplicaId::new(replica),
        start: StartId::new(7),
        shard_count: SHARDS,
    }
}

/// A node whose rounds never complete by themselves.
fn node_without_commits(counters_max: u64) -> Node {
    node_that_keeps(counters_max, Box::new(|_| Ok(())))
}

fn node_that_keeps(counters_max: u64, keep_fork: KeepFork) -> Node {
    let identity = identity(1);
    let replica = |_| Replica::new(identity.replica, identity.start);
    let replicas = (0..SHARDS).map(replica).collect();
    Node::new(identity, limits(counters_max), replicas, None, keep_fork)
}

fn limits(counters_max: u64) -> NodeLimits {
    NodeLimits {
        counters_max,
        replication: ReplicationLimits::default(),
    }
}

/// Does by hand what the commit thread does, for all shards, but for the disk.
fn commit_by_hand(node: &Node) {
    for shard in 0..SHARDS {
        node.with(shard, |it| {
            if it.collect(Round::FIRST).is_some() {
                it.synced();
            }
        });
    }
}

fn add(node: &Node, adds: &[(&str, i64)]) -> Result<Receipt, TakeError> {
    let mut taken = Adds::default();
    for &(counter, amount) in adds {
        let counter = name(counter);
        taken.add_named(node.shard_of(&counter), counter, Sum::of(amount));
    }
    node.take(&mut taken)
}

fn value(node: &Node, counter: &str) -> i128 {
    node.read(&[name(counter)]).0[0]
}

fn values(node: &Node) -> Vec<(String, i128)> {
    let (all, _) = node.list("", None, usize::MAX);
    all.into_iter()
        .map(|(name, value)| (name.as_str().to_owned(), value))
        .collect()
}

#[test]
fn nothing_is_read_before_it_is_durable() {
    let node = node_without_commits(COUNTERS_MAX);
    let receipt = add(&node, &[("likes", 1)]).expect("an add");
    assert_eq!(value(&node, "likes"), 0);
    assert_eq!(values(&node), []);
    assert!(*node.completed().borrow() < receipt.round);
    commit_by_hand(&node);
    assert_eq!(value(&node, "likes"), 1);
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let node = node_without_commits(COUNTERS_MAX);
    add(&node, &[("full", i64::MAX)]).expect("an add");
    // Counters of all shards, so that whichever is refused, others were locked before and after.
    let mut adds: Vec<_> = (0..20).map(|at| (format!("c{at}"), 1)).collect();
    adds.push(("full".into(), 1));
    let adds: Vec<_> = adds.iter().map(|(counter, n)| (&**counter, *n)).collect();
    let refusal = add(&node, &adds).expect_err("full");
    assert!(matches!(refusal, TakeError::OutOfRange { counter, .. } if counter.as_str() == "full"));
    commit_by_hand(&node);
    assert_eq!(values(&node), [("full".to_owned(), i64::MAX.into())]);
}

#[test]
fn several_adds_to_one_counter_are_taken_as_their_sum() {
    let node = node_without_commits(COUNTERS_MAX);
    // In this order no add by itself would fit.
    let adds = [
        ("likes", i64::MAX),
        ("views", 2),
        ("likes", 1),
        ("likes", -1),
    ];
    let receipt = add(&node, &adds).expect("the sum fits");
    assert_eq!(
        receipt.marks.len(),
        2,
        "{:?}: one mark a shard",
        receipt.marks
    );
    commit_by_hand(&node);
    let likes = i128::from(i64::MAX);
    assert_eq!(
        values(&node),
        [("likes".into(), likes), ("views".into(), 2)]
    );
    let refusal = add(&node, &[("likes", i64::MIN); 3]).expect_err("more than 64 bits");
    assert!(
        matches!(refusal, TakeError::RequestOverflow { .. }),
        "{refusal}"
    );
}

#[test]
fn a_node_holds_about_as_many_counters_as_it_may() {
    let node = node_without_commits(40);
    let mut taken = Vec::new();
    let mut refusals = 0;
    for at in 0..200 {
        let counter = format!("c{at}");
        match add(&node, &[(&counter, 1)]) {
            Ok(_) => taken.push(counter),
            Err(TakeError::CountersExhausted { counters_max, .. }) => {
                assert_eq!(counters_max, 40 / u64::from(SHARDS));
                refusals += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((node.counters(), taken.len(), refusals), (40, 40, 160));
    for counter in taken {
        add(&node, &[(&counter, 1)]).expect("it has its place");
    }
}

#[test]
fn a_list_is_cut_and_goes_on_after_a_name() {
    let node = node_without_commits(COUNTERS_MAX);
    for counter in ["b", "a/2", "a/10", "a/", "a", "a0", "c"] {
        add(&node, &[(counter, 1)]).expect("an add");
    }
    commit_by_hand(&node);
    let list = |prefix, after, limit| {
        let (page, _) = node.list(prefix, after, limit);
        let names = page.into_iter().map(|(name, _)| name.as_str().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(list("a/", None, 9), ["a/", "a/10", "a/2"]);
    assert_eq!(list("a/", Some("a/"), 1), ["a/10"]);
    assert_eq!(
        list("a/", Some("a/1"), 1),
        ["a/10"],
        "a name that does not exist"
    );
    assert_eq!(list("a/", Some("a/2"), 9), [""; 0]);
    assert_eq!(
        list("a/", Some("A"), 1),
        ["a/"],
        "one that comes before the prefix"
    );
    assert_eq!(list("", Some("a0"), 9), ["b", "c"]);
}

/// All counters of many, over all shards, a page at a time and however long the pages are.
#[test]
fn pages_of_any_length_list_every_counter_once() {
    let node = node_without_commits(COUNTERS_MAX);
    let mut expected: Vec<String> = (0..700).map(|at| format!("c{}", at * 7919)).collect();
    for counter in &expected {
        add(&node, &[(counter, 1)]).expect("an add");
    }
    expected.sort();
    commit_by_hand(&node);
    for limit in [1, 3, 64, 699, 700, 10_000] {
        let mut listed: Vec<String> = Vec::new();
        loop {
            let (page, _) = node.list("", listed.last().map(String::as_str), limit);
            listed.extend(page.iter().map(|(name, _)| name.as_str().to_owned()));
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(listed, expected, "in pages of {limit}");
    }
}

fn fork() -> Fork {
    Fork {
        lane: ReplicaId::new(1),
        held: Mark::ZERO,
        seen: Mark {
            version: Version::new(5),
            start: StartId::new(3),
        },
    }
}

#[test]
fn a_fork_that_could_not_be_kept_is_kept_when_it_is_shown_again() {
    let kept = Arc::new(Mutex::new(vec![Err("no room".to_owned()), Ok(())]));
    let results = Arc::clone(&kept);
    let keep = move |_: &Fork| results.lock().expect("no panic").remove(0);
    let node = node_that_keeps(COUNTERS_MAX, Box::new(keep));
    node.forked_by_dialled(&fork());
    add(&node, &[("likes", 1)]).expect_err("kept or not");
    node.forked_by_dialled(&fork());
    assert_eq!(*kept.lock().expect("no panic"), []);
}

#[test]
fn a_stopping_node_and_a_forked_one_take_nothing() {
    let fork = fork();
    let node = node_without_commits(COUNTERS_MAX);
    node.forked_by_reporter(ReplicaId::new(2), &fork);
    add(&node, &[("likes", 1)]).expect("a stranger is not believed");
    node.forked_by_dialled(&fork);
    let error = add(&node, &[("likes", 1)]).expect_err("forked");
    let forked = NotWritable::Forked(fork);
    assert_eq!(error, TakeError::NotWritable(forked));
    assert!(*node.forked().borrow());

    let node = node_without_commits(COUNTERS_MAX);
    node.stop();
    let error = add(&node, &[("likes", 1)]).expect_err("stopping");
    assert_eq!(error, TakeError::NotWritable(NotWritable::Stopping));
}

#[test]
fn a_token_covers_the_shards_of_its_adds_once_they_are_durable() {
    let node = node_without_commits(COUNTERS_MAX);
    let receipt = add(&node, &[("likes", 1)]).expect("an add");
    let token = node.token(&receipt);
    let is_covered = |shard| node.with(shard, |it| token.coverage(shard, it)) == Coverage::Covered;
    let own = node.shard_of(&name("likes"));
    assert!(!is_covered(own));
    assert!(is_covered((own + 1) % SHARDS), "nothing was added there");
    commit_by_hand(&node);
    assert!(is_covered(own));
}

/// A node on a directory, with its commit thread.
struct Opened {
    node: Arc<Node>,
    committer: Committer,
}

impl Opened {
    fn new(path: &Path) -> Self {
        let expected = ExpectedIdentity {
            cluster: "test".into(),
            shard_count: SHARDS,
        };
        let directory = DataDirectory::open_or_create(path, &expected).expect("a directory");
        let (node, log) = recovery::open(directory, limits(COUNTERS_MAX)).expect("a sound log");
        let node = Arc::new(node);
        let committer = Committer::spawn(Arc::clone(&node), log).expect("a thread");
        Self { node, committer }
    }

    async fn add(&self, adds: &[(&str, i64)]) {
        let receipt = add(&self.node, adds).expect("an add");
        self.node.durable(receipt.round).await;
    }

    fn lanes(&self) -> Vec<crdt_core::Digest> {
        self.node.each_shard(Replica::digest).collect()
    }

    fn close(self) {
        self.committer.close(&self.node);
    }
}

#[tokio::test]
async fn a_restart_finds_the_own_lane_and_those_of_others() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let opened = Opened::new(place.path());
    opened.add(&[("likes", 5), ("views", -3)]).await;
    opened.add(&[("likes", 1)]).await;
    let likes = name("likes");
    let shard = opened.node.shard_of(&likes);
    let interval = foreign_interval(&opened.node, shard, &likes);
    let round = opened.node.with(shard, |it| it.receive(interval));
    opened.node.wake();
    let round = round.expect("it continues the lane").expect("it is new");
    opened.node.durable(round).await;
    let before = (values(&opened.node), opened.lanes());
    assert_eq!(before.0, [("likes".into(), 106), ("views".into(), -3)]);
    // What nobody waits for is made durable by the end.
    add(&opened.node, &[("late", 1)]).expect("an add");
    opened.close();

    let opened = Opened::new(place.path());
    assert_eq!(value(&opened.node, "late"), 1);
    add(&opened.node, &[("late", -1)]).expect("an add");
    let mut expected = before.0;
    expected.insert(0, ("late".into(), 0));
    opened.close();

    let opened = Opened::new(place.path());
    assert_eq!(values(&opened.node), expected);
    // The own totals are back as well: the next add goes on from them.
    opened.add(&[("likes", 1)]).await;
    assert_eq!(value(&opened.node, "likes"), 107);
    opened.close();
}

/// What another replica added: 100.
fn foreign_interval(node: &Node, shard: ShardIndex, counter: &CounterName) -> Interval {
    let mut peer = Replica::new(ReplicaId::new(99), StartId::new(9));
    let index = peer.counter(counter);
    peer.add(index, Sum::of(100)).expect("it fits");
    let group = peer.commit().expect("something was added");
    let exported = peer.export(&group[0]);
    node.with(shard, |it| it.replica_mut().import(&exported))
}

#[tokio::test]
async fn adds_from_many_threads_are_all_counted() {
    const THREADS: usize = 4;
    const ADDS: usize = 500;
    let place = tempfile::tempdir().expect("a temporary directory");
    let opened = Opened::new(place.path());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let node = &opened.node;
            scope.spawn(move || {
                for at in 0..ADDS {
                    // Two counters in changing order: locks are taken in one order nevertheless.
                    let pair = [format!("c{}", at % 7), format!("c{}", (at + thread) % 5)];
                    add(node, &[(&pair[0], 1), (&pair[1], 1)]).expect("an add");
                }
            });
        }
    });
    opened.add(&[("last", 1)]).await;
    let total: i128 = values(&opened.node)
        .into_iter()
        .map(|(_, value)| value)
        .sum();
    assert_eq!(
        total,
        i128::try_from(2 * THREADS * ADDS + 1).expect("small")
    );
    opened.close();
}
