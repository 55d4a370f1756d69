//! Reads that know: each answer carries a token of what it was made of, and tells on request how old
//! that may be (guarantees `read_your_writes` and `monotonic_reads`).

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status};
use wire::v1::{
    AddRequest, BatchGetRequest, GetRequest, LaneAge, ListCountersRequest, WatchRequest,
};

use super::cluster::Cluster;
use super::node::{Node, add_request, eventually, reason, soon};

/// How long a read waits here that has to wait in vain.
const IN_VAIN: Duration = Duration::from_millis(500);

/// The kinds of reads.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Get,
    BatchGet,
    List,
    Watch,
    WatchSeveral,
    WatchPrefix,
}

const KINDS: [Kind; 6] = [
    Kind::Get,
    Kind::BatchGet,
    Kind::List,
    Kind::Watch,
    Kind::WatchSeveral,
    Kind::WatchPrefix,
];

/// An answer about one counter.
#[derive(Debug)]
struct Answer {
    value: i64,
    token: Vec<u8>,
    lane_ages: Vec<LaneAge>,
}

fn request<T>(message: T, deadline: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    request
}

/// Reads a counter in one of the ways there are.
async fn read(
    node: &Node,
    kind: Kind,
    counter: &str,
    token: &[u8],
    (return_lane_ages, deadline): (bool, Option<Duration>),
) -> Result<Answer, Status> {
    let (mut client, counter, token) = (node.counters(), counter.to_owned(), token.to_vec());
    let (values, token, lane_ages) = match kind {
        Kind::Get => {
            let get = GetRequest {
                counter,
                token,
                return_lane_ages,
            };
            let answer = client.get(request(get, deadline)).await?.into_inner();
            let values = answer.counter.into_iter().collect();
            (values, answer.token, answer.lane_ages)
        }
        Kind::BatchGet => {
            let get = BatchGetRequest {
                counters: vec![counter.clone(), counter],
                token,
                return_lane_ages,
            };
            let answer = client.batch_get(request(get, deadline)).await?.into_inner();
            (answer.counters, answer.token, answer.lane_ages)
        }
        Kind::List => {
            let list = ListCountersRequest {
                prefix: counter,
                token,
                return_lane_ages,
                ..Default::default()
            };
            let answer = client.list_counters(request(list, deadline)).await?;
            let answer = answer.into_inner();
            (answer.counters, answer.token, answer.lane_ages)
        }
        Kind::Watch | Kind::WatchSeveral | Kind::WatchPrefix => {
            let mut watch = WatchRequest {
                token,
                return_lane_ages,
                ..Default::default()
            };
            match kind {
                Kind::WatchSeveral => watch.counters = vec![counter],
                Kind::WatchPrefix => watch.prefix = Some(counter),
                Kind::Watch | Kind::Get | Kind::BatchGet | Kind::List => watch.counter = counter,
            }
            let mut stream = client.watch(request(watch, deadline)).await?.into_inner();
            let message = soon("a value", stream.message()).await?;
            let message = message.expect("a watch has no end of its own");
            let values = message.counter.into_iter().chain(message.counters);
            (values.collect(), message.token, message.lane_ages)
        }
    };
    let value = values.first().map_or(0, |counter| counter.value);
    Ok(Answer {
        value,
        token,
        lane_ages,
    })
}

async fn read_plainly(node: &Node, kind: Kind, counter: &str, token: &[u8]) -> Answer {
    let answer = soon("an answer", read(node, kind, counter, token, (false, None))).await;
    answer.unwrap_or_else(|status| panic!("{kind:?}: {status}"))
}

/// Two nodes of which only the first pulls from the other: so the second never learns what the
/// first has added.
async fn one_way(place: &Path) -> [Node; 2] {
    let mut deaf = Node::new(place, "deaf");
    let mut hearing = Node::new(place, "hearing").with_peers(&[&deaf.address]);
    deaf.serve().await;
    hearing.serve().await;
    [hearing, deaf]
}

#[tokio::test]
async fn a_read_with_a_reads_token_waits_for_every_lane_that_was_read() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [hearing, deaf] = one_way(place.path()).await;
    hearing.add("likes", 1).await.expect("an add");
    let token = deaf.add("likes", 10).await.expect("an add");
    for kind in KINDS {
        let answer = read_plainly(&hearing, kind, "likes", &token).await;
        assert_eq!(answer.value, 11, "{kind:?}");
        // The node that answered has it; so has, some day, any node, but this one has no peers.
        let again = read_plainly(&hearing, kind, "likes", &answer.token).await;
        assert_eq!(again.value, 11, "{kind:?}");
        for later in KINDS {
            let wait = (false, Some(IN_VAIN));
            let refused = read(&deaf, later, "likes", &answer.token, wait).await;
            let refusal = refused.expect_err("its own lane is not all that was read");
            assert_eq!(reason(&refusal), "TOKEN_NOT_COVERED", "{later:?}");
        }
    }
}

