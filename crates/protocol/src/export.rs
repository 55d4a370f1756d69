//! Exporting a shard: the values of all counters, as they were at one instant, without holding the
//! shard for longer than a piece takes.
//!
//! First all values are read in the order of names. Meanwhile some change; so then, lane by lane,
//! what changed since the beginning is read again, as an interval is ([`IntervalReader`]), until a
//! piece finds every lane read to its end. Whoever keeps the last value of each counter has all of
//! them as they are at that piece's digest: a value that changed after it was given came again.
//!
//! Whatever else than sums comes to change a value must be read here as well.

use alloc::{collections::BTreeMap, vec::Vec};

use crdt_core::{CounterName, Digest, IntervalReader, Mark, Replica, ReplicaId};

use crate::{Reading, ShardIndex, Shards};

/// Some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPiece {
    /// They replace what was given of the same counters before.
    pub values: Vec<(CounterName, i128)>,
    /// On the last piece: what all values are of now.
    pub end: Option<Reading>,
}

/// The reading of one shard's values.
#[derive(Clone, Debug)]
pub struct ShardExport {
    shard: ShardIndex,
    records_max: usize,
    /// What was held when the first value was read.
    since: Option<Digest>,
    /// The last name that was read; nothing once all were.
    names: Names,
    readers: BTreeMap<ReplicaId, IntervalReader>,
}

#[derive(Clone, Debug)]
enum Names {
    First,
    After(CounterName),
    Done,
}

impl ShardExport {
    /// Nothing is read yet; the shard is held for about so many records at a time.
    #[must_use]
    pub fn new(shard: ShardIndex, records_max: usize) -> Self {
        Self {
            shard,
            records_max,
            since: None,
            names: Names::First,
            readers: BTreeMap::new(),
        }
    }

    /// The next piece; nothing follows the one with the end.
    pub fn poll(&mut self, shards: &impl Shards) -> ExportPiece {
        shards.with(self.shard, |shard| {
            let replica = shard.replica();
            self.since.get_or_insert_with(|| replica.digest());
            if let Some(values) = self.read_names(replica) {
                return ExportPiece { values, end: None };
            }
            let (values, is_last) = self.read_changes(replica);
            let end = is_last.then(|| {
                let mut reading = Reading::default();
                reading.note(self.shard, shard);
                reading
            });
            ExportPiece { values, end }
        })
    }

    fn read_names(&mut self, replica: &Replica) -> Option<Vec<(CounterName, i128)>> {
        let after = match &self.names {
            Names::First => None,
            Names::After(name) => Some(name.as_str()),
            Names::Done => return None,
        };
        let values: Vec<_> = replica
            .values_from(after.unwrap_or_default())
            .skip_while(|(name, _)| Some(name.as_str()) == after)
            .take(self.records_max)
            .map(|(name, value)| (name.clone(), value))
            .collect();
        let is_full = values.len() == self.records_max;
        let last = values.last().filter(|_| is_full);
        self.names = last.map_or(Names::Done, |(name, _)| Names::After(name.clone()));
        Some(values)
    }

    /// What has changed; whether every lane was read to its end.
    fn read_changes(&mut self, replica: &Replica) -> (Vec<(CounterName, i128)>, bool) {
        let mut values = Vec::new();
        for (lane, _) in replica.digest().iter() {
            let since = self.since.as_ref().map_or(Mark::ZERO, |it| it.mark(lane));
            let new = || IntervalReader::new(lane, since);
            let reader = self.readers.entry(lane).or_insert_with(new);
            let left = self.records_max.saturating_sub(values.len()).max(1);
            let piece = replica.read(reader, left);
            let piece = piece.expect("a lane goes on from where it was read");
            let Some(piece) = piece else { continue };
            for record in piece.sums.iter() {
                let counter = *record.counter;
                values.push((replica.name(counter).clone(), replica.value(counter)));
            }
            if piece.end.is_none() {
                return (values, false);
            }
        }
        (values, true)
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use crdt_core::{StartId, Sum};
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::Shard;

    const COUNTERS: usize = 8;

    fn change(replica: &mut Replica, counters: &[usize]) {
        for counter in counters {
            let name: CounterName = alloc::format!("c{counter}").parse().expect("a name");
            let counter = replica.counter(&name);
            replica.take(counter, Sum::of(1));
        }
        if replica.commit().is_some() {
            replica.synced();
        }
    }

    /// The own lane changes, or a peer's that is received at once.
    fn step(shards: &RefCell<Vec<Shard>>, peer: &mut Replica, own: &[usize], theirs: &[usize]) {
        change(peer, theirs);
        shards.with(0, |shard| {
            let replica = shard.replica_mut();
            change(replica, own);
            let news = peer.interval(peer.id(), replica.held(peer.id()));
            if let Some(news) = news.expect("no fork") {
                let news = replica.import(&peer.export(&news));
                replica.receive(news).expect("it continues the lane");
                replica.commit();
                replica.synced();
            }
        });
    }

    proptest! {
        /// However the shard changes between the pieces, and however short they are.
        #[test]
        fn the_last_values_are_those_of_the_digest_at_the_end(
            before in vec(0..COUNTERS, 0..9),
            meanwhile in vec((vec(0..COUNTERS, 0..4), vec(0..COUNTERS, 0..4)), 0..30),
            records_max in 1..5usize,
        ) {
            let own = Replica::new(ReplicaId::new(1), StartId::new(1));
            let shards = RefCell::new([Shard::new(own)].into());
            let mut peer = Replica::new(ReplicaId::new(2), StartId::new(2));
            step(&shards, &mut peer, &before, &before);
            let mut export = ShardExport::new(0, records_max);
            let mut values = BTreeMap::new();
            let mut meanwhile = meanwhile.iter();
            loop {
                let piece = export.poll(&shards);
                values.extend(piece.values);
                if let Some(end) = piece.end {
                    shards.with(0, |shard| {
                        let replica = shard.replica();
                        let expected: BTreeMap<_, _> = replica
                            .values_from("")
                            .map(|(name, value)| (name.clone(), value))
                            .collect();
                        assert_eq!(values, expected);
                        let marks: Vec<_> = end.marks(0).collect();
                        assert_eq!(marks, replica.digest().iter().collect::<Vec<_>>());
                        assert_eq!(end.shards().collect::<Vec<_>>(), [0]);
                    });
                    break;
                }
                if let Some((own, theirs)) = meanwhile.next() {
                    step(&shards, &mut peer, own, theirs);
                }
            }
        }
    }
}
