//! Adds at millions a second: messages of many adds on a stream, cumulative acknowledgements.
//!
//! A stream has a dictionary: a counter is introduced by name once and is a small integer from
//! then on. Every add is its own entry on the wire; nothing is summed up here.
//!
//! The handle needs no background task. It reads acknowledgements when it is used: when the
//! window is full, [`Ingest::ready`] waits for one, and that is the back-pressure.
//!
//! Each message has the deadline of a call: where it is not acknowledged in that time after it was
//! sent, the stream ends. A message is sent once its node may be asked, so opening, waiting for
//! acknowledgements and closing are all under this one deadline.
//!
//! Each message is a request of a session. When the connection breaks, or a node does not
//! acknowledge, the messages without an acknowledgement are sent again, on a new connection or to
//! another node, and count once all the same ([`flow`]). Without sessions an `Ingest` is one stream to one
//! node, and its end leaves messages [indeterminate](Outcome::Indeterminate).
//!
//! An `Ingest` lives once. When it ends, [`Ingest::outcome`] says of each message what became of it, and
//! the caller opens another.

mod flow;
mod link;
mod message;
mod names;
mod refusal;

use std::{fmt, time::Instant};

use self::flow::Flow;
use crate::{
    Client, Error, IngestOptions, MESSAGE_AMOUNTS_MAX, MESSAGE_ENTRIES_MAX, arguments::check_amount,
};

/// A counter in the dictionary of one stream: 0 is the first one introduced. Introduce popular
/// counters first, for small numbers take fewer bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterIndex(pub u32);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On its way, or not sent yet; wait for it with [`Ingest::flush`]. No message of a stream that
    /// has ended is pending.
    Pending,
    /// Durable on a node.
    Acknowledged,
    /// Not applied, provably; it may be sent again.
    Refused,
    /// The stream ended first, by a failure or by the deadline: it counted once or not at all.
    Indeterminate,
    /// Some of its adds count, and the others do not and never will; see [`Ingest::counted`].
    InPart,
}

/// A stream of adds, to one node at a time. Where [`Options::sessions`](crate::Options::sessions) is set, as
/// it is by default, it goes on with the next node when one fails.
///
/// A message is waited for no longer than [`Options::deadline`](crate::Options::deadline) after it
/// was sent: the stream then ends with an error. It also ends when a node refuses a message for good:
/// nothing more is sent then, and the error comes once every message in flight has its fate. So
/// [`Ingest::add`], [`Ingest::ready`] and [`Ingest::wait_until_acknowledged`] return within one
/// deadline, and [`Ingest::send`], [`Ingest::flush`] and [`Ingest::finish`] within two, since they
/// may have to wait for space for the collected adds first. (Names that exceed a message go ahead in
/// messages of their own, each with its deadline.) A stream that nobody uses notices nothing until
/// it is used again.
///
/// The error that ends a stream speaks of the messages without an acknowledgement:
/// [`Error::is_indeterminate`] when one of them may have counted, [`Error::is_retryable`] when none
/// has and another stream may take them. A stream that is dropped unfinished sends nothing more of
/// what was collected, and what was in flight counts once or not at all.
///
/// ```no_run
/// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
/// use tally_client::IngestOptions;
///
/// let mut stream = client.ingest(&IngestOptions::default())?;
/// for _ in 0..1_000_000 {
///     stream.add("likes/post-1").await?;
/// }
/// stream.finish().await?; // all durable
/// # Ok(())
/// # }
/// ```
///
/// With messages of one's own making, every message is accounted for:
///
/// ```no_run
/// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
/// use tally_client::{IngestOptions, Outcome};
///
/// let mut stream = client.ingest(&IngestOptions::default())?;
/// let post = stream.register("likes/post-1")?;
/// let sequence = stream.send(vec![post; 1_000]).await?;
/// if let Err(error) = stream.flush().await {
///     match stream.outcome(sequence) {
///         Outcome::Acknowledged => println!("counted"),
///         Outcome::Refused => println!("not counted; send it again: {error}"),
///         Outcome::InPart => println!("counted in part: {error}"),
///         Outcome::Indeterminate | Outcome::Pending => println!("may have counted: {error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Ingest {
    flow: Flow,
    entries_max: usize,
    /// Adds that no message carries yet. `amounts` is empty while all are 1.
    counters: Vec<CounterIndex>,
    amounts: Vec<i64>,
}

