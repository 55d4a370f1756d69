//! Starts that are refused, and peers that are: what an operator reads, and that it comes quickly.

use std::fs;
use std::time::{Duration, Instant};

use super::node::{Node, eventually, free_address, run_tallyd};

/// A start that is refused is refused within this time, on a busy machine too.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(10);

/// Starts a node that cannot start, and checks what it writes.
async fn refuses(what: &str, mut node: Node, names: &[&str]) {
    let began = Instant::now();
    let (status, text) = node.fail().await;
    assert!(began.elapsed() < REFUSAL_TIME_MAX, "{what}");
    assert!(!status.success(), "{what}: {text}");
    for name in names {
        assert!(text.contains(name), "{what}: no {name:?} in {text}");
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut first = Node::new(place.path(), "a");
    first.serve().await;
    let mut second = Node::new(place.path(), "second");
    second.data.clone_from(&first.data);
    let path = first.data.display().to_string();
    refuses("in use", second, &[&path, "in use", "directory of its own"]).await;
    first.add("likes", 1).await.expect("the first one goes on");
}

#[tokio::test]
async fn a_data_directory_of_something_else_is_refused_and_left_alone() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let flags = ["--cluster", "north", "--shards", "4"];
    let mut node = Node::new(place.path(), "a").with(&flags);
    node.serve().await;
    node.add("likes", 1).await.expect("an add");
    node.kill();
    let data = node.data.clone();
    let again = |name: &str, flags: &[&str]| {
        let mut node = Node::new(place.path(), name).with(flags);
        node.data.clone_from(&data);
        node
    };
    let south = again("south", &["--cluster", "south", "--shards", "4"]);
    refuses("cluster", south, &["\"north\"", "\"south\"", "--cluster"]).await;
    let eight = again("eight", &["--cluster", "north", "--shards", "8"]);
    refuses("shards", eight, &["4 shards", "expected 8", "--shards 4"]).await;

    let identity = data.join("identity");
    let text = fs::read_to_string(&identity).expect("an identity");
    let newer = text.replacen("format = 3", "format = 9", 1);
    assert_ne!(newer, text, "the format has version 3");
    fs::write(&identity, newer).expect("a file");
    let version = again("version", &flags);
    refuses(
        "version",
        version,
        &["format version 9", "expected 1 to 3", "tallyd that wrote"],
    )
    .await;

    fs::write(&identity, text).expect("a file");
    node.serve().await;
    assert_eq!(node.value("likes").await, 1);
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut first = Node::new(place.path(), "a");
    first.serve().await;
    let mut second = Node::new(place.path(), "second");
    second.address.clone_from(&first.address);
    let address = first.address.clone();
    refuses("address", second, &[&address, "in use", "--listen"]).await;
}

#[test]
fn unknown_flags_and_keys_are_refused_with_what_there_is() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let data = place.path().join("a");
    let (status, text) = run_tallyd(&["--data", &data.display().to_string(), "--sharts", "4"]);
    assert!(!status.success());
    assert!(
        text.contains("--sharts") && text.contains("--shards"),
        "{text}"
    );

    let (status, text) = run_tallyd(&["--data", &data.display().to_string(), "--shards", "257"]);
    assert!(!status.success());
    assert!(text.contains("257") && text.contains("1..=256"), "{text}");

    let file = place.path().join("tally.toml");
    fs::write(&file, "data = \"a\"\npeers = [\"b:1\"]\n").expect("a file");
    let (status, text) = run_tallyd(&["--config", &file.display().to_string()]);
    assert!(!status.success());
    let says = ["tally.toml", "unknown key \"peers\"", "peer,", "pace-ms"];
    assert!(says.iter().all(|say| text.contains(say)), "{text}");
    assert!(!data.exists(), "nothing was made");
}

/// Starts a node with a peer that it cannot have; what its status says of that peer.
async fn peer_error(mut node: Node) -> String {
    node.serve().await;
    let mut error = String::new();
    eventually("the peer is refused", async || {
        let peers = node.status().await.peers;
        assert!(!peers[0].connected, "{peers:?}");
        error.clone_from(&peers[0].last_error);
        !error.is_empty()
    })
    .await;
    node.add("likes", 1).await.expect("the node itself is well");
    error
}

#[tokio::test]
async fn peers_that_cannot_be_merged_with_are_refused_with_both_values() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut peer = Node::new(place.path(), "peer").with(&["--cluster", "north"]);
    peer.serve().await;
    let node = |name: &str| Node::new(place.path(), name).with_peers(&[&peer.address]);

    let error = peer_error(node("south").with(&["--cluster", "south"])).await;
    let says = ["\"north\"", "\"south\"", "--peer or --cluster"];
    assert!(says.iter().all(|say| error.contains(say)), "{error}");

    let error = peer_error(node("small").with(&["--cluster", "north", "--shards", "2"])).await;
    let says = ["2 shards", "16", "--shards"];
    assert!(says.iter().all(|say| error.contains(say)), "{error}");
    assert_eq!(peer.value("likes").await, 0, "nothing came over");
}

#[tokio::test]
async fn a_node_that_is_its_own_peer_says_so() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let node = Node::new(place.path(), "a");
    let itself = node.address.clone();
    let error = peer_error(node.with_peers(&[&itself])).await;
    assert!(
        error.contains("itself") && error.contains("--peer"),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_that_is_away_is_named_with_the_reason() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let error = peer_error(Node::new(place.path(), "a").with_peers(&[&free_address()])).await;
    assert!(error.contains("cannot connect"), "{error}");
}
