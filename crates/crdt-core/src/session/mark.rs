//! What a home says of one session in one shard.

use alloc::{boxed::Box, collections::BTreeMap};

use super::Numbers;
use crate::ReplicaId;

/// Which requests of a session count, as far as its home decides it: in one shard.
///
/// Every part only grows, except that what lies below `answered_below` is forgotten: all of that
/// was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionMark {
    /// All requests with lower numbers were answered by the home, and the client sends them no more.
    pub answered_below: u64,
    /// Requests that the home has counted.
    pub taken: Numbers,
    /// What few sessions have.
    rare: Option<Box<Rare>>,
    /// Whether the home takes nothing more of the session.
    pub closed: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Rare {
    void: Numbers,
    grants: BTreeMap<u64, ReplicaId>,
}

/// No grants.
static NONE: BTreeMap<u64, ReplicaId> = BTreeMap::new();

impl SessionMark {
    /// A mark with what few sessions have: the requests that the home refused for good, and those
    /// that it granted to others.
    #[must_use]
    pub fn with(mut self, void: Numbers, grants: BTreeMap<u64, ReplicaId>) -> Self {
        let is_rare = !void.is_empty() || !grants.is_empty();
        self.rare = is_rare.then(|| Box::new(Rare { void, grants }));
        self
    }

    /// Requests that the home refused for good. Another replica may still be granted one: its client
    /// never heard of the refusal then.
    #[must_use]
    pub fn void(&self) -> Option<&Numbers> {
        self.rare
            .as_deref()
            .map(|rare| &rare.void)
            .filter(|it| !it.is_empty())
    }

    /// Whether the home refused this request for good.
    #[must_use]
    pub fn is_void(&self, number: u64) -> bool {
        self.void().is_some_and(|void| void.contains(number))
    }

    /// Which request counts at which other replica.
    #[must_use]
    pub fn grants(&self) -> &BTreeMap<u64, ReplicaId> {
        self.rare.as_deref().map_or(&NONE, |rare| &rare.grants)
    }

    /// Whether the home has counted this request itself.
    #[must_use]
    pub fn is_taken(&self, number: u64) -> bool {
        number < self.answered_below || self.taken.contains(number)
    }

    /// Whether it is decided where this request counts.
    #[must_use]
    pub fn is_decided(&self, number: u64) -> bool {
        self.is_taken(number) || self.grants().contains_key(&number)
    }

    pub(crate) fn refuse(&mut self, number: u64) {
        self.rare.get_or_insert_default().void.insert(number);
    }

    pub(crate) fn grant(&mut self, number: u64, to: ReplicaId) {
        self.rare.get_or_insert_default().grants.insert(number, to);
    }

    /// Notes that everything below was answered, and forgets it; whether that was news.
    pub(crate) fn answered(&mut self, below: u64) -> bool {
        if below <= self.answered_below {
            return false;
        }
        self.answered_below = below;
        self.taken.remove_below(below);
        if let Some(rare) = &mut self.rare {
            rare.void.remove_below(below);
            rare.grants = rare.grants.split_off(&below);
            if rare.void.is_empty() && rare.grants.is_empty() {
                self.rare = None;
            }
        }
        true
    }

    /// Why no home can have written this; `None` when one can.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let lowest = |numbers: &Numbers| numbers.ranges().first().map(|&(first, _)| first);
        let is_below =
            |number: Option<u64>| number.is_some_and(|it| it < self.answered_below.max(1));
        let granted = self.grants();
        if is_below(lowest(&self.taken))
            || is_below(self.void().and_then(lowest))
            || is_below(granted.keys().next().copied())
        {
            Some("a session lists a request that was answered")
        } else if granted.keys().any(|&number| self.taken.contains(number)) {
            Some("a session grants what it has taken")
        } else {
            None
        }
    }
}
