//! Adds as requests of sessions: what carries which number where, and what is counted in the end.

use std::time::Duration;

use tally_client::{AddItem, Client, Options};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Status};
use wire::v1::RequestHead;

use crate::fake::{Fake, Fault, Flaw, refused_with};

/// How long an attempt may take: long enough for a fake to answer.
const ATTEMPT: Duration = Duration::from_millis(300);

fn options() -> Options {
    Options {
        deadline: Duration::from_secs(4),
        add_attempt_deadline: ATTEMPT,
        backoff_min: Duration::from_secs(2), // a node that failed is not asked again in a test
        backoff_max: Duration::from_secs(2),
        ..Options::default()
    }
}

fn client(nodes: &[Fake]) -> Client {
    Client::connect(nodes.iter().map(Fake::node), options()).expect("valid addresses")
}

fn lost() -> Fault {
    Fault::DoAndFail(Status::unavailable("connection reset"))
}

fn heads(node: &Fake) -> Vec<RequestHead> {
    node.state().heads.clone()
}

fn numbers(node: &Fake) -> Vec<(u64, u64, bool)> {
    let heads = heads(node);
    let parts = heads
        .iter()
        .map(|head| (head.number, head.answered_below, head.moved));
    parts.collect()
}

fn total(nodes: &[Fake], counter: &str) -> i64 {
    nodes.iter().map(|node| node.value(counter)).sum()
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_with_the_same_number_and_counts_once() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let client = client(&nodes);
    nodes[0].state().faults.push_back(lost());
    client.add("a", 5).await.expect("answered at last");
    client.add("a", 7).await.expect("answered at once");
    assert_eq!((nodes[0].value("a"), nodes[1].state().calls), (12, 0));
    let expected = [(1, 1, false), (1, 1, false), (2, 2, false)];
    assert_eq!(numbers(&nodes[0]), expected);
    assert_eq!(nodes[0].state().opened, 1);
}

#[tokio::test]
async fn what_the_home_does_not_answer_moves_and_new_adds_go_into_a_new_session() {
    let nodes: [Fake; 3] = Fake::cluster().await;
    let client = client(&nodes);
    client.add("a", 1).await.expect("answered");
    nodes[0].state().faults = [lost(), lost()].into();
    client.add("a", 1).await.expect("moved");
    client.add("a", 1).await.expect("the second node takes it");
    assert_eq!(total(&nodes, "a"), 3);
    let (home, other) = (heads(&nodes[0]), heads(&nodes[1]));
    let at_home = [(1, 1, false), (2, 2, false), (2, 2, false)];
    assert_eq!(numbers(&nodes[0]), at_home);
    assert_eq!(numbers(&nodes[1]), [(2, 2, true), (1, 1, false)]);
    assert_eq!(other[0].session, home[0].session);
    assert_ne!(other[1].session, home[0].session);
}

#[tokio::test]
async fn when_the_home_is_given_up_everything_that_is_unanswered_moves_at_once() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let mut options = options();
    options.add_attempt_deadline = Duration::from_secs(3);
    let client = Client::connect(nodes.iter().map(Fake::node), options).expect("two nodes");
    client.add("a", 1).await.expect("answered");
    nodes[0].state().faults = [Fault::Hang, Fault::Hang, Fault::Hang].into();
    let mut adds = JoinSet::new();
    for _ in 0..3 {
        let client = client.clone();
        adds.spawn(async move { client.add("a", 1).await });
    }
    while !nodes[0].state().faults.is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    nodes[0].state().faults = [lost(), lost()].into();
    adds.spawn(async move { client.add("a", 1).await });
    let all = timeout(Duration::from_secs(2), adds.join_all());
    let all = all.await.expect("nobody waits for the home any longer");
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let moved = numbers(&nodes[1]);
    let mut moved: Vec<_> = moved.iter().map(|&(number, ..)| number).collect();
    moved.sort_unstable();
    assert_eq!(moved, [2, 3, 4, 5]);
    assert!(
        heads(&nodes[1])
            .iter()
            .all(|head| head.moved && head.answered_below == 2)
    );
    assert_eq!(total(&nodes, "a"), 5);
}

