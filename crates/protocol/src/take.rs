//! Adds over several shards: all are taken, or none is.
//!
//! A request with few counters is checked and taken while its shards are held together. One with
//! many would hold them for long, so it goes through them twice, a bounded number of counters at a
//! time: first everything is checked, and room is kept for the counters that are new; then
//! everything is taken, and that cannot fail. Between the two others add too, so a value may end
//! a little outside of 64 bits, exactly as when nodes add at the same time: it is read clamped.
//!
//! A counter gets its place in memory with its first add, so names that nobody adds to use up
//! nothing.

mod request;

use alloc::vec::Vec;

use crdt_core::{AddError, CounterName, Mark, Sum};
use thiserror::Error;

use crate::{NotWritable, Place, Round, Shard, ShardIndex, Shards};

/// Counters that one lock is held for: some hundred microseconds' worth.
pub const TAKEN_AT_ONCE_MAX: usize = 4_096;

/// The adds of one request.
#[derive(Clone, Debug, Default)]
pub struct Adds {
    placed: Vec<(Place, Sum)>,
    named: Vec<Named>,
}

/// An add to a counter that may have no place yet.
#[derive(Clone, Debug)]
struct Named {
    shard: ShardIndex,
    name: CounterName,
    sum: Sum,
}

/// A promise: the adds are durable once the round is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The round that makes them durable.
    pub round: Round,
    /// Where the own lanes will be then, by shard.
    pub marks: Vec<(ShardIndex, Mark)>,
}

/// Why adds were not taken. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TakeError {
    /// A value or an own total would leave its range.
    #[error("counter {counter:?}: {reason}")]
    OutOfRange {
        /// The counter.
        counter: CounterName,
        /// What would overflow.
        reason: AddError,
    },
    /// Amounts of one request add up to more than a sum holds.
    #[error(
        "the amounts for counter {counter:?} in one request add up to more than {}; split them",
        u64::MAX
    )]
    RequestOverflow {
        /// The counter.
        counter: CounterName,
    },
    /// The node holds as many counters as it may.
    #[error(
        "counter {counter:?} would be a new one, and this node holds {found} of at most \
         {counters_max} (--counters-max) in its shard; raise the limit, or use fewer counters"
    )]
    CountersExhausted {
        /// The counter.
        counter: CounterName,
        /// How many its shard has.
        found: u64,
        /// How many it may have.
        counters_max: u64,
    },
    /// The node takes no adds at all.
    #[error(transparent)]
    NotWritable(#[from] NotWritable),
}

/// A bounded number of adds to counters of one shard: placed ones, or named ones.
#[derive(Clone, Copy)]
struct Part<'a> {
    shard: ShardIndex,
    placed: &'a [(Place, Sum)],
    named: &'a [Named],
}

impl Adds {
    /// Adds to a counter that has its place.
    pub fn add_placed(&mut self, place: Place, sum: Sum) {
        self.placed.push((place, sum));
    }

    /// Adds to a counter by name; `shard` is the one that the name hashes to.
    pub fn add_named(&mut self, shard: ShardIndex, name: CounterName, sum: Sum) {
        self.named.push(Named { shard, name, sum });
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.placed.clear();
        self.named.clear();
    }

    /// Takes the adds, all or none; several for one counter are taken as their sum.
    /// `counters_max` bounds the counters of each shard. They are durable, and may be acknowledged,
    /// once the receipt's round is complete.
    ///
    /// # Errors
    ///
    /// When one of them cannot be taken.
    pub fn take(&mut self, shards: &impl Shards, counters_max: u64) -> Result<Receipt, TakeError> {
        self.place_known(shards);
        self.merge(shards)?;
        if self.placed.len() + self.named.len() <= TAKEN_AT_ONCE_MAX {
            self.take_together(shards, counters_max)
        } else {
            self.take_in_turn(shards, counters_max)
        }
    }

    /// Gives each name that has a place its place.
    fn place_known(&mut self, shards: &impl Shards) {
        if self.named.is_empty() {
            return;
        }
        let by_name = |a: &Named, b: &Named| (a.shard, &a.name).cmp(&(b.shard, &b.name));
        self.named.sort_unstable_by(by_name);
        let mut unknown = Vec::new();
        for of_shard in self.named.chunk_by(|a, b| a.shard == b.shard) {
            for chunk in of_shard.chunks(TAKEN_AT_ONCE_MAX) {
                shards.with(chunk[0].shard, |shard| {
                    for add in chunk {
                        match shard.replica().find(add.name.as_str()) {
                            Some(counter) => {
                                let shard = add.shard;
                                self.placed.push((Place { shard, counter }, add.sum));
                            }
                            None => unknown.push(add.clone()),
                        }
                    }
                });
            }
        }
        self.named = unknown;
    }

    /// Sorts, and makes one add of several for the same counter.
    fn merge(&mut self, shards: &impl Shards) -> Result<(), TakeError> {
        self.placed.sort_unstable_by_key(|&(place, _)| place);
        let mut overflow = None;
        self.placed.dedup_by(|(place, more), (kept, sum)| {
            let is_same = place == kept;
            if is_same && !add_to(sum, *more) {
                overflow = Some(*place);
            }
            is_same
        });
        let mut named_overflow = None;
        self.named.dedup_by(|more, kept| {
            let is_same = more.name == kept.name;
            if is_same && !add_to(&mut kept.sum, more.sum) {
                named_overflow = Some(kept.name.clone());
            }
            is_same
        });
        let name = |place: Place| {
            shards.with(place.shard, |shard| {
                shard.replica().name(place.counter).clone()
            })
        };
        match overflow.map(name).or(named_overflow) {
            None => Ok(()),
            Some(counter) => Err(TakeError::RequestOverflow { counter }),
        }
    }

