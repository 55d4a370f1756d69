//! What is known of all lanes: at each mark, what their owners' takes add up to; and what is under
//! way between nodes.

use std::collections::{HashMap, HashSet};

use crdt_core::{
    CounterIndex, Interval, Mark, ReplicaId, StartId, Sum, SumRecord, Sums, Total, Version,
};
use protocol::ShardIndex;
use trace::{Content, Step};

/// The one counter that stands for all of a lane, by the index that every replica gives it.
pub(super) const CONTENT: CounterIndex = CounterIndex::new(0);

/// The name of that counter.
pub(super) const CONTENT_NAME: &str = "content";

/// An interval on its way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shipment {
    /// Who receives it.
    pub(super) peer: ReplicaId,
    pub(super) shard: ShardIndex,
    pub(super) lane: ReplicaId,
    pub(super) after: Mark,
    pub(super) to: Mark,
}

/// One version of a lane.
#[derive(Clone, Debug)]
struct Entry {
    start: StartId,
    /// All that the lane holds.
    content: Content,
    /// The total of the counter that stands for it.
    total: Total,
}

/// Every lane's history, as its owner has appended it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// By version, from 1.
    lanes: HashMap<(ShardIndex, ReplicaId), Vec<Entry>>,
    under_way: HashMap<Shipment, u64>,
    replicas: HashSet<ReplicaId>,
}

impl Ledger {
    /// A replica begins its trace; false if it has one.
    pub(super) fn enters(&mut self, replica: ReplicaId) -> bool {
        self.replicas.insert(replica)
    }

    /// The owner has appended the next version.
    pub(super) fn append(
        &mut self,
        (shard, lane): (ShardIndex, ReplicaId),
        mark: Mark,
        content: Content,
        total: Total,
    ) {
        let entries = self.lanes.entry((shard, lane)).or_default();
        assert_eq!(
            mark.version.get(),
            entries.len() as u64 + 1,
            "the machine moves a lane by one version a commit"
        );
        let start = mark.start;
        entries.push(Entry {
            start,
            content,
            total,
        });
    }

    /// The owner has lost what it had not synced.
    pub(super) fn cut(&mut self, (shard, lane): (ShardIndex, ReplicaId), held: Version) {
        if let Some(entries) = self.lanes.get_mut(&(shard, lane)) {
            entries.truncate(index(held));
        }
    }

    /// What a lane holds at a mark; `None` where it never was there.
    pub(super) fn content(
        &self,
        (shard, lane): (ShardIndex, ReplicaId),
        mark: Mark,
    ) -> Option<Content> {
        if mark == Mark::ZERO {
            return Some(Content::default());
        }
        let entry = self.entry((shard, lane), mark)?;
        Some(entry.content)
    }

    fn entry(&self, at: (ShardIndex, ReplicaId), mark: Mark) -> Option<&Entry> {
        let entry = self
            .lanes
            .get(&at)?
            .get(index(mark.version).checked_sub(1)?)?;
        (entry.start == mark.start).then_some(entry)
    }

    /// What changed in a lane between two marks; `None` where it never was there, or the second
    /// does not come after the first.
    pub(super) fn interval(
        &self,
        at: (ShardIndex, ReplicaId),
        after: Mark,
        to: Mark,
    ) -> Option<Interval> {
        self.content(at, after)?;
        let last = self.entry(at, to)?;
        if after.version >= to.version {
            return None;
        }
        let entries = &self.lanes[&at];
        let mut start = after.start;
        let mut starts = Vec::new();
        for (entry, version) in entries[index(after.version)..index(to.version)]
            .iter()
            .zip(after.version.get() + 1..)
        {
            if entry.start != start {
                start = entry.start;
                starts.push((Version::new(version), start));
            }
        }
        Some(Interval {
            lane: at.1,
            after,
            to,
            starts,
            sums: Sums::from_iter([SumRecord {
                counter: CONTENT,
                version: to.version,
                total: last.total,
            }]),
            records: crdt_core::Records::default(),
            needs: Vec::new(),
        })
    }

    // What is under way.

    pub(super) fn send(&mut self, shipment: Shipment) {
        *self.under_way.entry(shipment).or_default() += 1;
    }

    /// Whether it was sent to this node; then it has arrived.
    pub(super) fn arrives(&mut self, shipment: Shipment) -> bool {
        let Some(left) = self.under_way.get_mut(&shipment) else {
            return false;
        };
        *left -= 1;
        if *left == 0 {
            self.under_way.remove(&shipment);
        }
        true
    }
}

impl Shipment {
    /// What a line sends.
    pub(super) fn sent(step: &Step) -> Option<Self> {
        let &Step::Send {
            peer,
            shard,
            lane,
            after,
            to,
        } = step
        else {
            return None;
        };
        Some(Self {
            peer,
            shard,
            lane,
            after,
            to,
        })
    }
}

/// What stands for a content in the machines.
pub(super) fn stand_in(content: Content) -> Sum {
    Sum {
        incremented: content.low().into(),
        decremented: 0,
    }
}

/// The last 32 bits of the content that a total stands for.
pub(super) fn low(total: &Total) -> u32 {
    let low = total.incremented & u128::from(u32::MAX);
    u32::try_from(low).expect("it has 32 bits")
}

fn index(version: Version) -> usize {
    usize::try_from(version.get()).unwrap_or(usize::MAX)
}
