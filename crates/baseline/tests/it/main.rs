//! The two programs as real processes on loopback: what each strategy counts, how fast a lock is
//! over a slow link, and what a lost register or a killed holder does to the others.
//!
//! A proxy in the test delays the bytes between the servers and the register; the programs know
//! nothing of it. Rates are checked from above, where the round trip is a bound, and only loosely
//! from below, since the machine may be busy.

mod proxy;
mod site;

use std::time::{Duration, Instant};

use tonic::Code;
use wire::v1::{
    AddRequest, BatchAddItem, BatchAddRequest, BatchGetRequest, ListCountersRequest, WatchRequest,
};

use crate::site::{Register, Server, reason};

/// A round trip long enough that concurrent naive adds are sure to overlap.
const SHORT: Duration = Duration::from_millis(10);

/// The round trip between data centres.
const LONG: Duration = Duration::from_millis(50);

const SERVERS: usize = 3;

/// Three servers, 20 adds each, all at once: what was acknowledged, and what was counted.
async fn count_with(strategy: &[&str]) -> (i64, i64) {
    let register = Register::start(&[]).await;
    let address = proxy::delaying(&register.address, SHORT).await;
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(Server::start(&address, strategy).await);
    }
    let mut adds = tokio::task::JoinSet::new();
    for server in &servers {
        for _ in 0..20 {
            let server = server.client();
            adds.spawn(async move { site::add(server, "like", 1).await });
        }
    }
    let results = adds.join_all().await;
    let acknowledged = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(
        acknowledged,
        results.len(),
        "nothing failed, so nothing is refused: {results:?}"
    );
    let counted = servers[0].get("like").await.expect("the register is there");
    (i64::try_from(acknowledged).expect("a few"), counted)
}

#[tokio::test]
async fn naive_servers_lose_acknowledged_updates() {
    let (acknowledged, counted) = count_with(&["naive"]).await;
    assert!(counted > 0);
    assert!(
        counted < acknowledged,
        "{acknowledged} acknowledged, {counted} counted"
    );
}

#[tokio::test]
async fn every_other_strategy_is_exact() {
    let (lock, separate, batch, database) = tokio::join!(
        count_with(&["lock"]),
        count_with(&["lock-separate"]),
        count_with(&["lock-batch", "--batch", "7"]),
        count_with(&["database"]),
    );
    for (acknowledged, counted) in [lock, separate, batch, database] {
        assert_eq!(counted, acknowledged);
    }
}

/// Adds that three servers make over the long link while they always have more to do, from the
/// first one that is acknowledged until `time` later.
async fn adds_in(time: Duration, strategy: &[&str]) -> usize {
    let register = Register::start(&[]).await;
    let address = proxy::delaying(&register.address, LONG).await;
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(Server::start(&address, strategy).await);
    }
    let mut adds = tokio::task::JoinSet::new();
    for server in &servers {
        for _ in 0..100 {
            let server = server.client();
            adds.spawn(async move { site::add(server, "like", 1).await });
        }
    }
    adds.join_next()
        .await
        .expect("300 adds")
        .expect("no panic")
        .expect("acknowledged");
    let end = Instant::now() + time;
    let mut done = 0;
    while let Ok(Some(result)) = tokio::time::timeout_at(end.into(), adds.join_next()).await {
        result.expect("no panic").expect("acknowledged");
        done += 1;
    }
    done
}

#[tokio::test]
async fn a_lock_makes_one_hold_a_round_trip_and_a_separate_one_a_third_of_it() {
    let time = Duration::from_secs(2);
    let (lock, separate, batch) = tokio::join!(
        adds_in(time, &["lock"]),
        adds_in(time, &["lock-separate"]),
        adds_in(time, &["lock-batch", "--batch", "4"]),
    );
    // 20 holds a second, 6.7, and 20 again with 4 adds each; one more may fall on the edge.
    assert!((20..=41).contains(&lock), "lock: {lock} in {time:?}");
    assert!(
        (7..=14).contains(&separate),
        "lock-separate: {separate} in {time:?}"
    );
    assert!(
        (80..=167).contains(&batch),
        "lock-batch: {batch} in {time:?}"
    );
}

#[tokio::test]
async fn a_lost_register_makes_adds_unavailable_and_a_durable_one_comes_back_with_its_value() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let state = directory.path().join("state.json");
    let options = ["--state", state.to_str().expect("the path is UTF-8")];
    let mut register = Register::start(&options).await;
    let address = proxy::delaying(&register.address, Duration::from_millis(400)).await;
    let near = Server::start(&register.address, &["lock"]).await;
    let far = Server::start(&address, &["lock"]).await;
    site::add(near.client(), "like", 5)
        .await
        .expect("acknowledged");

    let pending = tokio::spawn(site::add(far.client(), "like", 1));
    tokio::time::sleep(Duration::from_millis(50)).await;
    register.kill();
    let pending = pending
        .await
        .expect("no panic")
        .expect_err("it was not acknowledged");
    assert_eq!(pending.code(), Code::Unavailable);

    near.wait_for_health(false).await;
    let refused = site::add(near.client(), "like", 1)
        .await
        .expect_err("there is no register");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(reason(&refused), "REGISTER_UNREACHABLE");
    let refused = near.get("like").await.expect_err("there is no register");
    assert_eq!(reason(&refused), "REGISTER_UNREACHABLE");

    register.restart(&options).await;
    near.wait_for_health(true).await;
    assert_eq!(near.get("like").await.expect("the register is back"), 5);
    site::add(near.client(), "like", 1)
        .await
        .expect("acknowledged");
    assert_eq!(near.get("like").await.expect("the register is back"), 6);
}

