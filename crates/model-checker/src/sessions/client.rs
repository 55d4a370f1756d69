//! The client of a session, by its rules: it raises what was answered while it has not moved, gives
//! up on the home once, and moves only what was not answered.

use super::Rules;
use crate::mutation::Mutation;

/// What the client of the session knows and has done. Request n is bit n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Requests of which it was told that they count.
    pub answered: u8,
    /// Requests that were refused for good.
    pub refused: u8,
    /// Requests that it has moved.
    pub moved: u8,
    /// All below this was answered, as it tells the home.
    pub answered_below: u64,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            answered: 0,
            refused: 0,
            moved: 0,
            answered_below: 1,
        }
    }
}

/// A request among others.
pub(super) fn bit(number: u64) -> u8 {
    1 << number
}

impl Client {
    /// Whether it knows the fate of a request.
    pub(super) fn is_done(&self, number: u64) -> bool {
        (self.answered | self.refused) & bit(number) != 0
    }

    pub(super) fn has_moved(&self, number: u64) -> bool {
        self.moved & bit(number) != 0
    }

    /// Whether it has given up on the home.
    pub(super) fn is_moved(&self) -> bool {
        self.moved != 0
    }

    pub(super) fn hear_answer(&mut self, number: u64, requests: u64, rules: &Rules) {
        self.answered |= bit(number);
        self.raise(requests, rules);
    }

    pub(super) fn hear_refusal(&mut self, number: u64, requests: u64, rules: &Rules) {
        self.refused |= bit(number);
        self.raise(requests, rules);
    }

    /// From now on the home gets nothing new.
    pub(super) fn give_up(&mut self, requests: u64) {
        let open = (1..=requests).filter(|&number| !self.is_done(number));
        self.moved = open.fold(0, |moved, number| moved | bit(number));
    }

    fn raise(&mut self, requests: u64, rules: &Rules) {
        if self.is_moved() && !rules.breaks(Mutation::AnsweredAfterMove) {
            return;
        }
        let done = |number: &u64| self.is_done(*number);
        let mut numbers = 1..=requests;
        self.answered_below = if rules.breaks(Mutation::AnsweredToTheHighest) {
            numbers.rfind(done).unwrap_or(0) + 1
        } else {
            numbers.find(|it| !done(it)).unwrap_or(requests + 1)
        };
    }
}
