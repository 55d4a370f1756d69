//! A watch: the values of some counters at once, and then those that have changed, at a pace.
//!
//! What is watched are counters by name, or all whose names begin with a prefix, those that come
//! later included. At most once an interval the watch looks at its counters, and only at those in
//! shards that have gone on since it last looked: a watch over idle shards costs a comparison of
//! marks. What changed several times in between is told once, with its newest value.
//!
//! A message has a bound in bytes. What does not fit comes an interval later, from where the last
//! message has ended, so that counters that change all the time cannot keep the others back.
//!
//! The watch remembers what it has told: one value a counter. How many counters one watch has,
//! and how many watches and counters all watches of a node have together, is bounded.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::{ops::Bound, time::Duration};

use crdt_core::{CounterName, Digest};
use thiserror::Error;

use crate::{Budget, Lease, Reading, Shard, ShardIndex, Shards, Time};

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// These counters, each with its shard. One that nobody has added to is told as 0.
    Named(Vec<(ShardIndex, CounterName)>),
    /// All counters whose names begin with this; empty: all.
    Prefix(String),
}

/// The bounds of one [`Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// Counters, by name or by prefix.
    pub counters_max: usize,
    /// Bytes of the names and values of one message, about: at least one value is told.
    pub message_bytes_max: usize,
    /// Counters that a shard is held for at a time.
    pub piece_counters_max: usize,
}

impl Default for WatchLimits {
    /// As many counters as a batch. Clients take messages of 4 MiB unless told otherwise. Some
    /// hundred counters are read well below a millisecond.
    fn default() -> Self {
        Self {
            counters_max: 10_000,
            message_bytes_max: 2 << 20,
            piece_counters_max: 512,
        }
    }
}

/// What all watches of a node have together.
#[derive(Clone, Debug)]
pub struct WatchBudgets {
    /// Watches.
    pub watches: Budget,
    /// Counters of all of them.
    pub counters: Budget,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEffect {
    /// Tells these values, in the order of their names. All have changed since they were last told,
    /// or are told for the first time; each is durable here.
    Tell(Vec<(CounterName, i128)>),
    /// Asks again once another round is complete, and says so.
    AwaitRound,
    /// Asks again then.
    Wait {
        /// The end of the interval.
        until: Time,
    },
    /// Ends the watch.
    Fail(WatchError),
}

/// Why a watch is refused, or ends.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WatchError {
    /// More counters than a watch may have.
    #[error(
        "at least {found} counters are to be watched, and one watch has at most {counters_max}; \
         watch fewer, or a longer prefix, or several prefixes"
    )]
    TooMany {
        /// Counters named, or found so far.
        found: usize,
        /// The bound.
        counters_max: usize,
    },
    /// More watches than the node serves.
    #[error("this node serves {watches_max} watches, and no more; end some, or use another node")]
    WatchesExhausted {
        /// The bound.
        watches_max: u64,
    },
    /// More counters than all watches may have.
    #[error(
        "{more} more counters are to be watched, and all watches of this node have at most \
         {counters_max} together, which that would pass; watch fewer, end other watches, or use \
         another node"
    )]
    CountersExhausted {
        /// Counters that the watch would have beside those that it has.
        more: usize,
        /// The bound.
        counters_max: u64,
    },
}

/// The values and the flag around a name, and what protobuf puts around them, at most.
const VALUE_BYTES: usize = 24;

/// One watch.
#[derive(Debug)]
pub struct Watch {
    limits: WatchLimits,
    interval: Duration,
    prefix: Option<String>,
    shards: Vec<OfShard>,
    /// The place in `shards` where the next look begins.
    first: usize,
    reading: Reading,
    counters: usize,
    next_look: Time,
    has_news: bool,
    lease: Lease,
    /// Its place among all watches.
    _place: Lease,
}

/// What is watched in one shard.
#[derive(Debug)]
struct OfShard {
    shard: ShardIndex,
    /// What was told last; nothing of a counter that is named and was not told yet.
    told: BTreeMap<CounterName, Option<i128>>,
    /// What the shard held when all of it was last looked at.
    looked_at: Option<Digest>,
    /// Where the last look has stopped, because its message was full.
    stopped_at: Option<CounterName>,
}

/// A message that is being filled.
struct Message {
    values: Vec<(CounterName, i128)>,
    bytes_left: usize,
}

impl Watch {
    /// A watch that begins now; `interval` is the shortest time between two messages. What is due
    /// first is the first message, of all counters.
    ///
    /// # Errors
    ///
    /// When it would pass a bound. Nothing is kept then.
    pub fn new(
        watched: Watched,
        interval: Duration,
        limits: WatchLimits,
        budgets: &WatchBudgets,
        now: Time,
        shard_count: u32,
    ) -> Result<Self, WatchError> {
        let mut place = budgets.watches.lease();
        let exhausted = |watches_max| WatchError::WatchesExhausted { watches_max };
        place.grow(1).map_err(exhausted)?;
        let mut of_shards: BTreeMap<ShardIndex, BTreeMap<_, _>> = BTreeMap::new();
        let prefix = match watched {
            Watched::Named(names) => {
                for (shard, name) in names {
                    of_shards.entry(shard).or_default().insert(name, None);
                }
                None
            }
            Watched::Prefix(prefix) => {
                of_shards.extend((0..shard_count).map(|shard| (shard, BTreeMap::new())));
                Some(prefix)
            }
        };
        let named = of_shards.values().map(BTreeMap::len).sum();
        let of_shard = |(shard, told)| OfShard {
            shard,
            told,
            looked_at: None,
            stopped_at: None,
        };
        let mut watch = Self {
            limits,
            interval,
            prefix,
            shards: of_shards.into_iter().map(of_shard).collect(),
            first: 0,
            reading: Reading::default(),
            counters: 0,
            next_look: now,
            has_news: true,
            lease: budgets.counters.lease(),
            _place: place,
        };
        watch.count(named)?;
        Ok(watch)
    }

