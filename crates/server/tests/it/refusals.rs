//! Calls that are refused: by which code and reason, in which words, and that nothing changed.

use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Response, Status};
use wire::v1::{
    AddResponse, BatchAddItem, BatchAddRequest, BatchGetRequest, GetRequest, ListCountersRequest,
    WatchRequest,
};

use super::node::{Node, add_request, reason};

/// A node, and what it held before it refused anything.
struct Refuser {
    node: Node,
    _place: tempfile::TempDir,
}

impl Refuser {
    async fn start(flags: &[&str]) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let mut node = Node::new(place.path(), "a").with(flags);
        node.serve().await;
        node.add("here", 3).await.expect("an add");
        Self {
            node,
            _place: place,
        }
    }

    /// Everything that a refused call must leave as it was: the listed values and the lane.
    async fn state(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let status = self.node.status().await;
        (self.node.values().await, status.lanes)
    }
}

/// Checks a refusal: its code, its reason, and what its message must name.
pub(crate) fn check(what: &str, refusal: &Status, code: Code, why: &str, names: &[&str]) {
    assert_eq!(refusal.code(), code, "{what}: {refusal}");
    assert_eq!(reason(refusal), why, "{what}: {refusal}");
    for name in names {
        let message = refusal.message();
        assert!(message.contains(name), "{what}: no {name:?} in {message:?}");
    }
}

fn refused<T>(what: &str, answer: Result<Response<T>, Status>) -> Status {
    match answer {
        Ok(_) => panic!("{what} was taken"),
        Err(refusal) => refusal,
    }
}

fn batch(items: &[(&str, i64)]) -> BatchAddRequest {
    let item = |&(counter, amount): &(&str, i64)| BatchAddItem {
        counter: counter.into(),
        amount,
    };
    BatchAddRequest {
        items: items.iter().map(item).collect(),
        request: None,
    }
}

#[tokio::test]
async fn names_and_amounts_out_of_bounds_are_refused() {
    let refuser = Refuser::start(&[]).await;
    let (mut client, before) = (refuser.node.counters(), refuser.state().await);
    let long = "é".repeat(256) + "x";
    let empty = &["counter: ", "empty", "1 to 512"];
    let too_long = &["513 bytes", "at most 512", "éé", "shorten"];
    for (name, says) in [("", &empty[..]), (&long, too_long)] {
        let check = |refusal| {
            check(
                name,
                &refusal,
                Code::InvalidArgument,
                "COUNTER_NAME_INVALID",
                says,
            );
        };
        check(refused(name, client.add(add_request(name, 1)).await));
        let items = batch(&[("fresh", 1), (name, 1)]);
        check(refused(name, client.batch_add(items).await));
        let get = GetRequest {
            counter: name.to_owned(),
            ..Default::default()
        };
        check(refused(name, client.get(get).await));
        let watch = WatchRequest {
            counter: name.into(),
            ..Default::default()
        };
        check(refused(name, client.watch(watch).await));
    }
    let zero = refused("0", client.add(add_request("fresh", 0)).await);
    check(
        "0",
        &zero,
        Code::InvalidArgument,
        "AMOUNT_ZERO",
        &["amount: ", "0"],
    );
    let zero = refused(
        "0",
        client.batch_add(batch(&[("fresh", 1), ("here", 0)])).await,
    );
    check(
        "0",
        &zero,
        Code::InvalidArgument,
        "AMOUNT_ZERO",
        &["items[1].amount"],
    );
    assert_eq!(refuser.state().await, before);
    // The longest name and the largest amounts are taken.
    for amount in [i64::MAX, i64::MIN] {
        refuser
            .node
            .add(&long[..512], amount)
            .await
            .expect("an add");
    }
    assert_eq!(refuser.node.value(&long[..512]).await, -1);
}

