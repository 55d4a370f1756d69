//! Every bound of the client: those that can be chosen, and those that the protocol sets.
//!
//! A call that is out of bounds is refused here, before anything is sent, with an error that
//! names the bound.

use std::time::Duration;

use crate::Error;

/// Bytes of a counter's name, at most; set by the protocol.
pub const COUNTER_NAME_BYTES_MAX: usize = 512;

/// Items of a batch, added or read, at most; set by the protocol.
pub const BATCH_ITEMS_MAX: usize = 10_000;

/// Bytes of a message to a node, at most; set by the protocol. A batch of long names comes to it
/// before it has [`BATCH_ITEMS_MAX`] items.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The shortest interval between the values of a watch; set by the protocol.
pub const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// The longest one.
pub const WATCH_INTERVAL_MAX: Duration = Duration::from_mins(1);

/// Names that one ingest stream may introduce, at most; set by the protocol.
pub const DICTIONARY_NAMES_MAX: usize = 1_048_576;

/// Entries of one ingest message whose amounts are all 1, at most; set by the protocol. An index
/// takes at most 3 bytes, so such a message has at most 3 MB of the 4 MiB allowed.
pub const MESSAGE_ENTRIES_MAX: usize = 1_000_000;

/// Entries of one ingest message that carries amounts, at most. An index takes up to 3 bytes and
/// an amount up to 10, so this is at most 2.6 MB of the 4 MiB allowed.
pub const MESSAGE_AMOUNTS_MAX: usize = 200_000;

/// Nodes that one client knows, at most: far above the data centres that anybody has, and small
/// enough that choosing a node by looking at all of them costs nothing.
pub const NODES_MAX: usize = 64;

/// Bytes of names that one ingest message introduces, at most. With the entries beside them a
/// message stays under 4 MiB: 3 MB + 0.5 MiB + 2 bytes a name.
pub(crate) const INTRODUCED_BYTES_MAX: usize = 512 * 1024;

/// Bytes of an answer, at most: a page of 10,000 names of 512 bytes with their values is 5.3 MB.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How calls behave. The defaults suit applications; each field can be replaced. Every duration is
/// [`DURATION_MIN`](Options::DURATION_MIN) to [`DURATION_MAX`](Options::DURATION_MAX).
///
/// ```
/// use std::time::Duration;
/// use tally_client::Options;
///
/// let options = Options { deadline: Duration::from_secs(2), ..Options::default() };
/// assert_eq!(options.attempts_max, 8);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call may take, with all its attempts and the pauses before them; 10 s by default.
    /// A call fails at once when no node may be asked before its deadline. On an ingest stream it is
    /// how long a message may stay without an acknowledgement; see [`Ingest`](crate::Ingest).
    pub deadline: Duration,
    /// Whether adds are requests of sessions, so that they are retried and still count once; by
    /// default they are. Without sessions an add is retried only when it has not counted, provably,
    /// and it gets all the time left: to give it up early would only make it indeterminate.
    pub sessions: bool,
    /// How long one attempt of a read may take before another node is asked; 3 s by default.
    pub read_attempt_deadline: Duration,
    /// How long one attempt of an add of a session may take before the add is moved to another node;
    /// 3 s by default. A move costs the nodes more than an add, so it is not for those that are only
    /// slow.
    pub add_attempt_deadline: Duration,
    /// How long a connection may take to be made; 1 s by default, and never more than half of
    /// `deadline`: a call that was not sent in that time is not indeterminate, and another node can
    /// still be asked.
    pub connect_deadline: Duration,
    /// Attempts of one call, at most, the first included; 8 by default, and never less than 1. An add
    /// of a session that may have counted is asked for until its deadline, however often that is.
    pub attempts_max: u32,
    /// How long a node is left alone after its first failure; 50 ms by default. Every further
    /// failure in a row doubles it, and calls that were under way together fail together: that
    /// counts once. The real pause is random between half of it and all of it, so that many
    /// clients do not come back at the same moment.
    pub backoff_min: Duration,
    /// The longest such pause; 2 s by default. A node that asks for a pause itself gets it, up to
    /// this bound, and up to half of it again at random.
    pub backoff_max: Duration,
    /// How often an idle or silent connection is probed, and how long the answer may take; 5 s by
    /// default. A node that vanished without a word is noticed after twice this time, so that an
    /// add after a pause is not sent on a connection that died in it.
    pub keep_alive: Duration,
}

impl Options {
    /// The shortest duration that an option may have: timers are no finer.
    pub const DURATION_MIN: Duration = Duration::from_millis(1);

    /// The longest one: who waits for an hour waits for ever.
    pub const DURATION_MAX: Duration = Duration::from_hours(1);

    pub(crate) fn check(&self) -> Result<(), Error> {
        let durations = [
            ("deadline", self.deadline),
            ("read_attempt_deadline", self.read_attempt_deadline),
            ("add_attempt_deadline", self.add_attempt_deadline),
            ("connect_deadline", self.connect_deadline),
            ("backoff_min", self.backoff_min),
            ("backoff_max", self.backoff_max),
            ("keep_alive", self.keep_alive),
        ];
        for (name, duration) in durations {
            if !(Self::DURATION_MIN..=Self::DURATION_MAX).contains(&duration) {
                return Err(Error::argument(format!(
                    "{name} is {:?} to {:?}, and {duration:?} was given",
                    Self::DURATION_MIN,
                    Self::DURATION_MAX
                )));
            }
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            sessions: true,
            read_attempt_deadline: Duration::from_secs(3),
            add_attempt_deadline: Duration::from_secs(3),
            connect_deadline: Duration::from_secs(1),
            attempts_max: 8,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            keep_alive: Duration::from_secs(5),
        }
    }
}

/// How an ingest stream behaves.
///
/// ```
/// use tally_client::IngestOptions;
///
/// let options = IngestOptions { in_flight_max: 4, ..IngestOptions::default() };
/// assert_eq!(options.entries_max, 4_000);
/// ```
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Messages sent and not yet acknowledged, at most; 16 by default, 1 to 1,024. It bounds both
    /// the memory in use and how much can become indeterminate when the connection breaks. A large
    /// window on a slow connection wants a long [`deadline`](Options::deadline): a message waits
    /// for all before it.
    pub in_flight_max: usize,
    /// Entries that [`Ingest::add`](crate::Ingest::add) collects into one message; 4,000 by
    /// default, 1 to [`MESSAGE_AMOUNTS_MAX`].
    pub entries_max: usize,
    /// The node, by its place in the list given to [`Client::connect`](crate::Client::connect),
    /// from 0. By default the first one that is well.
    pub node: Option<usize>,
}

impl IngestOptions {
    /// The largest window that may be asked for: with it and the largest messages a stream may
    /// hold 4 GiB, so nobody should come near.
    pub const IN_FLIGHT_LIMIT: usize = 1_024;
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            in_flight_max: 16,
            entries_max: 4_000,
            node: None,
        }
    }
}
