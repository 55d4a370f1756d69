//! The client: one short method for each call, and where lists, watches and streams begin.
//!
//! Here arguments are checked and answers become the crate's own types; reads are in `read`, and how
//! a call finds its node and is retried is in `call`.

use std::{fmt, sync::Arc, time::Instant};

use tokio::task::JoinSet;
use wire::v1::{
    DeclareMemberGoneRequest, GetStatusRequest, cluster_service_client::ClusterServiceClient,
};

use crate::{
    AddItem, CounterValue, Error, Ingest, IngestOptions, NodeStatus, Options, Token,
    adds::Adds,
    attempt::attempt,
    error::Effect,
    nodes::{Nodes, Tried},
    session::Pool,
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
    /// The sessions of all adds that have none of their own.
    pub(crate) sessions: Pool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.sessions.close_unattended();
    }
}

/// What an add led to; see [`Client::add_and_get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The counter, with the add in it.
    pub value: CounterValue,
    /// A read with it sees the add, and at least this value's adds, on any node.
    pub token: Token,
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
        let sessions = Pool::new(nodes.all().len());
        Ok(Self {
            shared: Arc::new(Shared {
                nodes,
                options,
                sessions,
            }),
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
    /// It is sent again, to the same node and to others, until it is answered or the
    /// [`deadline`](Options::deadline) has passed, and counts once all the same: it is a request of a
    /// session. See [`Options::sessions`].
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
        let answer = self.count(&Adds::one(counter, amount, false)?).await?;
        Ok(Token::from_bytes(answer.token))
    }

    /// As [`Client::add`], and reads the value that the add led to on the node that took it: with
    /// the add in it, and with all else that is durable there by then.
    ///
    /// # Errors
    /// As for [`Client::add`]. A node of an older version takes the add and gives no value: then the
    /// error is [indeterminate](Error::is_indeterminate), as after any answer that is not
    /// understood.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// let added = client.add_and_get("stock/article-7", -2).await?;
    /// println!("{} are left", added.value.value);
    /// let elsewhere = client.get_after("stock/article-7", &added.token).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn add_and_get(&self, counter: &str, amount: i64) -> Result<Added, Error> {
        let answer = self.count(&Adds::one(counter, amount, true)?).await?;
        let value = answer.counter.expect("an answer without it is refused");
        Ok(Added {
            value: value.into(),
            token: Token::from_bytes(answer.token),
        })
    }

    /// Adds to several counters: 1 to [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX) items, together
    /// at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX). It is retried as [`Client::add`] is.
    ///
    /// # Errors
    /// As for [`Client::add`]; and see [`Error::counted_items`].
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
        let answer = self.count(&Adds::batch(items)?).await?;
        Ok(Token::from_bytes(answer.token))
    }

    /// Closes the client's sessions, so that its nodes need not remember them: worth a call at the end
    /// of a program. Sessions with adds under way stay open; the client may be used further. It takes
    /// a second at most, and nothing depends on it.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) {
    /// client.close_sessions().await;
    /// # }
    /// ```
    pub async fn close_sessions(&self) {
        self.shared.sessions.close().await;
    }

    /// Opens a stream for adds at millions a second, to one node at a time. Every message of it has the
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

    /// Promises to every node that a replica, named by its 16 bytes, never comes back: neither its
    /// process nor a copy of its data directory. They wait for it no more before they forget closed
    /// sessions; what it has counted stays. Answers in the order of the nodes, each once the promise is
    /// durable there. A node that has forgotten the replica before refuses, and nothing changes.
    ///
    /// If the replica does come back, a request that it took over from a session that was forgotten
    /// meanwhile is lost, or counts on it alone.
    pub async fn declare_member_gone(
        &self,
        replica_id: Vec<u8>,
    ) -> Vec<(String, Result<(), Error>)> {
        let timeout = self.shared.options.deadline;
        let tell = async |index| {
            let node = self.node(index);
            let mut stub = ClusterServiceClient::new(node.channel.clone());
            let request = DeclareMemberGoneRequest {
                replica_id: replica_id.clone(),
            };
            let answer = stub.declare_member_gone(request);
            // It counts nothing, and may be repeated.
            let answer = attempt(node, "member gone", Effect::Reads, timeout, answer).await;
            (node.address.clone(), answer.map(|_| ()))
        };
        let mut answers = Vec::new();
        for node in self.shared.nodes.all() {
            answers.push(tell(node.index).await);
        }
        answers
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