#[tokio::test]
async fn a_reads_token_names_only_what_was_read() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [hearing, deaf] = one_way(place.path()).await;
    // Of sixteen shards these names reach several.
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for name in names {
        hearing.add(name, 1).await.expect("an add");
    }
    let answer = read_plainly(&hearing, Kind::Get, "a", &[]).await;
    let mut answered = 0;
    for name in names {
        let wait = (false, Some(IN_VAIN));
        let read = read(&deaf, Kind::Get, name, &answer.token, wait).await;
        answered += usize::from(read.is_ok());
        assert!(name != "a" || read.is_err(), "it was read");
    }
    assert!(answered > 0, "counters of other shards are not waited for");
}

#[tokio::test]
async fn what_was_read_on_one_node_is_read_on_any_other() {
    let cluster = Cluster::start().await;
    let [a, b, c] = &cluster.nodes;
    let mut last = Answer {
        value: 0,
        token: Vec::new(),
        lane_ages: Vec::new(),
    };
    for round in 0..5 {
        for (node, kind) in [a, b, c].into_iter().cycle().zip(KINDS) {
            node.add("likes", 1).await.expect("an add");
            let answer = read_plainly(node, kind, "likes", &last.token).await;
            let fell = answer.value < last.value;
            assert!(
                !fell,
                "{kind:?} in round {round}: {answer:?} after {last:?}"
            );
            assert!(answer.value > 0 && answer.token.len() <= 4_096);
            last = answer;
        }
    }
    // The reads are a chain, and each of the nodes has added before its own.
    assert!(last.value >= 28, "{last:?}");
}

#[tokio::test]
async fn an_add_gives_the_value_that_it_led_to_where_that_is_asked() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [hearing, deaf] = one_way(place.path()).await;
    let token = deaf.add("likes", 10).await.expect("an add");
    assert_eq!(hearing.value_after("likes", token).await, 10);
    let mut client = hearing.counters();
    let plain = client.add(add_request("likes", 1)).await.expect("an add");
    assert_eq!(plain.into_inner().counter, None);
    let add = AddRequest {
        return_value: true,
        ..add_request("likes", -4)
    };
    let answer = client.add(add).await.expect("an add").into_inner();
    let value = answer.counter.expect("it was asked for");
    assert_eq!((value.counter.as_str(), value.value), ("likes", 7));
    // Its token stands for the add, and for all of the value.
    assert_eq!(hearing.value_after("likes", answer.token.clone()).await, 7);
    let wait = (false, Some(IN_VAIN));
    let refused = read(&deaf, Kind::Get, "likes", &answer.token, wait).await;
    let refusal = refused.expect_err("not here");
    assert_eq!(reason(&refusal), "TOKEN_NOT_COVERED");
}

/// Not only the add, but also what others had added: of that this node learns by relay, which takes
/// half a second and longer.
#[tokio::test]
async fn the_token_of_an_add_stands_for_the_value_that_it_gave() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [hearing, deaf] = one_way(place.path()).await;
    let mut relayed = Node::new(place.path(), "relayed").with_peers(&[&hearing.address]);
    relayed.serve().await;
    for round in 1..=3 {
        let token = deaf.add("likes", 10).await.expect("an add");
        assert_eq!(hearing.value_after("likes", token).await, 11 * round - 1);
        let add = AddRequest {
            return_value: true,
            ..add_request("likes", 1)
        };
        let answer = hearing.counters().add(add).await.expect("an add");
        let answer = answer.into_inner();
        let value = answer.counter.expect("it was asked for").value;
        assert_eq!(value, 11 * round);
        assert_eq!(relayed.value_after("likes", answer.token).await, value);
    }
}

/// The ages of the own lane and of the other one, of a read in one of the ways.
async fn ages(node: &Node, kind: Kind) -> (LaneAge, LaneAge) {
    let answer = soon("an answer", read(node, kind, "likes", &[], (true, None))).await;
    let ages = answer.expect("a read").lane_ages;
    let own = node.status().await.replica_id;
    let is_own = |age: &&LaneAge| age.replica_id == own;
    let (found, other) = (ages.iter().find(is_own), ages.iter().find(|it| !is_own(it)));
    assert_eq!(ages.len(), 2, "{kind:?}: {ages:?}");
    (
        found.expect("the own lane").clone(),
        other.expect("the peer's lane").clone(),
    )
}

