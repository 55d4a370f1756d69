//! What holds of a replica in every state, whatever was done to it: for property tests, and for the
//! model checker's worlds.

use alloc::{collections::BTreeMap, vec::Vec};

use super::Replica;
use crate::{
    CounterIndex, RecordKey, ReplicaId, StartId, Total, history::History, record_map::claimed_adds,
};

impl Replica {
    /// Panics when the replica's parts contradict each other. This takes as long as there are
    /// records; it is meant for tests and searches.
    ///
    /// - The records of every lane hang together in both directions and in the order of their
    ///   versions; all can be reached, and none is newer than the lane.
    /// - The own totals are those of the own lane, or of the group being written, except for the
    ///   counters that are due in the next commit.
    /// - What is pending of a lane is what is held, and then being written, and then received.
    ///
    /// # Panics
    ///
    /// When one of these does not hold.
    pub fn assert_invariants(&self) {
        for lane in self.lanes.values() {
            lane.assert_invariants();
        }
        self.assert_heads();
        self.assert_claims();
        self.assert_pending();
    }

    fn assert_heads(&self) {
        let own = self.writing.iter().flat_map(|group| group.iter());
        let own = own.filter(|interval| interval.lane == self.id);
        let written: BTreeMap<CounterIndex, Total> = own
            .flat_map(|interval| interval.sums.iter())
            .map(|record| (*record.counter, record.total))
            .collect();
        let counters = self.catalogue.sorted_from("").map(|(_, counter)| counter);
        self.heads.assert_invariants(counters, |counter| {
            let held = || self.sum_of(self.id, counter);
            written.get(&counter).copied().unwrap_or_else(held)
        });
    }

    fn assert_claims(&self) {
        let held = &self.lanes[&self.id].records;
        let claimed = held.iter().map(|(.., content)| claimed_adds(content)).sum();
        assert_eq!(held.claimed_adds(), claimed, "claimed adds that are held");
        // The kind of record before claims ends here.
        let mut key = RecordKey::Session {
            start: StartId::new(u64::MAX),
            count: u64::MAX,
        };
        let mut all = 0;
        while let Some(next) = self.own_records.behind(held, key) {
            all += self.own(next).0.map_or(0, claimed_adds);
            key = next;
        }
        let more = self.own_records.more_claimed_adds();
        assert_eq!(
            claimed.checked_add_signed(more),
            Some(all),
            "claimed adds in all"
        );
    }

    fn assert_pending(&self) {
        let mut expected: BTreeMap<ReplicaId, History> = BTreeMap::new();
        let writing = self.writing.as_deref().unwrap_or_default();
        for interval in writing.iter().chain(&self.received) {
            assert_eq!(interval.contradiction(), None, "{interval:?}");
            let held = || self.lanes.get(&interval.lane).map(|lane| &lane.history);
            let history = expected
                .entry(interval.lane)
                .or_insert_with(|| held().cloned().unwrap_or_default());
            assert_eq!(history.continues(interval), Ok(true), "{interval:?}");
            history.advance(interval);
        }
        expected.remove(&self.id);
        assert_eq!(self.pending, expected, "what is pending of each lane");
        let lanes: Vec<_> = self.received.iter().map(|interval| interval.lane).collect();
        assert!(!lanes.contains(&self.id), "only the owner writes its lane");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CounterName, Mark, RequestId, SessionId, Sum, complaint::complaint, lane::Lane,
        replica::Heads,
    };

    /// An own add at each stage, with a peer's interval received.
    fn replica() -> Replica {
        let likes: CounterName = "likes".parse().expect("a valid name");
        let mut peer = Replica::new(ReplicaId::new(2), StartId::new(2));
        let mut replica = Replica::new(ReplicaId::new(1), StartId::new(1));
        for replica in [&mut peer, &mut replica] {
            let counter = replica.counter(&likes);
            replica.take(counter, Sum::of(5));
            replica.commit();
            replica.synced();
        }
        let interval = peer.interval(peer.id, Mark::ZERO).expect("no fork");
        let interval = interval.expect("an add");
        replica.receive(interval).expect("it begins the lane");
        replica
    }

    /// One that nobody has claimed.
    fn request() -> RequestId {
        let session = SessionId {
            home: ReplicaId::new(2),
            start: StartId::new(2),
            count: 0,
        };
        RequestId { session, number: 1 }
    }

    /// What makes of a good replica a bad one.
    type Damage = fn(&mut Replica);

    const DAMAGES: [(&str, Damage); 6] = [
        ("the own total", |it| {
            it.lanes.insert(it.id, Lane::empty());
        }),
        ("newer than the lane", |it| {
            let own = it.lanes.get_mut(&it.id).expect("the own lane");
            own.history = History::default();
        }),
        ("the own total", |it| it.heads = Heads::default()),
        ("claimed adds in all", |it| {
            it.own_records.unclaim(request(), 1);
        }),
        ("what is pending", |it| it.pending.clear()),
        ("only the owner", |it| {
            it.take(CounterIndex::new(0), Sum::of(1));
            let group = it.clone().commit().expect("an add");
            it.received.extend(group.first().cloned());
        }),
    ];

    #[test]
    fn a_replica_that_contradicts_itself_is_found() {
        let found = |replica: Replica| complaint(|| replica.assert_invariants());
        assert_eq!(found(replica()), None);
        for (what, damage) in DAMAGES {
            let mut replica = replica();
            damage(&mut replica);
            let complaint = found(replica).unwrap_or_default();
            assert!(complaint.contains(what), "{what}: {complaint}");
        }
    }
}
