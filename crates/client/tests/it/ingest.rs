//! Ingest streams, one alone: what is packed, what holds back, and what is known when a stream without
//! sessions breaks.

use std::time::Duration;

use tally_client::{
    Client, CounterIndex, Ingest, IngestOptions, Options,
    Outcome::{self, Acknowledged, Indeterminate, Refused},
};
use tokio::time::timeout;

use crate::fake::Fake;
use crate::script::Stream;

/// Long enough for the fake to answer, short enough to wait for nothing.
const A_WHILE: Duration = Duration::from_millis(200);

fn open(fake: &Fake, in_flight_max: usize, entries_max: usize) -> Ingest {
    let without = Options {
        sessions: false,
        ..Options::default()
    };
    let client = Client::connect([fake.node()], without).expect("a valid address");
    let options = IngestOptions {
        in_flight_max,
        entries_max,
        node: None,
    };
    client.ingest(&options).expect("valid options")
}

fn one_add(stream: &mut Ingest) -> Vec<CounterIndex> {
    vec![stream.register("a").expect("there is space")]
}

#[tokio::test]
async fn adds_are_packed_into_messages_and_all_count() {
    let fake = Fake::start().await;
    let mut stream = open(&fake, 4, 10);
    for _ in 0..25 {
        stream.add("a").await.expect("sent");
    }
    stream.add_amount("b", -7).await.expect("sent");
    stream.add("a").await.expect("sent");
    stream.finish().await.expect("all acknowledged");
    assert_eq!(
        (fake.value("a"), fake.value("b"), fake.state().messages),
        (26, -7, 3)
    );
}

#[tokio::test]
async fn more_names_than_a_message_holds_go_ahead_in_messages_of_their_own() {
    let fake = Fake::start().await;
    let mut stream = open(&fake, 2, 10);
    let name = |index: usize| format!("{index:0>512}");
    for index in 0..3_000 {
        stream.register(&name(index)).expect("there is space");
    }
    let last = CounterIndex(2_999);
    let sequence = stream.send(vec![last, last]).await.expect("sent");
    stream.flush().await.expect("acknowledged");
    assert_eq!(
        (sequence, fake.value(&name(2_999)), fake.state().messages),
        (3, 2, 3)
    );
}

#[tokio::test]
async fn a_full_window_holds_back_the_sender() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::SilentAfter(0);
    let mut stream = open(&fake, 3, 10);
    for _ in 0..3 {
        let add = one_add(&mut stream);
        stream.send(add).await.expect("there is space");
    }
    let add = one_add(&mut stream);
    timeout(A_WHILE, stream.send(add))
        .await
        .expect_err("the window is full");
    assert_eq!((stream.sent(), stream.in_flight()), (3, 3));
    assert_eq!(stream.outcome(3), Outcome::Pending);
    assert_eq!(fake.state().messages, 3);
}

#[tokio::test]
async fn when_a_stream_breaks_what_was_acknowledged_is_known_from_what_is_in_doubt() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::BreaksAfter(3);
    let mut stream = open(&fake, 8, 10);
    for _ in 0..5 {
        let add = one_add(&mut stream);
        stream.send(add).await.expect("there is space");
    }
    let error = stream.flush().await.expect_err("the stream breaks");
    assert!(error.is_indeterminate(), "{error}");
    let outcomes = [1, 2, 3, 4, 5, 6].map(|sequence| stream.outcome(sequence));
    let expected = [
        Acknowledged,
        Acknowledged,
        Indeterminate,
        Indeterminate,
        Indeterminate,
        Refused,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(fake.value("a"), 3, "of those in doubt one has counted");
}

#[tokio::test]
async fn a_message_that_was_refused_by_name_and_all_after_it_have_not_counted() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::RefusesAt(2);
    let mut stream = open(&fake, 8, 10);
    for _ in 0..3 {
        let add = one_add(&mut stream);
        stream.send(add).await.expect("there is space");
    }
    let error = stream.flush().await.expect_err("refused");
    assert!(!error.is_indeterminate(), "{error}");
    assert_eq!(error.reason().as_deref(), Some("COUNTERS_EXHAUSTED"));
    let outcomes = [1, 2, 3].map(|sequence| stream.outcome(sequence));
    assert_eq!(
        outcomes,
        [Outcome::Acknowledged, Outcome::Refused, Outcome::Refused]
    );
    assert_eq!(fake.value("a"), 1);
    stream.flush().await.expect_err("a stream lives once");
}

#[tokio::test]
async fn without_a_connection_nothing_has_counted() {
    let fake = Fake::start().await;
    let mut stream = open(&fake, 8, 10);
    drop(fake);
    let add = one_add(&mut stream);
    stream.send(add).await.expect("it is queued");
    let error = stream.flush().await.expect_err("nobody is there");
    assert!(!error.is_indeterminate(), "{error}");
    assert_eq!(stream.outcome(1), Outcome::Refused);
}

#[tokio::test]
async fn an_index_that_was_not_registered_is_refused_and_the_stream_goes_on() {
    let fake = Fake::start().await;
    let mut stream = open(&fake, 8, 10);
    let add = one_add(&mut stream);
    let unknown = stream
        .send(vec![CounterIndex(1)])
        .await
        .expect_err("not registered");
    assert!(unknown.is_invalid(), "{unknown}");
    stream.send(add).await.expect("the stream goes on");
    stream.finish().await.expect("acknowledged");
    assert_eq!(fake.value("a"), 1);
}
