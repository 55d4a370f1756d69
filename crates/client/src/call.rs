//! How a call finds its node, and what happens when that fails: the loop of all calls.
//!
//! What differs between calls is whether a failure may be repeated, and that is decided by
//! [`Error::is_retryable`], which knows reads from adds.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tonic::{Request, Response, Status};

use crate::{
    Client, Error,
    attempt::{Stub, attempt, stub},
    client::Shared,
    error::{Effect, Unexpected},
    nodes::{Node, Tried},
};

impl Client {
    /// The node at a place in the caller's list.
    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.shared.nodes.all()[index]
    }

    /// Leaves a node alone after a failure that speaks against it.
    pub(crate) fn failed(&self, node: usize, error: &Error) {
        let nodes = &self.shared.nodes;
        nodes.failed(self.node(node), error, Instant::now());
    }

    /// One call with its retries. `accept` makes a value of a node's answer, or says what is
    /// wrong with it.
    pub(crate) async fn call<Q: Clone, A, V, F>(
        &self,
        call: &'static str,
        effect: Effect,
        message: Q,
        send: impl Fn(Stub, Request<Q>) -> F,
        accept: impl Fn(&Node, A) -> Result<V, Unexpected>,
    ) -> Result<V, Error>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let Shared { nodes, options, .. } = &*self.shared;
        let deadline = Instant::now() + options.deadline;
        let mut tried = Tried::default();
        let mut attempts = 0;
        loop {
            let (node, pause) = nodes.choose(Instant::now(), &tried);
            if deadline <= Instant::now() + pause {
                return Err(tried
                    .last_error
                    .unwrap_or_else(|| Error::backoff(call, pause, options.deadline)));
            }
            wait(pause).await;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                continue; // the timer was late, and an attempt could not be answered in time
            }
            let timeout = match effect {
                Effect::Reads | Effect::ReadsAfterToken => left.min(options.read_attempt_deadline),
                Effect::Adds => left,
            };
            let mut request = Request::new(message.clone());
            request.set_timeout(timeout);
            let answer = attempt(node, call, effect, timeout, send(stub(node), request)).await;
            attempts += 1;
            let accepted = answer.and_then(|answer| {
                accept(node, answer)
                    .map_err(|found| Error::unexpected(&node.address, call, effect, found))
            });
            let error = match accepted {
                Ok(value) => {
                    node.succeeded();
                    return Ok(value);
                }
                Err(error) => error,
            };
            nodes.failed(node, &error, Instant::now());
            if !(error.is_retryable() && attempts < options.attempts_max) {
                return Err(error);
            }
            nodes.failed_here(node, error, &mut tried, Instant::now());
        }
    }
}

/// Waits, if there is anything to wait for: a timer takes a millisecond even for nothing.
async fn wait(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Context};

    use super::*;

    #[tokio::test]
    async fn a_node_that_is_well_is_asked_without_a_wait() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(pin!(wait(Duration::ZERO)).poll(&mut context).is_ready());
    }
}
