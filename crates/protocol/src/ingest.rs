//! The ingest stream: the order of its messages, what is refused, and exactly what is told when it
//! ends.
//!
//! Every add is its own entry on the wire; here they meet for the first time. A message's entries
//! are counted into one sum for each counter, the sums are taken all or none, and the message is
//! acknowledged when their round is complete. Reading goes on meanwhile, so one sync serves many
//! messages; how far it may run ahead is bounded.
//!
//! However the stream ends, every message that was taken is acknowledged first: so a client that
//! sees the end knows that what is not acknowledged was not taken. Messages are acknowledged in
//! order, and one that adds nothing counts as durable with those before it, never before them.
//!
//! A message may be a request of a session. Then what its session or its adds are refused for is
//! the message's own: it is told in the message's place, once that may be told, and the stream goes
//! on. A client that sends such messages again, on another stream, is told which had been counted.

mod error;
mod message;
mod requested;

use alloc::{collections::VecDeque, vec::Vec};

use crdt_core::{CounterName, SessionId, Sum};

use crate::{
    Adds, Budget, ClusterHash, Lease, NotWritable, Place, Round, SessionsExhausted, ShardIndex,
    Shards, TakeError,
};

pub use error::{IngestEnd, IngestError, IngestRequestError};
pub use message::{IngestMessage, IngestRequest};
pub use requested::{Acknowledgement, IngestRefusal};
use requested::{Note, StreamSession};

/// The bounds of an [`IngestStream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestLimits {
    /// Names a stream may introduce.
    pub dictionary_names_max: usize,
    /// Entries of a message.
    pub entries_max: usize,
    /// Messages taken but not yet acknowledged; beyond it the stream is not read.
    pub unacknowledged_max: usize,
    /// Counters that each shard may have.
    pub shard_counters_max: u64,
}

impl IngestLimits {
    /// The usual ones, on a node with so many counters a shard. An entry has one byte at least, in
    /// messages of at most 4 MiB. A thousand messages under way keep a disk busy, and cost little
    /// for a client that reads no acknowledgements.
    #[must_use]
    pub const fn new(shard_counters_max: u64) -> Self {
        Self {
            dictionary_names_max: 1 << 20,
            entries_max: 1_000_000,
            unacknowledged_max: 1_024,
            shard_counters_max,
        }
    }
}

/// What a dictionary entry costs in memory beside a name that has no place yet.
pub const ENTRY_BYTES: u64 = 64;

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestEffect {
    /// Tells the client that all messages up to this one are durable, or refused.
    Acknowledge(Acknowledgement),
    /// Reads the next message; no round is awaited.
    Read,
    /// Reads the next message, or waits for the next round, whichever comes first.
    ReadOrAwaitRound,
    /// Waits for the next round; nothing is read meanwhile.
    AwaitRound,
    /// Ends the stream so.
    End(IngestEnd),
}

/// An entry of the dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// A counter with its place.
    Placed(Place),
    /// A name that nobody has added to yet, with its shard.
    Named(ShardIndex, CounterName),
}

/// One stream.
#[derive(Debug)]
pub struct IngestStream {
    limits: IngestLimits,
    dictionary: Vec<Entry>,
    /// The memory of the dictionary.
    lease: Lease,
    /// By dictionary index: the sum of the message at hand. All 0 between messages.
    sums: Vec<Sum>,
    /// Indices whose sum is not 0.
    touched: Vec<u32>,
    adds: Adds,
    session: StreamSession,
    sequence: u64,
    /// Messages taken and not yet acknowledged, with the round that makes each durable: both rise.
    unacknowledged: VecDeque<(u64, Round)>,
    /// What is to be said of some of them.
    notes: VecDeque<(u64, Note)>,
    completed: Round,
    end: Option<IngestEnd>,
}

impl IngestStream {
    /// A stream to a node of a cluster that begins now; `budget` bounds the dictionaries of all
    /// streams together.
    #[must_use]
    pub fn new(limits: IngestLimits, budget: &Budget, cluster: ClusterHash) -> Self {
        Self {
            limits,
            dictionary: Vec::new(),
            lease: budget.lease(),
            sums: Vec::new(),
            touched: Vec::new(),
            adds: Adds::default(),
            session: StreamSession::new(cluster),
            sequence: 0,
            unacknowledged: VecDeque::new(),
            notes: VecDeque::new(),
            completed: Round::NONE,
            end: None,
        }
    }

    // What happens.

    /// A message has come. `writable` tells whether the node takes adds, `shard_of` to which shard
    /// a name belongs, and `admit` whether requests of a session are taken. All of the message is
    /// taken, or nothing, and then the stream ends, unless the message is a request.
    pub fn message(
        &mut self,
        shards: &impl Shards,
        writable: Result<(), NotWritable>,
        message: &IngestMessage<'_>,
        shard_of: impl Fn(&CounterName) -> ShardIndex,
        admit: impl Fn(SessionId) -> Result<(), SessionsExhausted>,
    ) {
        if self.end.is_some() {
            return;
        }
        let taken = writable
            .map_err(|error| IngestError::Take(TakeError::NotWritable(error)))
            .and_then(|()| self.take(shards, message, shard_of, admit));
        self.touched.clear();
        self.adds.clear();
        match taken {
            Ok(round) => {
                self.sequence = message.sequence;
                // Never before the messages before it.
                let earlier = self.unacknowledged.back().map(|&(_, round)| round);
                let round = earlier.map_or(round, |earlier| earlier.max(round));
                self.unacknowledged.push_back((self.sequence, round));
            }
            Err(error) => self.end = Some(IngestEnd::Refused(error)),
        }
    }

