//! Watching counters: streams of values that outlive the nodes that serve them.
//!
//! When a stream breaks, its node is left alone as after any failure, and the next stream is opened
//! on a node that is well. That node may know less than the one before. A [`Watch`] tells what it
//! finds there, so a value can be lower than the last for a moment; [`Changes`] go on with the
//! token of what was told, and wait until the node knows all of that.

use std::time::Duration;

use tonic::{Status, Streaming};
use wire::v1::{WatchRequest, WatchResponse};

use crate::{
    Client, CounterValue, Error, LaneAge, Read, Token,
    arguments::{check_batch, check_bytes, check_interval, check_name, check_prefix, check_token},
    error::{Effect, Unexpected},
    read::effect_after,
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
    interval_min: Duration,
    messages: Messages,
}

impl Watch {
    pub(crate) fn new(client: Client, counter: String, interval_min: Duration) -> Self {
        let request = WatchRequest {
            counter,
            ..Default::default()
        };
        Self {
            interval_min,
            messages: Messages::new(client, request),
        }
    }

    /// Waits for the next value; the first comes at once. Cancel safe.
    ///
    /// # Errors
    /// See [`Error`]: when no node could be reached for as long as the client's options allow, or
    /// the watch was refused; [`Error::is_invalid`] when the name or the interval is out of bounds.
    /// The next call tries again.
    pub async fn next(&mut self) -> Result<CounterValue, Error> {
        check_name(&self.messages.request.counter)?;
        self.messages.pace(self.interval_min)?;
        let (node, message) = self.messages.next().await?;
        match message.counter {
            Some(value) => Ok(value.into()),
            None => Err(self.messages.unexpected(node, "a value", "none")),
        }
    }
}

/// How [`Changes`] are watched. The defaults let the node choose the pace (100 ms), and wait for
/// nothing.
///
/// ```
/// use std::time::Duration;
/// use tally_client::WatchOptions;
///
/// let interval_min = Duration::from_secs(1);
/// let options = WatchOptions { interval_min, ..WatchOptions::default() };
/// assert!(!options.lane_ages);
/// ```
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// The shortest time between two messages: 10 ms to 60 s; zero lets the node choose.
    pub interval_min: Duration,
    /// The first message waits for what this token stands for: to go on where an earlier watch has
    /// ended, give the token of its last message.
    pub after: Token,
    /// Whether messages tell how old they may be.
    pub lane_ages: bool,
}

/// The values of several counters as they change: all with the first message, and then those that
/// have changed.
///
/// A stream that breaks is opened again, on another node if need be, with the token of the last
/// message: all values come again, and none is older than one that was told.
///
/// ```no_run
/// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
/// use tally_client::WatchOptions;
///
/// let mut likes = client.watch_prefix("likes/", &WatchOptions::default());
/// loop {
///     for changed in likes.next().await?.values {
///         println!("{} {}", changed.counter, changed.value);
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Changes {
    interval_min: Duration,
    messages: Messages,
}

impl Changes {
    pub(crate) fn of_counters(
        client: Client,
        counters: Vec<String>,
        options: &WatchOptions,
    ) -> Self {
        let request = WatchRequest {
            counters,
            ..Default::default()
        };
        Self::new(client, request, options)
    }

    pub(crate) fn of_prefix(client: Client, prefix: String, options: &WatchOptions) -> Self {
        let request = WatchRequest {
            prefix: Some(prefix),
            ..Default::default()
        };
        Self::new(client, request, options)
    }

    fn new(client: Client, request: WatchRequest, options: &WatchOptions) -> Self {
        let request = WatchRequest {
            token: options.after.as_bytes().to_vec(),
            return_lane_ages: options.lane_ages,
            ..request
        };
        Self {
            interval_min: options.interval_min,
            messages: Messages::new(client, request),
        }
    }