#[tokio::test]
async fn a_killed_holder_frees_the_lock() {
    let register = Register::start(&[]).await;
    let address = proxy::delaying(&register.address, Duration::from_millis(600)).await;
    let mut holder = Server::start(&address, &["lock-separate"]).await;
    let other = Server::start(&register.address, &["lock-separate"]).await;

    // The far server is granted the lock after 300 ms and writes after 1,200 ms at the earliest.
    let held = tokio::spawn(site::add(holder.client(), "like", 1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut waiting = tokio::spawn(site::add(other.client(), "like", 10));
    let pause = Duration::from_millis(200);
    assert!(
        tokio::time::timeout(pause, &mut waiting).await.is_err(),
        "the lock is held"
    );

    holder.kill();
    held.await
        .expect("no panic")
        .expect_err("its server is dead");
    let freed = tokio::time::timeout(site::PATIENCE, waiting).await;
    freed
        .expect("the lock is free")
        .expect("no panic")
        .expect("acknowledged");
    assert_eq!(other.get("like").await.expect("the register is there"), 10);
}

#[tokio::test]
async fn an_add_whose_caller_gave_up_counts_once_or_not_at_all() {
    let register = Register::start(&[]).await;
    let address = proxy::delaying(&register.address, Duration::from_millis(100)).await;
    let server = Server::start(&address, &["lock"]).await;
    let mut adds = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut request = tonic::Request::new(site::add_request("like", 1));
        request.set_timeout(Duration::from_millis(450));
        let mut client = server.client();
        adds.spawn(async move { client.add(request).await });
    }
    let results = adds.join_all().await;
    let acknowledged = results.iter().filter(|result| result.is_ok()).count();
    // One more, behind all that is left of them.
    site::add(server.client(), "like", 1)
        .await
        .expect("acknowledged");
    let acknowledged = i64::try_from(acknowledged).expect("a few") + 1;
    let counted = server.get("like").await.expect("the register is there");
    assert!(
        (acknowledged..21).contains(&counted),
        "{acknowledged} acknowledged, {counted} counted"
    );
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_with_its_reason() {
    let register = Register::start(&[]).await;
    let server = Server::start(&register.address, &["database"]).await;
    let refusal = async |counter: &str, amount| {
        let status = site::add(server.client(), counter, amount)
            .await
            .expect_err("invalid");
        (status.code(), reason(&status))
    };
    let invalid = |reason: &str| (Code::InvalidArgument, reason.to_owned());
    assert_eq!(refusal("", 1).await, invalid("COUNTER_NAME_INVALID"));
    assert_eq!(
        refusal(&"c".repeat(513), 1).await,
        invalid("COUNTER_NAME_INVALID")
    );
    assert_eq!(refusal("like", 0).await, invalid("AMOUNT_ZERO"));
    site::add(server.client(), "like", i64::MAX)
        .await
        .expect("acknowledged");
    let out_of_range = (Code::OutOfRange, "VALUE_OUT_OF_RANGE".to_owned());
    assert_eq!(refusal("like", 1).await, out_of_range);

    let watch = server
        .client()
        .watch(WatchRequest::default())
        .await
        .expect_err("not offered");
    assert_eq!(watch.code(), Code::Unimplemented);
    let items = ["like", "dislike"]
        .map(|counter| site::batch_item(counter, 1))
        .to_vec();
    let batch = server
        .client()
        .batch_add(BatchAddRequest {
            items,
            request: None,
        })
        .await;
    assert_eq!(batch.expect_err("not offered").code(), Code::Unimplemented);
}

#[tokio::test]
async fn counters_are_batched_read_and_listed() {
    let register = Register::start(&[]).await;
    let server = Server::start(&register.address, &["lock-batch"]).await;
    for counter in ["b/1", "a", "b/2"] {
        let items: Vec<BatchAddItem> = [3, -1]
            .into_iter()
            .map(|amount| site::batch_item(counter, amount))
            .collect();
        server
            .client()
            .batch_add(BatchAddRequest {
                items,
                request: None,
            })
            .await
            .expect("acknowledged");
    }
    let add = AddRequest {
        return_value: true,
        ..site::add_request("b/1", 4)
    };
    let added = server.client().add(add).await.expect("acknowledged");
    let value = added.into_inner().counter.expect("it was asked for");
    assert_eq!(value.value, 6);
    let counters = vec!["b/2".to_owned(), "none".to_owned()];
    let request = BatchGetRequest {
        counters,
        ..Default::default()
    };
    let values = server
        .client()
        .batch_get(request)
        .await
        .expect("two names")
        .into_inner();
    assert_eq!(
        values
            .counters
            .iter()
            .map(|it| it.value)
            .collect::<Vec<_>>(),
        [2, 0]
    );

    let mut names = Vec::new();
    let mut page_token = String::new();
    while names.len() < 3 {
        let prefix = "b".to_owned();
        let request = ListCountersRequest {
            prefix,
            page_size: 1,
            page_token,
            ..Default::default()
        };
        let page = server
            .client()
            .list_counters(request)
            .await
            .expect("a page")
            .into_inner();
        names.extend(page.counters.into_iter().map(|counter| counter.counter));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["b/1", "b/2"]);
}
