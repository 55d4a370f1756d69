//! The state machine of one shard on one node: the code that is model-checked and deployed.
//!
//! Three stages, and a change passes them in this order:
//!
//! 1. *Taken*: an add is in the own `head`; a peer's interval is in `received`. Volatile.
//! 2. *Being written*: [`Replica::commit`] has made both into a [`Group`], which the driver writes
//!    and syncs.
//! 3. *Held*: [`Replica::synced`] has applied the group to the lanes.
//!
//! **The lanes hold only what is durable, and everything that can be seen is computed from the
//! lanes**: values, digests, the intervals served to peers. So nothing can be read, advertised or
//! sent before it would survive a crash, and no rule has to say so.

mod claims;
mod equality;
mod following;
mod heads;
mod invariants;
mod names;
mod own_records;
mod reading;
mod receiving;
mod requests;
mod settling;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use crate::{
    AddError, CounterIndex, CounterName, Digest, Fork, Interval, Mark, ReceiveError, ReplicaId,
    SessionId, StartId, Sum, Total,
    catalogue::Catalogue,
    history::{History, UNWRITTEN},
    lane::Lane,
};
use claims::Claimed;
use following::Following;
pub use following::{LanePrint, PAST_MARKS_MAX};
use heads::Heads;
use own_records::OwnRecords;
pub use reading::IntervalReader;
pub use requests::RequestState;

/// What one commit makes durable: at most one interval of the own lane, and those received from
/// peers, in the order in which they must be recovered.
pub type Group = Arc<[Interval]>;

/// What became of an interval that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is part of the next group, and takes effect once that is synced.
    Taken,
    /// It tells nothing new.
    Known,
}

/// One shard of one node: its own lane, and all others as far as they are known.
///
/// Two replicas are equal when they are the same incarnation and start, hold the same lanes, and
/// have taken the same; how they number their counters is no part of that.
#[derive(Clone, Debug)]
pub struct Replica {
    id: ReplicaId,
    start: StartId,
    catalogue: Catalogue,
    lanes: BTreeMap<ReplicaId, Lane>,
    heads: Heads,
    /// Own records about sessions that are not held yet.
    own_records: OwnRecords,
    /// What the claims in the lanes add to each counter.
    claimed: Claimed,
    /// Sessions of which something is held that was not looked at since.
    due: BTreeSet<SessionId>,
    /// Lanes that are known to have forked. What needs such a lane cannot wait for it.
    forked: BTreeSet<ReplicaId>,
    received: Vec<Interval>,
    writing: Option<Group>,
    /// Where each lane will be once all that was received is held; only lanes with any of it.
    pending: BTreeMap<ReplicaId, History>,
    /// While somebody asks for fingerprints.
    following: Option<Box<Following>>,
}

impl Replica {
    /// An empty replica: a fresh incarnation, or one whose durable intervals are about to be
    /// [recovered](Self::recover). `start` is drawn at random for every start of the process.
    ///
    /// # Panics
    ///
    /// When `start` is [`StartId::NONE`].
    #[must_use]
    pub fn new(id: ReplicaId, start: StartId) -> Self {
        assert!(
            start != StartId::NONE,
            "a start is a random number other than 0"
        );
        Self {
            id,
            start,
            catalogue: Catalogue::default(),
            lanes: BTreeMap::from([(id, Lane::empty())]),
            heads: Heads::default(),
            own_records: OwnRecords::default(),
            claimed: Claimed::default(),
            due: BTreeSet::new(),
            forked: BTreeSet::new(),
            received: Vec::new(),
            writing: None,
            pending: BTreeMap::new(),
            following: None,
        }
    }

    /// Takes back an interval that is durable: the driver passes all those of a snapshot and a
    /// log, in the order of writing, before anything else. One that is held already changes
    /// nothing, so a log may overlap its snapshot.
    ///
    /// What is passed must be durable *now*: what a killed process had written and not synced can
    /// be read back, and still be lost with the power. The driver syncs what it has read first.
    ///
    /// # Errors
    ///
    /// When the interval does not continue what was recovered before: the log is not one that
    /// this replica wrote.
    pub fn recover(&mut self, interval: &Interval) -> Result<(), ReceiveError> {
        if let Some(what) = interval.contradiction() {
            return Err(ReceiveError::Malformed {
                lane: interval.lane,
                what,
            });
        }
        if self.expected(interval.lane).continues(interval)? {
            self.hold(interval);
            if interval.lane == self.id {
                self.heads.recover(interval);
            }
        }
        Ok(())
    }

