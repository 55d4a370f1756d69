//! Load through single calls, Add or `BatchAdd`: so many under way at a time for each node.
//!
//! Without sessions each call is tried once. After a failure the client itself leaves the node alone for a while,
//! so a dead node is not hammered.

use std::{sync::Arc, time::Instant};

use tally_client::{AddItem, Client, Error, Outcome};
use tokio::task::JoinSet;

use super::{
    Mode, Stop,
    ledger::{Ledger, Sent},
    plan::Plan,
    ring::Run,
};

type Calls = JoinSet<(Sent, Result<(), Error>)>;

pub(crate) async fn run(plan: Arc<Plan>, node: usize, client: Client, mut stop: Stop) -> Ledger {
    let mut ledger = Ledger::new(&plan, node);
    let mut random = plan.random(node);
    let mut calls = Calls::new();
    loop {
        while calls.len() < plan.in_flight && !*stop.borrow() {
            let adds = plan.take_adds();
            if adds == 0 {
                break;
            }
            let run = plan.ring.run(adds, &mut random);
            calls.spawn(call(Arc::clone(&plan), client.clone(), run));
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            done = calls.join_next() => match done {
                Some(done) => settle(&mut ledger, done.expect("a call does not panic")),
                None => break, // no adds are left
            }
        }
    }
    ledger.stopped_sending();
    // Every call ends by its deadline.
    while let Some(done) = calls.join_next().await {
        settle(&mut ledger, done.expect("a call does not panic"));
    }
    ledger
}

async fn call(plan: Arc<Plan>, client: Client, run: Run) -> (Sent, Result<(), Error>) {
    let mut names = plan
        .ring
        .adds(run)
        .iter()
        .map(|add| plan.names[add.0 as usize].as_str());
    let sent = Sent {
        run,
        at: Instant::now(),
    };
    let answer = match plan.mode {
        Mode::Unary => {
            let name = names.next().expect("a run has at least one add");
            client.add(name, 1).await
        }
        Mode::Batch | Mode::Ingest => {
            client
                .batch_add(names.map(|name| AddItem::new(name, 1)))
                .await
        }
    };
    (sent, answer.map(|_token| ()))
}

fn settle(ledger: &mut Ledger, (sent, answer): (Sent, Result<(), Error>)) {
    let outcome = match &answer {
        Ok(()) => Outcome::Acknowledged,
        Err(error) if error.is_indeterminate() => Outcome::Indeterminate,
        Err(error) if error.counted_items().is_some() => Outcome::InPart,
        Err(_) => Outcome::Refused,
    };
    ledger.settle(sent, outcome, Instant::now());
    if let Err(error) = answer {
        ledger.failed(&error);
    }
}
