//! Watches over a socket: what is told, and when, is decided by [`Watch`].

use std::sync::Arc;
use std::time::Duration;

use protocol::{NotWritable, ShardIndex, Shards as _, Watch, WatchEffect, WatchLimits, Watched};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::v1::{WatchRequest, WatchResponse};

use super::limits::{WATCH_INTERVAL_MS_DEFAULT, WATCH_INTERVAL_MS_MAX, WATCH_INTERVAL_MS_MIN};
use super::list::check_bytes;
use super::parse::{parse_name, parse_names};
use super::status::{self, Field};
use super::value::{counter_value, lane_ages};
use crate::node::Node;

/// A watch that a client has asked for.
pub(super) struct Served {
    watch: Watch,
    /// The shards that it looks at; none for all.
    shards: Option<Vec<ShardIndex>>,
    is_of_one: bool,
    return_lane_ages: bool,
}

impl Served {
    /// The watch of a request, which has its place among all watches from now on.
    pub(super) fn new(node: &Node, request: &WatchRequest) -> Result<Self, Status> {
        let interval_ms = match request.interval_ms_min {
            0 => WATCH_INTERVAL_MS_DEFAULT,
            ms @ WATCH_INTERVAL_MS_MIN..=WATCH_INTERVAL_MS_MAX => ms,
            ms => {
                let bounds = (WATCH_INTERVAL_MS_MIN, WATCH_INTERVAL_MS_MAX);
                return Err(status::watch_interval(ms, bounds));
            }
        };
        let watched = parse_watched(node, request)?;
        let shards = match &watched {
            Watched::Named(names) => Some(names.iter().map(|&(shard, _)| shard).collect()),
            Watched::Prefix(_) => None,
        };
        let (limits, now) = (WatchLimits::default(), node.clock().now());
        let interval = Duration::from_millis(interval_ms.into());
        let (budgets, shard_count) = (node.watches(), node.shard_count());
        let watch = Watch::new(watched, interval, limits, budgets, now, shard_count);
        Ok(Self {
            watch: watch.map_err(|error| status::watch(&error))?,
            shards,
            is_of_one: request.prefix.is_none() && request.counters.is_empty(),
            return_lane_ages: request.return_lane_ages,
        })
    }

    /// The shards that it looks at.
    pub(super) fn shards(&self, node: &Node) -> Vec<ShardIndex> {
        self.shards.clone().unwrap_or_else(|| node.indices())
    }

    /// Tells the values until the client or the node goes, in a task of its own. What is refused at
    /// the first look is refused here.
    pub(super) fn spawn(
        mut self,
        node: Arc<Node>,
    ) -> Result<ReceiverStream<Result<WatchResponse, Status>>, Status> {
        let first = self.watch.poll(node.clock().now(), &*node);
        if let WatchEffect::Fail(error) = &first {
            return Err(status::watch(error));
        }
        let (messages, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let gone = messages.clone();
            tokio::select! {
                () = self.run(&node, first, &messages) => {}
                () = gone.closed() => {}
                () = node.stopped() => {
                    // The client may be gone already; either way this is the end.
                    let end = status::not_writable(&NotWritable::Stopping);
                    let _ = gone.try_send(Err(end));
                }
            }
        });
        Ok(ReceiverStream::new(stream))
    }

    async fn run(
        &mut self,
        node: &Node,
        first: WatchEffect,
        messages: &mpsc::Sender<Result<WatchResponse, Status>>,
    ) {
        let mut completed = node.completed();
        // What was completed until now may have come after the first look.
        completed.mark_changed();
        let mut effect = first;
        loop {
            match effect {
                WatchEffect::Tell(values) => {
                    let message = self.message(node, &values);
                    if messages.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
                WatchEffect::AwaitRound => {
                    let changed = completed.changed().await;
                    changed.expect("the node outlives its streams");
                    self.watch.completed();
                }
                WatchEffect::Wait { until } => sleep_until(node.clock().instant(until)).await,
                WatchEffect::Fail(error) => {
                    // The client may be gone already; either way this is the end.
                    let _ = messages.send(Err(status::watch(&error))).await;
                    return;
                }
            }
            effect = self.watch.poll(node.clock().now(), node);
        }
    }

    fn message(&self, node: &Node, values: &[(crdt_core::CounterName, i128)]) -> WatchResponse {
        let reading = self.watch.reading();
        let mut counters: Vec<_> = values
            .iter()
            .map(|(name, sum)| counter_value(name, *sum))
            .collect();
        WatchResponse {
            counter: self.is_of_one.then(|| counters.pop()).flatten(),
            counters,
            token: node.token_of(reading).to_bytes(),
            lane_ages: lane_ages(node, reading, self.return_lane_ages),
        }
    }
}

/// What a request wants to be watched: one of three ways to say it.
fn parse_watched(node: &Node, request: &WatchRequest) -> Result<Watched, Status> {
    let WatchRequest {
        counter,
        counters,
        prefix,
        ..
    } = request;
    let given = [
        ("counter", !counter.is_empty()),
        ("counters", !counters.is_empty()),
        ("prefix", prefix.is_some()),
    ];
    let mut given = given.iter().filter(|(_, is_given)| *is_given);
    if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
        return Err(status::watch_selection(first, second));
    }
    if let Some(prefix) = prefix {
        check_bytes("prefix", prefix)?;
        return Ok(Watched::Prefix(prefix.clone()));
    }
    let names = if counters.is_empty() {
        vec![parse_name(counter, Field::new("counter"))?]
    } else {
        parse_names(counters)?
    };
    let placed = names.into_iter().map(|name| (node.shard_of(&name), name));
    Ok(Watched::Named(placed.collect()))
}

#[cfg(test)]
mod tests {
    use crdt_core::{Replica, ReplicaId, StartId};
    use protocol::ReplicationLimits;
    use tokio::task::yield_now;
    use tokio::time::timeout;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::node::{NodeIdentity, NodeLimits};

    fn node() -> Arc<Node> {
        let identity = NodeIdentity {
            cluster: "test".into(),
            replica: ReplicaId::new(1),
            start: StartId::new(1),
            shard_count: 1,
        };
        let limits = NodeLimits {
            counters_max: 1,
            replication: ReplicationLimits::default(),
        };
        let replicas = vec![Replica::new(identity.replica, identity.start)];
        let keep_fork = Box::new(|_: &crdt_core::Fork| Ok(()));
        Arc::new(Node::new(identity, limits, replicas, None, keep_fork))
    }

    /// However long its interval is: else cancelled watches would gather.
    #[tokio::test]
    async fn a_watch_that_its_client_cancels_ends() {
        let node = node();
        let request = WatchRequest {
            counter: "likes".into(),
            interval_ms_min: WATCH_INTERVAL_MS_MAX,
            ..Default::default()
        };
        let served = Served::new(&node, &request).expect("within its bounds");
        let mut watch = served.spawn(Arc::clone(&node)).expect("within its bounds");
        let first = watch.next().await.expect("a value").expect("a value");
        assert_eq!(first.counter.expect("a value").value, 0);
        assert_eq!(Arc::strong_count(&node), 2);
        assert_eq!(node.watches().watches.used(), 1);
        drop(watch);
        let ended = timeout(Duration::from_secs(10), async {
            while Arc::strong_count(&node) > 1 {
                yield_now().await;
            }
        });
        ended.await.expect("the task of the watch ends");
        assert_eq!(node.watches().watches.used(), 0);
        assert_eq!(node.watches().counters.used(), 0);
    }
}
