//! Simulated time, and what is to happen in it.
//!
//! Nothing waits: the clock of the simulation jumps from one event to the next. Events of the same
//! time happen in the order in which they were planned, so a run depends on nothing but its
//! schedule.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fmt;

/// Microseconds since the schedule began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SimTime(u64);

impl SimTime {
    /// The instant that lies so many microseconds after the beginning.
    pub(crate) const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// This instant, in microseconds after the beginning.
    pub(crate) const fn us(self) -> u64 {
        self.0
    }

    /// The instant so many microseconds later.
    pub(crate) const fn after_us(self, us: u64) -> Self {
        Self(self.0 + us)
    }
}

/// In milliseconds: what a reader of a trace can picture.
impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.0 / 1000, self.0 % 1000);
        write!(f, "{ms:>5}.{us:03} ms")
    }
}

/// An event with its place in the order; the event itself is no part of the comparison.
struct Planned<E> {
    at: SimTime,
    number: u64,
    event: E,
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The events to come.
pub(crate) struct Queue<E> {
    planned: BinaryHeap<Reverse<Planned<E>>>,
    next_number: u64,
}

impl<E> Queue<E> {
    /// Nothing is planned.
    pub(crate) fn new() -> Self {
        Self {
            planned: BinaryHeap::new(),
            next_number: 0,
        }
    }

    /// Plans an event.
    pub(crate) fn plan(&mut self, at: SimTime, event: E) {
        self.planned.push(Reverse(Planned {
            at,
            number: self.next_number,
            event,
        }));
        self.next_number += 1;
    }

    /// Takes the next event, unless it lies after `until`.
    pub(crate) fn next(&mut self, until: Option<SimTime>) -> Option<(SimTime, E)> {
        let Reverse(first) = self.planned.peek()?;
        if until.is_some_and(|until| first.at > until) {
            return None;
        }
        self.planned
            .pop()
            .map(|Reverse(Planned { at, event, .. })| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_of_planning() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'c'), (2, 'a'), (5, 'd'), (2, 'b')] {
            queue.plan(SimTime::from_us(at), event);
        }
        let order: String = std::iter::from_fn(|| queue.next(None))
            .map(|(_, e)| e)
            .collect();
        assert_eq!(order, "abcd");
    }

    #[test]
    fn what_lies_after_the_limit_stays_planned() {
        let mut queue = Queue::new();
        queue.plan(SimTime::from_us(7), ());
        assert_eq!(queue.next(Some(SimTime::from_us(6))), None);
        assert_eq!(
            queue.next(Some(SimTime::from_us(7))),
            Some((SimTime::from_us(7), ()))
        );
        assert_eq!(queue.next(None), None);
    }
}
