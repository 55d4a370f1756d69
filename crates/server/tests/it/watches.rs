//! Watches of several counters, and of all with a prefix: what they tell, where they go on, and
//! their bounds.

use std::collections::BTreeMap;

use tonic::{Code, Request, Streaming};
use wire::v1::{BatchAddItem, BatchAddRequest, WatchRequest, WatchResponse};

use super::cluster::Cluster;
use super::node::{Node, Values, soon};
use super::refusals::check;

async fn watch(node: &Node, request: WatchRequest) -> Streaming<WatchResponse> {
    let request = WatchRequest {
        interval_ms_min: 10,
        ..request
    };
    let stream = soon("a stream", node.counters().watch(request)).await;
    stream.expect("a watch").into_inner()
}

fn several(counters: &[&str]) -> WatchRequest {
    WatchRequest {
        counters: counters.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

fn prefix(prefix: &str) -> WatchRequest {
    WatchRequest {
        prefix: Some(prefix.into()),
        ..Default::default()
    }
}

/// What the next message tells, and its token.
async fn next(stream: &mut Streaming<WatchResponse>) -> (Values, Vec<u8>) {
    let message = soon("a message", stream.message()).await.expect("one");
    let message = message.expect("a watch has no end of its own");
    assert_eq!(message.counter, None, "only for a watch of one");
    assert!(message.counters.is_sorted_by_key(|it| it.counter.clone()));
    let told = message.counters.into_iter();
    let values: Values = told.map(|it| (it.counter, it.value)).collect();
    assert!(!values.is_empty());
    (values, message.token)
}

fn values<const N: usize>(expected: [(&str, i64); N]) -> Values {
    BTreeMap::from(expected.map(|(name, value)| (name.to_owned(), value)))
}

async fn add_all(node: &Node, names: impl Iterator<Item = String>) {
    let item = |counter| BatchAddItem { counter, amount: 1 };
    let items = names.map(item).collect();
    let add = node
        .counters()
        .batch_add(BatchAddRequest {
            items,
            request: None,
        })
        .await;
    add.expect("a batch");
}

#[tokio::test]
async fn a_watch_of_several_counters_tells_all_and_then_those_that_changed() {
    let cluster = Cluster::start().await;
    let [a, b, _] = &cluster.nodes;
    a.add("likes", 1).await.expect("an add");
    let mut stream = watch(a, several(&["views", "likes", "nobody", "likes"])).await;
    let (all, _) = next(&mut stream).await;
    assert_eq!(all, values([("likes", 1), ("nobody", 0), ("views", 0)]));
    b.add("unwatched", 1).await.expect("an add");
    b.add("views", 7).await.expect("an add");
    assert_eq!(next(&mut stream).await.0, values([("views", 7)]));
    // Changes that come faster than the pace are told as one, so values may be missing between.
    for _ in 0..50 {
        a.add("likes", 1).await.expect("an add");
    }
    let mut last = 1;
    while last < 51 {
        let (changed, _) = next(&mut stream).await;
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert!(changed["likes"] > last, "{changed:?} after {last}");
        last = changed["likes"];
    }
}

#[tokio::test]
async fn a_watch_of_a_prefix_tells_counters_that_come_later() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node.add("likes/1", 1).await.expect("an add");
    node.add("views/1", 1).await.expect("an add");
    let mut stream = watch(&node, prefix("likes/")).await;
    assert_eq!(next(&mut stream).await.0, values([("likes/1", 1)]));
    node.add("like", 1).await.expect("an add");
    node.add("likes/2", 5).await.expect("an add");
    assert_eq!(next(&mut stream).await.0, values([("likes/2", 5)]));
    let mut all = watch(&node, prefix("")).await;
    assert_eq!(next(&mut all).await.0, node.values().await);
}

#[tokio::test]
async fn a_watch_goes_on_at_another_node_with_its_token() {
    let cluster = Cluster::start().await;
    let [a, b, c] = &cluster.nodes;
    let mut token = Vec::new();
    let mut last = values([("likes", 0), ("views", 0)]);
    for (round, node) in [a, b, c, a, b, c, a, b, c].into_iter().enumerate() {
        let kind = if round % 2 == 0 {
            several(&["likes", "views"])
        } else {
            prefix("")
        };
        let mut stream = watch(node, WatchRequest { token, ..kind }).await;
        let (first, _) = next(&mut stream).await;
        for (name, before) in &last {
            let now = first.get(name).copied().unwrap_or(0);
            assert!(now >= *before, "{name}: {now} after {before} on {round}");
        }
        last.extend(first);
        node.add("likes", 1).await.expect("an add");
        node.add("views", 1).await.expect("an add");
        let (changed, newest) = next(&mut stream).await;
        last.extend(changed);
        token = newest;
    }
    assert!(last["likes"] >= 9 || last["views"] >= 9, "{last:?}");
}

#[tokio::test]
async fn watches_out_of_bounds_are_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let mut client = node.counters();
    let both = WatchRequest {
        counter: "likes".into(),
        ..prefix("likes")
    };
    let all_ways = WatchRequest {
        counters: vec!["views".into()],
        ..both.clone()
    };
    let long = prefix(&"x".repeat(513));
    let cases: [(WatchRequest, &str, &[&str]); 5] = [
        (both, "WATCH_SELECTION", &["prefix: ", "counter is given"]),
        (
            all_ways,
            "WATCH_SELECTION",
            &["counters: ", "counter is given"],
        ),
        (long, "PAGE_INVALID", &["prefix: ", "513", "at most 512"]),
        (
            several(&vec!["a"; 10_001]),
            "BATCH_TOO_LARGE",
            &["10001", "10000"],
        ),
        (
            several(&["a", ""]),
            "COUNTER_NAME_INVALID",
            &["counters[1]: "],
        ),
    ];
    for (request, why, says) in cases {
        let refusal = client.watch(Request::new(request)).await.expect_err(why);
        check(why, &refusal, Code::InvalidArgument, why, says);
    }
    let full = several(&vec!["a"; 10_000]);
    assert_eq!(
        next(&mut watch(&node, full).await).await.0,
        values([("a", 0)])
    );
}

