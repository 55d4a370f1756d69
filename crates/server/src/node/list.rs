//! Pages of counters in the order of their names, over all shards.
//!
//! The shards' lists are merged, each read some names at a time: a page costs about its own
//! length, however many shards there are, and no shard is held for longer than a piece takes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crdt_core::CounterName;
use protocol::{Reading, ShardIndex, Shards as _};

use super::Node;

/// Names that are read of one shard at a time, at most ...
const PIECE_NAMES_MAX: usize = 512;
/// ... and at least.
const PIECE_NAMES_MIN: usize = 16;

/// Some of a shard's counters in the order of their names, with their values.
type Values = VecDeque<(CounterName, i128)>;

impl Node {
    /// Up to `limit` counters with their values, in the order of names, of those that begin with
    /// `prefix` and come after `after` (exclusively, where it is given); and what that was made of.
    #[must_use]
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<(CounterName, i128)>, Reading) {
        let mut reading = Reading::default();
        let read = |shard, after: Option<&str>, names| {
            self.read_piece(shard, prefix, after, names, &mut reading)
        };
        let page = merge(self.identity.shard_count, after, limit, read);
        (page, reading)
    }

    fn read_piece(
        &self,
        shard: ShardIndex,
        prefix: &str,
        after: Option<&str>,
        names: usize,
        reading: &mut Reading,
    ) -> Values {
        let from = after.unwrap_or(prefix).max(prefix);
        self.with(shard, |it| {
            reading.note(shard, it);
            let values = it.replica().values_from(from);
            values
                .skip_while(|(name, _)| Some(name.as_str()) == after)
                .take_while(|(name, _)| name.as_str().starts_with(prefix))
                .take(names)
                .map(|(name, value)| (name.clone(), value))
                .collect()
        })
    }
}

/// What is read of one shard and not yet on the page.
struct Source {
    values: Values,
    /// Whether the shard may have more.
    has_more: bool,
}

/// Merges the lists of all shards into a page. `read` gives those of a shard that come after a
/// name, as many as are asked for or all that there are.
fn merge(
    shard_count: u32,
    after: Option<&str>,
    limit: usize,
    mut read: impl FnMut(ShardIndex, Option<&str>, usize) -> Values,
) -> Vec<(CounterName, i128)> {
    // A shard has its share of the page, more or less.
    let share = limit.saturating_mul(2) / shard_count as usize;
    let piece = share.clamp(PIECE_NAMES_MIN, PIECE_NAMES_MAX);
    let mut source = |shard, after: Option<&str>| {
        let values = read(shard, after, piece);
        let has_more = values.len() == piece;
        Source { values, has_more }
    };
    let mut sources: Vec<Source> = (0..shard_count).map(|shard| source(shard, after)).collect();
    let mut heads = BinaryHeap::new();
    for (shard, source) in (0..).zip(&sources) {
        heads.extend(source.head().map(|name| Reverse((name, shard))));
    }
    let mut page = Vec::with_capacity(limit.min(PIECE_NAMES_MAX));
    while page.len() < limit
        && let Some(Reverse((name, shard))) = heads.pop()
    {
        let of_shard: &mut Source = &mut sources[shard as usize];
        page.extend(of_shard.values.pop_front());
        if of_shard.values.is_empty() && of_shard.has_more {
            *of_shard = source(shard, Some(name.as_str()));
        }
        heads.extend(of_shard.head().map(|name| Reverse((name, shard))));
    }
    page
}

impl Source {
    fn head(&self) -> Option<CounterName> {
        self.values.front().map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SHARDS: u32 = 16;

    /// Lists numbers as names of which every 16th belongs to the same shard: the page, and how
    /// many names were read for it.
    fn list(counters: usize, after: Option<usize>, limit: usize) -> (Vec<usize>, usize) {
        let name = |number: usize| CounterName::new(&format!("{number:08}")).expect("a name");
        let number = |name: &str| name.parse::<usize>().expect("a number");
        let names_read = Cell::new(0);
        let after = after.map(name);
        let read = |shard: ShardIndex, after: Option<&str>, names| {
            let first = after.map_or(0, |after| number(after) + 1);
            let of_shard = (first..counters).filter(|number| number % 16 == shard as usize);
            let values: Values = of_shard.take(names).map(|at| (name(at), 0)).collect();
            names_read.set(names_read.get() + values.len());
            values
        };
        let after = after.as_ref().map(CounterName::as_str);
        let page = merge(SHARDS, after, limit, read);
        let page = page.iter().map(|(name, _)| number(name.as_str())).collect();
        (page, names_read.get())
    }

    #[test]
    fn a_page_costs_about_its_own_length_however_many_shards_there_are() {
        for limit in [1, 100, 1_000, 10_000] {
            let (page, names_read) = list(100_000, Some(999), limit);
            assert_eq!(page, (1_000..1_000 + limit).collect::<Vec<_>>());
            // Twice the page, or the least that is read of each shard, and a piece that was begun.
            let least = SHARDS as usize * PIECE_NAMES_MIN;
            let begun = SHARDS as usize * PIECE_NAMES_MAX;
            let names_max = (2 * limit).max(least).min(limit + begun);
            assert!(names_read <= names_max, "{names_read} names for {limit}");
        }
    }

    #[test]
    fn a_page_that_is_not_full_ends_the_list() {
        let (page, names_read) = list(500, Some(99), 1_000);
        assert_eq!(page, (100..500).collect::<Vec<_>>());
        assert_eq!(names_read, 400);
    }
}
