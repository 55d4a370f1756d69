//! The sessions that a home keeps open: so many at most, and the longest idle goes.
//!
//! A home that forgot nothing would have to remember every session that a client ever left behind.
//! So it closes the one that was idle longest when there are too many, and learns from its own lane,
//! as that becomes durable, which are used, which are closed, and which are forgotten. What is closed
//! waits until others have heard of it, for ever where one of them never comes back; that has a bound
//! too, and at it no session is opened.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::ops::Bound::Included;

use crdt_core::{Interval, RecordContent, RecordKey, ReplicaId, SessionId, StartId};
use thiserror::Error;

use crate::{ShardIndex, Time};

/// Sessions that a home keeps open: some megabytes, and many times what a node has connections.
pub const SESSIONS_MAX: usize = 65_536;

/// Closed sessions that a home remembers while others have not heard of them: about what it keeps
/// open, so that all of them can be closed while another node is away.
pub const CLOSED_SESSIONS_MAX: usize = 65_536;

/// How exactly it is known when a session was used last: noting it more often costs, and tells
/// nothing.
const IDLE_RESOLUTION_US: u64 = 1_000_000;

/// Too many closed sessions wait for other replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{closed} closed sessions of this node are remembered, since other replicas have not heard of \
     their closing; no more are opened until they have. The node's status names those replicas: start \
     them again, or declare them gone (tally member gone)"
)]
pub struct SessionsExhausted {
    /// How many there are.
    pub closed: usize,
}

/// The sessions of one home.
#[derive(Clone, Debug)]
pub struct OpenSessions {
    home: ReplicaId,
    start: StartId,
    /// How many were opened in this start.
    opened: u64,
    sessions_max: usize,
    closed_max: usize,
    last_use: BTreeMap<SessionId, Time>,
    by_last_use: BTreeSet<(Time, SessionId)>,
    /// Closed and not forgotten, as shard 0 has it.
    closed: BTreeSet<SessionId>,
}

impl OpenSessions {
    /// Those of a process that has opened none, with the usual bounds.
    #[must_use]
    pub fn new(home: ReplicaId, start: StartId) -> Self {
        Self::with_bounds(home, start, SESSIONS_MAX, CLOSED_SESSIONS_MAX)
    }

    fn with_bounds(
        home: ReplicaId,
        start: StartId,
        sessions_max: usize,
        closed_max: usize,
    ) -> Self {
        Self {
            home,
            start,
            opened: 0,
            sessions_max,
            closed_max,
            last_use: BTreeMap::new(),
            by_last_use: BTreeSet::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Whether as many closed sessions are remembered as may be. Until that changes no session is
    /// opened.
    ///
    /// # Errors
    ///
    /// When it is so.
    pub fn has_room(&self) -> Result<(), SessionsExhausted> {
        if self.closed.len() < self.closed_max {
            return Ok(());
        }
        Err(SessionsExhausted {
            closed: self.closed.len(),
        })
    }

    /// Whether requests of a session are taken: while there is [no room](Self::has_room), only those
    /// of sessions that are open.
    ///
    /// # Errors
    ///
    /// When they are not.
    pub fn admits(&self, session: SessionId) -> Result<(), SessionsExhausted> {
        if self.last_use.contains_key(&session) {
            return Ok(());
        }
        self.has_room()
    }

    /// Opens a session.
    ///
    /// # Errors
    ///
    /// When there is [no room](Self::has_room).
    pub fn open(&mut self, now: Time) -> Result<SessionId, SessionsExhausted> {
        self.has_room()?;
        let session = SessionId {
            home: self.home,
            start: self.start,
            count: self.opened,
        };
        self.opened += 1;
        self.used(session, now);
        Ok(session)
    }

    /// An own session was found in a shard at the start of the process.
    pub fn recovered(&mut self, shard: ShardIndex, session: SessionId, is_closed: bool, now: Time) {
        if is_closed {
            self.note_closed(shard, session);
        } else {
            self.used(session, now);
        }
    }

    /// An interval of the own lane of a shard is held now: it tells which sessions were used, closed
    /// and forgotten.
    pub fn held(&mut self, shard: ShardIndex, own: &Interval, now: Time) {
        for record in &own.records.changed {
            match (&record.key, &record.content) {
                (&RecordKey::Session { start, count }, RecordContent::Session(mark)) => {
                    let session = self.of(start, count);
                    self.recovered(shard, session, mark.closed, now);
                }
                (&RecordKey::Gone { start, first }, &RecordContent::Gone { last }) => {
                    self.forgotten(shard, self.of(start, first), self.of(start, last));
                }
                _ => {}
            }
        }
    }

    /// The session that was idle longest, if there are more than may be: it is to be closed, and is
    /// not among the open ones any more.
    pub fn surplus(&mut self) -> Option<SessionId> {
        let is_surplus = self.last_use.len() > self.sessions_max;
        let &(_, session) = self.by_last_use.first().filter(|_| is_surplus)?;
        self.leave(session);
        Some(session)
    }

    /// Sessions that are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.last_use.len()
    }

    /// Sessions that are closed and not forgotten.
    #[must_use]
    pub fn closed_count(&self) -> usize {
        self.closed.len()
    }

    fn of(&self, start: StartId, count: u64) -> SessionId {
        SessionId {
            home: self.home,
            start,
            count,
        }
    }

    fn used(&mut self, session: SessionId, now: Time) {
        if let Some(&before) = self.last_use.get(&session) {
            if now.us().saturating_sub(before.us()) < IDLE_RESOLUTION_US {
                return;
            }
            self.by_last_use.remove(&(before, session));
        }
        self.last_use.insert(session, now);
        self.by_last_use.insert((now, session));
    }

    fn note_closed(&mut self, shard: ShardIndex, session: SessionId) {
        self.leave(session);
        if shard == 0 {
            self.closed.insert(session);
        }
    }

    fn forgotten(&mut self, shard: ShardIndex, first: SessionId, last: SessionId) {
        let range = (Included(first), Included(last));
        let open = self.last_use.range(range).map(|(&session, _)| session);
        let open: Vec<SessionId> = open.collect();
        for session in open {
            self.leave(session);
        }
        if shard == 0 {
            let closed: Vec<SessionId> = self.closed.range(range).copied().collect();
            for session in closed {
                self.closed.remove(&session);
            }
        }
    }

    fn leave(&mut self, session: SessionId) {
        if let Some(last_use) = self.last_use.remove(&session) {
            self.by_last_use.remove(&(last_use, session));
        }
    }
}

#[cfg(test)]
mod tests;