#[tokio::test]
async fn the_home_may_refuse_what_it_did_not_answer_and_that_is_final() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let refusal = refused_with(Code::OutOfRange, "VALUE_OUT_OF_RANGE");
    nodes[0].state().faults = [
        Fault::Refuse(Status::unavailable("connection reset")),
        Fault::Refuse(refusal),
    ]
    .into();
    let error = client(&nodes).add("a", 1).await.expect_err("refused");
    assert!(
        error.is_out_of_range() && !error.is_indeterminate(),
        "{error}"
    );
    assert_eq!((nodes[0].state().calls, nodes[1].state().calls), (2, 0));
}

#[tokio::test]
async fn another_node_may_not_refuse_what_the_home_may_have_counted() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    nodes[0].state().faults = (0..9).map(|_| lost()).collect();
    let refusal = || Fault::Refuse(refused_with(Code::OutOfRange, "VALUE_OUT_OF_RANGE"));
    nodes[1].state().faults = (0..9).map(|_| refusal()).collect();
    let error = client(&nodes).add("a", 1).await.expect_err("nobody knows");
    assert!(error.is_indeterminate(), "{error}");
    assert_eq!(total(&nodes, "a"), 1);
}

#[tokio::test]
async fn adds_at_the_same_time_share_a_session_and_each_has_its_number() {
    let nodes: [Fake; 1] = Fake::cluster().await;
    let client = client(&nodes);
    let mut adds = JoinSet::new();
    for _ in 0..200 {
        let client = client.clone();
        adds.spawn(async move { client.add("a", 1).await });
    }
    assert!(adds.join_all().await.iter().all(Result::is_ok));
    client.add("a", 1).await.expect("answered");
    let mut numbers: Vec<_> = heads(&nodes[0]).iter().map(|head| head.number).collect();
    assert_eq!(nodes[0].state().heads[200].answered_below, 201);
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=201).collect::<Vec<_>>());
    assert_eq!((nodes[0].value("a"), nodes[0].state().opened), (201, 1));
}

#[tokio::test]
async fn an_add_that_nobody_got_becomes_a_request_of_another_session() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let client = client(&nodes);
    client.add("a", 1).await.expect("answered");
    let stopping = refused_with(Code::Unavailable, "STOPPING");
    nodes[0].state().faults.push_back(Fault::Refuse(stopping));
    client.add("a", 1).await.expect("the second node takes it");
    assert_eq!(numbers(&nodes[1]), [(1, 1, false)]);
    assert_eq!(total(&nodes, "a"), 2);
}

#[tokio::test]
async fn a_session_that_its_home_has_closed_is_replaced() {
    let nodes: [Fake; 1] = Fake::cluster().await;
    let client = client(&nodes);
    client.add("a", 1).await.expect("answered");
    let session = heads(&nodes[0])[0].session.clone();
    nodes[0].state().closed.push((session, false));
    client.add("a", 1).await.expect("in a new session");
    assert_eq!((nodes[0].value("a"), nodes[0].state().opened), (2, 2));
}

#[tokio::test]
async fn an_add_that_was_given_up_holds_up_nobody() {
    let nodes: [Fake; 1] = Fake::cluster().await;
    let client = client(&nodes);
    nodes[0].state().faults.push_back(Fault::Hang);
    let hanging = timeout(Duration::from_millis(100), client.add("a", 1));
    hanging.await.expect_err("nobody answers");
    client.add("a", 1).await.expect("answered");
    assert_eq!(numbers(&nodes[0]), [(2, 2, false)]);
}

#[tokio::test]
async fn sessions_are_closed_with_their_client_and_on_demand() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let client = client(&nodes);
    client.add("a", 1).await.expect("answered");
    client.close_sessions().await;
    assert_eq!(nodes[0].state().closed.len(), 1);
    client.add("a", 1).await.expect("in a new session");
    drop(client);
    while nodes[0].state().closed.len() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(nodes[0].state().closed.iter().all(|&(_, all)| all));
}

#[tokio::test]
async fn a_session_of_which_something_was_moved_is_closed_as_such() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let mut options = options();
    options.backoff_min = Duration::from_millis(50);
    options.backoff_max = Duration::from_millis(50);
    let client = Client::connect(nodes.iter().map(Fake::node), options).expect("two nodes");
    nodes[0].state().faults = [lost(), lost()].into();
    client.add("a", 1).await.expect("moved");
    sleep(Duration::from_millis(100)).await;
    client.add("a", 1).await.expect("the first node is back");
    let session = heads(&nodes[0])[0].session.clone();
    while nodes[0].state().closed.is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(nodes[0].state().closed, [(session, false)]);
}

