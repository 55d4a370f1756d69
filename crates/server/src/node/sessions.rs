//! Sessions of this node, and requests of any: which are open and which are closed is decided by
//! [`OpenSessions`], what counts by [`Adds::take_request`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crdt_core::{Group, Replica, ReplicaId, SessionId};
use protocol::{
    Adds, NotWritable, OpenSessions, RequestHead, RequestReceipt, RequestRefusal, Round,
    SessionError, SessionToken, SessionsExhausted, ShardIndex, Shards as _, TakeError, Time, Token,
};

use super::{Node, NodeIdentity};

/// Sessions closed at a time for others: each goes through all shards, and the commit thread does
/// it.
const SURPLUS_CLOSED_AT_ONCE: usize = 64;

/// The sessions whose home this node is.
#[derive(Debug)]
pub(super) struct Sessions {
    open: Mutex<OpenSessions>,
    /// Whether only sessions that are open may be used, so that a request rarely needs the lock.
    is_exhausted: AtomicBool,
}

/// What an operator is told of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionsState {
    /// Sessions that are open.
    pub open: usize,
    /// Sessions that are closed and not forgotten.
    pub closed: usize,
    /// How many of these wait for each replica.
    pub awaited: Vec<(ReplicaId, usize)>,
    /// Claims held, by home.
    pub claims: BTreeMap<ReplicaId, u64>,
}

