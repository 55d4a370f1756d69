//! Records about sessions, as lanes have them and intervals carry them.
//!
//! They differ from sums in that they go: a claim is folded, a session is forgotten. An interval
//! carries the newest forms of records, so absence must travel too, and a form of its own for each
//! record that is gone would never end. So a lane's records lie in the order of their keys, and each
//! *gap* between two neighbours has the version at which it last lost a record: one number more than
//! there are records, however many are gone.

use alloc::vec::Vec;

use super::{RequestId, SessionId, SessionMark};
use crate::{CounterIndex, ReplicaId, StartId, Sum, Version};

/// What a record is about. The order is that of the variants, and then of their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKey {
    /// The lane's owner knows this replica: it hears of its claims, and waits for its reports.
    Knows(ReplicaId),
    /// The owner has forgotten sessions of one of its starts, from this count on.
    Gone {
        /// The start.
        start: StartId,
        /// The first count.
        first: u64,
    },
    /// The owner is the home of this session.
    Session {
        /// As [`SessionId::start`].
        start: StartId,
        /// As [`SessionId::count`].
        count: u64,
    },
    /// The owner has taken this request of another home's session, which may have taken it as well.
    Claim(RequestId),
    /// The owner holds the closing of another home's session.
    Heard(SessionId),
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordContent<C = CounterIndex> {
    /// Of [`RecordKey::Knows`].
    Knows,
    /// Of [`RecordKey::Gone`].
    Gone {
        /// The last count.
        last: u64,
    },
    /// Of [`RecordKey::Session`].
    Session(SessionMark),
    /// Of [`RecordKey::Claim`]: what the request adds here, in the order of the request.
    Claim(Vec<(C, Sum)>),
    /// Of [`RecordKey::Heard`].
    Heard,
}

/// A record with the lane version at which it got this form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionRecord<C = CounterIndex> {
    /// What it is about.
    pub key: RecordKey,
    /// When it got this form.
    pub version: Version,
    /// What it says.
    pub content: RecordContent<C>,
}

/// Between two neighbours, records have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gap {
    /// The record before it; `None` for the first gap.
    pub after: Option<RecordKey>,
    /// The record behind it; `None` for the last gap.
    pub before: Option<RecordKey>,
    /// When a record last went.
    pub version: Version,
}

/// Records that changed or went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Records<C = CounterIndex> {
    /// Changed records, in the order of their keys.
    pub changed: Vec<SessionRecord<C>>,
    /// Gaps that lost records, in order.
    pub gaps: Vec<Gap>,
}

impl<C> Default for Records<C> {
    fn default() -> Self {
        Self {
            changed: Vec::new(),
            gaps: Vec::new(),
        }
    }
}

impl<C> Records<C> {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gaps.is_empty()
    }

    /// The same records with their counters called otherwise.
    pub fn map_counters<D>(&self, mut call: impl FnMut(&C) -> D) -> Records<D> {
        let changed = self.changed.iter().map(|record| SessionRecord {
            key: record.key,
            version: record.version,
            content: record.content.map_counters(&mut call),
        });
        Records {
            changed: changed.collect(),
            gaps: self.gaps.clone(),
        }
    }

    /// Whether a key lies in one of the gaps, which are in order.
    fn lies_in_gap(&self, key: RecordKey) -> bool {
        let ends_before = |gap: &Gap| gap.before.is_some_and(|before| before <= key);
        let next = self.gaps.partition_point(ends_before);
        self.gaps.get(next).is_some_and(|gap| gap.holds(key))
    }

    /// Why these cannot be records of one lane; `None` when they can. `within` says whether a version
    /// lies in the interval that carries them.
    pub(crate) fn contradiction(&self, within: impl Fn(Version) -> bool) -> Option<&'static str> {
        let versions = self.changed.iter().map(|record| record.version);
        let mut versions = versions.chain(self.gaps.iter().map(|gap| gap.version));
        if !versions.all(within) {
            Some("a session record lies outside of it")
        } else if !self.changed.is_sorted_by(|a, b| a.key < b.key) {
            Some("its session records are not in order")
        } else if !self.gaps.iter().all(Gap::is_one) || !self.gaps.is_sorted_by(Gap::is_before) {
            Some("its gaps are not in order")
        } else if self.changed.iter().any(|it| self.lies_in_gap(it.key)) {
            Some("a session record lies in a gap")
        } else {
            self.changed.iter().find_map(SessionRecord::contradiction)
        }
    }
}

impl<C> RecordContent<C> {
    /// The same content with its counters called otherwise.
    pub fn map_counters<D>(&self, mut call: impl FnMut(&C) -> D) -> RecordContent<D> {
        match self {
            Self::Knows => RecordContent::Knows,
            Self::Gone { last } => RecordContent::Gone { last: *last },
            Self::Session(mark) => RecordContent::Session(mark.clone()),
            Self::Claim(adds) => {
                RecordContent::Claim(adds.iter().map(|(c, sum)| (call(c), *sum)).collect())
            }
            Self::Heard => RecordContent::Heard,
        }
    }
}

impl RecordKey {
    /// The replica that is known.
    pub(crate) fn knows(self) -> Option<ReplicaId> {
        if let Self::Knows(replica) = self {
            Some(replica)
        } else {
            None
        }
    }

    /// The request that is claimed.
    pub(crate) fn claim(self) -> Option<RequestId> {
        if let Self::Claim(request) = self {
            Some(request)
        } else {
            None
        }
    }

    /// The session whose closing is held.
    pub(crate) fn heard(self) -> Option<SessionId> {
        if let Self::Heard(session) = self {
            Some(session)
        } else {
            None
        }
    }
}

impl<C> SessionRecord<C> {
    fn contradiction(&self) -> Option<&'static str> {
        match (&self.key, &self.content) {
            (RecordKey::Session { .. }, RecordContent::Session(mark)) => mark.contradiction(),
            (RecordKey::Gone { first, .. }, RecordContent::Gone { last }) if first > last => {
                Some("a range of forgotten sessions ends before it begins")
            }
            (RecordKey::Claim(request), RecordContent::Claim(_)) if request.number == 0 => {
                Some("a claim of request 0")
            }
            (RecordKey::Knows(_), RecordContent::Knows)
            | (RecordKey::Gone { .. }, RecordContent::Gone { .. })
            | (RecordKey::Claim(_), RecordContent::Claim(_))
            | (RecordKey::Heard(_), RecordContent::Heard) => None,
            _ => Some("a session record says what belongs to another kind"),
        }
    }
}

impl Gap {
    /// Whether a record with this key would lie in it.
    #[must_use]
    pub fn holds(&self, key: RecordKey) -> bool {
        self.after.is_none_or(|after| after < key) && self.before.is_none_or(|before| key < before)
    }

    fn is_one(&self) -> bool {
        let ends = self.after.zip(self.before);
        ends.is_none_or(|(after, before)| after < before)
    }

    fn is_before(&self, other: &Self) -> bool {
        let ends = self.before.zip(other.after);
        ends.is_some_and(|(before, after)| before <= after)
    }
}