#[tokio::test]
async fn a_node_without_sessions_takes_adds_from_a_client_without_them() {
    let [fake]: [Fake; 1] = Fake::cluster().await;
    fake.state().flaw = Some(Flaw::NoSessions);
    let with = Client::connect([fake.node()], options()).expect("a valid address");
    let error = with.add("a", 1).await.expect_err("no sessions");
    assert_eq!(error.label(), "Unimplemented", "{error}");
    assert!(!error.is_indeterminate(), "{error}");
    let without = Options {
        sessions: false,
        ..options()
    };
    let without = Client::connect([fake.node()], without).expect("a valid address");
    without.add("a", 1).await.expect("answered");
    assert_eq!((fake.value("a"), heads(&fake).len()), (1, 0));
}

#[tokio::test]
async fn a_saved_session_finds_out_what_became_of_its_requests_and_counts_each_once() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let session = client(&nodes).session().await.expect("opened");
    session.add("a", 1).await.expect("answered");
    let sent = session.prepare([AddItem::new("a", 10)]).await;
    let sent = sent.expect("numbered");
    session
        .prepare([AddItem::new("b", 100)])
        .await
        .expect("numbered");
    let saved = session.save();
    session.send(sent).await.expect("answered");
    drop(session); // its answer is lost with the process

    let client = client(&nodes);
    let session = client.restore(&saved).expect("as saved");
    assert_eq!(session.unanswered().len(), 2);
    let fates = session.resend().await;
    assert!(fates.iter().all(|(_, fate)| fate.is_ok()), "{fates:?}");
    assert_eq!((total(&nodes, "a"), total(&nodes, "b")), (11, 100));
    session.add("a", 1).await.expect("in a new session");
    let heads = heads(&nodes[0]);
    let again = heads.iter().filter(|head| head.session == heads[0].session);
    let again: Vec<_> = again
        .map(|head| (head.number, head.answered_below))
        .collect();
    assert_eq!(again[..2], [(1, 1), (2, 2)]);
    assert!(again[2..].iter().all(|&(_, below)| below == 2), "{again:?}");
    assert_eq!(heads.last().map(|head| head.number), Some(1));
}

#[tokio::test]
async fn a_restored_session_whose_home_is_gone_is_moved() {
    let nodes: [Fake; 2] = Fake::cluster().await;
    let session = client(&nodes).session().await.expect("opened");
    session
        .prepare([AddItem::new("a", 10)])
        .await
        .expect("numbered");
    let saved = session.save();
    let [gone, well] = nodes;
    let client = Client::connect([gone.node(), well.node()], options()).expect("two nodes");
    drop(gone);
    let session = client.restore(&saved).expect("as saved");
    let fates = session.resend().await;
    assert!(fates.iter().all(|(_, fate)| fate.is_ok()), "{fates:?}");
    assert_eq!(numbers(&well), [(1, 1, true)]);
    assert_eq!(well.value("a"), 10);
    session.close().await.expect("all is answered");
}

#[tokio::test]
async fn a_request_without_an_answer_stays_until_it_has_one() {
    let nodes: [Fake; 1] = Fake::cluster().await;
    let mut options = options();
    options.deadline = Duration::from_millis(300);
    let client = Client::connect([nodes[0].node()], options).expect("a valid address");
    let session = client.session().await.expect("opened");
    nodes[0].state().faults.push_back(Fault::Hang);
    let error = session.add("a", 3).await.expect_err("no answer");
    assert!(error.is_indeterminate(), "{error}");
    let unanswered = session.unanswered();
    assert_eq!(
        session.items(unanswered[0]),
        Some(vec![AddItem::new("a", 3)])
    );
    let kept = session
        .clone()
        .close()
        .await
        .expect_err("one is unanswered");
    assert!(kept.is_invalid(), "{kept}");
    sleep(Duration::from_secs(2)).await; // the node is left alone for so long
    session.send(unanswered[0]).await.expect("answered");
    let again = session
        .send(unanswered[0])
        .await
        .expect_err("answered before");
    assert!(again.is_invalid(), "{again}");
    assert_eq!(nodes[0].value("a"), 3);
    session.close().await.expect("all is answered");
    assert_eq!(nodes[0].state().closed.len(), 1);
}

#[tokio::test]
async fn what_is_no_saved_session_is_refused() {
    let nodes: [Fake; 1] = Fake::cluster().await;
    let error = client(&nodes)
        .restore(b"something else")
        .expect_err("not one");
    assert!(error.is_invalid(), "{error}");
}
