//! What a home says of one session in one shard.

use alloc::{boxed::Box, collections::BTreeMap};

use super::{Numbers, REQUESTS_WINDOW};
use crate::ReplicaId;

/// Which requests of a session count, as far as its home decides it: in one shard.
///
/// Every part only grows, except that what lies below `answered_below` is forgotten: all of that
/// was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionMark {
    /// All requests with lower numbers were answered by the home, and the client sends them no more.
    pub answered_below: u64,
    /// Requests that the home has counted: a bit each, of the numbers from `answered_below` on. The
    /// last word is not 0. Few are open, so this is mostly one word.
    taken: Box<[u64]>,
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

/// The bits of a word.
const WORD: u64 = 64;

impl SessionMark {
    /// Requests that the home has counted, from `answered_below` on.
    #[must_use]
    pub fn taken(&self) -> Numbers {
        let is_set = |&offset: &u64| self.has_bit(offset);
        let offsets = (0..self.taken.len() as u64 * WORD).filter(is_set);
        offsets
            .filter_map(|offset| self.answered_below.checked_add(offset))
            .collect()
    }

    /// A mark that has counted these requests; `None` when one of them is answered, or lies a
    /// [window](REQUESTS_WINDOW) or more above those.
    #[must_use]
    pub fn with_taken(mut self, taken: &Numbers) -> Option<Self> {
        self.taken = Box::default();
        let first = taken.ranges().first().map(|&(first, _)| first);
        if first.is_some_and(|first| first < self.answered_below) {
            return None;
        }
        if taken
            .last()
            .is_some_and(|last| last - self.answered_below >= REQUESTS_WINDOW)
        {
            return None;
        }
        for &(first, last) in taken.ranges() {
            (first..=last).for_each(|number| self.take(number));
        }
        Some(self)
    }

    fn has_bit(&self, offset: u64) -> bool {
        let word = usize::try_from(offset / WORD)
            .ok()
            .and_then(|at| self.taken.get(at));
        word.is_some_and(|word| word >> (offset % WORD) & 1 == 1)
    }

    /// Notes that the home has counted a request, which lies less than a
    /// [window](REQUESTS_WINDOW) above the answered ones.
    pub(crate) fn take(&mut self, number: u64) {
        let Some(offset) = number.checked_sub(self.answered_below) else {
            return;
        };
        assert!(
            offset < REQUESTS_WINDOW,
            "request {number} lies outside of the window"
        );
        let at = usize::try_from(offset / WORD).expect("a few words");
        if at >= self.taken.len() {
            let mut words = core::mem::take(&mut self.taken).into_vec();
            words.resize(at + 1, 0);
            self.taken = words.into_boxed_slice();
        }
        self.taken[at] |= 1 << (offset % WORD);
    }

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
        number
            .checked_sub(self.answered_below)
            .is_none_or(|offset| self.has_bit(offset))
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
        let mut taken = self.taken();
        taken.remove_below(below);
        (self.answered_below, self.taken) = (below, Box::default());
        for &(first, last) in taken.ranges() {
            (first..=last).for_each(|number| self.take(number));
        }
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
        if is_below(lowest(&self.taken()))
            || is_below(self.void().and_then(lowest))
            || is_below(granted.keys().next().copied())
        {
            Some("a session lists a request that was answered")
        } else if granted.keys().any(|&number| self.is_taken(number)) {
            Some("a session grants what it has taken")
        } else {
            None
        }
    }
}