impl Ingest {
    pub(crate) fn open(
        client: Client,
        node: usize,
        opens_at: Instant,
        options: &IngestOptions,
    ) -> Result<Self, Error> {
        let IngestOptions {
            in_flight_max,
            entries_max,
            node: pinned,
        } = *options;
        check_option(
            "in_flight_max",
            in_flight_max,
            IngestOptions::IN_FLIGHT_LIMIT,
        )?;
        check_option("entries_max", entries_max, MESSAGE_AMOUNTS_MAX)?;
        Ok(Self {
            flow: Flow::new(client, node, opens_at, in_flight_max, pinned.is_some()),
            entries_max,
            counters: Vec::new(),
            amounts: Vec::new(),
        })
    }

    /// The node that the stream goes to now.
    #[must_use]
    pub fn node(&self) -> &str {
        self.flow.node()
    }

    /// Adds 1 to a counter. The add is sent with others: when a message is full, or at
    /// [`Ingest::flush`]. Waits while the window is full. When it is cancelled, or fails, the add
    /// was not taken.
    ///
    /// # Errors
    /// [`Error::is_invalid`] when the name is out of bounds or the dictionary is full: the add is
    /// not taken, and the stream goes on. Any other error ends the stream; see
    /// [`Ingest::outcome`].
    pub async fn add(&mut self, counter: &str) -> Result<(), Error> {
        self.add_amount(counter, 1).await
    }

    /// Adds `amount` (not 0) to a counter; see [`Ingest::add`].
    ///
    /// # Errors
    /// As for [`Ingest::add`].
    pub async fn add_amount(&mut self, counter: &str, amount: i64) -> Result<(), Error> {
        check_amount(counter, amount)?;
        let index = self.register(counter)?;
        if self.counters.len() >= self.entries_max {
            self.send_collected().await?;
        }
        if amount != 1 && self.amounts.is_empty() {
            self.amounts.resize(self.counters.len(), 1);
        }
        let with_amounts = amount != 1 || !self.amounts.is_empty();
        self.counters.push(index);
        if with_amounts {
            self.amounts.push(amount);
        }
        Ok(())
    }

    /// The index of a counter in this stream's dictionary, where it is entered if it is new. Its
    /// name goes with the next message.
    ///
    /// # Errors
    /// [`Error::is_invalid`] when the name is out of bounds or the dictionary is full.
    pub fn register(&mut self, counter: &str) -> Result<CounterIndex, Error> {
        self.flow.names.register(counter)
    }

    /// The fast path: sends a whole message at once, one add of 1 for each entry. Returns the
    /// message's sequence number, to be given to [`Ingest::outcome`].
    ///
    /// # Errors
    /// [`Error::is_invalid`] for more than [`MESSAGE_ENTRIES_MAX`] entries, none, or an index that is
    /// not registered: nothing is sent, and the stream goes on. Any other error is the stream's end;
    /// this message was then not sent, and neither was it when this call is cancelled.
    pub async fn send(&mut self, counters: Vec<CounterIndex>) -> Result<u64, Error> {
        self.check_message(&counters)?;
        self.send_collected().await?;
        self.ensure_space().await?;
        Ok(self.flow.send(counters, Vec::new()))
    }

    /// Waits until another message can be sent: until the window has space and, where the
    /// node has failed and is left alone, until that is over. Cancel safe.
    ///
    /// # Errors
    /// The end of the stream; see [`Ingest::outcome`].
    pub async fn ready(&mut self) -> Result<(), Error> {
        self.flow.ready().await
    }

