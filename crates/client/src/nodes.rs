//! Which node to ask, and when: the first in the caller's order that is not being left alone.
//!
//! A node that failed is left alone for a while, doubled with each failure in a row up to a
//! bound, and shortened at random so that clients do not return in step. This pause *is* the
//! back-off of retries: a retry goes at once to a node that is well, and waits only when none is.
//!
//! One call keeps to itself what it found out by its own attempts ([`Tried`]): it asks every node
//! before it asks one again, and a node that does not know of its token's add yet is left alone
//! by this call only, for it may be as well as can be.

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
    /// The place in the caller's list.
    pub(crate) index: usize,
    health: Mutex<Health>,
}

/// What failed attempts say of one node.
#[derive(Debug, Default)]
struct Health {
    failures_in_a_row: u32,
    left_alone_until: Option<Instant>,
}

/// What one call has found out by the attempts that failed.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    /// By index of the node; empty before the first failure.
    healths: Vec<Health>,
    pub(crate) last_error: Option<Error>,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
}

/// The nodes in the caller's order of preference; at least one.
#[derive(Debug)]
pub(crate) struct Nodes {
    all: Vec<Node>,
    backoff: Backoff,
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
            .enumerate()
            .map(|(index, address)| Node::new(index, address, options))
            .collect::<Result<_, _>>()?;
        let backoff = Backoff {
            min: options.backoff_min,
            max: options.backoff_max,
        };
        Ok(Self {
            all: nodes,
            backoff,
        })
    }

    pub(crate) fn all(&self) -> &[Node] {
        &self.all
    }

    /// The node that a call should ask next, and how long to wait before.
    pub(crate) fn choose(&self, now: Instant, tried: &Tried) -> (&Node, Duration) {
        let rank = |node: &Node| {
            let own = tried.healths.get(node.index);
            let own_pause = own.map_or(Duration::ZERO, |own| own.pause(now));
            let failures = own.map_or(0, |own| own.failures_in_a_row);
            (node.pause(now).max(own_pause), failures)
        };
        self.all
            .iter()
            .map(|node| (node, rank(node)))
            .min_by_key(|(_, rank)| *rank) // of equal ones the first
            .map(|(node, (pause, _))| (node, pause))
            .expect("there is at least one node")
    }

    /// Leaves a node alone after a failure that speaks against it.
    pub(crate) fn failed(&self, node: &Node, error: &Error, now: Instant) {
        if error.speaks_against_node() {
            let asked = error.retry_after().unwrap_or_default();
            node.health().fail(self.backoff, asked, now);
        }
    }

    /// Remembers for one call that its attempt on a node failed.
    pub(crate) fn failed_here(&self, node: &Node, error: Error, tried: &mut Tried, now: Instant) {
        tried.healths.resize_with(self.all.len(), Health::default);
        let own = &mut tried.healths[node.index];
        if error.is_wait_for_token() {
            own.fail(self.backoff, Duration::ZERO, now);
        } else {
            own.failures_in_a_row += 1; // its pause is known to all calls
        }
        tried.last_error = Some(error);
    }

    /// The same, and leaves the node alone for this call, whatever the failure says of it: a request
    /// is sent until its deadline, and would be sent without a pause to a node that refuses it.
    pub(crate) fn leave_alone_here(
        &self,
        node: &Node,
        error: Error,
        tried: &mut Tried,
        now: Instant,
    ) {
        tried.healths.resize_with(self.all.len(), Health::default);
        let asked = error.retry_after().unwrap_or_default();
        tried.healths[node.index].fail(self.backoff, asked, now);
        tried.last_error = Some(error);
    }
}

impl Health {
    fn pause(&self, now: Instant) -> Duration {
        let until = self.left_alone_until;
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Leaves the node alone, for at least as long as it asked for (within bounds).
    fn fail(&mut self, backoff: Backoff, asked: Duration, now: Instant) {
        if !self.pause(now).is_zero() {
            return; // this call was under way when the node failed, and says nothing new
        }
        let doubled = 2_u32.saturating_pow(self.failures_in_a_row);
        let longest = backoff.min.saturating_mul(doubled).min(backoff.max);
        let own = longest.mul_f64(rand::random_range(0.5..=1.0));
        let asked = asked
            .min(backoff.max)
            .mul_f64(rand::random_range(1.0..=1.5));
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.left_alone_until = Some(now + own.max(asked));
    }
}

impl Node {
    fn new(index: usize, address: String, options: &Options) -> Result<Self, Error> {
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
            .connect_timeout(options.connect_deadline.min(options.deadline / 2))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(options.keep_alive)
            .keep_alive_timeout(options.keep_alive)
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok(Self {
            address,
            channel,
            index,
            health: Mutex::default(),
        })
    }

    pub(crate) fn pause(&self, now: Instant) -> Duration {
        self.health().pause(now)
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
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::error::Effect;

    fn nodes() -> Nodes {
        let addresses = ["a:1", "b:1"].map(str::to_owned).to_vec();
        Nodes::new(addresses, &Options::default()).expect("both addresses are well formed")
    }

    fn failure() -> Error {
        let status = Status::unavailable("connection reset");
        Error::from_status("a:1", "get", Effect::Reads, status)
    }

    #[tokio::test]
    async fn the_first_node_is_preferred_until_it_fails_and_again_after_its_pause() {
        let (nodes, now) = (nodes(), Instant::now());
        assert_eq!(nodes.choose(now, &Tried::default()).0.address, "a:1");
        nodes.failed(&nodes.all()[0], &failure(), now);
        assert_eq!(nodes.choose(now, &Tried::default()).0.address, "b:1");
        let later = now + Options::default().backoff_min;
        assert_eq!(nodes.choose(later, &Tried::default()).0.address, "a:1");
    }

    #[tokio::test]
    async fn pauses_double_with_jitter_up_to_the_bound_and_a_success_ends_them() {
        let (nodes, mut now) = (nodes(), Instant::now());
        let node = &nodes.all()[0];
        let Backoff { min, max } = nodes.backoff;
        for failures in 0..40 {
            nodes.failed(node, &failure(), now);
            let longest = (min * 2_u32.pow(failures.min(10))).min(max);
            let pause = node.pause(now);
            assert!(
                longest / 2 <= pause && pause <= longest,
                "{failures}: {pause:?}"
            );
            now += pause;
        }
        nodes.failed(node, &failure(), now);
        node.succeeded();
        assert_eq!(node.pause(now), Duration::ZERO);
    }

    #[tokio::test]
    async fn failures_of_one_moment_count_once() {
        let (nodes, now) = (nodes(), Instant::now());
        let node = &nodes.all()[0];
        for _ in 0..16 {
            nodes.failed(node, &failure(), now); // calls that one broken connection carried
        }
        assert!(
            node.pause(now) <= nodes.backoff.min,
            "{:?}",
            node.pause(now)
        );
    }

    #[tokio::test]
    async fn a_pause_that_a_node_asks_for_is_kept_and_differs_from_client_to_client() {
        let asked = Duration::from_secs(1);
        let details = ErrorDetails::with_retry_info(Some(asked));
        let status = Status::with_error_details(Code::Unavailable, "no", details);
        let error = Error::from_status("a:1", "get", Effect::Reads, status);
        let now = Instant::now();
        let pauses: Vec<_> = (0..10)
            .map(|_| {
                let nodes = nodes();
                let node = &nodes.all()[0];
                nodes.failed(node, &error, now);
                node.pause(now)
            })
            .collect();
        assert!(
            pauses
                .iter()
                .all(|pause| (asked..=asked * 3 / 2).contains(pause)),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
    }
}