    /// The adds of one shard after the other, a bounded number at a time.
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let placed = self.placed.chunk_by(|a, b| a.0.shard == b.0.shard);
        let placed = placed.flat_map(|of_shard| of_shard.chunks(TAKEN_AT_ONCE_MAX));
        let named = self.named.chunk_by(|a, b| a.shard == b.shard);
        let named = named.flat_map(|of_shard| of_shard.chunks(TAKEN_AT_ONCE_MAX));
        let placed = placed.map(|placed| Part {
            shard: placed[0].0.shard,
            placed,
            named: &[],
        });
        placed.chain(named.map(|named| Part {
            shard: named[0].shard,
            placed: &[],
            named,
        }))
    }

    fn take_together(&self, shards: &impl Shards, counters_max: u64) -> Result<Receipt, TakeError> {
        let mut indices: Vec<ShardIndex> = self.parts().map(|part| part.shard).collect();
        indices.sort_unstable();
        indices.dedup();
        shards.with_several(&indices, |held| {
            let at = |shard| indices.binary_search(&shard).expect("a part's shard");
            for part in self.parts() {
                part.check(held[at(part.shard)], counters_max)?;
            }
            let mut receipt = Receipt::default();
            for part in self.parts() {
                part.take(held[at(part.shard)], &mut receipt);
            }
            Ok(receipt)
        })
    }

    fn take_in_turn(&self, shards: &impl Shards, counters_max: u64) -> Result<Receipt, TakeError> {
        let mut reserved: Vec<(ShardIndex, u64)> = Vec::new();
        let checked = self.parts().try_for_each(|part| {
            shards.with(part.shard, |shard| {
                part.check(shard, counters_max)?;
                let new = part.named.len() as u64;
                shard.reserved_counters += new;
                reserved.push((part.shard, new));
                Ok(())
            })
        });
        let mut receipt = Receipt::default();
        if checked.is_ok() {
            for part in self.parts() {
                shards.with(part.shard, |shard| part.take(shard, &mut receipt));
            }
        }
        for (shard, new) in reserved {
            shards.with(shard, |shard| shard.reserved_counters -= new);
        }
        checked.map(|()| receipt)
    }
}

/// Adds to a sum; false, and the sum is as it was, where that holds no more.
fn add_to(sum: &mut Sum, more: Sum) -> bool {
    let total = sum.checked_add(more);
    *sum = total.unwrap_or(*sum);
    total.is_some()
}

impl Part<'_> {
    /// Whether the shard takes all of it.
    fn check(self, shard: &Shard, counters_max: u64) -> Result<(), TakeError> {
        let replica = shard.replica();
        let out_of_range = |counter: &CounterName, reason| TakeError::OutOfRange {
            counter: counter.clone(),
            reason,
        };
        for &(Place { counter, .. }, sum) in self.placed {
            let checked = replica.check(counter, sum);
            checked.map_err(|reason| out_of_range(replica.name(counter), reason))?;
        }
        let found = replica.counters() as u64 + shard.reserved_counters;
        for (add, new) in self.named.iter().zip(1..) {
            if found + new > counters_max {
                return Err(TakeError::CountersExhausted {
                    counter: add.name.clone(),
                    found,
                    counters_max,
                });
            }
            let checked = replica.check_new(add.sum);
            checked.map_err(|reason| out_of_range(&add.name, reason))?;
        }
        Ok(())
    }

    /// Takes what was checked.
    fn take(self, shard: &mut Shard, receipt: &mut Receipt) {
        let mut mark = Mark::ZERO;
        for &(Place { counter, .. }, sum) in self.placed {
            mark = shard.take(counter, sum);
        }
        for add in self.named {
            let counter = shard.replica_mut().counter(&add.name);
            mark = shard.take(counter, add.sum);
        }
        if let Some(observer) = shard.observer() {
            let name = |counter| shard.replica().name(counter);
            let placed = self.placed.iter();
            let placed = placed.map(|&(place, sum)| (name(place.counter), sum));
            let named = self.named.iter().map(|add| (&add.name, add.sum));
            observer.taken(shard, mark, &mut placed.chain(named));
        }
        receipt.note(shard.next_round(), (self.shard, mark));
    }
}

impl Default for Receipt {
    /// Of nothing, which is durable.
    fn default() -> Self {
        Self {
            round: Round::NONE,
            marks: Vec::new(),
        }
    }
}

impl Receipt {
    /// A part of it. When a shard's was taken in several parts, the last one counts.
    fn note(&mut self, round: Round, (shard, mark): (ShardIndex, Mark)) {
        self.round = self.round.max(round);
        match self.marks.iter_mut().find(|(noted, _)| *noted == shard) {
            Some((_, noted)) => *noted = mark,
            None => self.marks.push((shard, mark)),
        }
    }
}

pub use request::{RequestError, RequestReceipt, RequestRefusal};

#[cfg(test)]
mod tests;
