//! Nothing is waited for longer than its deadline, and what is then known is exact.

use std::time::{Duration, Instant};

use tally_client::{
    Client, Ingest, IngestOptions, Options,
    Outcome::{self, Acknowledged, Indeterminate, Refused},
};
use tokio::time::timeout;

use crate::{
    fake::Fake,
    network::{BlackHole, Unreachable},
    script::Stream,
};

const DEADLINE: Duration = Duration::from_secs(1);

/// After the deadline: scheduling noise of a busy machine, and far less than a back-off.
const NOISE: Duration = Duration::from_secs(5);

fn client(node: &str) -> Client {
    let options = Options {
        deadline: DEADLINE,
        backoff_min: Duration::from_mins(1),
        backoff_max: Duration::from_mins(1),
        ..Options::default()
    };
    Client::connect([node], options).expect("a valid address")
}

fn open(client: &Client, in_flight_max: usize) -> Ingest {
    let options = IngestOptions {
        in_flight_max,
        ..IngestOptions::default()
    };
    client.ingest(&options).expect("valid options")
}

async fn send_one(stream: &mut Ingest) -> Result<u64, tally_client::Error> {
    let index = stream.register("a")?;
    stream.send(vec![index]).await
}

/// The error by which a call ends that has waited for its deadline.
async fn late<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, tally_client::Error>>,
) -> tally_client::Error {
    let started = Instant::now();
    let answer = timeout(DEADLINE + NOISE, call).await;
    let error = answer
        .expect("a call ends by its deadline")
        .expect_err("nobody answers");
    assert!(started.elapsed() >= DEADLINE / 2, "{error}");
    assert_eq!(error.label(), "DEADLINE", "{error}");
    error
}

#[tokio::test]
async fn a_call_that_no_node_may_be_asked_for_in_time_fails_at_once() {
    let fake = Fake::start().await;
    let client = client(&fake.node());
    let address = fake.address.to_string();
    drop(fake);
    client.add("a", 1).await.expect_err("nobody is there");
    let back = Fake::start_on(&address).await;
    let add = timeout(DEADLINE + NOISE, client.add("a", 1));
    let error = add.await.expect("it ends by its deadline");
    let error = error.expect_err("its node is left alone");
    assert!(error.is_retryable() && !error.is_indeterminate(), "{error}");
    assert_eq!(error.label(), "BACKOFF", "{error}");
    assert_eq!(back.state().calls, 0);
}

#[tokio::test]
async fn a_stream_whose_messages_are_not_acknowledged_ends_at_the_deadline() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::SilentAfter(2);
    let mut stream = open(&client(&fake.node()), 8);
    for _ in 0..4 {
        send_one(&mut stream).await.expect("the window has space");
    }
    let error = late(stream.flush()).await;
    assert!(error.is_indeterminate(), "{error}");
    let outcomes = [1, 2, 3, 4, 5].map(|sequence| stream.outcome(sequence));
    let expected = [
        Acknowledged,
        Acknowledged,
        Indeterminate,
        Indeterminate,
        Refused,
    ];
    assert_eq!(outcomes, expected);
    let again = send_one(&mut stream)
        .await
        .expect_err("a stream lives once");
    assert!(again.is_indeterminate(), "{again}");
    assert_eq!(stream.sent(), 4);
}

#[tokio::test]
async fn a_full_window_is_waited_for_until_the_deadline() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::SilentAfter(0);
    let mut stream = open(&client(&fake.node()), 2);
    for _ in 0..2 {
        send_one(&mut stream).await.expect("the window has space");
    }
    let error = late(send_one(&mut stream)).await;
    assert!(error.is_indeterminate(), "{error}");
    let outcomes = [1, 2, 3].map(|sequence| stream.outcome(sequence));
    assert_eq!(outcomes, [Indeterminate, Indeterminate, Refused]);
}

#[tokio::test]
async fn a_message_that_is_overdue_ends_its_stream_though_the_window_has_space() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::SilentAfter(0);
    let mut stream = open(&client(&fake.node()), 8);
    send_one(&mut stream).await.expect("the window has space");
    tokio::time::sleep(DEADLINE).await;
    let error = send_one(&mut stream).await.expect_err("it is overdue");
    assert_eq!(error.label(), "DEADLINE", "{error}");
    assert_eq!(stream.outcome(1), Indeterminate);
}

