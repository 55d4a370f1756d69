//! The books of one session: which numbers were given, which are unanswered, and what a request
//! says of them when it is sent. It knows no nodes, connections or clocks.
//!
//! These are the rules of `proto/README.md` that are about numbers. Two of them carry the weight:
//! nothing is numbered once the home has been given up, and `answered_below` rises no more. It says
//! of all numbers below it that the home has settled them; of a request that was moved only another
//! node may have.

use std::collections::BTreeMap;

/// The requests of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Book {
    /// Numbers lie less than this above the lowest unanswered one.
    window: u64,
    next: u64,
    /// How far each request that has no answer may have come.
    unanswered: BTreeMap<u64, Reach>,
    /// Where `answered_below` has stopped, once the home was given up.
    stopped_at: Option<u64>,
}

/// How far a request may have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Nobody has it.
    Nobody,
    /// At most the home has it.
    Home,
    /// Any node may have it.
    AnyNode,
}

/// What numbering a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// The request has this number.
    Number(u64),
    /// As many are unanswered as may be; one may be numbered when the lowest is answered.
    Full,
    /// The home was given up: new requests go into a new session.
    GivenUp,
}

/// What a request says of itself and of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u64,
    pub(crate) answered_below: u64,
    pub(crate) moved: bool,
}

impl Book {
    /// A new session, of which as many requests may be unanswered; at least 1.
    pub(crate) fn new(window: u64) -> Self {
        Self {
            window,
            next: 1,
            unanswered: BTreeMap::new(),
            stopped_at: None,
        }
    }

    /// A session of which these requests were unanswered when it was saved. What was sent since,
    /// and where to, is not known: so the home counts as given up, and each request as moved.
    pub(crate) fn restored(answered_below: u64, numbers: impl IntoIterator<Item = u64>) -> Self {
        let unanswered: BTreeMap<_, _> = numbers
            .into_iter()
            .map(|number| (number, Reach::AnyNode))
            .collect();
        Self {
            window: 0,
            next: 0,
            unanswered,
            stopped_at: Some(answered_below),
        }
    }

    /// Numbers a request.
    pub(crate) fn number(&mut self) -> Numbering {
        if self.is_given_up() {
            return Numbering::GivenUp;
        }
        if !self.has_space() {
            return Numbering::Full;
        }
        let number = self.next;
        self.next += 1;
        self.unanswered.insert(number, Reach::Nobody);
        Numbering::Number(number)
    }

    /// Whether the window has space for one more.
    pub(crate) fn has_space(&self) -> bool {
        self.next.saturating_sub(self.answered_below()) < self.window
    }

    /// All requests with lower numbers were answered, and are sent no more.
    pub(crate) fn answered_below(&self) -> u64 {
        let lowest = self.unanswered.first_key_value();
        let lowest = lowest.map_or(self.next, |(&number, _)| number);
        self.stopped_at.unwrap_or(lowest)
    }

    /// What a request says that is now sent, to the home or to another node. `None` where it may not go:
    /// to the home for the first time once that was given up, to others before that, and nowhere once it
    /// is answered.
    pub(crate) fn send(&mut self, number: u64, to_home: bool) -> Option<Head> {
        let is_given_up = self.is_given_up();
        let reach = self.unanswered.get_mut(&number)?;
        let may_go = if to_home {
            !is_given_up || *reach > Reach::Nobody
        } else {
            is_given_up
        };
        if !may_go {
            return None;
        }
        let reached = if to_home { Reach::Home } else { Reach::AnyNode };
        *reach = (*reach).max(reached);
        Some(Head {
            number,
            answered_below: self.answered_below(),
            moved: !to_home,
        })
    }

    /// Notes that a request may have been sent to the home, by whoever comes after this process.
    pub(crate) fn may_be_sent(&mut self, number: u64) {
        if let Some(reach) = self.unanswered.get_mut(&number) {
            *reach = (*reach).max(Reach::Home);
        }
    }

    /// Whether anybody may have the request.
    pub(crate) fn may_count(&self, number: u64) -> bool {
        self.reach(number) > Reach::Nobody
    }

    /// Whether another node than the home may have the request, so that the home's refusal of it is
    /// not the last word.
    pub(crate) fn was_moved(&self, number: u64) -> bool {
        self.reach(number) == Reach::AnyNode
    }

    /// Notes that a request was answered, or will never be sent again by anybody.
    pub(crate) fn settle(&mut self, number: u64) {
        self.unanswered.remove(&number);
    }

    /// Gives up on the home: what is unanswered may be sent to other nodes from now on.
    pub(crate) fn give_up(&mut self) {
        self.stopped_at = Some(self.answered_below());
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Nothing is unanswered.
    pub(crate) fn is_settled(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// The unanswered requests.
    #[cfg(test)]
    fn unanswered(&self) -> impl Iterator<Item = u64> {
        self.unanswered.keys().copied()
    }

    fn reach(&self, number: u64) -> Reach {
        let reach = self.unanswered.get(&number).copied();
        reach.unwrap_or(Reach::Nobody)
    }
}

#[cfg(test)]
mod tests;
