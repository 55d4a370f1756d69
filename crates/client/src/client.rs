//! The client: one short method for each call, and where lists, watches and streams begin.
//!
//! Here arguments are checked and answers become the crate's own types; how a call finds its node
//! and is retried is in `call`.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use wire::v1::{
    AddRequest, BatchAddItem, BatchAddRequest, BatchGetRequest, GetRequest, GetStatusRequest,
    cluster_service_client::ClusterServiceClient,
};

use crate::{
    CounterValue, Error, Ingest, IngestOptions, List, NodeStatus, Options, Token, Watch,
    arguments::{check_amount, check_batch, check_bytes, check_name, check_token},
    attempt::attempt,
    error::{Effect, Unexpected},
    nodes::{Nodes, Tried},
};

/// The clients of several nodes in one: prefers the first that is well, and goes to the next
/// when one fails. Cheap to clone; clones share connections and what is known of the nodes.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) nodes: Nodes,
    pub(crate) options: Options,
}

/// One add of a batch.
///
/// ```
/// use tally_client::AddItem;
///
/// let item = AddItem::new("likes/post-1", 1);
/// assert_eq!(item.amount, 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddItem {
    /// The counter, 1 to 512 bytes.
    pub counter: String,
    /// How much to add; not 0.
    pub amount: i64,
}

impl AddItem {
    /// An add of `amount` to `counter`.
    #[must_use]
    pub fn new(counter: impl Into<String>, amount: i64) -> Self {
        Self {
            counter: counter.into(),
            amount,
        }
    }
}

