//! Ingest messages that are refused: the messages before are acknowledged first, nothing of the
//! message itself is applied.

use tokio_stream::iter;
use tonic::transport::Channel;
use tonic::{Code, Status};
use wire::v1::counter_service_client::CounterServiceClient;
use wire::v1::{BatchAddItem, BatchAddRequest, IngestRequest};

use super::node::{Node, Values, reason, soon};
use super::refusals::check;

/// A message whose entries add 1.
fn message(sequence: u64, introduced: &[&str], counters: &[u32]) -> IngestRequest {
    IngestRequest {
        sequence,
        introduced: introduced.iter().map(ToString::to_string).collect(),
        counters: counters.to_vec(),
        ..Default::default()
    }
}

fn with_amounts(message: IngestRequest, amounts: &[i64]) -> IngestRequest {
    let amounts = amounts.to_vec();
    IngestRequest { amounts, ..message }
}

/// Sends messages on a stream of their own: what was acknowledged, and then how the stream ended.
async fn ingest(
    mut client: CounterServiceClient<Channel>,
    messages: Vec<IngestRequest>,
) -> (u64, Result<(), Status>) {
    let answer = client.ingest(iter(messages)).await;
    let mut answers = answer.expect("a stream").into_inner();
    let mut acknowledged = 0;
    loop {
        match soon("an answer", answers.message()).await {
            Ok(Some(answer)) => acknowledged = answer.acknowledged_sequence,
            Ok(None) => return (acknowledged, Ok(())),
            Err(status) => return (acknowledged, Err(status)),
        }
    }
}

/// What a bad message is refused with.
struct Case {
    what: &'static str,
    bad: IngestRequest,
    code: Code,
    reason: &'static str,
    names: &'static [&'static str],
}

fn case(
    what: &'static str,
    bad: IngestRequest,
    reason: &'static str,
    names: &'static [&'static str],
) -> Case {
    let code = match reason {
        "VALUE_OUT_OF_RANGE" => Code::OutOfRange,
        "DICTIONARY_FULL" => Code::ResourceExhausted,
        _ => Code::InvalidArgument,
    };
    Case {
        what,
        bad,
        code,
        reason,
        names,
    }
}

/// Second messages of a stream whose first one introduced "full" (which holds the largest value).
fn cases() -> Vec<Case> {
    let names = vec!["x".to_owned(); 1 << 20];
    let too_many_names = IngestRequest {
        introduced: names,
        ..message(2, &[], &[])
    };
    let long: &'static str = "x".repeat(513).leak();
    vec![
        case(
            "an index that was not introduced",
            message(2, &["fresh"], &[0, 1, 7]),
            "DICTIONARY_INDEX",
            &["counters[2]", "index 7", "2 names"],
        ),
        case(
            "a sequence number left out",
            message(3, &["fresh"], &[1]),
            "SEQUENCE_INVALID",
            &["message 3", "2 was due"],
        ),
        case(
            "a sequence number again",
            message(1, &["fresh"], &[1]),
            "SEQUENCE_INVALID",
            &["message 1", "2 was due"],
        ),
        case(
            "amounts for some",
            with_amounts(message(2, &["fresh"], &[1, 1]), &[5]),
            "AMOUNTS_MISMATCH",
            &["1 amounts", "2 counters", "give one for each"],
        ),
        case(
            "an amount of 0",
            with_amounts(message(2, &["fresh"], &[1, 1]), &[5, 0]),
            "AMOUNT_ZERO",
            &["amounts[1]"],
        ),
        case(
            "an empty name",
            message(2, &["fresh", ""], &[1]),
            "COUNTER_NAME_INVALID",
            &["introduced[1]", "1 to 512"],
        ),
        case(
            "a long name",
            message(2, &["fresh", long], &[1]),
            "COUNTER_NAME_INVALID",
            &["introduced[1]", "513"],
        ),
        case(
            "a million and one entries",
            message(2, &["fresh"], &[1; 1_000_001]),
            "BATCH_TOO_LARGE",
            &["1000001", "1000000"],
        ),
        case(
            "a dictionary too full",
            too_many_names,
            "DICTIONARY_FULL",
            &["1048576", "open another stream"],
        ),
    ]
}

/// The same, of messages that are well-formed: only what they add up to is refused.
fn cases_of_sums() -> Vec<Case> {
    vec![
        case(
            "a value out of range",
            message(2, &["fresh"], &[1, 0]),
            "VALUE_OUT_OF_RANGE",
            &["\"full\"", "9223372036854775808"],
        ),
        case(
            "amounts that overflow",
            with_amounts(message(2, &["fresh"], &[1; 3]), &[i64::MAX; 3]),
            "VALUE_OUT_OF_RANGE",
            &["dictionary index 1", "18446744073709551615", "split"],
        ),
    ]
}

