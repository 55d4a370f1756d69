//! Requests of sessions: taken at their home, or claimed anywhere else.

use alloc::vec::Vec;

use super::{
    Replica,
    claims::{Decided, is_gone_by},
    own_records::{Stage, values},
};
use crate::{
    CLAIMED_ADDS_MAX, CounterIndex, Mark, RecordContent, RecordKey, ReplicaId, RequestId,
    SessionId, SessionMark, StartId, Sum,
};

/// Where a request stands, as one replica knows it. None of this changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// It does not count yet, as far as is known here, and may be taken.
    Open,
    /// It counts already; whoever holds this lane up to this mark knows so. Where that is the own
    /// lane, the mark may not be durable yet.
    Counted {
        /// The lane.
        lane: ReplicaId,
        /// How far.
        mark: Mark,
    },
    /// Its home refused it for good, or will have once the own lane has reached this mark.
    Refused(Mark),
    /// The session is closed, or forgotten: whether the request counts is not known here.
    Closed,
    /// The session's home does not know this replica, as far as is known here, so it may not claim.
    UnknownToHome,
}

impl Replica {
    /// Where a request stands here, by all that was taken or is held.
    #[must_use]
    pub fn request(&self, request: RequestId) -> RequestState {
        let RequestId { session, number } = request;
        if session.home == self.id {
            return self.request_at_home(session, number);
        }
        let (claim, stage) = self.own(RecordKey::Claim(request));
        if claim.is_some() {
            return RequestState::Counted {
                lane: self.id,
                mark: self.mark_of(stage),
            };
        }
        let counted = RequestState::Counted {
            lane: session.home,
            mark: self.held(session.home),
        };
        match self.decided(session) {
            Decided::Gone => RequestState::Closed,
            Decided::Mark(mark) if mark.is_decided(number) => counted,
            Decided::Mark(mark) if mark.closed => RequestState::Closed,
            _ if !self.is_known_by(session.home) => RequestState::UnknownToHome,
            Decided::Mark(_) | Decided::Nothing => RequestState::Open,
        }
    }

    fn request_at_home(&self, session: SessionId, number: u64) -> RequestState {
        let (mark, stage) = self.own_mark(session.start, session.count);
        let counted = RequestState::Counted {
            lane: self.id,
            mark: self.mark_of(stage),
        };
        match mark {
            Some(mark) if mark.is_decided(number) => counted,
            Some(mark) if mark.is_void(number) => RequestState::Refused(self.mark_of(stage)),
            Some(mark) if mark.closed => RequestState::Closed,
            None if self.is_gone(session.start, session.count) => RequestState::Closed,
            Some(_) | None => RequestState::Open,
        }
    }

    /// Counts a request that is [open](RequestState::Open), and of which each add was
    /// [checked](Self::check): at its home as taken, anywhere else as a claim. It is durable once
    /// the own lane has reached the returned mark. `answered_below` matters at the home alone: all
    /// requests below it were answered. A client that says so of this request, which it still sends,
    /// is believed up to this request only.
    ///
    /// # Panics
    ///
    /// When this replica did not give an index, or the request lies a
    /// [window](crate::REQUESTS_WINDOW) or more above the answered ones.
    pub fn take_request(
        &mut self,
        request: RequestId,
        answered_below: u64,
        adds: &[(CounterIndex, Sum)],
    ) -> Mark {
        let RequestId { session, number } = request;
        if session.home == self.id {
            for &(counter, sum) in adds {
                self.take(counter, sum);
            }
            self.change_mark(session, |mark| {
                mark.answered(answered_below.min(number));
                mark.take(number);
            });
        } else {
            for (counter, value) in values(adds) {
                assert!(
                    counter.as_usize() < self.catalogue.len(),
                    "an index that this replica gave"
                );
                self.own_records.reserve(counter, value);
            }
            self.own_records.claim(request, adds.to_vec());
        }
        self.next_mark()
    }

    /// Refuses an open request for good, at its home: a late copy of it is refused as well.
    /// `answered_below` is as in [`take_request`](Self::take_request). The refusal may be told once
    /// the own lane has reached the returned mark.
    ///
    /// # Panics
    ///
    /// When this is not the session's home.
    pub fn refuse_request(&mut self, request: RequestId, answered_below: u64) -> Mark {
        let RequestId { session, number } = request;
        assert_eq!(
            session.home, self.id,
            "the home of a session refuses its requests"
        );
        self.change_mark(session, |mark| {
            mark.answered(answered_below.min(number));
            mark.refuse(number);
        });
        self.next_mark()
    }

