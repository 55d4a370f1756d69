//! Which node is asked: what speaks against a node, and what does not.

use std::time::Duration;

use tally_client::{Client, IngestOptions, Options, Token};
use tonic::{Code, Status};

use crate::{
    fake::{Fake, Fault, Flaw, refused_with},
    network::Relay,
    script::Stream,
};

/// Long enough that a node that failed is not asked again during a test.
const BACKOFF: Duration = Duration::from_mins(1);

fn client(nodes: &[&Fake]) -> Client {
    let options = Options {
        deadline: Duration::from_secs(5),
        read_attempt_deadline: Duration::from_secs(1),
        backoff_min: BACKOFF,
        backoff_max: BACKOFF,
        sessions: false, // with them a failure is made up for at once, and nothing of it is seen
        ..Options::default()
    };
    Client::connect(nodes.iter().map(|fake| fake.node()), options).expect("valid addresses")
}

/// Sends one message on a stream of its own, to the node that the client prefers now.
async fn ingest_one(client: &Client) -> Result<(), tally_client::Error> {
    let mut stream = client.ingest(&IngestOptions::default())?;
    stream.add("a").await?;
    stream.flush().await
}

fn preferred(client: &Client) -> String {
    let stream = client
        .ingest(&IngestOptions::default())
        .expect("valid options");
    stream.node().to_owned()
}

#[tokio::test]
async fn a_node_on_which_an_ingest_stream_broke_is_left_alone() {
    let (broken, well) = (Fake::start().await, Fake::start().await);
    broken.state().stream = Stream::BreaksAfter(1);
    let client = client(&[&broken, &well]);
    ingest_one(&client).await.expect_err("the stream breaks");
    assert_eq!(preferred(&client), well.node());
    client.add("a", 1).await.expect("the second node takes it");
    assert_eq!((broken.state().calls, well.state().calls), (0, 1));
}

#[tokio::test]
async fn a_node_that_ingest_cannot_reach_is_left_alone() {
    let (gone, well) = (Fake::start().await, Fake::start().await);
    let client = client(&[&gone, &well]);
    drop(gone);
    ingest_one(&client).await.expect_err("nobody is there");
    assert_eq!(preferred(&client), well.node());
}

