//! What a replica does about sessions by itself, before each commit: it grants, folds, drops,
//! reports and forgets, as what it holds of other lanes says.
//!
//! Each of these writes only to the own lane, and rests on how far other lanes are held; so each
//! leaves a need behind, without which it would be misread by one who holds less of them.

use alloc::vec::Vec;

use super::{
    Replica,
    claims::{Decided, Verdict},
    own_records::values,
};
use crate::{RecordContent, RecordKey, ReplicaId, RequestId, SessionId, StartId};

/// Requests of one session that are granted in one shard: a client has no more in flight.
const GRANTS_MAX: usize = 1_024;

impl Replica {
    /// Whether a commit would settle something, without anything new being taken.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Settles every session of which something new is held.
    pub(super) fn settle(&mut self) {
        for session in core::mem::take(&mut self.due) {
            if session.home == self.id {
                self.grant(session);
                self.forget_when_heard(session);
            } else {
                self.fold_or_drop(session);
                self.report(session);
            }
        }
    }

    /// At the home: whoever claims what was not taken and not granted is granted it.
    fn grant(&mut self, session: SessionId) {
        if self.is_gone(session.start, session.count) {
            return;
        }
        let mark = self.own_mark(session.start, session.count).0;
        let mut grants: Vec<(u64, ReplicaId)> = Vec::new();
        for (&id, lane) in self.lanes.iter().filter(|&(&id, _)| id != self.id) {
            for (number, _) in lane.claims_of(session) {
                let is_decided = mark.is_some_and(|mark| mark.is_decided(number));
                if !is_decided && grants.iter().all(|&(granted, _)| granted != number) {
                    grants.push((number, id));
                }
            }
        }
        // A client that keeps its word moves no more. What another moves counts as a claim for good.
        let granted = mark.map_or(0, |mark| mark.grants().len());
        grants.truncate(GRANTS_MAX.saturating_sub(granted));
        for &(_, to) in &grants {
            self.own_records.need(to, self.held(to));
        }
        if !grants.is_empty() {
            self.change_mark(session, |mark| {
                for (number, to) in grants {
                    mark.grant(number, to);
                }
            });
        }
    }

    /// At the home: a closed session is forgotten once all known replicas hold the closing and
    /// nobody has a claim of it.
    fn forget_when_heard(&mut self, session: SessionId) {
        let (start, count) = (session.start, session.count);
        let is_closed = self
            .own_mark(start, count)
            .0
            .is_some_and(|mark| mark.closed);
        if !is_closed
            || self
                .lanes
                .values()
                .any(|lane| lane.claims_of(session).next().is_some())
        {
            return;
        }
        let has_heard = |replica: ReplicaId| {
            let lane = self.lanes.get(&replica);
            lane.is_some_and(|lane| lane.records.get(RecordKey::Heard(session)).is_some())
        };
        if !self.knows_now().into_iter().all(has_heard) {
            return;
        }
        let others: Vec<_> = self
            .lanes
            .keys()
            .copied()
            .filter(|&id| id != self.id)
            .collect();
        for other in others {
            self.own_records.need(other, self.held(other));
        }
        self.forget(start, count);
    }

    /// Anywhere else: what the home has granted to this replica becomes part of its sums; what the
    /// home has itself, or granted to another, goes.
    fn fold_or_drop(&mut self, session: SessionId) {
        for (number, adds) in self.own_claims(session) {
            match self.decided(session).verdict(number) {
                Verdict::Open => continue,
                Verdict::Granted(to) if to == self.id => {
                    for &(counter, sum) in &adds {
                        self.heads.add(counter, sum);
                    }
                    for (counter, value) in values(&adds) {
                        self.own_records.reserve(counter, -value);
                    }
                }
                Verdict::Granted(_) | Verdict::Dropped => {}
            }
            let request = RequestId { session, number };
            self.own_records.unclaim(request, adds.len());
            self.own_records.need(session.home, self.held(session.home));
        }
    }

    /// Anywhere else: says that the closing is held, for as long as the home waits for it.
    fn report(&mut self, session: SessionId) {
        let key = RecordKey::Heard(session);
        let has_reported = self.own(key).0.is_some();
        let is_awaited = match self.decided(session) {
            Decided::Mark(mark) => mark.closed && self.is_known_by(session.home),
            Decided::Gone => false,
            Decided::Nothing => has_reported,
        };
        if is_awaited == has_reported {
            return;
        }
        if is_awaited {
            self.own_records.put(key, RecordContent::Heard);
        } else {
            self.own_records.remove(key);
        }
        self.own_records.need(session.home, self.held(session.home));
    }

    /// Replaces a session's mark by a range of forgotten sessions, as long as its neighbours allow.
    pub(super) fn forget(&mut self, start: StartId, count: u64) {
        self.own_records.remove(RecordKey::Session { start, count });
        let (mut first, mut last) = (count, count);
        if let Some((RecordKey::Gone { first: before, .. }, RecordContent::Gone { last: end })) =
            self.own_gone_at_or_before(start, count)
            && end.checked_add(1) == Some(count)
        {
            first = before;
        }
        let next = count
            .checked_add(1)
            .map(|first| RecordKey::Gone { start, first });
        if let Some(next) = next
            && let Some(RecordContent::Gone { last: end }) = self.own(next).0
        {
            last = *end;
            self.own_records.remove(next);
        }
        self.own_records.put(
            RecordKey::Gone { start, first },
            RecordContent::Gone { last },
        );
    }

    /// Replicas that the own lane knows, by everything taken.
    fn knows_now(&self) -> Vec<ReplicaId> {
        let held = &self.lanes[&self.id].records;
        let lowest = RecordKey::Knows(ReplicaId::new(0));
        let mut known = Vec::new();
        let mut next = match self.own(lowest).0 {
            Some(_) => Some(lowest),
            None => self.own_records.behind(held, lowest),
        };
        while let Some(RecordKey::Knows(replica)) = next {
            known.push(replica);
            next = self.own_records.behind(held, RecordKey::Knows(replica));
        }
        known
    }
}