#[tokio::test]
async fn a_read_tells_on_request_how_old_each_lane_is() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [mut hearing, mut peer] = one_way(place.path()).await;
    let token = peer.add("likes", 10).await.expect("an add");
    assert_eq!(hearing.value_after("likes", token).await, 10);
    for kind in KINDS {
        let unasked = read_plainly(&hearing, kind, "likes", &[]).await;
        assert_eq!(unasked.lane_ages, [], "{kind:?}");
    }
    // The peer adds nothing, and says so once a second.
    let quiet = Duration::from_secs(3);
    sleep(quiet).await;
    for kind in KINDS {
        let (own, other) = ages(&hearing, kind).await;
        assert_eq!((own.newest_age_ms, own.complete_age_ms), (Some(0), Some(0)));
        assert!(other.newest_age_ms >= Some(3_000), "{kind:?}: {other:?}");
        assert!(!other.newest_age_is_least, "{kind:?}: {other:?}");
        assert!(other.complete_age_ms < Some(3_000), "{kind:?}: {other:?}");
        assert!(other.complete_age_ms.is_some(), "{kind:?}: {other:?}");
    }
    let token = peer.add("likes", 1).await.expect("an add");
    let asked = Instant::now();
    assert_eq!(hearing.value_after("likes", token).await, 11);
    let (_, other) = ages(&hearing, Kind::Get).await;
    let since = u64::try_from(asked.elapsed().as_millis()).expect("short") + 2;
    assert!(other.newest_age_ms <= Some(since), "{other:?}, {since} ms");
    // A peer that is gone says nothing.
    peer.kill();
    sleep(quiet).await;
    let (_, other) = ages(&hearing, Kind::BatchGet).await;
    assert!(other.newest_age_ms >= Some(3_000), "{other:?}");
    assert!(other.complete_age_ms >= Some(3_000), "{other:?}");
    // Of what was read back from disk it is not known how old it is.
    hearing.kill();
    hearing.serve().await;
    sleep(Duration::from_millis(200)).await;
    let (_, other) = ages(&hearing, Kind::Get).await;
    assert!(other.newest_age_is_least, "{other:?}");
    assert!(other.newest_age_ms >= Some(200), "{other:?}");
    assert_eq!(other.complete_age_ms, None);
    // Until it is heard of again: with nothing new, by its word that there is nothing.
    peer.serve().await;
    eventually("the peer says that it has sent all", async || {
        let (_, other) = ages(&hearing, Kind::Get).await;
        other.complete_age_ms.is_some() && other.newest_age_is_least
    })
    .await;
}

/// However young it is here: whoever relayed it may have had it for long.
#[tokio::test]
async fn a_lane_that_comes_by_relay_is_not_said_to_be_complete() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [hearing, deaf] = one_way(place.path()).await;
    let mut relayed = Node::new(place.path(), "relayed").with_peers(&[&hearing.address]);
    relayed.serve().await;
    let token = deaf.add("likes", 10).await.expect("an add");
    assert_eq!(relayed.value_after("likes", token).await, 10);
    let relay = hearing.status().await.replica_id;
    let owner = deaf.status().await.replica_id;
    eventually(
        "the relay says that it has sent all of its own",
        async || {
            let answer = read(&relayed, Kind::Get, "likes", &[], (true, None)).await;
            let ages = answer.expect("a read").lane_ages;
            let of = |replica: &Vec<u8>| ages.iter().find(|age| age.replica_id == *replica);
            let by_relay = of(&owner).expect("its lane is held");
            assert!(by_relay.newest_age_ms.is_some(), "{by_relay:?}");
            assert_eq!(by_relay.complete_age_ms, None, "{by_relay:?}");
            of(&relay).is_some_and(|age| age.complete_age_ms.is_some())
        },
    )
    .await;
}

#[tokio::test]
async fn every_read_refuses_a_token_of_another_cluster_at_once() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let north = Node::new(place.path(), "north");
    let mut north = north.with(&["--cluster", "north"]);
    let mut south = Node::new(place.path(), "south");
    north.serve().await;
    south.serve().await;
    north.add("likes", 1).await.expect("an add");
    for kind in KINDS {
        let answer = read_plainly(&north, kind, "likes", &[]).await;
        let refused = read(&south, kind, "likes", &answer.token, (false, None)).await;
        let refusal = refused.expect_err("of the north");
        assert_eq!(refusal.code(), Code::InvalidArgument, "{kind:?}: {refusal}");
        assert_eq!(reason(&refusal), "TOKEN_INVALID", "{kind:?}");
        assert!(refusal.message().contains("another cluster"), "{refusal}");
    }
}