    /// This incarnation.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    // The path of an add.

    /// Whether [`add`](Self::add) would take this.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn check(&self, counter: CounterIndex, amount: Sum) -> Result<(), AddError> {
        let pending = self.heads.value(counter) - self.lanes[&self.id].value(counter)
            + self.own_records.reserved(counter);
        check_range(self.value(counter), pending, amount)
    }

    /// Takes an add into memory. It is durable once the own lane has reached the returned mark;
    /// only then may the driver acknowledge it.
    ///
    /// # Errors
    ///
    /// When the value would leave its range. Nothing has changed then.
    ///
    /// # Panics
    ///
    /// When this replica did not give the index.
    pub fn add(&mut self, counter: CounterIndex, amount: Sum) -> Result<Mark, AddError> {
        self.check(counter, amount)?;
        Ok(self.take(counter, amount))
    }

    /// Whether [`add`](Self::add) would take this, of a counter that has no index yet.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    pub fn check_new(&self, amount: Sum) -> Result<(), AddError> {
        check_range(0, 0, amount)
    }

    /// Takes an add that was [checked](Self::check) some time ago. Others may have moved the value
    /// since, so that it leaves its range, as it can when several replicas add at the same time.
    ///
    /// # Panics
    ///
    /// When this replica did not give the index.
    pub fn take(&mut self, counter: CounterIndex, amount: Sum) -> Mark {
        assert!(
            counter.as_usize() < self.catalogue.len(),
            "an index that this replica gave"
        );
        self.heads.add(counter, amount);
        self.next_mark()
    }

    /// Closes the group of everything taken since the last commit: the driver writes it and syncs
    /// it, and then calls [`synced`](Self::synced). `None` when nothing was taken, or while the
    /// last group is not synced.
    pub fn commit(&mut self) -> Option<Group> {
        if self.writing.is_some() {
            return None;
        }
        self.settle();
        if self.is_own_clean() && self.received.is_empty() {
            return None;
        }
        let own = self.commit_own();
        let group: Group = own.into_iter().chain(self.received.drain(..)).collect();
        self.writing = Some(Arc::clone(&group));
        Some(group)
    }

    /// The group of the last [`commit`](Self::commit) is durable: it takes effect.
    ///
    /// # Panics
    ///
    /// When no group is being written.
    pub fn synced(&mut self) {
        let group = self
            .writing
            .take()
            .expect("a group was committed and not yet synced");
        for interval in group.iter() {
            self.hold(interval);
        }
        self.own_records.synced();
        // What was received meanwhile is still pending; the rest is history.
        self.pending
            .retain(|lane, _| self.received.iter().any(|i| i.lane == *lane));
    }

    // What can be seen: pure functions of the lanes.

    /// The counter's value: the sum over all lanes, and each request once that some lane claims, as
    /// far as its home's lane does not say otherwise. 0 for a counter nobody added to.
    ///
    /// A claim of a request that the home has taken counts nothing, since the home's sums have it.
    /// One that the home has granted to a replica counts as long as that replica's lane has the
    /// claim; then that lane's sums have it. Any other counts once, however many lanes claim it.
    #[must_use]
    pub fn value(&self, counter: CounterIndex) -> i128 {
        // No adds come near the end of i128; what a peer made up must not stop the process.
        let values = self.lanes.values().map(|lane| lane.value(counter));
        let sums = values.fold(0, i128::wrapping_add);
        sums.wrapping_add(self.claimed.value(counter))
    }

    /// What `lane` says of the counter.
    #[must_use]
    pub fn sum_of(&self, lane: ReplicaId, counter: CounterIndex) -> Total {
        let record = self.lanes.get(&lane).and_then(|lane| lane.record(counter));
        record.map_or_else(Total::default, |(_, total)| total)
    }

    /// Counters that some lane has a record of, or that a claim counts for, from the name `from` on,
    /// in the order of their bytes, with their values.
    pub fn values_from(&self, from: &str) -> impl Iterator<Item = (&CounterName, i128)> {
        self.catalogue
            .sorted_from(from)
            .filter(|&(_, counter)| {
                let has_record = |lane: &Lane| lane.record(counter).is_some();
                self.lanes.values().any(has_record) || self.claimed.has(counter)
            })
            .map(|(name, counter)| (name, self.value(counter)))
    }

    /// What is held of every lane.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        for (&lane, held) in &self.lanes {
            digest.note(lane, held.history.mark());
        }
        digest
    }

    /// How far `lane` is held.
    #[must_use]
    pub fn held(&self, lane: ReplicaId) -> Mark {
        self.lanes
            .get(&lane)
            .map_or(Mark::ZERO, |lane| lane.history.mark())
    }

    /// Whether a mark that another replica holds of `lane` agrees with what is held here. For a
    /// peer's lane it may lie beyond; for the own lane nobody can know more than the owner.
    ///
    /// # Errors
    ///
    /// When the lane has forked.
    pub fn admits(&self, lane: ReplicaId, seen: Mark) -> Result<(), Fork> {
        let Some(held) = self.lanes.get(&lane) else {
            return Ok(());
        };
        if lane == self.id && seen.version > held.history.mark().version {
            return Err(Fork {
                lane,
                held: held.history.mark(),
                seen,
            });
        }
        held.history.admits(lane, seen)
    }

    // Helpers.

    /// The mark of the own lane's next commit.
    #[must_use]
    pub fn next_mark(&self) -> Mark {
        let version = self.own_mark_written().version.next();
        Mark {
            version,
            start: self.start,
        }
    }

    /// The own lane's mark once the group being written is held.
    fn own_mark_written(&self) -> Mark {
        let own = self.writing.as_deref().and_then(|group| group.first());
        own.filter(|interval| interval.lane == self.id)
            .map_or_else(|| self.held(self.id), |interval| interval.to)
    }

    fn is_own_clean(&self) -> bool {
        self.heads.is_clean() && self.own_records.is_clean()
    }

    /// The own lane's interval of this commit: every dirty record, under one new version.
    fn commit_own(&mut self) -> Option<Interval> {
        if self.is_own_clean() {
            return None;
        }
        let (after, to) = (self.held(self.id), self.next_mark());
        let starts = if after.start == to.start {
            Vec::new()
        } else {
            [(to.version, to.start)].into()
        };
        let own = &self.lanes[&self.id].records;
        let (records, needs) = self.own_records.commit(own, to.version);
        Some(Interval {
            lane: self.id,
            after,
            to,
            starts,
            sums: self.heads.commit(to.version),
            records,
            needs,
        })
    }

    /// The lane's history as it will be once everything received is held.
    fn expected(&self, lane: ReplicaId) -> &History {
        let held = || self.lanes.get(&lane).map(|lane| &lane.history);
        let expected = self.pending.get(&lane).or_else(held);
        expected.unwrap_or(&UNWRITTEN)
    }

    /// Applies an interval that is durable and continues its lane.
    fn hold(&mut self, interval: &Interval) {
        let touched = self.begin_touching(interval);
        let lane = self.lanes.entry(interval.lane).or_insert_with(Lane::empty);
        match &mut self.following {
            None => lane.apply(interval),
            Some(following) => following.apply(self.id, lane, interval, &self.catalogue),
        }
        self.end_touching(touched);
    }
}

/// Whether a value, with what is taken and not yet durable, may become larger (or smaller) by so
/// much.
fn check_range(value: i128, pending: i128, amount: Sum) -> Result<(), AddError> {
    let would_be = value.saturating_add(pending).saturating_add(amount.value());
    let moves_out = (would_be > i128::from(i64::MAX) && amount.value() > 0)
        || (would_be < i128::from(i64::MIN) && amount.value() < 0);
    if moves_out {
        return Err(AddError::ValueOutOfRange {
            value,
            pending,
            would_be,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane may have had thousands of starts, and each of its intervals is compared with them.
    #[test]
    fn what_is_expected_of_a_lane_is_not_copied() {
        let mut replica = Replica::new(ReplicaId::new(1), StartId::new(1));
        let counter = replica.counter(&"likes".parse().expect("a name"));
        replica.take(counter, Sum::of(1));
        replica.commit().expect("something was taken");
        replica.synced();
        let held = &replica.lanes[&replica.id].history;
        assert!(core::ptr::eq(replica.expected(replica.id), held));
    }
}