impl Client {
    /// Makes a client of these nodes (`HOST:PORT` or `http://HOST:PORT`), in order of preference.
    /// Connections are made when they are first needed, so this does not wait, and it must be
    /// called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_invalid`] when there are no nodes, more than
    /// [`NODES_MAX`](crate::NODES_MAX), an address is malformed, or an option is out of bounds.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tally_client::Error> {
    /// use tally_client::{Client, Options};
    ///
    /// let client = Client::connect(["127.0.0.1:7071"], Options::default())?;
    /// assert_eq!(client.nodes().collect::<Vec<_>>(), ["127.0.0.1:7071"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<N: Into<String>>(
        nodes: impl IntoIterator<Item = N>,
        options: Options,
    ) -> Result<Self, Error> {
        options.check()?;
        let nodes = Nodes::new(nodes.into_iter().map(Into::into).collect(), &options)?;
        Ok(Self {
            shared: Arc::new(Shared { nodes, options }),
        })
    }

    /// The nodes, as given.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.shared
            .nodes
            .all()
            .iter()
            .map(|node| node.address.as_str())
    }

    /// Adds `amount` (not 0; negative subtracts) to a counter. Returns once the add is durable on
    /// a node.
    ///
    /// # Errors
    /// See [`Error`]. After [`Error::is_indeterminate`] it may have counted once; after any
    /// other error it has not.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// let token = client.add("likes/post-1", 1).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn add(&self, counter: &str, amount: i64) -> Result<Token, Error> {
        check_name(counter)?;
        check_amount(counter, amount)?;
        let message = AddRequest {
            counter: counter.to_owned(),
            amount,
        };
        self.call(
            "add",
            Effect::Adds,
            message,
            |mut stub, request| async move { stub.add(request).await },
            |_, answer| Ok(Token::from_bytes(answer.token)),
        )
        .await
    }

    /// Adds to several counters: 1 to [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX) items, together
    /// at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX).
    ///
    /// # Errors
    /// As for [`Client::add`].
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// use tally_client::AddItem;
    ///
    /// client.batch_add([AddItem::new("likes/1", 1), AddItem::new("views/1", 20)]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn batch_add(
        &self,
        items: impl IntoIterator<Item = AddItem>,
    ) -> Result<Token, Error> {
        let items = items
            .into_iter()
            .map(|AddItem { counter, amount }| {
                check_name(&counter)?;
                check_amount(&counter, amount)?;
                Ok(BatchAddItem { counter, amount })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        check_batch(items.len())?;
        let message = BatchAddRequest { items };
        check_bytes(&message)?;
        self.call(
            "batch add",
            Effect::Adds,
            message,
            |mut stub, request| async move { stub.batch_add(request).await },
            |_, answer| Ok(Token::from_bytes(answer.token)),
        )
        .await
    }

    /// Reads a counter, as the node that answers knows it. Never waits for another node.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// println!("{}", client.get("likes/post-1").await?.value);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, counter: &str) -> Result<CounterValue, Error> {
        self.get_after(counter, &Token::default()).await
    }

    /// Reads a counter, and waits until the node that answers knows of the add behind `token`.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_retryable`] when the add did not arrive before the deadline. A
    /// node is waited for no longer than
    /// [`read_attempt_deadline`](Options::read_attempt_deadline), and then the next one is asked.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// let token = client.add("likes/post-1", 1).await?;
    /// println!("{}", client.get_after("likes/post-1", &token).await?.value); // sees the add
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_after(&self, counter: &str, token: &Token) -> Result<CounterValue, Error> {
        let mut values = self.batch_get_after([counter], token).await?;
        Ok(values
            .pop()
            .expect("batch_get_after gives one value for each name"))
    }

    /// Reads 1 to [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX) counters, whose names have together
    /// at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX); the values are in the order of the
    /// names, and were read one after the other, not at one instant.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// let values = client.batch_get(["likes/1", "likes/2"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn batch_get<N: Into<String>>(
        &self,
        counters: impl IntoIterator<Item = N>,
    ) -> Result<Vec<CounterValue>, Error> {
        self.batch_get_after(counters, &Token::default()).await
    }

    /// Reads several counters, and waits until the node that answers knows of the add behind
    /// `token`.
    ///
    /// # Errors
    /// As for [`Client::get_after`].
    pub async fn batch_get_after<N: Into<String>>(
        &self,
        counters: impl IntoIterator<Item = N>,
        token: &Token,
    ) -> Result<Vec<CounterValue>, Error> {
        let mut counters: Vec<String> = counters.into_iter().map(Into::into).collect();
        check_batch(counters.len())?;
        counters
            .iter()
            .try_for_each(|counter| check_name(counter))?;
        check_token(token)?;
        let effect = if token.as_bytes().is_empty() {
            Effect::Reads
        } else {
            Effect::ReadsAfterToken
        };
        let (asked, token) = (counters.len(), token.as_bytes().to_vec());
        if asked == 1 {
            let message = GetRequest {
                counter: counters.remove(0),
                token,
            };
            return self
                .call(
                    "get",
                    effect,
                    message,
                    |mut stub, request| async move { stub.get(request).await },
                    |_, answer| accept_values(1, answer.counter.into_iter().collect()),
                )
                .await;
        }
        let message = BatchGetRequest { counters, token };
        check_bytes(&message)?;
        self.call(
            "batch get",
            effect,
            message,
            |mut stub, request| async move { stub.batch_get(request).await },
            |_, answer| accept_values(asked, answer.counters),
        )
        .await
    }

    /// Lists the counters whose names begin with `prefix` (empty: all), in the order of their
    /// bytes, a page at a time. Nothing is asked before [`List::next`]; see there for errors, and
    /// [`List`] for an example.
    #[must_use]
    pub fn list(&self, prefix: &str) -> List {
        List::new(self.clone(), prefix.to_owned())
    }

    /// Watches a counter: its value at once, and then whenever it has changed, at most once in
    /// `interval_min` (10 ms to 60 s; zero lets the node choose, 100 ms). Nothing is asked before
    /// [`Watch::next`]; see there for errors, and [`Watch`] for an example.
    #[must_use]
    pub fn watch(&self, counter: &str, interval_min: Duration) -> Watch {
        Watch::new(self.clone(), counter.to_owned(), interval_min)
    }

    /// Opens a stream for adds at millions a second, to one node. Every message of it has the
    /// client's [`deadline`](Options::deadline); see [`Ingest`].
    ///
    /// A stream that fails speaks against its node as a call does, so the next one goes to another
    /// node. Where all are left alone, the stream opens when the first may be asked again.
    ///
    /// # Errors
    /// [`Error::is_invalid`] when an option is out of bounds; [`Error::is_retryable`] when no node
    /// may be asked before the deadline. A failure to connect shows at the first use of the stream.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// use tally_client::IngestOptions;
    ///
    /// let mut stream = client.ingest(&IngestOptions { in_flight_max: 4, ..Default::default() })?;
    /// stream.add("likes/post-1").await?;
    /// stream.finish().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ingest(&self, options: &IngestOptions) -> Result<Ingest, Error> {
        let (nodes, now) = (&self.shared.nodes, Instant::now());
        let (node, pause) = match options.node {
            None => nodes.choose(now, &Tried::default()),
            Some(place) => {
                let node = nodes.all().get(place).ok_or_else(|| {
                    Error::argument(format!(
                        "there is no node {place}; this client has {}, counted from 0",
                        nodes.all().len()
                    ))
                })?;
                (node, node.pause(now))
            }
        };
        let deadline = self.shared.options.deadline;
        if deadline <= pause {
            return Err(Error::backoff("ingest", pause, deadline));
        }
        Ingest::open(self.clone(), node.index, now + pause, options)
    }

    /// What each node says of itself, in the order of the nodes. Each is asked once, on its own, and
    /// all at the same time, so this takes no longer than one attempt of a read.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) {
    /// for (node, status) in client.status().await {
    ///     println!("{node}: {}", status.map_or_else(|e| e.to_string(), |s| s.version));
    /// }
    /// # }
    /// ```
    pub async fn status(&self) -> Vec<(String, Result<NodeStatus, Error>)> {
        let mut asked = JoinSet::new();
        for node in self.shared.nodes.all() {
            asked.spawn(self.clone().status_of(node.index));
        }
        let mut answers = asked.join_all().await;
        answers.sort_unstable_by_key(|(index, _)| *index);
        let named = |(index, answer)| (self.node(index).address.clone(), answer);
        answers.into_iter().map(named).collect()
    }

    async fn status_of(self, index: usize) -> (usize, Result<NodeStatus, Error>) {
        let Shared { options, .. } = &*self.shared;
        let node = self.node(index);
        let mut stub = ClusterServiceClient::new(node.channel.clone());
        let timeout = options.deadline.min(options.read_attempt_deadline);
        let answer = stub.get_status(GetStatusRequest {});
        let answer = attempt(node, "status", Effect::Reads, timeout, answer);
        (index, answer.await)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("nodes", &self.nodes().collect::<Vec<_>>())
            .finish()
    }
}

/// One value for each name that was asked.
fn accept_values(
    asked: usize,
    values: Vec<wire::v1::CounterValue>,
) -> Result<Vec<CounterValue>, Unexpected> {
    if values.len() == asked {
        return Ok(values.into_iter().map(CounterValue::from).collect());
    }
    Err(Unexpected {
        expected: format!("{asked} value{}", if asked == 1 { "" } else { "s" }),
        found: values.len().to_string(),
    })
}
