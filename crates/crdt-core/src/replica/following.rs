//! Following a replica's lanes, so that their fingerprints are known at every mark.
//!
//! A lane moves on all the time, and what it held at a mark is not kept. So a fingerprint would have
//! to be made under one lock, which takes too long for millions of records; or be kept up with every
//! change, for ever, which was tried: a commit then hashes two forms of each record, which made
//! commits and the applying of intervals half as fast (1,000 records: 4.5 us before, 12.8 us with
//! it). So both are done for as long as somebody asks, and no longer: a walk reads the records in
//! bounded pieces, and what changes behind it is taken out and put in again. Once the walk is
//! through, the sums are those of the lanes as they are, at each mark that they come to. A replica
//! that nobody follows pays nothing for it, in time or in memory, and each audit reads what is in
//! memory *then*: nothing that was once added up is believed.
//!
//! **Past marks.** Others hold a lane as it was a moment ago. So the last fingerprints of the own
//! lane are remembered, and even a lane that never rests is compared. Only the owner has had every
//! mark that others can hold, so they are kept of the own lane alone.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use super::Replica;
use crate::{
    CounterIndex, CounterName, Fingerprint, Fork, HashName, Interval, Mark, RecordContent,
    RecordHash, RecordKey, ReplicaId, Total, Version, catalogue::Catalogue, lane::Lane,
};

/// What is remembered of the own lane: a second of very fast commits, which is more than others are
/// usually behind. It takes 24 KiB.
pub const PAST_MARKS_MAX: usize = 1_024;

/// A lane's fingerprint at a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LanePrint {
    /// The lane's owner.
    pub lane: ReplicaId,
    /// How far the lane had come.
    pub mark: Mark,
    /// What it held there.
    pub fingerprint: Fingerprint,
}

/// The sums so far.
#[derive(Clone, Debug)]
pub(super) struct Following {
    hash_name: HashName,
    /// Counters with smaller indices are in the sums; all, once the walk is through.
    walked: usize,
    lanes: BTreeMap<ReplicaId, Fingerprint>,
    /// Of the own lane, once the walk is through.
    past: VecDeque<(Mark, Fingerprint)>,
}

/// Where the walk stands when it is through: counters that are new have their records followed.
const THROUGH: usize = usize::MAX;

impl Following {
    fn new(hash_name: HashName) -> Self {
        Self {
            hash_name,
            walked: 0,
            lanes: BTreeMap::new(),
            past: VecDeque::new(),
        }
    }

    /// Lets an interval take effect. It is kept apart from what is done when nobody follows.
    #[cold]
    pub(super) fn apply(
        &mut self,
        own: ReplicaId,
        lane: &mut Lane,
        interval: &Interval,
        catalogue: &Catalogue,
    ) {
        let mut counters: Vec<CounterIndex> = interval.sums.iter().map(|it| *it.counter).collect();
        counters.sort_unstable();
        counters.dedup();
        counters.retain(|counter| counter.as_usize() < self.walked);
        let mut sum = self.sum(interval.lane);
        let held = lane.history.mark().version;
        let mut keys = lane.records.touched_by(&interval.records, held);
        keys.retain(|_| self.walked > 0);
        keys.sort_unstable();
        keys.dedup();
        let session_hash = |key: RecordKey, (version, content): (Version, &RecordContent)| {
            let name = |counter| (self.hash_name)(catalogue.name(counter));
            RecordHash::of_session(key, version, content, name)
        };
        let hash = |counter, (version, total)| {
            let name = (self.hash_name)(catalogue.name(counter));
            RecordHash::of_sum(name, version, total)
        };
        for &counter in &counters {
            if let Some(old) = lane.record(counter) {
                sum.remove(hash(counter, old));
            }
        }
        for &key in &keys {
            if let Some(old) = lane.records.record(key) {
                sum.remove(session_hash(key, old));
            }
        }
        lane.apply(interval);
        for &key in &keys {
            if let Some(new) = lane.records.record(key) {
                sum.add(session_hash(key, new));
            }
        }
        for &counter in &counters {
            if let Some(new) = lane.record(counter) {
                sum.add(hash(counter, new));
            }
        }
        self.lanes.insert(interval.lane, sum);
        if interval.lane == own {
            self.note_own(own, interval.to);
        }
    }

    /// Adds up the records of the next counters; whether that were all.
    fn walk(
        &mut self,
        lanes: &BTreeMap<ReplicaId, Lane>,
        catalogue: &Catalogue,
        counters_max: usize,
    ) -> bool {
        let mut sums: Vec<(&Lane, Fingerprint)> = lanes
            .iter()
            .map(|(&id, lane)| (lane, self.sum(id)))
            .collect();
        if self.walked == 0 {
            // What lanes say about sessions is bounded, and little beside the counters.
            for (lane, sum) in &mut sums {
                for (key, version, content) in lane.records.iter() {
                    let name = |counter| (self.hash_name)(catalogue.name(counter));
                    sum.add(RecordHash::of_session(key, version, content, name));
                }
            }
        }
        let end = self.walked.saturating_add(counters_max);
        for (counter, name) in catalogue.range(self.walked..end) {
            let name = (self.hash_name)(name);
            for (lane, sum) in &mut sums {
                if let Some((version, total)) = lane.record(counter) {
                    sum.add(RecordHash::of_sum(name, version, total));
                }
            }
        }
        let sums = lanes.keys().copied().zip(sums.iter().map(|&(_, sum)| sum));
        self.lanes = sums.collect();
        let is_through = end >= catalogue.len();
        self.walked = if is_through { THROUGH } else { end };
        is_through
    }

