//! What is retried, where, and what an error says of it.

use std::time::Duration;

use tally_client::{AddItem, Client, Options, Token};
use tonic::{Code, Status};

use crate::fake::{Fake, Fault, refused_with};

fn client(nodes: &[&Fake]) -> Client {
    let options = Options {
        deadline: Duration::from_secs(2),
        ..Options::default()
    };
    Client::connect(nodes.iter().map(|fake| fake.node()), options).expect("valid addresses")
}

fn client_without_sessions(nodes: &[&Fake]) -> Client {
    let options = Options {
        deadline: Duration::from_secs(2),
        sessions: false,
        ..Options::default()
    };
    Client::connect(nodes.iter().map(|fake| fake.node()), options).expect("valid addresses")
}

#[tokio::test]
async fn an_add_that_was_refused_while_recovering_is_retried_and_counts_once() {
    let fake = Fake::start().await;
    fake.state().faults = (0..3)
        .map(|_| Fault::Refuse(refused_with(Code::Unavailable, "RECOVERING")))
        .collect();
    client(&[&fake])
        .add("a", 5)
        .await
        .expect("the fourth attempt counts");
    assert_eq!((fake.value("a"), fake.state().calls), (5, 4));
}

#[tokio::test]
async fn without_sessions_an_add_whose_answer_was_lost_is_indeterminate_and_not_retried() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    fake.state()
        .faults
        .push_back(Fault::DoAndFail(Status::unavailable("connection reset")));
    let error = client_without_sessions(&[&fake, &other])
        .add("a", 1)
        .await
        .expect_err("the answer is lost");
    assert!(error.is_indeterminate() && !error.is_retryable(), "{error}");
    assert_eq!(
        (fake.value("a"), fake.state().calls, other.state().calls),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn without_sessions_a_batch_whose_answer_was_lost_is_indeterminate_too() {
    let fake = Fake::start().await;
    fake.state()
        .faults
        .push_back(Fault::DoAndFail(Status::internal("h2 protocol error")));
    let items = [AddItem::new("a", 1), AddItem::new("b", 2)];
    let error = client_without_sessions(&[&fake])
        .batch_add(items)
        .await
        .expect_err("the answer is lost");
    assert!(error.is_indeterminate(), "{error}");
}

#[tokio::test]
async fn an_add_without_an_answer_by_its_deadline_is_indeterminate() {
    let fake = Fake::start().await;
    fake.state().faults.push_back(Fault::Hang);
    let options = Options {
        deadline: Duration::from_millis(100),
        ..Options::default()
    };
    let client = Client::connect([fake.node()], options).expect("a valid address");
    let error = client.add("a", 1).await.expect_err("no answer");
    assert!(error.is_indeterminate(), "{error}");
}

#[tokio::test]
async fn an_add_goes_to_the_next_node_when_the_first_cannot_be_reached() {
    let (gone, fake) = (Fake::start().await, Fake::start().await);
    let client = client(&[&gone, &fake]);
    drop(gone);
    client.add("a", 1).await.expect("the second node takes it");
    assert_eq!(fake.value("a"), 1);
}

#[tokio::test]
async fn a_node_that_stops_hands_adds_to_the_next() {
    let (stopping, fake) = (Fake::start().await, Fake::start().await);
    let status = refused_with(Code::Unavailable, "STOPPING");
    stopping.state().faults.push_back(Fault::Refuse(status));
    client(&[&stopping, &fake])
        .add("a", 1)
        .await
        .expect("the second node takes it");
    assert_eq!((stopping.value("a"), fake.value("a")), (0, 1));
}

#[tokio::test]
async fn when_no_node_can_be_reached_the_add_has_not_counted() {
    let fake = Fake::start().await;
    let client = client(&[&fake]);
    drop(fake);
    let error = client.add("a", 1).await.expect_err("nobody is there");
    assert!(error.is_retryable() && !error.is_indeterminate(), "{error}");
    assert_eq!(error.label(), "CONNECT");
}

#[tokio::test]
async fn reads_are_retried_whatever_broke() {
    let fake = Fake::start().await;
    fake.state().values.insert("a".to_owned(), 7);
    fake.state().faults = [
        Fault::DoAndFail(Status::unavailable("connection reset")),
        Fault::Refuse(Status::internal("h2 protocol error")),
        Fault::Refuse(Status::unknown("transport error")),
    ]
    .into();
    assert_eq!(
        client(&[&fake])
            .get("a")
            .await
            .expect("the fourth attempt")
            .value,
        7
    );
}

#[tokio::test]
async fn a_read_leaves_a_node_that_hangs_for_another() {
    let (hanging, fake) = (Fake::start().await, Fake::start().await);
    hanging.state().faults.push_back(Fault::Hang);
    let options = Options {
        read_attempt_deadline: Duration::from_millis(50),
        ..Options::default()
    };
    let client = Client::connect([hanging.node(), fake.node()], options).expect("two nodes");
    client.get("a").await.expect("the second node answers");
    assert_eq!(fake.state().calls, 1);
}

#[tokio::test]
async fn what_is_wrong_is_not_retried() {
    let fake = Fake::start().await;
    let status = refused_with(Code::OutOfRange, "VALUE_OUT_OF_RANGE");
    fake.state().faults.push_back(Fault::Refuse(status));
    let client = client(&[&fake]);
    let error = client.add("a", i64::MAX).await.expect_err("refused");
    assert!(
        error.is_out_of_range() && !error.is_indeterminate(),
        "{error}"
    );
    assert_eq!(fake.state().calls, 1);
}

#[tokio::test]
async fn what_is_out_of_bounds_is_not_even_sent() {
    let fake = Fake::start().await;
    let client = client(&[&fake]);
    assert!(client.add("", 1).await.expect_err("no name").is_invalid());
    assert!(
        client
            .add(&"x".repeat(513), 1)
            .await
            .expect_err("a long name")
            .is_invalid()
    );
    assert!(
        client
            .add("a", 0)
            .await
            .expect_err("nothing to add")
            .is_invalid()
    );
    assert!(
        client
            .batch_add([])
            .await
            .expect_err("an empty batch")
            .is_invalid()
    );
    let many = (0..10_001).map(|_| AddItem::new("a", 1));
    assert!(
        client
            .batch_add(many)
            .await
            .expect_err("a large batch")
            .is_invalid()
    );
    assert_eq!(fake.state().calls, 0);
}

#[tokio::test]
async fn a_list_has_every_counter_of_all_pages_in_order() {
    let fake = Fake::start().await;
    for name in ["a/1", "a/2", "a/3", "a/4", "a/5", "b/1"] {
        fake.state().values.insert(name.to_owned(), 1);
    }
    let mut list = client(&[&fake]).list("a/");
    let mut names = Vec::new();
    while let Some(counter) = list.next().await.expect("the fake answers") {
        names.push(counter.counter);
    }
    assert_eq!(names, ["a/1", "a/2", "a/3", "a/4", "a/5"]);
    assert_eq!(fake.state().calls, 3);
}

#[tokio::test]
async fn a_watch_outlives_the_streams_that_serve_it() {
    let fake = Fake::start().await;
    let mut watch = client(&[&fake]).watch("a", Duration::ZERO);
    for value in [0, 0, 0, 9, 9, 9] {
        if value == 9 {
            fake.state().values.insert("a".to_owned(), 9);
        }
        assert_eq!(watch.next().await.expect("the fake answers").value, value);
    }
    assert_eq!(fake.state().calls, 2);
}

#[tokio::test]
async fn options_out_of_bounds_are_refused() {
    let short = Duration::from_micros(999);
    let long = Duration::from_secs(3_601);
    let default = Options::default;
    for wrong in [short, long, Duration::ZERO, Duration::MAX] {
        let all = [
            Options {
                deadline: wrong,
                ..default()
            },
            Options {
                read_attempt_deadline: wrong,
                ..default()
            },
            Options {
                connect_deadline: wrong,
                ..default()
            },
            Options {
                backoff_min: wrong,
                ..default()
            },
            Options {
                backoff_max: wrong,
                ..default()
            },
            Options {
                keep_alive: wrong,
                ..default()
            },
        ];
        for options in all {
            let shown = format!("{options:?}");
            let error = Client::connect(["127.0.0.1:7071"], options).expect_err(&shown);
            assert!(error.is_invalid(), "{error}");
        }
    }
}

#[tokio::test]
async fn a_watch_interval_or_a_token_out_of_bounds_is_not_even_sent() {
    let fake = Fake::start().await;
    let client = client(&[&fake]);
    for micros in [1, 9_999, 60_000_001] {
        let mut watch = client.watch("a", Duration::from_micros(micros));
        let error = watch.next().await.expect_err("out of bounds");
        assert!(error.is_invalid(), "{error}");
    }
    let token = Token::from_bytes(vec![0; 32_769]);
    let error = client
        .get_after("a", &token)
        .await
        .expect_err("a long token");
    assert!(error.is_invalid(), "{error}");
    assert_eq!(fake.state().calls, 0);
}

#[tokio::test]
async fn a_deadline_has_one_name_whichever_timer_comes_first() {
    let fake = Fake::start().await;
    let options = Options {
        deadline: Duration::from_millis(500),
        backoff_min: Options::DURATION_MIN,
        backoff_max: Options::DURATION_MIN,
        ..Options::default()
    };
    let client = Client::connect([fake.node()], options).expect("a valid address");
    for _ in 0..6 {
        fake.state().faults.push_back(Fault::Hang);
        let error = client.add("a", 1).await.expect_err("no answer");
        assert_eq!(error.label(), "DEADLINE", "{error}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
