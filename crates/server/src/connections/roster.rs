//! Which connections have a place, and whose place the next one gets.
//!
//! A connection is busy while a call is under way on it, a stream above all, and idle else. Busy
//! ones keep their place. When all places are taken, the connection that has been idle longest
//! makes room for a new one; when all are busy, the new one is refused.
//!
//! This decides alone: it has no socket, and is told what time it is.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::Time;

/// The bounds of a [`Roster`].
#[derive(Clone, Copy, Debug)]
pub struct RosterLimits {
    /// Connections open at a time.
    pub connections_max: usize,
    /// A connection keeps its place for so long after its last call: the answer may still be on
    /// its way.
    pub linger: Duration,
}

/// A connection, by the order of its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(u64);

/// What becomes of a connection that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<H> {
    /// There was a place.
    Admitted(ConnectionId),
    /// It has the place of another, which is to be closed. No call begins on that any more.
    InPlaceOf(ConnectionId, H),
    /// Every place is taken by a connection that keeps it.
    Refused,
}

/// The connections that have a place; `H` is how each is closed.
#[derive(Debug)]
pub struct Roster<H> {
    limits: RosterLimits,
    next: u64,
    open: BTreeMap<ConnectionId, Open<H>>,
}

#[derive(Debug)]
struct Open<H> {
    handle: H,
    calls: usize,
    idle_since: Time,
    keeps_until: Time,
}

impl<H> Open<H> {
    fn is_idle(&self, now: Time) -> bool {
        self.calls == 0 && self.keeps_until <= now
    }
}

impl<H> Roster<H> {
    /// No connection is open.
    #[must_use]
    pub fn new(limits: RosterLimits) -> Self {
        Self {
            limits,
            next: 0,
            open: BTreeMap::new(),
        }
    }

    /// A connection arrives.
    pub fn arrive(&mut self, now: Time, handle: H) -> Arrival<H> {
        let evicted = if self.open.len() < self.limits.connections_max {
            None
        } else {
            let Some(longest) = self.idle_longest(now) else {
                return Arrival::Refused;
            };
            self.open.remove(&longest)
        };
        let id = ConnectionId(self.next);
        // A connection a microsecond reaches 2^64 after 584,000 years.
        self.next += 1;
        let opened = Open {
            handle,
            calls: 0,
            idle_since: now,
            keeps_until: now,
        };
        self.open.insert(id, opened);
        match evicted {
            None => Arrival::Admitted(id),
            Some(evicted) => Arrival::InPlaceOf(id, evicted.handle),
        }
    }

    fn idle_longest(&self, now: Time) -> Option<ConnectionId> {
        let idle = self.open.iter().filter(|(_, open)| open.is_idle(now));
        let longest = idle.min_by_key(|(_, open)| open.idle_since);
        longest.map(|(&id, _)| id)
    }

    /// The process is about to end: idle connections lose their places, and are to be closed.
    pub fn evict_idle(&mut self, now: Time) -> Vec<H> {
        let idle = self.open.extract_if(.., |_, open| open.is_idle(now));
        idle.map(|(_, open)| open.handle).collect()
    }

    /// A call begins; false when the connection has no place any more, so the call must not be
    /// looked at.
    pub fn begin_call(&mut self, id: ConnectionId) -> bool {
        let open = self.open.get_mut(&id);
        open.map(|open| open.calls += 1).is_some()
    }

    /// A call that has begun ends.
    pub fn end_call(&mut self, now: Time, id: ConnectionId) {
        // A connection that its client has closed may be gone before its last call is.
        if let Some(open) = self.open.get_mut(&id) {
            open.calls -= 1;
            open.idle_since = now;
            open.keeps_until = now.after(self.limits.linger);
        }
    }

    /// A connection is closed, whoever has closed it.
    pub fn leave(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_s(s: u64) -> Time {
        Time::from_us(s * 1_000_000)
    }

    fn roster(connections_max: usize) -> Roster<&'static str> {
        Roster::new(RosterLimits {
            connections_max,
            linger: Duration::from_secs(1),
        })
    }

    fn admit(roster: &mut Roster<&'static str>, now: Time, name: &'static str) -> ConnectionId {
        let arrival = roster.arrive(now, name);
        let Arrival::Admitted(id) = arrival else {
            panic!("{name}: {arrival:?}")
        };
        id
    }

    /// Who makes room for a new connection.
    fn evicted(roster: &mut Roster<&'static str>, now: Time) -> &'static str {
        let arrival = roster.arrive(now, "new");
        let Arrival::InPlaceOf(_, name) = arrival else {
            panic!("{arrival:?}")
        };
        name
    }

    #[test]
    fn the_connection_that_is_idle_longest_makes_room() {
        let mut roster = roster(3);
        let a = admit(&mut roster, at_s(0), "a");
        admit(&mut roster, at_s(1), "b");
        admit(&mut roster, at_s(2), "c");
        // A was used last.
        assert!(roster.begin_call(a));
        roster.end_call(at_s(3), a);
        assert_eq!(evicted(&mut roster, at_s(10)), "b");
        assert_eq!(evicted(&mut roster, at_s(11)), "c");
        assert_eq!(evicted(&mut roster, at_s(12)), "a");
        assert!(!roster.begin_call(a), "it has no place any more");
        roster.leave(a);
        assert_eq!(evicted(&mut roster, at_s(12)), "new");
    }

    #[test]
    fn a_busy_connection_keeps_its_place_until_its_last_call_has_ended() {
        let mut roster = roster(1);
        let a = admit(&mut roster, at_s(0), "a");
        assert!(roster.begin_call(a));
        assert!(roster.begin_call(a));
        assert_eq!(roster.arrive(at_s(100), "b"), Arrival::Refused);
        roster.end_call(at_s(100), a);
        assert_eq!(roster.arrive(at_s(200), "b"), Arrival::Refused);
        roster.end_call(at_s(200), a);
        assert_eq!(
            roster.arrive(at_s(200), "b"),
            Arrival::Refused,
            "it lingers"
        );
        assert_eq!(evicted(&mut roster, at_s(201)), "a");
    }

    #[test]
    fn a_connection_that_never_called_does_not_linger() {
        let mut roster = roster(1);
        admit(&mut roster, at_s(5), "a");
        assert_eq!(evicted(&mut roster, at_s(5)), "a");
    }

    #[test]
    fn at_the_end_idle_connections_go_and_others_when_they_are() {
        let mut roster = roster(3);
        let busy = admit(&mut roster, at_s(0), "busy");
        let lingering = admit(&mut roster, at_s(0), "lingering");
        let idle = admit(&mut roster, at_s(0), "idle");
        assert!(roster.begin_call(busy));
        assert!(roster.begin_call(lingering));
        roster.end_call(at_s(0), lingering);
        assert_eq!(roster.evict_idle(at_s(0)), ["idle"]);
        assert!(!roster.begin_call(idle));
        assert_eq!(roster.evict_idle(at_s(1)), ["lingering"]);
        roster.end_call(at_s(1), busy);
        assert_eq!(roster.evict_idle(at_s(2)), ["busy"]);
    }

    #[test]
    fn a_closed_connection_leaves_its_place() {
        let mut roster = roster(1);
        let a = admit(&mut roster, at_s(0), "a");
        assert!(roster.begin_call(a));
        roster.leave(a);
        admit(&mut roster, at_s(0), "b");
        roster.end_call(at_s(0), a);
    }
}