/// `AddRequest` with a name of any bytes, as a program might send it that checks nothing.
#[derive(Clone, PartialEq, prost::Message)]
struct RawAdd {
    #[prost(bytes = "vec", tag = "1")]
    counter: Vec<u8>,
    #[prost(int64, tag = "2")]
    amount: i64,
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_refused() {
    let refuser = Refuser::start(&[]).await;
    let before = refuser.state().await;
    let mut client = tonic::client::Grpc::new(refuser.node.channel());
    client.ready().await.expect("a connection");
    let add = RawAdd {
        counter: vec![b'l', 0xff, b'k'],
        amount: 1,
    };
    let path = PathAndQuery::from_static("/tally.v1.CounterService/Add");
    let codec = tonic_prost::ProstCodec::<RawAdd, AddResponse>::default();
    let refusal = refused(
        "raw bytes",
        client.unary(Request::new(add), path, codec).await,
    );
    let possible = [Code::Internal, Code::InvalidArgument];
    assert!(possible.contains(&refusal.code()), "{refusal}");
    assert!(refusal.message().contains("UTF-8"), "{refusal}");
    assert_eq!(refuser.state().await, before);
}

#[tokio::test]
async fn an_add_past_64_bits_is_refused() {
    let refuser = Refuser::start(&[]).await;
    let node = &refuser.node;
    node.add("full", i64::MAX).await.expect("an add");
    node.add("low", i64::MIN).await.expect("an add");
    let (mut client, before) = (node.counters(), refuser.state().await);
    let (max, min) = (i64::MAX.to_string(), i64::MIN.to_string());
    let sum_max = u64::MAX.to_string();
    let cases = [
        ("full", 1, ["9223372036854775808", &max, "add less"]),
        ("low", -1, ["-9223372036854775809", &min, "another counter"]),
    ];
    for (counter, amount, says) in cases {
        let check = |refusal| {
            check(
                counter,
                &refusal,
                Code::OutOfRange,
                "VALUE_OUT_OF_RANGE",
                &says,
            );
        };
        check(refused(
            counter,
            client.add(add_request(counter, amount)).await,
        ));
        // Neither the add before it in the batch nor a new counter behind it is taken.
        let items = batch(&[("here", 1), (counter, amount), ("fresh", 1)]);
        check(refused(counter, client.batch_add(items).await));
    }
    let thrice = batch(&[("here", i64::MAX), ("here", i64::MAX), ("here", i64::MAX)]);
    let refusal = refused("a sum", client.batch_add(thrice).await);
    let says = ["\"here\"", &sum_max, "split"];
    check(
        "a sum",
        &refusal,
        Code::OutOfRange,
        "VALUE_OUT_OF_RANGE",
        &says,
    );
    assert_eq!(refuser.state().await, before);
    node.add("full", -1).await.expect("there is room downwards");
}

#[tokio::test]
async fn batches_and_messages_out_of_bounds_are_refused() {
    let refuser = Refuser::start(&[]).await;
    let (mut client, before) = (refuser.node.counters(), refuser.state().await);
    let cases = [
        (0, "BATCH_EMPTY", ["nothing is given", "1 to 10000"]),
        (10_001, "BATCH_TOO_LARGE", ["10001", "at most 10000"]),
    ];
    for (count, reason, says) in cases {
        let check = |refusal| {
            check("a batch", &refusal, Code::InvalidArgument, reason, &says);
        };
        check(refused(
            "adds",
            client.batch_add(batch(&vec![("here", 1); count])).await,
        ));
        let reads = BatchGetRequest {
            counters: vec!["here".into(); count],
            ..Default::default()
        };
        check(refused("reads", client.batch_get(reads).await));
    }
    let long = "x".repeat(500);
    let items = batch(&vec![(&*long, 1); 10_000]);
    let refusal = refused("5 MB", client.batch_add(items).await);
    let possible = [Code::OutOfRange, Code::ResourceExhausted];
    assert!(possible.contains(&refusal.code()), "{refusal}");
    assert!(refusal.message().contains("4194304"), "{refusal}");
    assert_eq!(refuser.state().await, before);
    let largest = vec![("here", 1); 10_000];
    client
        .batch_add(batch(&largest))
        .await
        .expect("the largest batch");
    assert_eq!(refuser.node.value("here").await, 10_003);
}

#[tokio::test]
async fn pages_and_watches_out_of_bounds_are_refused() {
    let refuser = Refuser::start(&[]).await;
    let mut client = refuser.node.counters();
    let page = ListCountersRequest {
        page_size: 10_001,
        ..Default::default()
    };
    let refusal = refused("a page", client.list_counters(page).await);
    let says = ["page_size", "10001", "at most 10000"];
    check(
        "a page",
        &refusal,
        Code::InvalidArgument,
        "PAGE_INVALID",
        &says,
    );
    let page = ListCountersRequest {
        page_token: "x".repeat(513),
        ..Default::default()
    };
    let refusal = refused("a token", client.list_counters(page).await);
    let says = ["page_token", "513", "at most 512"];
    check(
        "a token",
        &refusal,
        Code::InvalidArgument,
        "PAGE_INVALID",
        &says,
    );
    for interval_ms_min in [9, 60_001] {
        let watch = WatchRequest {
            counter: "here".into(),
            interval_ms_min,
            ..Default::default()
        };
        let refusal = refused("a pace", client.watch(watch).await);
        let says = [
            "interval_ms_min",
            &interval_ms_min.to_string(),
            "between 10 and 60000",
        ];
        check(
            "a pace",
            &refusal,
            Code::InvalidArgument,
            "WATCH_INTERVAL",
            &says,
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_token_are_refused() {
    let refuser = Refuser::start(&[]).await;
    let mut client = refuser.node.counters();
    let good = refuser.node.add("here", 1).await.expect("an add");
    let mut read = async |token: &[u8]| {
        let get = GetRequest {
            counter: "here".into(),
            token: token.to_vec(),
            ..Default::default()
        };
        client.get(get).await
    };
    let mut other_format = good.clone();
    other_format[0] = 9;
    let mut other_shard = good.clone();
    other_shard[34] = 100;
    let long = [&good[..], &vec![0; 32_768]].concat();
    let found = long.len().to_string();
    let cases: [(&[u8], &[&str]); 5] = [
        (&good[..3], &["9 to 32768 bytes", "this one has 3", "whole"]),
        (&good[..36], &["36 bytes", "not as it was given"]),
        (&other_format, &["format 9", "format 3"]),
        (&other_shard, &["shard 100", "16"]),
        (&long, &["32768", &found]),
    ];
    for (token, says) in cases {
        let refusal = refused("a token", read(token).await);
        check(
            "a token",
            &refusal,
            Code::InvalidArgument,
            "TOKEN_INVALID",
            says,
        );
    }
}

#[tokio::test]
async fn a_node_that_is_full_takes_no_new_counters() {
    let refuser = Refuser::start(&["--counters-max", "1", "--shards", "1"]).await;
    let before = refuser.state().await;
    let refusal = refuser.node.add("fresh", 1).await.expect_err("full");
    let says = ["\"fresh\"", "holds 1 of at most 1 ", "--counters-max"];
    check(
        "full",
        &refusal,
        Code::ResourceExhausted,
        "COUNTERS_EXHAUSTED",
        &says,
    );
    assert_eq!(refuser.state().await, before);
    refuser.node.add("here", 1).await.expect("it is no new one");
}
