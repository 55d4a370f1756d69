//! Watching a counter: a stream of values that outlives the nodes that serve it.
//!
//! When a stream breaks, its node is left alone as after any failure, and the next stream is opened
//! on a node that is well. That node may know less than the one before, so a value can be lower
//! than the last for a moment.

use std::time::Duration;

use tonic::{Status, Streaming};
use wire::v1::{WatchRequest, WatchResponse};

use crate::{
    Client, CounterValue, Error,
    arguments::{check_interval, check_name},
    error::{Effect, Unexpected},
};

/// The values of one counter as they change.
///
/// ```no_run
/// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
/// let mut likes = client.watch("likes/post-1", std::time::Duration::from_millis(200));
/// loop {
///     println!("{}", likes.next().await?.value);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    client: Client,
    counter: String,
    interval_min: Duration,
    stream: Option<NodeStream>,
}

/// A stream, and the place of its node in the client's list.
type NodeStream = (usize, Streaming<WatchResponse>);

impl Watch {
    pub(crate) fn new(client: Client, counter: String, interval_min: Duration) -> Self {
        Self {
            client,
            counter,
            interval_min,
            stream: None,
        }
    }

    /// Waits for the next value; the first comes at once. Cancel safe.
    ///
    /// # Errors
    /// See [`Error`]: when no node could be reached for as long as the client's options allow, or
    /// the watch was refused; [`Error::is_invalid`] when the name or the interval is out of bounds.
    /// The next call tries again.
    pub async fn next(&mut self) -> Result<CounterValue, Error> {
        loop {
            let (node, stream) = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(open(&self.client, &self.counter, self.interval_min).await?),
            };
            let (node, answer) = (*node, stream.message().await);
            let address = &self.client.node(node).address;
            let status = match answer {
                Ok(Some(WatchResponse {
                    counter: Some(value),
                })) => return Ok(value.into()),
                Ok(Some(WatchResponse { counter: None })) => {
                    let unexpected = Unexpected {
                        expected: "a value".to_owned(),
                        found: "none".to_owned(),
                    };
                    let error = Error::unexpected(address, "watch", Effect::Reads, unexpected);
                    return Err(self.end(node, error));
                }
                Ok(None) => Status::unavailable("the node ended the stream"),
                Err(status) => status,
            };
            let error = Error::from_status(address, "watch", Effect::Reads, status);
            let error = self.end(node, error);
            if !error.is_retryable() {
                return Err(error);
            }
        }
    }

    /// Gives up the stream. Opening the next one has the client's deadline and its errors.
    fn end(&mut self, node: usize, error: Error) -> Error {
        self.stream = None;
        self.client.failed(node, &error);
        error
    }
}

async fn open(client: &Client, counter: &str, interval_min: Duration) -> Result<NodeStream, Error> {
    check_name(counter)?;
    check_interval(interval_min)?;
    let interval_ms_min =
        u32::try_from(interval_min.as_millis()).expect("a minute has fewer milliseconds");
    let message = WatchRequest {
        counter: counter.to_owned(),
        interval_ms_min,
        token: Vec::new(),
    };
    client
        .call(
            "watch",
            Effect::Reads,
            message,
            |mut stub, mut request| async move {
                // The stream has no end of its own: the deadline is for its beginning.
                request.metadata_mut().remove("grpc-timeout");
                stub.watch(request).await
            },
            |node, stream| Ok((node.index, stream)),
        )
        .await
}
