//! Ingest over several streams: what is sent again, where, and what is told of each message.

use std::time::Duration;

use tally_client::{
    Client, Ingest, IngestOptions, Options,
    Outcome::{Acknowledged, Indeterminate, Refused},
};

use crate::{fake::Fake, network::Relay, script::Stream};

const ATTEMPT: Duration = Duration::from_millis(300);

fn open(nodes: impl IntoIterator<Item = String>) -> Ingest {
    let options = Options {
        deadline: Duration::from_secs(3),
        add_attempt_deadline: ATTEMPT,
        backoff_min: Duration::from_secs(2), // a node that failed is not asked again in a test
        backoff_max: Duration::from_secs(2),
        ..Options::default()
    };
    let client = Client::connect(nodes, options);
    let stream = client
        .expect("valid addresses")
        .ingest(&IngestOptions::default());
    stream.expect("valid options")
}

/// Sends so many messages of one add each.
async fn send(stream: &mut Ingest, messages: u64) {
    for _ in 0..messages {
        let index = stream.register("a").expect("there is space");
        stream.send(vec![index]).await.expect("there is space");
    }
}

fn total(nodes: &[Fake]) -> i64 {
    nodes.iter().map(|node| node.value("a")).sum()
}

#[tokio::test]
async fn after_a_broken_connection_the_same_node_gets_what_it_did_not_acknowledge() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    nodes[0].state().stream = Stream::BreaksAfter(3);
    let mut stream = open(nodes.iter().map(Fake::node));
    send(&mut stream, 8).await;
    stream.flush().await.expect("all acknowledged at last");
    let outcomes = (1..=8).map(|sequence| stream.outcome(sequence));
    assert!(outcomes.into_iter().all(|outcome| outcome == Acknowledged));
    assert_eq!((nodes[0].value("a"), nodes[1].state().messages), (8, 0));
    let mut numbers: Vec<_> = nodes[0].state().heads.iter().map(|it| it.number).collect();
    assert!(numbers.len() > 8, "some were sent twice");
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_a_node_does_not_acknowledge_moves_to_the_next_and_new_messages_follow() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    nodes[0].state().stream = Stream::SilentAfter(2);
    let mut stream = open(nodes.iter().map(Fake::node));
    stream.register("unused").expect("there is space");
    send(&mut stream, 5).await;
    stream.flush().await.expect("all acknowledged at last");
    send(&mut stream, 2).await;
    stream.flush().await.expect("acknowledged");
    let outcomes = (1..=7).map(|sequence| stream.outcome(sequence));
    assert!(outcomes.into_iter().all(|outcome| outcome == Acknowledged));
    assert_eq!(total(&nodes), 7);
    assert_eq!(stream.node(), nodes[1].node());
    let state = nodes[1].state();
    let heads: Vec<_> = state.heads.iter().map(|it| (it.number, it.moved)).collect();
    let expected = [(3, true), (4, true), (5, true), (1, false), (2, false)];
    assert_eq!(heads, expected);
    assert!(state.heads[..3].iter().all(|head| head.answered_below == 3));
}

#[tokio::test]
async fn a_node_that_vanishes_under_a_stream_costs_no_message() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let relay = Relay::start(nodes[0].address).await;
    let mut stream = open([relay.address.to_string(), nodes[1].node()]);
    send(&mut stream, 3).await;
    stream.flush().await.expect("acknowledged");
    relay.cut();
    send(&mut stream, 3).await;
    stream.flush().await.expect("acknowledged by the other");
    assert_eq!((nodes[0].value("a"), nodes[1].value("a")), (3, 3));
    stream.finish().await.expect("acknowledged");
}

#[tokio::test]
async fn a_message_that_is_refused_ends_the_stream_once_all_others_have_their_fate() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    nodes[0].state().stream = Stream::RefusesAt(2);
    let mut stream = open(nodes.iter().map(Fake::node));
    send(&mut stream, 3).await;
    let error = stream.flush().await.expect_err("one is refused");
    assert_eq!(error.reason().as_deref(), Some("COUNTERS_EXHAUSTED"));
    assert!(!error.is_indeterminate(), "{error}");
    let outcomes = [1, 2, 3, 4].map(|sequence| stream.outcome(sequence));
    assert_eq!(outcomes, [Acknowledged, Refused, Acknowledged, Refused]);
    assert_eq!((total(&nodes), nodes[1].state().messages), (2, 0));
    stream.flush().await.expect_err("a stream lives once");
}

#[tokio::test]
async fn a_node_that_its_home_does_not_know_leaves_a_message_to_the_next() {
    let nodes: [Fake; 3] = Fake::cluster().await;
    nodes[0].state().stream = Stream::SilentAfter(0);
    nodes[1].state().stranger = true;
    let mut stream = open(nodes.iter().map(Fake::node));
    send(&mut stream, 4).await;
    stream.flush().await.expect("the third takes them");
    assert_eq!(stream.node(), nodes[2].node());
    assert_eq!(total(&nodes), 4);
    assert!(nodes[2].state().heads.iter().all(|head| head.moved));
}

#[tokio::test]
async fn when_no_node_acknowledges_it_is_told_which_messages_may_count() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    nodes[0].state().stream = Stream::SilentAfter(1);
    nodes[1].state().stream = Stream::SilentAfter(0);
    let mut stream = open(nodes.iter().map(Fake::node));
    send(&mut stream, 3).await;
    let error = stream.flush().await.expect_err("silence");
    assert!(error.is_indeterminate(), "{error}");
    assert_eq!(stream.outcome(1), Acknowledged);
    assert_eq!(stream.outcome(3), Indeterminate);
    assert_eq!(total(&nodes), 3);
}
