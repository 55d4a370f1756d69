//! SIGTERM beside those who watch and those who stream, and what is there afterwards.

use std::time::Duration;

use tally_client::{Client, IngestOptions, Options};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failure;
use crate::node::Node;

/// Watches and ingest streams that are open at the stop.
const EACH: usize = 100;
/// Of each kind so many share a client, which has one connection.
const A_CLIENT: usize = 10;
/// Watches tell no more often: a stop that waited for one would take this long.
const WATCH_INTERVAL: Duration = Duration::from_mins(1);
/// Adds of a message.
const MESSAGE_ENTRIES: usize = 100;
/// How long streams run before the stop.
const LOADED: Duration = Duration::from_secs(2);

/// Messages of one stream.
struct Streamed {
    counter: String,
    acknowledged: u64,
    sent: u64,
}

/// Stops the node, starts it again, and compares. Whether the stop was quick enough.
pub(crate) async fn measure(mut node: Node, bound: Duration) -> Result<bool, Failure> {
    let counters = node.status().await?.counters;
    let mut watches = JoinSet::new();
    let mut streams = JoinSet::new();
    for first in (0..EACH).step_by(A_CLIENT) {
        let client = Client::connect([&node.address], Options::default())?;
        for number in first..first + A_CLIENT {
            let mut watch = client.watch(&counter(number), WATCH_INTERVAL);
            // The first value says that the watch is open.
            watch.next().await?;
            watches.spawn(async move { watch.next().await.map(|_| ()) });
            streams.spawn(stream(client.clone(), counter(number)));
        }
    }
    sleep(LOADED).await;
    let took = node.stop().await?;
    watches.abort_all();
    let streamed = streams.join_all().await;
    node.restart().await?;
    for streamed in streamed {
        let Streamed {
            counter,
            acknowledged,
            sent,
        } = streamed?;
        let value = u64::try_from(node.client.get(&counter).await?.value)?;
        let [least, most] = [acknowledged, sent].map(|it| it * MESSAGE_ENTRIES as u64);
        if !(least..=most).contains(&value) {
            let text = format!(
                "{counter} is {value} after the stop; {least} were acknowledged, {most} were sent"
            );
            return Err(text.into());
        }
        if acknowledged == 0 {
            return Err(format!("nothing of {counter} was acknowledged before the stop").into());
        }
    }
    let is_kept = took < bound;
    let missed = if is_kept { "" } else { "MISSED: not " };
    println!(
        "stop beside {EACH} watches, {EACH} streams and {counters} counters: {took:?}, \
         {missed}below {bound:?}; nothing acknowledged is lost"
    );
    Ok(is_kept)
}

/// Sends until the node ends the stream.
async fn stream(client: Client, counter: String) -> Result<Streamed, tally_client::Error> {
    let mut stream = client.ingest(&IngestOptions::default())?;
    let index = stream.register(&counter)?;
    while stream.send(vec![index; MESSAGE_ENTRIES]).await.is_ok() {}
    Ok(Streamed {
        counter,
        acknowledged: stream.acknowledged(),
        sent: stream.sent(),
    })
}

fn counter(number: usize) -> String {
    format!("streamed-{number}")
}
