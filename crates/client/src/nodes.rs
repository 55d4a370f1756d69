//! Which node to ask, and when: the first in the caller's order that is not being left alone.
//!
//! A node that failed is left alone for a while, doubled with each failure in a row up to a
//! bound, and shortened at random so that clients do not return in step. This pause *is* the
//! back-off of retries: a retry goes at once to a node that is well, and waits only when none is.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tonic::transport::{Channel, Endpoint};

use crate::{Error, NODES_MAX, Options};

/// A node and the connection to it, which is made when first used and again when it is lost.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) channel: Channel,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures_in_a_row: u32,
    left_alone_until: Option<Instant>,
}

/// The nodes in the caller's order of preference; at least one.
#[derive(Debug)]
pub(crate) struct Nodes {
    all: Vec<Node>,
    backoff_min: Duration,
    backoff_max: Duration,
}

impl Nodes {
    pub(crate) fn new(addresses: Vec<String>, options: &Options) -> Result<Self, Error> {
        if addresses.is_empty() || addresses.len() > NODES_MAX {
            return Err(Error::argument(format!(
                "a client needs 1 to {NODES_MAX} nodes, and {} were given",
                addresses.len()
            )));
        }
        let nodes = addresses
            .into_iter()
            .map(|address| Node::new(address, options))
            .collect::<Result<_, _>>()?;
        let Options {
            backoff_min,
            backoff_max,
            ..
        } = *options;
        Ok(Self {
            all: nodes,
            backoff_min,
            backoff_max,
        })
    }

    pub(crate) fn all(&self) -> &[Node] {
        &self.all
    }

    /// The node to ask next, and how long to wait before.
    pub(crate) fn choose(&self, now: Instant) -> (&Node, Duration) {
        self.all
            .iter()
            .map(|node| (node, node.pause(now)))
            .min_by_key(|(_, pause)| *pause) // of equal ones the first
            .expect("there is at least one node")
    }

    /// Leaves a node alone after a failure, for at least as long as it asked for (within bounds).
    pub(crate) fn failed(&self, node: &Node, error: &Error, now: Instant) {
        let mut health = node.health();
        let doubled = 2_u32.saturating_pow(health.failures_in_a_row);
        let longest = self
            .backoff_min
            .saturating_mul(doubled)
            .min(self.backoff_max);
        let asked = error
            .retry_after()
            .unwrap_or_default()
            .min(self.backoff_max);
        let pause = longest.mul_f64(rand::random_range(0.5..=1.0)).max(asked);
        health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        health.left_alone_until = Some(now + pause);
    }
}

impl Node {
    fn new(address: String, options: &Options) -> Result<Self, Error> {
        let url = if address.contains("://") {
            address.clone()
        } else {
            format!("http://{address}")
        };
        let endpoint = Endpoint::from_shared(url).map_err(|error| {
            Error::argument(format!(
                "{address:?} is not a node ({error}); write HOST:PORT"
            ))
        })?;
        let channel = endpoint
            .connect_timeout(options.connect_deadline)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(options.keep_alive)
            .keep_alive_timeout(options.keep_alive)
            .connect_lazy();
        Ok(Self {
            address,
            channel,
            health: Mutex::default(),
        })
    }

    pub(crate) fn pause(&self, now: Instant) -> Duration {
        let until = self.health().left_alone_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    pub(crate) fn succeeded(&self) {
        *self.health() = Health::default();
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health
            .lock()
            .expect("nothing panics while it holds a node's health")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Nodes {
        let addresses = ["a:1", "b:1"].map(str::to_owned).to_vec();
        Nodes::new(addresses, &Options::default()).expect("both addresses are well formed")
    }

    fn failure() -> Error {
        Error::stream_over("a:1", crate::error::Changes::None)
    }

    #[tokio::test]
    async fn the_first_node_is_preferred_until_it_fails_and_again_after_its_pause() {
        let (nodes, now) = (nodes(), Instant::now());
        assert_eq!(nodes.choose(now).0.address, "a:1");
        nodes.failed(&nodes.all()[0], &failure(), now);
        assert_eq!(nodes.choose(now).0.address, "b:1");
        assert_eq!(
            nodes.choose(now + Options::default().backoff_min).0.address,
            "a:1"
        );
    }

    #[tokio::test]
    async fn pauses_double_with_jitter_up_to_the_bound_and_a_success_ends_them() {
        let (nodes, now) = (nodes(), Instant::now());
        let node = &nodes.all()[0];
        for failures in 0..40 {
            nodes.failed(node, &failure(), now);
            let longest = (nodes.backoff_min * 2_u32.pow(failures.min(10))).min(nodes.backoff_max);
            let pause = node.pause(now);
            assert!(
                longest / 2 <= pause && pause <= longest,
                "{failures}: {pause:?}"
            );
        }
        node.succeeded();
        assert_eq!(node.pause(now), Duration::ZERO);
    }
}