    /// Closes a session at its home, which takes nothing more of it. Where `all_is_answered`, its
    /// client knows the fate of all that it sent, and has moved nothing: then it is forgotten at
    /// once. Otherwise that waits until all replicas that the home knows have heard of the closing.
    ///
    /// A home closes a session in all of its shards.
    ///
    /// # Panics
    ///
    /// When this is not the session's home.
    pub fn close_session(&mut self, session: SessionId, all_is_answered: bool) -> Mark {
        assert_eq!(session.home, self.id, "the home of a session closes it");
        let (start, count) = (session.start, session.count);
        if self.is_gone(start, count) {
            return self.next_mark_if_taken();
        }
        let mark = self.own_mark(start, count).0;
        let has_moved = mark.is_some_and(|mark| !mark.grants().is_empty())
            || self
                .lanes
                .values()
                .any(|lane| lane.claims_of(session).next().is_some());
        if all_is_answered && !has_moved {
            self.forget(start, count);
        } else if mark.is_none_or(|mark| !mark.closed) {
            self.change_mark(session, |mark| mark.closed = true);
            self.due.insert(session);
        }
        self.next_mark_if_taken()
    }

    /// Notes, in the own lane, that this replica knows another one: it may claim requests of own
    /// sessions from then on, and is waited for when one is forgotten. The mark with which that is
    /// durable, where it is news.
    pub fn know(&mut self, replica: ReplicaId) -> Option<Mark> {
        let key = RecordKey::Knows(replica);
        if replica == self.id || self.own(key).0.is_some() {
            return None;
        }
        self.own_records.put(key, RecordContent::Knows);
        Some(self.next_mark())
    }

    /// An operator has promised that a replica never comes back: the own lane forgets it, and waits
    /// for it no more. The mark with which that is durable, where it was known.
    pub fn forget_replica(&mut self, replica: ReplicaId) -> Option<Mark> {
        let key = RecordKey::Knows(replica);
        self.own(key).0?;
        self.own_records.remove(key);
        let sessions: Vec<_> = self.own_sessions().map(|(session, _)| session).collect();
        self.due.extend(sessions);
        Some(self.next_mark())
    }

    /// Whether the lane of a session's home, as it is held, says that the home knows this replica.
    #[must_use]
    pub fn is_known_by(&self, home: ReplicaId) -> bool {
        let home = self.lanes.get(&home);
        home.is_some_and(|home| home.records.get(RecordKey::Knows(self.id)).is_some())
    }

    /// Whether a claim of so many adds more can be taken: see [`CLAIMED_ADDS_MAX`].
    #[must_use]
    pub fn has_room_for_claim(&self, adds: usize) -> bool {
        let held = self.lanes[&self.id].records.claimed_adds();
        let claimed = held.saturating_add_signed(self.own_records.more_claimed_adds());
        claimed.saturating_add(adds.max(1)) <= CLAIMED_ADDS_MAX
    }

    /// Sessions of this home that are held and not forgotten, with what it says of each.
    pub fn own_sessions(&self) -> impl Iterator<Item = (SessionId, &SessionMark)> {
        let home = self.id;
        let first = RecordKey::Session {
            start: StartId::NONE,
            count: 0,
        };
        let records = self.lanes[&home].records.from(first);
        records.map_while(move |(key, content)| match (key, content) {
            (RecordKey::Session { start, count }, RecordContent::Session(mark)) => {
                Some((SessionId { home, start, count }, mark))
            }
            _ => None,
        })
    }

    /// Claims that are held and not settled: the replica that claims, and the request.
    pub fn held_claims(&self) -> impl Iterator<Item = (ReplicaId, RequestId)> {
        let first = RecordKey::Claim(RequestId {
            session: SessionId {
                home: ReplicaId::new(0),
                start: StartId::NONE,
                count: 0,
            },
            number: 0,
        });
        self.lanes.iter().flat_map(move |(&lane, held)| {
            let claims = held.records.from(first).map_while(|(key, _)| key.claim());
            claims.map(move |request| (lane, request))
        })
    }

    /// The adds of an own claim of a request, as they were taken; `None` where there is no claim.
    #[must_use]
    pub fn claimed_adds(&self, request: RequestId) -> Option<&[(CounterIndex, Sum)]> {
        match self.own(RecordKey::Claim(request)).0 {
            Some(RecordContent::Claim(adds)) => Some(adds),
            _ => None,
        }
    }

