//! A lane's history: how far it is known, and which starts of its owner wrote which versions.
//!
//! Versions alone cannot tell a lane from its fork: an owner whose directory was rolled back from
//! version 5 to 3 soon writes another 4 and another 5. But every process start draws a random
//! [`StartId`] and writes it into the lane with its first commit, so two histories that part at
//! some version name different starts from there on. Comparing one [`Mark`] finds it.

use alloc::vec::Vec;

use crate::{Fork, Interval, Mark, ReceiveError, ReplicaId, StartId, Version};

/// The known part of a lane's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    mark: Mark,
    /// The first version of each start, oldest first. One entry a process start with commits.
    starts: Vec<(Version, StartId)>,
}

/// The history of a lane that nobody has written.
pub(crate) static UNWRITTEN: History = History {
    mark: Mark::ZERO,
    starts: Vec::new(),
};

impl History {
    /// How far the lane is known.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// The point of this history at `version`, or its end where that comes first.
    pub(crate) fn at(&self, version: Version) -> Mark {
        let version = version.min(self.mark.version);
        Mark {
            version,
            start: start_at(&self.starts, version).unwrap_or(StartId::NONE),
        }
    }

    /// Starts whose first version lies after `version`, oldest first.
    pub(crate) fn starts_after(&self, version: Version) -> Vec<(Version, StartId)> {
        let known = self.starts.partition_point(|&(first, _)| first <= version);
        self.starts[known..].to_vec()
    }

    /// Whether `seen`, a mark that another replica holds, lies on this history or beyond its end.
    pub(crate) fn admits(&self, lane: ReplicaId, seen: Mark) -> Result<(), Fork> {
        let held = self.at(seen.version);
        if seen.version <= self.mark.version && held.start != seen.start {
            return Err(Fork { lane, held, seen });
        }
        Ok(())
    }

    /// Whether the interval continues this history (`true`), or tells nothing new (`false`).
    pub(crate) fn continues<C>(&self, interval: &Interval<C>) -> Result<bool, ReceiveError> {
        let Interval {
            lane, after, to, ..
        } = *interval;
        if after.version > self.mark.version {
            let held = self.mark.version;
            return Err(ReceiveError::Gap {
                lane,
                after: after.version,
                held,
            });
        }
        self.admits(lane, after)?;
        self.admits(lane, to)?;
        if to.version <= self.mark.version {
            return Ok(false);
        }
        let start = start_at(&interval.starts, self.mark.version).unwrap_or(after.start);
        if start != self.mark.start {
            let seen = Mark {
                version: self.mark.version,
                start,
            };
            return Err(Fork {
                lane,
                held: self.mark,
                seen,
            }
            .into());
        }
        Ok(true)
    }

    /// Moves to the interval's end. The interval [`continues`](Self::continues) this history.
    pub(crate) fn advance<C>(&mut self, interval: &Interval<C>) {
        let held = self.mark.version;
        self.starts
            .extend(interval.starts.iter().filter(|&&(first, _)| first > held));
        self.mark = interval.to;
    }

    /// Panics when the history contradicts itself.
    pub(crate) fn assert_invariants(&self) {
        let Self { mark, starts } = self;
        let last = starts.last().map_or(StartId::NONE, |&(_, start)| start);
        assert_eq!(last, mark.start, "the last start wrote the mark");
        assert!(
            starts.is_sorted_by(|a, b| a.0 < b.0),
            "each start begins after the last one"
        );
        let within = |&(first, _): &(Version, _)| Version::ZERO < first && first <= mark.version;
        assert!(
            starts.iter().all(within),
            "each start begins within the lane"
        );
    }
}

/// The start that wrote `version`, as far as `starts` (oldest first) tells.
fn start_at(starts: &[(Version, StartId)], version: Version) -> Option<StartId> {
    let known = starts.partition_point(|&(first, _)| first <= version);
    known.checked_sub(1).map(|last| starts[last].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complaint::complaint;

    const FIRST: StartId = StartId::new(7);
    const SECOND: StartId = StartId::new(8);

    fn history(version: u64, starts: [(u64, StartId); 2]) -> History {
        let mark = Mark {
            version: Version::new(version),
            start: SECOND,
        };
        let starts = starts.map(|(first, start)| (Version::new(first), start));
        History {
            mark,
            starts: starts.into(),
        }
    }

    #[test]
    fn a_history_that_contradicts_itself_is_found() {
        let found = |history: History| complaint(|| history.assert_invariants());
        assert_eq!(found(history(3, [(1, FIRST), (3, SECOND)])), None);
        for (what, history) in [
            (
                "the last start wrote",
                history(3, [(1, SECOND), (3, FIRST)]),
            ),
            ("after the last one", history(3, [(2, FIRST), (2, SECOND)])),
            ("within the lane", history(3, [(0, FIRST), (3, SECOND)])),
            ("within the lane", history(3, [(1, FIRST), (4, SECOND)])),
        ] {
            let complaint = found(history.clone()).unwrap_or_default();
            assert!(complaint.contains(what), "{history:?}: {complaint}");
        }
    }
}