/// Why a session is not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenSessionError {
    /// The node takes no requests.
    #[error(transparent)]
    NotWritable(#[from] NotWritable),
    /// Too many closed sessions wait for other replicas.
    #[error(transparent)]
    Exhausted(#[from] SessionsExhausted),
}

impl Sessions {
    /// Those that a process finds when it starts.
    pub(super) fn recovered(identity: &NodeIdentity, replicas: &[Replica], now: Time) -> Self {
        let mut open = OpenSessions::new(identity.replica, identity.start);
        for (shard, replica) in (0..).zip(replicas) {
            for (session, mark) in replica.own_sessions() {
                open.recovered(shard, session, mark.closed, now);
            }
        }
        Self {
            is_exhausted: AtomicBool::new(open.has_room().is_err()),
            open: Mutex::new(open),
        }
    }

    fn open(&self) -> MutexGuard<'_, OpenSessions> {
        // What a panic left half changed is a bound that is off by one.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// Opens a session.
    ///
    /// # Errors
    ///
    /// When the node takes no requests, or has no room for sessions.
    pub fn open_session(&self) -> Result<SessionToken, OpenSessionError> {
        self.ensure_writable()?;
        let session = self.sessions.open().open(self.clock.now())?;
        self.close_surplus();
        Ok(SessionToken {
            cluster: self.identity.cluster_hash(),
            session,
        })
    }

    /// The session that these bytes name.
    ///
    /// # Errors
    ///
    /// When they name none of this cluster.
    pub fn parse_session(&self, bytes: &[u8]) -> Result<SessionId, SessionError> {
        SessionToken::parse(bytes, self.identity.cluster_hash())
    }

    /// Closes a session of this home in all shards; the round that makes it durable.
    ///
    /// # Errors
    ///
    /// When the node's own lane takes nothing more.
    ///
    /// # Panics
    ///
    /// When this node is not the session's home.
    pub fn close_session(
        &self,
        session: SessionId,
        all_is_answered: bool,
    ) -> Result<Round, NotWritable> {
        self.ensure_writable()?;
        Ok(self.close_in_all_shards(session, all_is_answered))
    }

    fn close_in_all_shards(&self, session: SessionId, all_is_answered: bool) -> Round {
        let close = |shard| self.with(shard, |it| it.close_session(session, all_is_answered));
        let rounds = self.indices().into_iter().map(close);
        let round = rounds.fold(Round::NONE, Round::max);
        self.wake();
        round
    }

    /// Takes adds as a request of a session, or tells that it counts already. What is returned may
    /// be told once its round is complete.
    ///
    /// # Errors
    ///
    /// When it does not count, or not all of it.
    pub fn take_request(
        &self,
        adds: &mut Adds,
        head: &RequestHead,
    ) -> Result<RequestReceipt, RequestRefusal> {
        self.ensure_writable()
            .map_err(|error| protocol::RequestError::from(TakeError::from(error)).at_once())?;
        self.admit(head.id.session)
            .map_err(|error| protocol::RequestError::from(error).at_once())?;
        let taken = adds.take_request(self, head, self.shard_counters_max());
        // A refusal may be for good, which is written as well.
        self.wake();
        taken
    }

    /// Whether the node has room for what requests of a session leave behind.
    ///
    /// # Errors
    ///
    /// When it has not.
    pub fn admit(&self, session: SessionId) -> Result<(), SessionsExhausted> {
        let is_home = session.home == self.identity.replica;
        if is_home && self.sessions.is_exhausted.load(Ordering::Relaxed) {
            return self.sessions.open().admits(session);
        }
        Ok(())
    }

    /// The token of a request.
    #[must_use]
    pub fn request_token(&self, receipt: &RequestReceipt) -> Token {
        Token::of_request(self.identity.cluster_hash(), receipt)
    }

    /// What was held just now of the own lane, with which sessions were used, closed, forgotten.
    pub(super) fn note_sessions(&self, groups: &[(ShardIndex, Group)]) {
        let own = groups.iter().filter_map(|(shard, group)| {
            let first = group.first().filter(|it| it.lane == self.identity.replica);
            first.map(|own| (*shard, own))
        });
        let mut own = own.filter(|(_, own)| !own.records.is_empty()).peekable();
        if own.peek().is_none() {
            return;
        }
        let now = self.clock.now();
        let mut open = self.sessions.open();
        for (shard, own) in own {
            open.held(shard, own, now);
        }
        let is_exhausted = open.has_room().is_err();
        drop(open);
        self.sessions
            .is_exhausted
            .store(is_exhausted, Ordering::Relaxed);
        self.close_surplus();
    }

    /// Closes the sessions that were idle longest, where there are too many.
    fn close_surplus(&self) {
        for _ in 0..SURPLUS_CLOSED_AT_ONCE {
            let Some(session) = self.sessions.open().surplus() else {
                return;
            };
            self.close_in_all_shards(session, false);
        }
    }

    // Who is known.

    /// A peer at a configured address has introduced itself.
    pub fn meet(&self, peer: ReplicaId, address: &str) {
        self.change_standing(|standing| standing.meet(peer));
        let addresses = self.addresses.write();
        let mut addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        addresses.insert(peer, address.to_owned());
        drop(addresses);
        self.know(peer);
    }

    /// Where a peer was found, as "host:port"; `None` when it was never reached from here.
    #[must_use]
    pub fn address_of(&self, peer: ReplicaId) -> Option<String> {
        let addresses = self.addresses.read();
        let addresses = addresses.unwrap_or_else(PoisonError::into_inner);
        addresses.get(&peer).cloned()
    }

    /// Notes in all shards that this node knows a replica: that one may take requests of sessions of
    /// this home from then on, and is waited for before a session is forgotten.
    pub fn know(&self, replica: ReplicaId) {
        if self.ensure_writable().is_err() {
            return;
        }
        let know = |shard: &ShardIndex| self.with(*shard, |it| it.know(replica)).is_some();
        if self.indices().iter().filter(|&shard| know(shard)).count() > 0 {
            self.wake();
        }
    }

    /// The same of somebody who has dialled this node; whether it is known. A stranger is not: anybody
    /// can make up an id, and it would be waited for.
    pub fn know_acquaintance(&self, replica: ReplicaId) -> bool {
        let standing = self.standing.read().unwrap_or_else(PoisonError::into_inner);
        let is_acquainted = standing.is_acquainted(self, replica);
        drop(standing);
        if is_acquainted {
            self.know(replica);
        }
        is_acquainted
    }

    /// A replica never comes back, as an operator promises; the round that makes it durable that
    /// nothing waits for it here. `None` when this node does not know it.
    ///
    /// # Errors
    ///
    /// When the node's own lane takes nothing more.
    pub fn forget_replica(&self, replica: ReplicaId) -> Result<Option<Round>, NotWritable> {
        self.ensure_writable()?;
        let forget = |shard| self.with(shard, |it| it.forget_replica(replica));
        let round = self.indices().into_iter().filter_map(forget).max();
        self.wake();
        Ok(round)
    }

    /// What is to be told of sessions.
    #[must_use]
    pub fn sessions_state(&self) -> SessionsState {
        let open = self.sessions.open();
        let (open, closed) = (open.open_count(), open.closed_count());
        let mut claims: BTreeMap<ReplicaId, u64> = BTreeMap::new();
        for homes in self.each_shard(|replica| {
            let mut homes: BTreeMap<ReplicaId, u64> = BTreeMap::new();
            for (_, request) in replica.held_claims() {
                *homes.entry(request.session.home).or_default() += 1;
            }
            homes
        }) {
            for (home, found) in homes {
                *claims.entry(home).or_default() += found;
            }
        }
        SessionsState {
            open,
            closed,
            // A session is closed in all shards, so one tells for whom that waits.
            awaited: self.with(0, |shard| shard.replica().closings_awaited()),
            claims,
        }
    }
}

#[cfg(test)]
mod tests;