    /// For each replica that the own lane knows, how many closed sessions wait for it to say that it
    /// has heard of the closing; those for which none waits are left out.
    #[must_use]
    pub fn closings_awaited(&self) -> Vec<(ReplicaId, usize)> {
        let closed = self.own_sessions().filter(|(_, mark)| mark.closed);
        let closed: Vec<SessionId> = closed.map(|(session, _)| session).collect();
        let Some(&first) = closed.first() else {
            return Vec::new();
        };
        let heard_by = |replica: ReplicaId| {
            let records = self.lanes.get(&replica).map(|lane| &lane.records);
            let records = records.into_iter();
            let reports = records.flat_map(|it| it.from(RecordKey::Heard(first)));
            let sessions = reports.map_while(|(key, _)| key.heard());
            let sessions = sessions.take_while(|session| session.home == self.id);
            sessions
                .filter(|session| closed.binary_search(session).is_ok())
                .count()
        };
        let awaited = self.known_replicas();
        let awaited = awaited.map(|replica| (replica, closed.len() - heard_by(replica)));
        awaited.filter(|&(_, sessions)| sessions > 0).collect()
    }

    /// Replicas that the own lane knows, as far as it is held.
    pub fn known_replicas(&self) -> impl Iterator<Item = ReplicaId> {
        let first = RecordKey::Knows(ReplicaId::new(0));
        let records = self.lanes[&self.id].records.from(first);
        records.map_while(|(key, _)| key.knows())
    }

    // Helpers.

    /// The newest form of an own record.
    pub(super) fn own(&self, key: RecordKey) -> (Option<&RecordContent>, Stage) {
        self.own_records.get(&self.lanes[&self.id].records, key)
    }

    pub(super) fn own_mark(&self, start: StartId, count: u64) -> (Option<&SessionMark>, Stage) {
        match self.own(RecordKey::Session { start, count }) {
            (Some(RecordContent::Session(mark)), stage) => (Some(mark), stage),
            (_, stage) => (None, stage),
        }
    }

    pub(super) fn change_mark(
        &mut self,
        session: SessionId,
        change: impl FnOnce(&mut SessionMark),
    ) {
        let (start, count) = (session.start, session.count);
        let mut mark = self.own_mark(start, count).0.cloned().unwrap_or_default();
        change(&mut mark);
        let key = RecordKey::Session { start, count };
        self.own_records.put(key, RecordContent::Session(mark));
    }

    pub(super) fn is_gone(&self, start: StartId, count: u64) -> bool {
        let range = self.own_gone_at_or_before(start, count);
        is_gone_by(
            range.as_ref().map(|(key, content)| (*key, content)),
            start,
            count,
        )
    }

    /// The own range of forgotten sessions that begins at or before a count, if it is the last
    /// record there.
    pub(super) fn own_gone_at_or_before(
        &self,
        start: StartId,
        count: u64,
    ) -> Option<(RecordKey, RecordContent)> {
        let key = RecordKey::Gone {
            start,
            first: count,
        };
        let held = &self.lanes[&self.id].records;
        let at = match self.own(key).0 {
            Some(_) => Some(key),
            None => self.own_records.before(held, key),
        };
        let at = at.filter(|at| matches!(at, RecordKey::Gone { start: of, .. } if *of == start))?;
        Some((at, self.own(at).0?.clone()))
    }

    /// The mark with which what was last done of a record is durable.
    fn mark_of(&self, stage: Stage) -> Mark {
        match stage {
            Stage::Taken => self.next_mark(),
            Stage::Writing => self.own_mark_written(),
            Stage::Held => self.held(self.id),
        }
    }

    /// With which mark everything that was taken is durable.
    fn next_mark_if_taken(&self) -> Mark {
        if self.own_records.is_clean() {
            self.own_mark_written()
        } else {
            self.next_mark()
        }
    }

    /// All own claims of a session, by everything taken: number and adds.
    pub(super) fn own_claims(&self, session: SessionId) -> Vec<(u64, Vec<(CounterIndex, Sum)>)> {
        let held = &self.lanes[&self.id].records;
        let mut key = RecordKey::Claim(RequestId { session, number: 0 });
        let mut claims = Vec::new();
        while let Some(next) = self.own_records.behind(held, key) {
            match (next, self.own(next).0) {
                (RecordKey::Claim(request), Some(RecordContent::Claim(adds)))
                    if request.session == session =>
                {
                    claims.push((request.number, adds.clone()));
                }
                _ => break,
            }
            key = next;
        }
        claims
    }
}