    /// The own lane has come to a mark.
    fn note_own(&mut self, lane: ReplicaId, mark: Mark) {
        if self.walked < THROUGH {
            return;
        }
        if self.past.len() == PAST_MARKS_MAX {
            self.past.pop_front();
        }
        self.past.push_back((mark, self.sum(lane)));
    }

    fn sum(&self, lane: ReplicaId) -> Fingerprint {
        self.lanes.get(&lane).copied().unwrap_or_default()
    }

    fn at(&self, mark: Mark) -> Option<Fingerprint> {
        let by_version = |&(noted, _): &(Mark, Fingerprint)| noted.version.cmp(&mark.version);
        let place = self.past.binary_search_by(by_version).ok()?;
        Some(self.past[place].1)
    }
}

impl Replica {
    /// Begins to follow the lanes, hashing names by this function (the same on all replicas that are
    /// compared); what was followed before is forgotten. [`walk`](Self::walk) until it is through, ask
    /// for [`fingerprints`](Self::fingerprints) as often as you like, and
    /// [`unfollow`](Self::unfollow): until then every change costs some time more.
    ///
    /// ```
    /// use crdt_core::{CounterName, Mark, NameHash, Replica, ReplicaId, StartId, Sum};
    ///
    /// let mut a = Replica::new(ReplicaId::new(0xa), StartId::new(1));
    /// let counter = a.counter(&"likes".parse::<CounterName>()?);
    /// a.add(counter, Sum::of(3))?;
    /// a.commit();
    /// a.synced();
    /// let mut b = Replica::new(ReplicaId::new(0xb), StartId::new(2));
    /// let whole = a.interval(a.id(), Mark::ZERO)?.expect("an add");
    /// let whole = b.import(&a.export(&whole));
    /// b.receive(whole)?;
    /// b.commit();
    /// b.synced();
    ///
    /// // A real driver takes a well-mixed hash.
    /// let hash_name = |name: &CounterName| {
    ///     let step = |hash: u64, &byte: &u8| hash.wrapping_mul(31) ^ u64::from(byte);
    ///     NameHash::new(name.as_str().as_bytes().iter().fold(7, step))
    /// };
    /// for replica in [&mut a, &mut b] {
    ///     replica.follow(hash_name);
    ///     while !replica.walk(1_000) {}
    /// }
    /// assert_eq!(a.fingerprints(), b.fingerprints());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn follow(&mut self, hash_name: HashName) {
        self.following = Some(Following::new(hash_name).into());
    }

    /// Follows no longer.
    pub fn unfollow(&mut self) {
        self.following = None;
    }

    /// Adds up the records of so many counters more, in all lanes; whether the walk is through. The
    /// first step adds up what they say about sessions too.
    ///
    /// # Panics
    ///
    /// When the replica is not followed, or `counters_max` is 0.
    pub fn walk(&mut self, counters_max: usize) -> bool {
        assert!(counters_max > 0, "a piece has room for a counter");
        let own = self.held(self.id);
        let following = self.following.as_mut().expect("the replica is followed");
        if following.walked == THROUGH {
            return true;
        }
        let is_through = following.walk(&self.lanes, &self.catalogue, counters_max);
        if is_through {
            following.note_own(self.id, own);
        }
        is_through
    }

    /// Every lane of which anything is held, in the order of their owners, with its fingerprint at
    /// its mark. Nothing, while the walk is not through.
    #[must_use]
    pub fn fingerprints(&self) -> Option<Vec<LanePrint>> {
        let following = self.following.as_ref()?;
        let print = |(lane, mark)| LanePrint {
            lane,
            mark,
            fingerprint: following.sum(lane),
        };
        let is_through = following.walked == THROUGH;
        is_through.then(|| self.digest().iter().map(print).collect())
    }

    /// The fingerprint of a lane at a mark: of any lane at its own mark, of the own lane at one of
    /// its last marks too ([`PAST_MARKS_MAX`]). Nothing where it is not known, or not yet.
    ///
    /// # Errors
    ///
    /// When the mark is not on the lane's history, or lies beyond the own lane: the lane has forked.
    pub fn fingerprint_at(&self, lane: ReplicaId, mark: Mark) -> Result<Option<Fingerprint>, Fork> {
        self.admits(lane, mark)?;
        let Some(following) = self.following.as_ref() else {
            return Ok(None);
        };
        if following.walked < THROUGH {
            return Ok(None);
        }
        if self.held(lane) == mark {
            return Ok(Some(following.sum(lane)));
        }
        let is_own = lane == self.id;
        Ok(is_own.then(|| following.at(mark)).flatten())
    }

    /// All counters that come after a name (or all), in the order of their names' bytes, each with
    /// what the lane says of it, if it says anything.
    pub fn records_after<'a>(
        &'a self,
        lane: ReplicaId,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a CounterName, Option<(Version, Total)>)> + 'a {
        let held = self.lanes.get(&lane);
        self.catalogue
            .sorted_from(after.unwrap_or_default())
            .skip_while(move |(name, _)| Some(name.as_str()) == after)
            .map(move |(name, counter)| (name, held.and_then(|held| held.record(counter))))
    }
}