    /// Waits for the next message. The first has all values, and comes at once or as soon as the
    /// token is covered (of many counters with long names the first few messages have them). Cancel
    /// safe.
    ///
    /// # Errors
    /// See [`Error`]: when no node could be reached, or none knew what the token stands for, for as
    /// long as the client's options allow, or the watch was refused; [`Error::is_invalid`] when a
    /// name, their number, the prefix, the token or the interval is out of bounds; its
    /// [`reason`](Error::reason) is `"WATCH_TOO_LARGE"` when more than 10,000 counters have the
    /// prefix. The next call tries again.
    pub async fn next(&mut self) -> Result<Read, Error> {
        self.check()?;
        let (node, message) = self.messages.next().await?;
        if message.counters.is_empty() {
            return Err(self.messages.unexpected(node, "values", "none"));
        }
        self.messages.request.token.clone_from(&message.token);
        Ok(Read {
            values: message
                .counters
                .into_iter()
                .map(CounterValue::from)
                .collect(),
            token: Token::from_bytes(message.token),
            lane_ages: message.lane_ages.into_iter().map(LaneAge::from).collect(),
        })
    }

    /// Waits for nothing when the stream is opened again: for whoever would rather read less than
    /// nothing, when the node that knew most is gone. Values may be lower then than they were.
    pub fn forget_token(&mut self) {
        self.messages.request.token.clear();
    }

    fn check(&mut self) -> Result<(), Error> {
        let WatchRequest {
            counters,
            prefix,
            token,
            ..
        } = &self.messages.request;
        match prefix {
            Some(prefix) => check_prefix(prefix)?,
            None => check_batch(counters.len())?,
        }
        counters.iter().try_for_each(|name| check_name(name))?;
        check_token(&Token::from_bytes(token.clone()))?;
        check_bytes(&self.messages.request)?;
        self.messages.pace(self.interval_min)
    }
}

/// The messages of a stream that is opened again when it breaks.
#[derive(Debug)]
struct Messages {
    client: Client,
    request: WatchRequest,
    stream: Option<NodeStream>,
}

/// A stream, and the place of its node in the client's list.
type NodeStream = (usize, Streaming<WatchResponse>);

impl Messages {
    fn new(client: Client, request: WatchRequest) -> Self {
        Self {
            client,
            request,
            stream: None,
        }
    }

    /// Asks for this pace.
    fn pace(&mut self, interval_min: Duration) -> Result<(), Error> {
        check_interval(interval_min)?;
        let interval_ms = u32::try_from(interval_min.as_millis());
        self.request.interval_ms_min = interval_ms.expect("a minute has fewer milliseconds");
        Ok(())
    }

    /// The next message, and the node that it is from.
    async fn next(&mut self) -> Result<(usize, WatchResponse), Error> {
        loop {
            let (node, stream) = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(open(&self.client, self.request.clone()).await?),
            };
            let (node, answer) = (*node, stream.message().await);
            let status = match answer {
                Ok(Some(message)) => return Ok((node, message)),
                Ok(None) => Status::unavailable("the node ended the stream"),
                Err(status) => status,
            };
            let address = &self.client.node(node).address;
            let error = Error::from_status(address, "watch", Effect::Reads, status);
            let error = self.end(node, error);
            if !error.is_retryable() {
                return Err(error);
            }
        }
    }

    /// A message that breaks the protocol ends the stream.
    fn unexpected(&mut self, node: usize, expected: &str, found: &str) -> Error {
        let unexpected = Unexpected {
            expected: expected.to_owned(),
            found: found.to_owned(),
        };
        let address = &self.client.node(node).address;
        let error = Error::unexpected(address, "watch", Effect::Reads, unexpected);
        self.end(node, error)
    }

    /// Gives up the stream. Opening the next one has the client's deadline and its errors.
    fn end(&mut self, node: usize, error: Error) -> Error {
        self.stream = None;
        self.client.failed(node, &error);
        error
    }
}

async fn open(client: &Client, message: WatchRequest) -> Result<NodeStream, Error> {
    let effect = effect_after(&Token::from_bytes(message.token.clone()));
    client
        .call(
            "watch",
            effect,
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