    /// Rounds are complete up to this one.
    pub fn completed(&mut self, round: Round) {
        self.completed = self.completed.max(round);
    }

    /// The client has closed its side, or the node stops, or the transport has failed.
    pub fn ended(&mut self, end: IngestEnd) {
        self.end.get_or_insert(end);
    }

    /// Whether the stream ends: nothing more is taken.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> IngestEffect {
        if let Some(acknowledgement) = self.acknowledgement() {
            return IngestEffect::Acknowledge(acknowledgement);
        }
        match &self.end {
            Some(_) if !self.unacknowledged.is_empty() => IngestEffect::AwaitRound,
            Some(end) => IngestEffect::End(end.clone()),
            None if self.unacknowledged.is_empty() => IngestEffect::Read,
            None if self.unacknowledged.len() < self.limits.unacknowledged_max => {
                IngestEffect::ReadOrAwaitRound
            }
            None => IngestEffect::AwaitRound,
        }
    }

    // Taking a message.

    fn take(
        &mut self,
        shards: &impl Shards,
        message: &IngestMessage<'_>,
        shard_of: impl Fn(&CounterName) -> ShardIndex,
        admit: impl Fn(SessionId) -> Result<(), SessionsExhausted>,
    ) -> Result<Round, IngestError> {
        // All that the message alone can be refused for, before anything is kept of it.
        message.check(self.sequence + 1, self.limits.entries_max)?;
        let names = self.parse_names(message)?;
        let names_total = self.dictionary.len() + names.len();
        message.check_indices(names_total)?;
        let bytes: u64 = names.iter().map(entry_bytes).sum();
        self.lease
            .grow(bytes)
            .map_err(|bytes_max| IngestError::DictionariesFull { bytes, bytes_max })?;
        let entry = |name: CounterName| Entry::Named(shard_of(&name), name);
        self.dictionary.extend(names.into_iter().map(entry));
        self.sums.resize(self.dictionary.len(), Sum::default());
        if let Some(request) = &message.request {
            return Ok(self.take_request(shards, message, request, admit));
        }
        self.count(message)
            .map_err(|index| IngestError::Overflow { index })?;
        self.collect();
        let receipt = self.adds.take(shards, self.limits.shard_counters_max)?;
        self.place_touched(shards);
        Ok(receipt.round)
    }

    fn parse_names(&self, message: &IngestMessage<'_>) -> Result<Vec<CounterName>, IngestError> {
        let names_max = self.limits.dictionary_names_max;
        let found = self.dictionary.len() + message.introduced.len();
        if found > names_max {
            return Err(IngestError::DictionaryFull { found, names_max });
        }
        let parse = |(at, name): (usize, &alloc::string::String)| {
            CounterName::new(name).map_err(|reason| IngestError::Name { at, reason })
        };
        message.introduced.iter().enumerate().map(parse).collect()
    }

    /// Adds the entries up, by dictionary index; else an index whose sum overflows.
    fn count(&mut self, message: &IngestMessage<'_>) -> Result<(), u32> {
        let Self { sums, touched, .. } = self;
        let mut overflow = None;
        if message.amounts.is_empty() {
            for &index in message.counters {
                let sum = &mut sums[index as usize];
                if *sum == Sum::default() {
                    touched.push(index);
                }
                // A million ones do not overflow.
                sum.incremented += 1;
            }
        } else {
            for (&index, &amount) in message.counters.iter().zip(message.amounts) {
                let sum = &mut sums[index as usize];
                if *sum == Sum::default() {
                    touched.push(index);
                }
                match sum.checked_add(Sum::of(amount)) {
                    Some(total) => *sum = total,
                    None => overflow = Some(index),
                }
            }
        }
        overflow.map_or(Ok(()), Err)
    }

    /// Moves the sums into `adds`, and leaves them 0.
    fn collect(&mut self) {
        for &index in &self.touched {
            let sum = core::mem::take(&mut self.sums[index as usize]);
            match &self.dictionary[index as usize] {
                Entry::Placed(place) => self.adds.add_placed(*place, sum),
                Entry::Named(shard, name) => self.adds.add_named(*shard, name.clone(), sum),
            }
        }
    }

    /// Names that were added to for the first time have their place now. Those of a request that
    /// counts already may have none here.
    fn place_touched(&mut self, shards: &impl Shards) {
        let mut freed = 0;
        for &index in &self.touched {
            let entry = &mut self.dictionary[index as usize];
            if let Entry::Named(shard, name) = entry {
                let shard = *shard;
                let find = shards.with(shard, |it| it.replica().find(name.as_str()));
                if let Some(counter) = find {
                    freed += name.as_str().len() as u64;
                    *entry = Entry::Placed(Place { shard, counter });
                }
            }
        }
        self.lease.shrink(freed);
    }
}

fn entry_bytes(name: &CounterName) -> u64 {
    ENTRY_BYTES + name.as_str().len() as u64
}

#[cfg(test)]
mod tests;