#[tokio::test]
async fn a_node_that_acknowledges_an_ingest_message_is_well() {
    let (node, other) = (Fake::start().await, Fake::start().await);
    let options = Options {
        backoff_min: Duration::from_millis(1),
        backoff_max: BACKOFF,
        sessions: false,
        ..Options::default()
    };
    let client = Client::connect([node.node(), other.node()], options).expect("two nodes");
    // Were its failures counted in a row, the node would be left alone for seconds.
    for _ in 0..12 {
        node.state().stream = Stream::BreaksAfter(2);
        let mut stream = client
            .ingest(&IngestOptions {
                node: Some(0),
                ..IngestOptions::default()
            })
            .expect("valid options");
        stream.add("a").await.expect("sent");
        stream.flush().await.expect("acknowledged");
        stream.add("a").await.expect("sent");
        stream.flush().await.expect_err("the stream breaks");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(preferred(&client), node.node());
}

#[tokio::test]
async fn a_message_that_is_wrong_does_not_speak_against_its_node() {
    let (node, other) = (Fake::start().await, Fake::start().await);
    node.state().stream = Stream::RefusesAt(1);
    let client = client(&[&node, &other]);
    ingest_one(&client).await.expect_err("refused by name");
    assert_eq!(preferred(&client), node.node());
}

#[tokio::test]
async fn a_node_that_does_not_know_of_a_tokens_add_yet_is_well() {
    let waiting = [
        Fault::Refuse(refused_with(Code::DeadlineExceeded, "TOKEN_NOT_COVERED")),
        Fault::Refuse(Status::deadline_exceeded("late")),
        Fault::Refuse(Status::cancelled("Timeout expired")),
        Fault::Hang,
    ];
    let token = Token::from_bytes(vec![1, 2]);
    for fault in waiting {
        let (behind, other) = (Fake::start().await, Fake::start().await);
        let client = client(&[&behind, &other]);
        let shown = format!("{fault:?}");
        behind.state().faults.push_back(fault);
        client
            .get_after("a", &token)
            .await
            .expect("another node knows of it");
        assert_eq!(other.state().calls, 1, "{shown}");
        client.get("a").await.expect("the first node answers");
        let calls = (behind.state().calls, other.state().calls);
        assert_eq!(calls, (2, 1), "{shown}");
    }
}

#[tokio::test]
async fn a_node_that_hangs_without_a_token_to_wait_for_is_left_alone() {
    let (hanging, other) = (Fake::start().await, Fake::start().await);
    let client = client(&[&hanging, &other]);
    hanging.state().faults.push_back(Fault::Hang);
    client.get("a").await.expect("the other node answers");
    client.get("a").await.expect("the other node answers");
    assert_eq!((hanging.state().calls, other.state().calls), (1, 2));
}

#[tokio::test]
async fn a_read_asks_every_node_before_it_asks_one_again() {
    let nodes = [
        Fake::start().await,
        Fake::start().await,
        Fake::start().await,
    ];
    for hanging in &nodes[..2] {
        hanging.state().faults = (0..9).map(|_| Fault::Hang).collect();
    }
    let options = Options {
        deadline: Duration::from_millis(3_900), // not enough for five attempts
        read_attempt_deadline: Duration::from_secs(1),
        backoff_min: Duration::from_millis(1),
        ..Options::default()
    };
    let token = Token::from_bytes(vec![1, 2]);
    for token in [Token::default(), token] {
        let client = Client::connect(nodes.iter().map(Fake::node), options.clone());
        let client = client.expect("three nodes");
        client
            .get_after("a", &token)
            .await
            .expect("the third answers");
    }
}

#[tokio::test]
async fn a_node_that_breaks_the_protocol_is_left_alone() {
    let (flawed, well) = (Fake::start().await, Fake::start().await);
    flawed.state().flaw = Some(Flaw::Values(3));
    let client = client(&[&flawed, &well]);
    for _ in 0..2 {
        let values = client.batch_get(["a", "b"]).await;
        assert_eq!(values.expect("the second node answers").len(), 2);
    }
    assert_eq!((flawed.state().calls, well.state().calls), (1, 2));
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_no_add_its_answer() {
    let fake = Fake::start().await;
    let relay = Relay::start(fake.address).await;
    let options = Options {
        keep_alive: Duration::from_millis(500),
        deadline: Duration::from_secs(5),
        ..Options::default()
    };
    let client = Client::connect([relay.address.to_string()], options).expect("a valid address");
    client.add("a", 1).await.expect("the connection is new");
    relay.cut();
    tokio::time::sleep(Duration::from_secs(3)).await;
    client.add("a", 1).await.expect("a new connection is made");
    assert_eq!(fake.value("a"), 2);
}

#[tokio::test]
async fn a_watch_whose_stream_broke_goes_on_with_the_next_node() {
    let (first, second) = (Fake::start().await, Fake::start().await);
    let mut watch = client(&[&first, &second]).watch("a", Duration::ZERO);
    for _ in 0..4 {
        watch.next().await.expect("a node answers"); // a stream has three values
    }
    assert_eq!((first.state().calls, second.state().calls), (1, 1));
}

#[tokio::test]
async fn a_failed_watch_names_its_node() {
    let fake = Fake::start().await;
    fake.state().flaw = Some(Flaw::ChangeWithoutValue);
    let mut watch = client(&[&fake]).watch("a", Duration::ZERO);
    let error = watch.next().await.expect_err("no value");
    assert!(error.to_string().contains(&fake.node()), "{error}");
}
