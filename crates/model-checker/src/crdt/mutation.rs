//! Mutants: the deployed state machine driven with one rule broken.
//!
//! A world in which everything holds proves little by itself: its property might be vacuous, or
//! its steps too tame. So each rule of the design has a world that breaks just that rule, around
//! the real [`Replica`], and the checker must find it. Nothing here is in `crdt-core`.

use crdt_core::{Interval, Replica, SumRecord, Sums};

/// Which rule a world breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mutation {
    /// None.
    #[default]
    None,
    /// A received sum is added to the held one instead of replacing it.
    AdditiveMerge,
    /// What is served comes from memory that no disk holds yet.
    SentBeforeDurable,
    /// A client is told "done" when the group is written, before it is synced.
    AcknowledgedBeforeSync,
    /// A restart replays what it finds in the log and does not sync it before it serves.
    ReplayedNotSynced,
    /// An interval travels in two messages, and the receiver applies each by itself.
    Piecemeal,
    /// A relay serves only the newest version's records of a foreign lane.
    RelayOmitsRecords,
    /// A sender forgets what it has sent, received or not, and receivers do not notice the gap
    /// (a delta buffer dropped on send).
    DeltaDroppedOnSend,
    /// A restart takes its own lane from a peer instead of from its disk.
    RestartFromPeer,
    /// A node whose disk was lost comes back under its old id.
    IdReused,
    /// Every start of every process has the same id, so marks are mere versions.
    StartsEqual,
    /// Both of the two above.
    IdReusedAndStartsEqual,
    /// A client that got no answer tries its add again at another node, without a request id.
    RetriedElsewhere,
}

impl Mutation {
    /// Whether a lost disk keeps its incarnation.
    pub(super) fn reuses_id(self) -> bool {
        matches!(self, Self::IdReused | Self::IdReusedAndStartsEqual)
    }

    /// Whether starts cannot be told apart.
    pub(super) fn equal_starts(self) -> bool {
        matches!(self, Self::StartsEqual | Self::IdReusedAndStartsEqual)
    }

    /// What the mutant makes of an interval that `sender` serves: the messages that travel.
    pub(super) fn on_send<C>(self, sender: &Replica, interval: Interval<C>) -> Vec<Interval<C>>
    where
        C: Clone,
    {
        let with = |sums| Interval {
            sums,
            ..interval.clone()
        };
        if self == Self::Piecemeal {
            let records = interval.sums.clone().into_records();
            return records
                .map(|record| with(Sums::from_iter([record])))
                .collect();
        }
        if self == Self::RelayOmitsRecords && interval.lane != sender.id() {
            let mut sums = interval.sums.clone();
            sums.retain(|record| record.version == interval.to.version);
            return vec![with(sums)];
        }
        vec![interval]
    }

    /// What the mutant makes of an interval before `receiver` gets it.
    pub(super) fn on_receive(self, receiver: &Replica, mut interval: Interval) -> Interval {
        let held = receiver.held(interval.lane);
        if self == Self::AdditiveMerge {
            let add = |mut record: SumRecord| {
                let held = receiver.sum_of(interval.lane, record.counter);
                record.total.incremented += held.incremented;
                record.total.decremented += held.decremented;
                record
            };
            interval.sums = interval.sums.into_records().map(add).collect();
        }
        if self == Self::DeltaDroppedOnSend && interval.after.version > held.version {
            // The gap is papered over: the interval claims to begin where the receiver is.
            let begun = (held.version.next(), interval.after.start);
            if held.start != interval.after.start {
                interval.starts.insert(0, begun);
            }
            interval.after = held;
        }
        interval
    }
}
