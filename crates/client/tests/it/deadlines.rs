//! Nothing is waited for longer than its deadline.

use std::time::Duration;

use tally_client::{Client, Options};
use tokio::time::timeout;

use crate::fake::Fake;

const DEADLINE: Duration = Duration::from_millis(300);

/// After the deadline: scheduling noise of a busy machine, and far less than a back-off.
const NOISE: Duration = Duration::from_secs(2);

fn client(node: &str) -> Client {
    let options = Options {
        deadline: DEADLINE,
        backoff_min: Duration::from_mins(1),
        backoff_max: Duration::from_mins(1),
        ..Options::default()
    };
    Client::connect([node], options).expect("a valid address")
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
