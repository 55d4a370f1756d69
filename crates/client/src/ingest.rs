//! Adds at millions a second: one stream to one node, messages of many adds, cumulative
//! acknowledgements.
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
//! A stream lives once. When it ends, [`Ingest::outcome`] says of each message whether it
//! counted, did not, or is indeterminate, and the caller opens another, on a node that is well.
//! Sending indeterminate messages again could count them twice, so nobody but the caller may
//! decide that.

mod link;

use std::{collections::HashMap, fmt, time::Instant};

use wire::v1::IngestRequest;

use self::link::Link;
use crate::{
    Client, DICTIONARY_NAMES_MAX, Error, IngestOptions, MESSAGE_AMOUNTS_MAX, MESSAGE_ENTRIES_MAX,
    arguments::{check_amount, check_name},
    options::INTRODUCED_BYTES_MAX,
};

/// What protobuf puts before a name, at most: a tag of 1 byte and a length of 2.
const NAME_FRAME_BYTES_MAX: usize = 3;

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
    /// Durable on the node.
    Acknowledged,
    /// Not applied, provably; it may be sent again.
    Refused,
    /// The stream ended first, by a failure or by the deadline: it counted once or not at all.
    Indeterminate,
}

/// A stream of adds to one node.
///
/// A message is waited for no longer than [`Options::deadline`](crate::Options::deadline) after it
/// was sent: the stream then ends with an error, as it does when the connection breaks. So
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
///         Outcome::Indeterminate | Outcome::Pending => println!("may have counted: {error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Ingest {
    link: Link,
    in_flight_max: usize,
    entries_max: usize,
    dictionary: HashMap<String, CounterIndex>,
    /// Names in the dictionary that no message has introduced yet.
    introduced: Vec<String>,
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
            ..
        } = *options;
        check_option(
            "in_flight_max",
            in_flight_max,
            IngestOptions::IN_FLIGHT_LIMIT,
        )?;
        check_option("entries_max", entries_max, MESSAGE_AMOUNTS_MAX)?;
        Ok(Self {
            link: Link::open(client, node, opens_at, in_flight_max),
            in_flight_max,
            entries_max,
            dictionary: HashMap::new(),
            introduced: Vec::new(),
            counters: Vec::new(),
            amounts: Vec::new(),
        })
    }

    /// The node that this stream goes to.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.link.node().address
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
        if let Some(index) = self.dictionary.get(counter) {
            return Ok(*index);
        }
        check_name(counter)?;
        let names = self.dictionary.len();
        if names >= DICTIONARY_NAMES_MAX {
            return Err(Error::argument(format!(
                "a stream's dictionary has at most {DICTIONARY_NAMES_MAX} counters, and it is \
                 full; open another stream"
            )));
        }
        let index = CounterIndex(u32::try_from(names).expect("the dictionary's bound fits u32"));
        self.dictionary.insert(counter.to_owned(), index);
        self.introduced.push(counter.to_owned());
        Ok(index)
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
        Ok(self.send_message(counters, Vec::new()))
    }

    /// Waits until another message can be sent: until the window has space and, where the
    /// node has failed and is left alone, until that is over. Cancel safe.
    ///
    /// # Errors
    /// The end of the stream; see [`Ingest::outcome`].
    pub async fn ready(&mut self) -> Result<(), Error> {
        self.link.ready(self.in_flight_max).await
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
        while self.acknowledged() < sequence {
            self.link.wait_for_answer().await?;
        }
        Ok(())
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
        self.link.sent()
    }

    /// All messages up to this sequence number are durable, as far as this handle has read.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.link.acknowledged()
    }

    /// Messages sent and not acknowledged; at most [`IngestOptions::in_flight_max`].
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.link.in_flight()
    }

    /// Adds that were taken and not sent yet; when the stream ends they have not counted.
    #[must_use]
    pub fn collected(&self) -> usize {
        self.counters.len()
    }

    /// What became of the message with this sequence number.
    #[must_use]
    pub fn outcome(&self, sequence: u64) -> Outcome {
        self.link.outcome(sequence)
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
        self.send_message(counters, amounts);
        Ok(())
    }

    /// Waits until a message can be sent with all names that it needs: the window has space, and
    /// so many names as exceed one message have gone ahead.
    async fn ensure_space(&mut self) -> Result<(), Error> {
        self.ready().await?;
        loop {
            let mut bytes = 0;
            let fitting = self.introduced.iter().take_while(|name| {
                bytes += name.len() + NAME_FRAME_BYTES_MAX;
                bytes <= INTRODUCED_BYTES_MAX
            });
            let fitting = fitting.count();
            if fitting == self.introduced.len() {
                return Ok(());
            }
            let later = self.introduced.split_off(fitting);
            self.send_message(Vec::new(), Vec::new());
            self.introduced = later;
            self.ready().await?;
        }
    }

    /// Hands a message to the connection, with the names not introduced yet. The window has space.
    fn send_message(&mut self, counters: Vec<CounterIndex>, amounts: Vec<i64>) -> u64 {
        let message = IngestRequest {
            sequence: self.link.sent() + 1,
            introduced: std::mem::take(&mut self.introduced),
            counters: counters
                .into_iter()
                .map(|CounterIndex(index)| index)
                .collect(), // in place
            amounts,
            request: None,
        };
        self.link.send(message)
    }

    fn check_message(&self, counters: &[CounterIndex]) -> Result<(), Error> {
        if counters.is_empty() || counters.len() > MESSAGE_ENTRIES_MAX {
            return Err(Error::argument(format!(
                "a message has 1 to {MESSAGE_ENTRIES_MAX} entries, and this one has {}; split it",
                counters.len()
            )));
        }
        let known = self.dictionary.len();
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