    /// Sends what is collected and waits until everything sent is durable on the node. Cancel
    /// safe: call it again to go on waiting.
    ///
    /// # Errors
    /// The end of the stream; see [`Ingest::outcome`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.send_collected().await?;
        self.wait_until_acknowledged(self.sent()).await
    }

    /// Waits until the message with this sequence number, and with it all earlier ones, is
    /// durable on the node. Cancel safe.
    ///
    /// # Errors
    /// The end of the stream; see [`Ingest::outcome`]. [`Error::is_invalid`] when no such message
    /// was sent.
    pub async fn wait_until_acknowledged(&mut self, sequence: u64) -> Result<(), Error> {
        if sequence > self.sent() {
            return Err(Error::argument(format!(
                "message {sequence} was not sent; the last one is {}",
                self.sent()
            )));
        }
        self.flow.wait_until_acknowledged(sequence).await
    }

    /// Flushes and ends the stream.
    ///
    /// # Errors
    /// As for [`Ingest::flush`].
    pub async fn finish(mut self) -> Result<(), Error> {
        self.flush().await
    }

    /// The highest sequence number sent; messages are numbered from 1.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.flow.messages.sent()
    }

    /// All messages up to this sequence number are durable, or were refused, as far as this handle has
    /// read.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.flow.messages.acknowledged()
    }

    /// Messages sent and not acknowledged; at most [`IngestOptions::in_flight_max`].
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flow.messages.in_flight()
    }

    /// Adds that were taken and not sent yet; when the stream ends they have not counted.
    #[must_use]
    pub fn collected(&self) -> usize {
        self.counters.len()
    }

    /// What became of the message with this sequence number.
    #[must_use]
    pub fn outcome(&self, sequence: u64) -> Outcome {
        self.flow.messages.outcome(sequence)
    }

    /// Of a message that counts [in part](Outcome::InPart): the counters whose adds count.
    #[must_use]
    pub fn counted(&self, sequence: u64) -> Option<Vec<CounterIndex>> {
        let counted = self.flow.messages.counted(sequence)?;
        Some(counted.iter().copied().map(CounterIndex).collect())
    }

    /// Sends what [`Ingest::add`] collected, as one message. Cancel safe: nothing is taken out
    /// before the window has space for it.
    async fn send_collected(&mut self) -> Result<(), Error> {
        if self.counters.is_empty() {
            return Ok(());
        }
        self.ensure_space().await?;
        let counters = std::mem::take(&mut self.counters);
        let amounts = std::mem::take(&mut self.amounts);
        self.flow.send(counters, amounts);
        Ok(())
    }

    /// Waits until a message can be sent with all names that it needs: the window has space, and
    /// so many names as exceed one message have gone ahead.
    async fn ensure_space(&mut self) -> Result<(), Error> {
        self.ready().await?;
        while !self.flow.names.fit_one_message() {
            self.flow.send(Vec::new(), Vec::new());
            self.ready().await?;
        }
        Ok(())
    }

    fn check_message(&self, counters: &[CounterIndex]) -> Result<(), Error> {
        if counters.is_empty() || counters.len() > MESSAGE_ENTRIES_MAX {
            return Err(Error::argument(format!(
                "a message has 1 to {MESSAGE_ENTRIES_MAX} entries, and this one has {}; split it",
                counters.len()
            )));
        }
        let known = self.flow.names.len();
        match counters.iter().max() {
            Some(CounterIndex(highest)) if *highest as usize >= known => {
                Err(Error::argument(format!(
                    "index {highest} is not in this stream's dictionary of {known} counters; \
                     register the counter on this stream first"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest")
            .field("node", &self.node())
            .field("sent", &self.sent())
            .field("acknowledged", &self.acknowledged())
            .finish_non_exhaustive()
    }
}

fn check_option(name: &str, value: usize, max: usize) -> Result<(), Error> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{name} is 1 to {max}, and {value} was given"
    )))
}
