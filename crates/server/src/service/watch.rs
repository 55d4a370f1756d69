//! The watch of a counter: its value at a pace, whenever it has changed.

use std::sync::Arc;
use std::time::Duration;

use crdt_core::CounterName;
use protocol::NotWritable;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::v1::WatchResponse;

use super::status;
use super::value::value;
use crate::node::Node;

/// Streams a counter's value at a pace, until the client or the node goes.
pub(super) fn spawn(
    node: Arc<Node>,
    name: CounterName,
    interval: Duration,
) -> ReceiverStream<Result<WatchResponse, Status>> {
    let (values, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let gone = values.clone();
        tokio::select! {
            () = watch_for_ever(&node, &name, interval, &values) => {}
            () = gone.closed() => {}
            () = node.stopped() => {
                // The client may be gone already; either way this is the end.
                let end = status::not_writable(&NotWritable::Stopping);
                let _ = gone.try_send(Err(end));
            }
        }
    });
    ReceiverStream::new(stream)
}

async fn watch_for_ever(
    node: &Node,
    name: &CounterName,
    interval: Duration,
    values: &mpsc::Sender<Result<WatchResponse, Status>>,
) {
    let mut completed = node.completed();
    let mut last = None;
    loop {
        let current = value(node, name);
        if last.as_ref() != Some(&current) {
            last = Some(current.clone());
            let response = WatchResponse {
                counter: Some(current),
            };
            if values.send(Ok(response)).await.is_err() {
                return;
            }
        }
        sleep(interval).await;
        let changed = completed.changed().await;
        changed.expect("the node outlives its streams");
    }
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
        let name = CounterName::new("likes").expect("a name");
        let mut watch = spawn(Arc::clone(&node), name, Duration::from_mins(1));
        let first = watch.next().await.expect("a value").expect("a value");
        assert_eq!(first.counter.expect("a value").value, 0);
        assert_eq!(Arc::strong_count(&node), 2);
        drop(watch);
        let ended = timeout(Duration::from_secs(10), async {
            while Arc::strong_count(&node) > 1 {
                yield_now().await;
            }
        });
        ended.await.expect("the task of the watch ends");
    }
}