#[tokio::test]
async fn a_prefix_of_too_many_counters_is_refused_and_one_that_becomes_so_ends() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    add_all(&node, (0..10_000).map(|at| format!("n{at}"))).await;
    let mut stream = watch(&node, prefix("n")).await;
    assert_eq!(next(&mut stream).await.0.len(), 10_000);
    add_all(&node, ["n".to_owned()].into_iter()).await;
    let says = ["10001", "at most 10000", "longer prefix"];
    let (code, why) = (Code::ResourceExhausted, "WATCH_TOO_LARGE");
    let ended = soon("the end", stream.message()).await.expect_err(why);
    check("it ends", &ended, code, why, &says);
    let refusal = node.counters().watch(prefix("n")).await.expect_err(why);
    check("it is refused", &refusal, code, why, &says);
    let mut fewer = watch(&node, prefix("n99")).await;
    assert_eq!(next(&mut fewer).await.0.len(), 111);
}

/// Each watch has its place until its client lets go of it.
#[tokio::test]
async fn all_watches_of_a_node_have_a_bound_together() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let request = WatchRequest {
        counters: (0..10_000).map(|at| format!("n{at}")).collect(),
        ..Default::default()
    };
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(watch(&node, request.clone()).await);
    }
    let refusal = node.counters().watch(several(&["a"])).await;
    let refusal = refusal.expect_err("500,000 are watched");
    let (code, why) = (Code::ResourceExhausted, "WATCHES_EXHAUSTED");
    let says = ["1 more counters", "at most 500000", "another node"];
    check("one more", &refusal, code, why, &says);
    streams.pop();
    super::node::eventually("there is room again", async || {
        node.counters().watch(several(&["a"])).await.is_ok()
    })
    .await;
}
