//! Which records explain that two nodes hold different things of a lane.
//!
//! Both give the lane's records in the order of their counters' names, a page at a time; the lane
//! moves on between the pages, and each page says at which mark it was read. A record that changed
//! last at a version that *both* had passed when it was read is the same on both, or one of them is
//! wrong; one that has changed since on either side has lost the form that would have to be
//! compared, and is counted as undecided. One page of each side is held at a time.

use alloc::{collections::VecDeque, vec::Vec};

use crdt_core::{CounterName, Fingerprint, HashName, Mark, RecordHash, Total, Version};

/// What a lane says of a counter, and since which version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordState {
    /// The version at which it changed last; 0 where there is no record.
    pub version: Version,
    /// What it says.
    pub total: Total,
}

/// Some of a lane's records, in the order of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPage {
    /// How far the lane was held when they were read.
    pub mark: Mark,
    /// The records.
    pub records: Vec<(CounterName, RecordState)>,
    /// The page has all records up to this name; nothing: up to the end.
    pub until: Option<CounterName>,
}

/// One of the two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one in front.
    One,
    /// The other one.
    Other,
}

/// A counter of which the two say different things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDifference {
    /// The counter.
    pub counter: CounterName,
    /// What the one in front says.
    pub one: RecordState,
    /// What the other one says.
    pub other: RecordState,
}

/// What came of the comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordSummary {
    /// Counters whose records were compared.
    pub compared: u64,
    /// Counters that have changed meanwhile.
    pub undecided: u64,
    /// The sum of the records read on each side: the lane's fingerprint, if it did not move.
    pub sums: [Fingerprint; 2],
}

#[derive(Clone, Debug, Default)]
struct Reading {
    mark: Mark,
    records: VecDeque<(CounterName, RecordState)>,
    /// Up to where it was read.
    until: Option<CounterName>,
    is_last: bool,
}

impl Reading {
    fn covers(&self, name: &CounterName) -> bool {
        self.is_last || self.until.as_ref().is_some_and(|until| name <= until)
    }

    /// The next record, if it is that of the counter.
    fn take(&mut self, name: &CounterName) -> RecordState {
        let is_next = self.records.front().is_some_and(|(next, _)| next == name);
        let record = is_next.then(|| self.records.pop_front()).flatten();
        record.map(|(_, state)| state).unwrap_or_default()
    }
}

/// The comparison of one lane on two nodes, record by record.
#[derive(Clone, Debug)]
pub struct RecordComparison {
    hash_name: HashName,
    sides: [Reading; 2],
    summary: RecordSummary,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordEffect {
    /// Read the page that comes after this name (or the first one).
    Read(Side, Option<CounterName>),
    /// Tell of this difference.
    Differs(RecordDifference),
    /// It is done.
    End(RecordSummary),
}

impl RecordComparison {
    /// Nothing is read yet; names are hashed as the nodes do it.
    #[must_use]
    pub fn new(hash_name: HashName) -> Self {
        Self {
            hash_name,
            sides: <[Reading; 2]>::default(),
            summary: RecordSummary::default(),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> RecordEffect {
        loop {
            let next = self
                .sides
                .iter()
                .filter_map(|side| side.records.front().map(|(name, _)| name))
                .min();
            let lagging = self.sides.iter().position(|side| match next {
                Some(name) => !side.covers(name),
                None => !side.is_last,
            });
            if let Some(place) = lagging {
                let side = [Side::One, Side::Other][place];
                return RecordEffect::Read(side, self.sides[place].until.clone());
            }
            let Some(name) = next.cloned() else {
                return RecordEffect::End(self.summary);
            };
            if let Some(difference) = self.compare(name) {
                return RecordEffect::Differs(difference);
            }
        }
    }

    fn compare(&mut self, counter: CounterName) -> Option<RecordDifference> {
        let [one, other] = self.sides.each_mut().map(|side| side.take(&counter));
        for (sum, state) in self.summary.sums.iter_mut().zip([one, other]) {
            if state.version > Version::ZERO {
                let name = (self.hash_name)(&counter);
                sum.add(RecordHash::of_sum(name, state.version, state.total));
            }
        }
        let marks = self.sides.each_ref().map(|side| side.mark.version);
        if one.version.max(other.version) > marks[0].min(marks[1]) {
            self.summary.undecided += 1;
            return None;
        }
        self.summary.compared += 1;
        let difference = RecordDifference {
            counter,
            one,
            other,
        };
        (one != other).then_some(difference)
    }

    /// The page that was asked for. One that does not come after the page before ends that side's
    /// reading, so that nobody is asked for ever.
    pub fn page(&mut self, side: Side, page: RecordPage) {
        let reading = &mut self.sides[side as usize];
        let goes_on = page.until.is_some() && page.until > reading.until;
        *reading = Reading {
            mark: page.mark,
            records: page.records.into(),
            is_last: !goes_on,
            until: page.until,
        };
    }
}
