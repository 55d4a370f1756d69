//! Tokens and ages of reads: what the client carries from one answer to the next, and what it
//! refuses to send.

use std::time::Duration;

use tally_client::{Changes, Client, Options, ReadOptions, Token, WatchOptions};
use tonic::Code;

use crate::fake::{Fake, Fault, Flaw, refused_with};

async fn fake_with(names: &[&str]) -> (Fake, Client) {
    let fake = Fake::start().await;
    for name in names {
        fake.state().values.insert((*name).to_owned(), 1);
    }
    let client = client(&[&fake], Options::default());
    (fake, client)
}

fn client(nodes: &[&Fake], options: Options) -> Client {
    Client::connect(nodes.iter().map(|fake| fake.node()), options).expect("valid addresses")
}

fn token(bytes: &[u8]) -> Token {
    Token::from_bytes(bytes.to_vec())
}

#[tokio::test]
async fn a_read_gives_the_token_of_what_was_read_and_ages_where_they_are_asked_for() {
    let (fake, client) = fake_with(&["a", "b"]).await;
    for (number, names) in [&["a"][..], &["a", "b"]].into_iter().enumerate() {
        let number = u8::try_from(2 * number).expect("small");
        let plain = client.read(names.to_vec(), &ReadOptions::default()).await;
        let plain = plain.expect("the fake answers");
        assert_eq!(plain.values.len(), names.len());
        assert_eq!(plain.token, token(&[4, number + 1]));
        assert_eq!(plain.lane_ages, []);
        let options = ReadOptions {
            after: plain.token,
            lane_ages: true,
        };
        let answer = client.read(names.to_vec(), &options).await;
        let answer = answer.expect("the fake answers");
        assert_eq!(answer.token, token(&[4, number + 2]));
        let age = &answer.lane_ages[0];
        assert_eq!(age.replica_id, "ab".repeat(16));
        assert_eq!(age.newest, Some(Duration::from_secs(7)));
        assert_eq!(age.complete, Some(Duration::from_millis(20)));
    }
    let carried = [vec![], vec![4, 1], vec![], vec![4, 3]];
    assert_eq!(fake.state().tokens, carried);
}

#[tokio::test]
async fn a_list_after_a_token_carries_each_pages_token_to_the_next() {
    let names = ["a/1", "a/2", "a/3", "a/4", "a/5"];
    let (fake, client) = fake_with(&names).await;
    let options = ReadOptions {
        after: token(&[9]),
        lane_ages: true,
    };
    let mut list = client.list_after("a/", &options);
    assert_eq!(*list.token(), Token::default());
    while list.next().await.expect("the fake answers").is_some() {}
    assert_eq!(*list.token(), token(&[4, 3]));
    assert_eq!(list.lane_ages().len(), 1);
    let carried = [vec![9], vec![4, 1], vec![4, 2]];
    assert_eq!(fake.state().tokens, carried);
    // One that asks for nothing waits for nothing, on whichever node.
    let mut list = client.list("a/");
    while list.next().await.expect("the fake answers").is_some() {}
    assert_eq!(fake.state().tokens[3..], [const { Vec::<u8>::new() }; 3]);
}

#[tokio::test]
async fn changes_go_on_with_the_token_of_the_last_message() {
    let (fake, client) = fake_with(&["a", "b", "c"]).await;
    let options = WatchOptions {
        after: token(&[9]),
        lane_ages: true,
        ..WatchOptions::default()
    };
    let mut changes = client.watch_counters(["a", "b"], &options);
    // A stream of the fake has three messages.
    for number in [1, 2, 3] {
        let message = changes.next().await.expect("the fake answers");
        let names: Vec<_> = message
            .values
            .iter()
            .map(|it| it.counter.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(message.token, token(&[4, 1, number]));
        assert_eq!(message.lane_ages.len(), 1);
    }
    changes.next().await.expect("the fake answers");
    assert_eq!(fake.state().tokens, [vec![9], vec![4, 1, 3]]);
    for _ in 0..2 {
        changes.next().await.expect("the fake answers");
    }
    changes.forget_token();
    changes.next().await.expect("the fake answers");
    assert_eq!(fake.state().tokens[2..], [Vec::<u8>::new()]);
    let mut all = client.watch_prefix("", &WatchOptions::default());
    let message = all.next().await.expect("the fake answers");
    assert_eq!(message.values.len(), 3);
}

#[tokio::test]
async fn changes_leave_a_node_that_does_not_know_their_token_for_another() {
    let (behind, (other, _)) = (Fake::start().await, fake_with(&["a"]).await);
    let status = refused_with(Code::DeadlineExceeded, "TOKEN_NOT_COVERED");
    behind.state().faults.push_back(Fault::Refuse(status));
    let options = WatchOptions {
        after: token(&[9]),
        ..WatchOptions::default()
    };
    let client = client(&[&behind, &other], Options::default());
    let mut changes = client.watch_counters(["a"], &options);
    let message = changes.next().await.expect("the second node knows it");
    assert_eq!(message.values[0].value, 1);
    assert_eq!(other.state().tokens, [vec![9]]);
    // It may be as well as can be: others go on asking it.
    client.get("a").await.expect("the first node answers");
    assert_eq!(behind.state().calls, 2);
}

#[tokio::test]
async fn an_add_gives_the_value_that_it_led_to() {
    let (fake, client) = fake_with(&["a"]).await;
    let added = client.add_and_get("a", 4).await.expect("the fake answers");
    assert_eq!((added.value.value, added.token), (5, token(&[1, 2])));
    // A node that does not know the question has taken the add.
    fake.state().flaw = Some(Flaw::NoValue);
    let error = client.add_and_get("a", 4).await.expect_err("no value");
    assert!(
        error.is_indeterminate() && error.is_protocol_violation(),
        "{error}"
    );
    assert_eq!(fake.value("a"), 9);
}

#[tokio::test]
async fn a_message_of_changes_without_values_is_the_nodes_mistake() {
    let (fake, _) = fake_with(&["a"]).await;
    fake.state().flaw = Some(Flaw::ChangeWithoutValue);
    let options = Options {
        attempts_max: 1,
        ..Options::default()
    };
    let client = client(&[&fake], options);
    let mut changes = client.watch_prefix("", &WatchOptions::default());
    let error = changes.next().await.expect_err("no value");
    assert!(error.is_protocol_violation(), "{error}");
}

#[tokio::test]
async fn what_is_out_of_bounds_is_not_even_watched() {
    let (fake, client) = fake_with(&["a"]).await;
    let default = WatchOptions::default();
    let short = WatchOptions {
        interval_min: Duration::from_millis(9),
        ..WatchOptions::default()
    };
    let long = WatchOptions {
        after: token(&vec![0; 32_769]),
        ..WatchOptions::default()
    };
    let name = "x".repeat(513);
    let many = |count: usize| client.watch_counters(vec!["a"; count], &default);
    let watches: [Changes; 6] = [
        many(0),
        many(10_001),
        client.watch_counters(["a", &*name], &default),
        client.watch_prefix(&name, &default),
        client.watch_prefix("a", &short),
        client.watch_prefix("a", &long),
    ];
    for mut changes in watches {
        let shown = format!("{changes:?}");
        let error = changes.next().await.expect_err("out of bounds");
        assert!(error.is_invalid(), "{error}: {shown:.200}");
    }
    let options = ReadOptions {
        after: token(&vec![0; 32_769]),
        ..ReadOptions::default()
    };
    let error = client.list_after("a", &options).next().await;
    assert!(error.expect_err("a long token").is_invalid());
    assert_eq!(fake.state().calls, 0);
}