    /// Counters more.
    fn count(&mut self, more: usize) -> Result<(), WatchError> {
        let (found, counters_max) = (self.counters + more, self.limits.counters_max);
        if found > counters_max {
            return Err(WatchError::TooMany {
                found,
                counters_max,
            });
        }
        let exhausted = |counters_max| WatchError::CountersExhausted { more, counters_max };
        self.lease.grow(more as u64).map_err(exhausted)?;
        self.counters = found;
        Ok(())
    }

    /// A round is complete: something may have changed.
    pub fn completed(&mut self) {
        self.has_news = true;
    }

    /// What all that was told was made of: its token is where another watch of the same goes on.
    #[must_use]
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The next thing to do.
    pub fn poll(&mut self, now: Time, shards: &impl Shards) -> WatchEffect {
        if !self.has_news {
            return WatchEffect::AwaitRound;
        }
        if now < self.next_look {
            let until = self.next_look;
            return WatchEffect::Wait { until };
        }
        self.has_news = false;
        self.next_look = now.after(self.interval);
        match self.look(shards) {
            Err(error) => WatchEffect::Fail(error),
            Ok(values) if values.is_empty() => self.poll(now, shards),
            Ok(values) => WatchEffect::Tell(values),
        }
    }

    /// What has changed, as much as a message may have.
    fn look(&mut self, shards: &impl Shards) -> Result<Vec<(CounterName, i128)>, WatchError> {
        let mut message = Message {
            values: Vec::new(),
            bytes_left: self.limits.message_bytes_max,
        };
        let (first, count) = (self.first, self.shards.len());
        for place in (first..count).chain(0..first) {
            if !self.look_at(place, shards, &mut message)? {
                self.first = place;
                self.has_news = true;
                break;
            }
        }
        message.values.sort_unstable();
        Ok(message.values)
    }

    /// Looks at one shard; whether the message had room for all of it.
    fn look_at(
        &mut self,
        place: usize,
        shards: &impl Shards,
        message: &mut Message,
    ) -> Result<bool, WatchError> {
        let index = self.shards[place].shard;
        let held = shards.with(index, |it| it.replica().digest());
        let begun_at = self.shards[place].stopped_at.take();
        if begun_at.is_none() && self.shards[place].looked_at.as_ref() == Some(&held) {
            return Ok(true);
        }
        let mut after = begun_at.clone();
        loop {
            let piece = self.read_piece(place, shards, after.as_ref());
            let is_last = piece.len() < self.limits.piece_counters_max;
            after = piece.last().map(|(name, _)| name.clone()).or(after);
            for (name, value) in piece {
                if !self.tell(place, &name, value, message)? {
                    self.shards[place].stopped_at = after_which(&self.shards[place], &name);
                    return Ok(false);
                }
            }
            if is_last {
                break;
            }
        }
        // What lies before the place where this look has begun is for the next one.
        self.has_news |= begun_at.is_some();
        self.shards[place].looked_at = begun_at.is_none().then_some(held);
        Ok(true)
    }

    /// Some of a shard's watched counters that come after a name, with their values now.
    fn read_piece(
        &mut self,
        place: usize,
        shards: &impl Shards,
        after: Option<&CounterName>,
    ) -> Vec<(CounterName, i128)> {
        let OfShard { shard, told, .. } = &self.shards[place];
        let (prefix, reading) = (self.prefix.as_deref(), &mut self.reading);
        let count_max = self.limits.piece_counters_max;
        shards.with(*shard, |it| {
            reading.note(*shard, it);
            let replica = it.replica();
            if let Some(prefix) = prefix {
                let from = after.map_or(prefix, CounterName::as_str).max(prefix);
                let values = replica.values_from(from);
                return values
                    .skip_while(|&(name, _)| Some(name) == after)
                    .take_while(|(name, _)| name.as_str().starts_with(prefix))
                    .take(count_max)
                    .map(|(name, value)| (name.clone(), value))
                    .collect();
            }
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            told.range::<CounterName, _>((from, Bound::Unbounded))
                .take(count_max)
                .map(|(name, _)| (name.clone(), value_of(it, name)))
                .collect()
        })
    }

    /// Tells a value, if it has changed; false when the message has no room for it.
    fn tell(
        &mut self,
        place: usize,
        name: &CounterName,
        value: i128,
        message: &mut Message,
    ) -> Result<bool, WatchError> {
        let told = self.shards[place].told.get(name);
        if told == Some(&Some(value)) {
            return Ok(true);
        }
        let bytes = name.as_str().len() + VALUE_BYTES;
        if bytes > message.bytes_left && !message.values.is_empty() {
            return Ok(false);
        }
        if told.is_none() {
            self.count(1)?;
        }
        message.bytes_left = message.bytes_left.saturating_sub(bytes);
        message.values.push((name.clone(), value));
        self.shards[place].told.insert(name.clone(), Some(value));
        Ok(true)
    }
}

/// The counter before a name, after which the next look begins.
fn after_which(of_shard: &OfShard, name: &CounterName) -> Option<CounterName> {
    let before = of_shard.told.range(..name.clone()).next_back();
    before.map(|(before, _)| before.clone())
}

fn value_of(shard: &Shard, name: &CounterName) -> i128 {
    let replica = shard.replica();
    let counter = replica.find(name.as_str());
    counter.map_or(0, |counter| replica.value(counter))
}

#[cfg(test)]
mod tests;
