//! What a node answers is not trusted: an answer that breaks the protocol is the node's mistake.

use std::time::Duration;

use tally_client::{AddItem, Client, Error, IngestOptions, Options};
use tokio::time::timeout;

use crate::fake::{Fake, Flaw};

const A_WHILE: Duration = Duration::from_secs(5);

async fn flawed(flaw: Flaw) -> (Fake, Client) {
    let fake = Fake::start().await;
    fake.state().flaw = Some(flaw);
    let options = Options {
        attempts_max: 1,
        ..Options::default()
    };
    let client = Client::connect([fake.node()], options).expect("a valid address");
    (fake, client)
}

fn assert_protocol(error: &Error, expected: &str, found: &str) {
    assert_eq!(error.label(), "PROTOCOL", "{error}");
    assert!(error.is_protocol_violation(), "{error}");
    assert!(!error.is_invalid(), "{error}");
    let text = error.to_string();
    assert!(text.contains(expected) && text.contains(found), "{error}");
}

#[tokio::test]
async fn a_wrong_number_of_values_is_the_nodes_mistake() {
    for found in [0, 1, 3] {
        let (_fake, client) = flawed(Flaw::Values(found)).await;
        let error = client.batch_get(["a", "b"]).await.expect_err("not two");
        assert_protocol(&error, "2 values", &found.to_string());
        assert!(error.is_retryable() && !error.is_indeterminate(), "{error}");
    }
}

#[tokio::test]
async fn an_answer_without_its_value_is_the_nodes_mistake() {
    let (_fake, client) = flawed(Flaw::Values(0)).await;
    let error = client.get("a").await.expect_err("no value");
    assert_protocol(&error, "1 value", "0");
}

#[tokio::test]
async fn a_page_that_is_followed_by_itself_is_the_nodes_mistake() {
    let (_fake, client) = flawed(Flaw::NextPage("b")).await;
    let mut list = client.list("");
    let pages = timeout(A_WHILE, list.next()).await;
    let error = pages
        .expect("a list ends")
        .expect_err("page b follows page b");
    assert_protocol(&error, "another page", "\"b\"");
}

#[tokio::test]
async fn a_change_without_a_value_is_the_nodes_mistake() {
    let (_fake, client) = flawed(Flaw::ChangeWithoutValue).await;
    let mut watch = client.watch("a", Duration::ZERO);
    let next = timeout(A_WHILE, watch.next()).await;
    let error = next.expect("it is noticed").expect_err("no value");
    assert_protocol(&error, "a value", "none");
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_not_sent_is_the_nodes_mistake() {
    let (_fake, client) = flawed(Flaw::AcknowledgesTooMuch).await;
    let mut stream = client
        .ingest(&IngestOptions::default())
        .expect("valid options");
    stream.add("a").await.expect("collected");
    let error = stream.flush().await.expect_err("message 2 was not sent");
    assert_protocol(&error, "at most 1", "2");
    assert!(error.is_indeterminate(), "{error}");
}

#[tokio::test]
async fn an_add_whose_answer_is_too_large_may_have_counted() {
    let (fake, client) = flawed(Flaw::TokenBytes(9 * 1024 * 1024)).await;
    let error = client.add("a", 1).await.expect_err("no token is so long");
    assert!(error.is_indeterminate() && !error.is_retryable(), "{error}");
    assert_eq!(fake.value("a"), 1);
}

#[tokio::test]
async fn a_batch_that_exceeds_a_message_is_not_even_sent() {
    let fake = Fake::start().await;
    let client = Client::connect([fake.node()], Options::default()).expect("a valid address");
    let name = |index: usize| format!("{index:0>512}");
    let items = (0..10_000).map(|index| AddItem::new(name(index), 1));
    let error = client.batch_add(items).await.expect_err("5.2 MB");
    assert!(error.is_invalid() && !error.is_indeterminate(), "{error}");
    let error = client.batch_get((0..10_000).map(name)).await;
    let error = error.expect_err("5.2 MB");
    assert!(error.is_invalid() && error.reason().is_none(), "{error}");
    assert_eq!(fake.state().calls, 0);
}
