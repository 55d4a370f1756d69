//! Pages of counters in the order of their names, over all shards.
//!
//! The shards' lists are merged, each read some names at a time: a page costs about its own
//! length, however many shards there are, and no shard is held for longer than a piece takes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crdt_core::CounterName;
use protocol::{ShardIndex, Shards as _};

use super::Node;

/// Names that are read of one shard at a time, at most ...
const PIECE_NAMES_MAX: usize = 512;
/// ... and at least.
const PIECE_NAMES_MIN: usize = 16;

/// What is read of one shard and not yet on the page.
struct Source {
    values: VecDeque<(CounterName, i128)>,
    /// Where to read on; `None` when the shard has no more.
    after: Option<CounterName>,
}

impl Node {
    /// Up to `limit` counters with their values, in the order of names, of those that begin with
    /// `prefix` and come after `after` (exclusively, where it is given).
    #[must_use]
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(CounterName, i128)> {
        let shard_count = self.identity.shard_count as usize;
        // A shard has its share of the page, more or less.
        let piece = (limit.saturating_mul(2) / shard_count).clamp(PIECE_NAMES_MIN, PIECE_NAMES_MAX);
        let mut sources: Vec<Source> = (0..self.identity.shard_count)
            .map(|shard| self.read_names(shard, prefix, after, piece))
            .collect();
        let mut heads = BinaryHeap::new();
        for (shard, source) in sources.iter().enumerate() {
            heads.extend(source.head().map(|name| Reverse((name, shard))));
        }
        let mut page = Vec::with_capacity(limit.min(PIECE_NAMES_MAX));
        while page.len() < limit
            && let Some(Reverse((_, shard))) = heads.pop()
        {
            let source = &mut sources[shard];
            page.extend(source.values.pop_front());
            if source.values.is_empty()
                && let Some(after) = source.after.take()
            {
                let index = ShardIndex::try_from(shard).expect("at most 256 shards");
                *source = self.read_names(index, prefix, Some(after.as_str()), piece);
            }
            heads.extend(sources[shard].head().map(|name| Reverse((name, shard))));
        }
        page
    }

    fn read_names(
        &self,
        shard: ShardIndex,
        prefix: &str,
        after: Option<&str>,
        names: usize,
    ) -> Source {
        let from = after.unwrap_or(prefix).max(prefix);
        let values: VecDeque<_> = self.with(shard, |shard| {
            let values = shard.replica().values_from(from);
            values
                .skip_while(|(name, _)| Some(name.as_str()) == after)
                .take_while(|(name, _)| name.as_str().starts_with(prefix))
                .take(names)
                .map(|(name, value)| (name.clone(), value))
                .collect()
        });
        let is_full = values.len() == names;
        let last = values.back().filter(|_| is_full);
        Source {
            after: last.map(|(name, _)| name.clone()),
            values,
        }
    }
}

impl Source {
    fn head(&self) -> Option<CounterName> {
        self.values.front().map(|(name, _)| name.clone())
    }
}
