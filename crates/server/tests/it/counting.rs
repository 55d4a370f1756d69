//! What clients see of three nodes that are well: every way to add, and every way to read.

use tally_client::{Client, IngestOptions, Options};
use wire::v1::{BatchAddItem, BatchAddRequest, BatchGetRequest, ListCountersRequest, WatchRequest};

use super::cluster::Cluster;
use super::node::{Node, Values, soon};

#[tokio::test]
async fn adds_of_every_kind_on_every_node_meet_in_one_value() {
    let cluster = Cluster::start().await;
    let [a, b, c] = &cluster.nodes;
    a.add("likes", 5).await.expect("an add");
    a.add("likes", -2).await.expect("an add");
    b.add("only-on-b", -7).await.expect("an add");
    let item = |counter: &str, amount| BatchAddItem {
        counter: counter.into(),
        amount,
    };
    let items = vec![item("likes", 10), item("views", 100), item("likes", -4)];
    let mut client = b.counters();
    let batch = client.batch_add(BatchAddRequest {
        items,
        request: None,
    });
    batch.await.expect("a batch");
    ingest(
        c,
        &[("likes", 1), ("views", 1), ("likes", 1), ("views", -3)],
    )
    .await;

    let expected = [
        ("likes", 5 - 2 + 10 - 4 + 2),
        ("only-on-b", -7),
        ("views", 98),
    ];
    let expected: Values = expected.map(|(c, value)| (c.to_owned(), value)).into();
    assert_eq!(cluster.converged().await, expected);
}

/// Adds by an ingest stream of the client library.
async fn ingest(node: &Node, adds: &[(&str, i64)]) {
    let client = Client::connect([&node.address], Options::default()).expect("a client");
    let mut stream = client
        .ingest(&IngestOptions::default())
        .expect("valid options");
    for &(counter, amount) in adds {
        stream.add_amount(counter, amount).await.expect("an add");
    }
    soon("the acknowledgement", stream.finish())
        .await
        .expect("durable");
}

/// However far what was added and what was subtracted go beyond 64 bits.
#[tokio::test]
async fn a_counter_whose_adds_cancel_out_goes_on() {
    let mut cluster = Cluster::start().await;
    let [a, b, _] = &mut cluster.nodes;
    for _ in 0..4 {
        a.add("busy", i64::MAX).await.expect("an add");
        a.add("busy", -i64::MAX).await.expect("an add");
    }
    a.add("busy", 5).await.expect("an add");
    a.kill();
    a.serve().await;
    let token = a.add("busy", i64::MAX - 5).await.expect("an add");
    assert_eq!(b.value_after("busy", token).await, i64::MAX);
    b.add("busy", -i64::MAX).await.expect("an add");
    let expected = Values::from([("busy".to_owned(), 0)]);
    assert_eq!(cluster.converged().await, expected);
}

#[tokio::test]
async fn a_read_with_a_token_sees_the_add_on_any_node() {
    let cluster = Cluster::start().await;
    let [a, b, c] = &cluster.nodes;
    for round in 1..=20 {
        let token = a.add("likes", 1).await.expect("an add");
        assert_eq!(b.value_after("likes", token.clone()).await, round);
        assert_eq!(c.value_after("likes", token).await, round);
    }
}

#[tokio::test]
async fn a_counter_that_nobody_added_to_is_0_and_is_not_listed() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    assert_eq!(node.value("nobody").await, 0);
    let request = BatchGetRequest {
        counters: vec!["nobody".into(), "nobody else".into()],
        ..Default::default()
    };
    let answer = node.counters().batch_get(request).await.expect("a read");
    assert!(answer.into_inner().counters.iter().all(|c| c.value == 0));
    assert_eq!(node.values().await, Values::new());
}

#[tokio::test]
async fn pages_list_a_prefix_in_the_order_of_bytes() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let names = ["b", "a/2", "a/10", "a/é", "a/", "a", "a0", "a/Z"];
    for name in names {
        node.add(name, 1).await.expect("an add");
    }
    let mut sorted: Vec<_> = names.into_iter().filter(|n| n.starts_with("a/")).collect();
    sorted.sort_unstable();
    for page_size in 1..=6 {
        let mut listed = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListCountersRequest {
                prefix: "a/".into(),
                page_size,
                page_token,
                ..Default::default()
            };
            let answer = node.counters().list_counters(request).await;
            let page = answer.expect("a page").into_inner();
            assert!(page.counters.len() <= page_size as usize);
            listed.extend(page.counters.into_iter().map(|c| c.counter));
            assert!(listed.len() <= sorted.len(), "{listed:?}");
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(listed, sorted, "in pages of {page_size}");
    }
}

#[tokio::test]
async fn a_watch_tells_the_value_at_once_and_then_its_changes() {
    let cluster = Cluster::start().await;
    let [a, b, _] = &cluster.nodes;
    let token = a.add("likes", 1).await.expect("an add");
    let request = WatchRequest {
        counter: "likes".into(),
        interval_ms_min: 10,
        token,
        ..Default::default()
    };
    let answer = b.counters().watch(request).await.expect("a watch");
    let mut stream = answer.into_inner();
    let mut next = async || {
        let message = soon("a value", stream.message()).await.expect("a value");
        let message = message.expect("a watch has no end of its own");
        message.counter.expect("a value").value
    };
    assert_eq!(next().await, 1);
    a.add("likes", 41).await.expect("an add");
    assert_eq!(next().await, 42);
    // Changes that come faster than the pace are told as one, so values may be missing between.
    for _ in 0..50 {
        a.add("likes", 1).await.expect("an add");
    }
    let mut last = 42;
    while last < 92 {
        let value = next().await;
        assert!(value > last, "{value} after {last}: only changes are told");
        last = value;
    }
    assert_eq!(last, 92);
}