#[tokio::test]
async fn closing_a_stream_is_waited_for_until_the_deadline() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::SilentAfter(0);
    let mut stream = open(&client(&fake.node()), 2);
    stream.add("a").await.expect("collected");
    let error = late(stream.finish()).await;
    assert!(error.is_indeterminate(), "{error}");
}

#[tokio::test]
async fn waiting_in_small_steps_does_not_put_off_the_deadline() {
    let fake = Fake::start().await;
    fake.state().stream = Stream::SilentAfter(0);
    let mut stream = open(&client(&fake.node()), 2);
    send_one(&mut stream).await.expect("the window has space");
    let step = Duration::from_millis(20);
    let steps = async {
        loop {
            if let Ok(end) = timeout(step, stream.flush()).await {
                return end;
            }
        }
    };
    late(steps).await;
}

#[tokio::test]
async fn what_a_stream_that_never_opened_could_not_send_has_not_counted() {
    let hole = BlackHole::start().await;
    let options = Options {
        deadline: DEADLINE,
        sessions: false, // a session would have to be opened first
        ..Options::default()
    };
    let client = Client::connect([hole.address.to_string()], options).expect("a valid address");
    let mut stream = open(&client, 64);
    let index = stream.register("a").expect("the dictionary has space");
    // More than a connection takes from one stream before its peer has said a word.
    for _ in 0..40 {
        let message = stream.send(vec![index; 10_000]);
        message.await.expect("the window has space");
    }
    let error = late(stream.flush()).await;
    assert!(error.is_indeterminate(), "{error}");
    let outcomes: Vec<_> = (1..=40).map(|sequence| stream.outcome(sequence)).collect();
    assert_eq!(outcomes[0], Indeterminate);
    assert_eq!(outcomes[39], Refused);
    let is_sent = |outcome: &Outcome| *outcome == Indeterminate;
    assert!(outcomes.is_sorted_by_key(|outcome| !is_sent(outcome)));
}

#[tokio::test]
async fn a_stream_to_a_node_that_is_left_alone_opens_after_the_pause() {
    let fake = Fake::start().await;
    let options = Options {
        backoff_min: DEADLINE,
        backoff_max: DEADLINE,
        ..Options::default()
    };
    let client = Client::connect([fake.node()], options).expect("a valid address");
    fake.state().stream = Stream::BreaksAfter(1);
    let mut stream = open(&client, 8);
    stream.add("a").await.expect("collected");
    stream.flush().await.expect_err("the stream breaks");
    let broken = Instant::now();
    fake.state().stream = Stream::Answers;
    let mut stream = open(&client, 8);
    stream.add("a").await.expect("collected");
    stream.flush().await.expect("acknowledged");
    assert!(broken.elapsed() >= DEADLINE / 3, "{:?}", broken.elapsed());
}

#[tokio::test]
async fn a_stream_that_may_not_be_opened_in_time_is_refused() {
    let fake = Fake::start().await;
    let client = client(&fake.node());
    fake.state().stream = Stream::BreaksAfter(1);
    let mut stream = open(&client, 8);
    stream.add("a").await.expect("collected");
    stream.flush().await.expect_err("the stream breaks");
    let error = client.ingest(&IngestOptions::default());
    let error = error.expect_err("its node is left alone");
    assert_eq!(error.label(), "BACKOFF", "{error}");
}

#[tokio::test]
async fn all_nodes_are_asked_for_their_status_at_once() {
    let holes = [
        BlackHole::start().await,
        BlackHole::start().await,
        BlackHole::start().await,
        BlackHole::start().await,
    ];
    let options = Options {
        read_attempt_deadline: Duration::from_secs(1),
        ..Options::default()
    };
    let nodes = holes.iter().map(|hole| hole.address.to_string());
    let client = Client::connect(nodes, options).expect("valid addresses");
    let started = Instant::now();
    let answers = client.status().await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    let asked: Vec<_> = answers.iter().map(|(node, _)| node.as_str()).collect();
    assert_eq!(asked, client.nodes().collect::<Vec<_>>());
    assert!(answers.iter().all(|(_, answer)| answer.is_err()));
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_leaves_time_for_the_next() {
    let (gone, well) = (Unreachable::start().await, Fake::start().await);
    let options = Options {
        deadline: Duration::from_secs(4),
        connect_deadline: Duration::from_secs(10),
        ..Options::default()
    };
    let client = Client::connect([gone.address.to_string(), well.node()], options);
    let add = client.expect("two nodes").add("a", 1).await;
    add.expect("the second node takes it");
    assert_eq!(well.value("a"), 1);
}