#[tokio::test]
async fn a_bad_message_ends_the_stream_after_what_came_before_is_acknowledged() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node.add("full", i64::MAX).await.expect("an add");
    for case in cases().into_iter().chain(cases_of_sums()) {
        let Case { what, bad, .. } = case;
        // A good message before, and one behind, which is not applied any more.
        let first = with_amounts(message(1, &["full"], &[0, 0]), &[-1, 1]);
        let behind = message(3, &[], &[0]);
        let (acknowledged, end) = ingest(node.counters(), vec![first, bad, behind]).await;
        assert_eq!(acknowledged, 1, "{what}");
        let refusal = end.expect_err(what);
        check(what, &refusal, case.code, case.reason, case.names);
        let values = Values::from([("full".to_owned(), i64::MAX)]);
        assert_eq!(node.values().await, values, "{what}");
        assert_eq!(node.status().await.counters, 1, "{what}");
    }
}

/// A message that adds nothing is durable with those before it, and not before them: else the
/// stream would end with adds that count and are not acknowledged, and a client adds them again.
/// So many are added that their round is not complete when the stream's end is read.
#[tokio::test]
async fn a_message_without_entries_hides_no_acknowledgement() {
    const STREAMS: usize = 40;
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let names: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let indices: Vec<_> = (0..10_000).collect();
    let messages = || {
        let only_names = message(2, &["fresh"], &[]);
        let bad = message(3, &[], &[10_001]);
        vec![message(1, &names, &indices), only_names, bad]
    };
    let streams: Vec<_> = (0..STREAMS)
        .map(|_| ingest(node.counters(), messages()))
        .map(tokio::spawn)
        .collect();
    let mut hidden = 0;
    for stream in streams {
        let (acknowledged, end) = soon("a stream ends", stream).await.expect("no panic");
        assert_eq!(reason(&end.expect_err("a bad index")), "DICTIONARY_INDEX");
        hidden += usize::from(acknowledged != 2);
    }
    assert_eq!(hidden, 0, "of {STREAMS} streams");
    assert_eq!(node.value("77").await, 40);
}

#[tokio::test]
async fn names_without_adds_use_up_no_places() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let flags = ["--counters-max", "2", "--shards", "1"];
    let mut node = Node::new(place.path(), "a").with(&flags);
    node.serve().await;
    let names: Vec<_> = (0..1_000).map(|number| number.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (acknowledged, end) = ingest(node.counters(), vec![message(1, &names, &[])]).await;
    end.expect("the stream ends when the client ends it");
    assert_eq!(acknowledged, 1);
    // Nor do those of adds that are refused, in a message and in a batch.
    let messages = vec![message(1, &["many", "more", "most"], &[0, 1, 2])];
    let (_, end) = ingest(node.counters(), messages).await;
    assert_eq!(reason(&end.expect_err("three")), "COUNTERS_EXHAUSTED");
    let item = |counter: &str| BatchAddItem {
        counter: counter.into(),
        amount: 1,
    };
    let items = vec![item("many"), item("more"), item("most")];
    let refusal = node
        .counters()
        .batch_add(BatchAddRequest {
            items,
            request: None,
        })
        .await;
    assert_eq!(reason(&refusal.expect_err("three")), "COUNTERS_EXHAUSTED");
    assert_eq!(node.status().await.counters, 0);
    for counter in ["one", "two"] {
        node.add(counter, 1).await.expect("there is a place");
    }
    let refusal = node.add("three", 1).await;
    assert_eq!(reason(&refusal.expect_err("full")), "COUNTERS_EXHAUSTED");
    assert_eq!(node.status().await.counters, 2);
}

#[tokio::test]
async fn a_message_above_4_mib_is_refused() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let long = "y".repeat(512);
    let large = message(2, &vec![&*long; 9_000], &[0]);
    let (acknowledged, end) = ingest(node.counters(), vec![message(1, &["x"], &[0]), large]).await;
    let refusal = end.expect_err("too large");
    let possible = [Code::OutOfRange, Code::ResourceExhausted];
    assert!(possible.contains(&refusal.code()), "{refusal}");
    assert!(refusal.message().contains("4194304"), "{refusal}");
    assert_eq!(acknowledged, 1);
    assert_eq!(node.values().await, Values::from([("x".to_owned(), 1)]));
}

#[tokio::test]
async fn the_largest_message_is_taken() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    let messages = vec![message(1, &["x"], &[0; 1_000_000])];
    let (acknowledged, end) = ingest(node.counters(), messages).await;
    end.expect("the stream ends when the client ends it");
    assert_eq!((acknowledged, node.value("x").await), (1, 1_000_000));
}
