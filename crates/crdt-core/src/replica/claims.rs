//! What claims count: a pure function of the lanes, kept as a sum a counter.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use super::Replica;
use crate::{
    CounterIndex, Interval, RecordContent, RecordKey, ReplicaId, RequestId, SessionId, SessionMark,
    StartId, Sum, lane::Lane,
};

/// What claims add to each counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Claimed {
    by_counter: BTreeMap<CounterIndex, OfCounter>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfCounter {
    value: i128,
    adds: usize,
}

impl Claimed {
    /// What claims add to a counter.
    pub(super) fn value(&self, counter: CounterIndex) -> i128 {
        if self.by_counter.is_empty() {
            return 0;
        }
        self.by_counter.get(&counter).map_or(0, |it| it.value)
    }

    /// Whether a claim counts for it.
    pub(super) fn has(&self, counter: CounterIndex) -> bool {
        self.by_counter.contains_key(&counter)
    }

    fn put(&mut self, &(counter, sum): &(CounterIndex, Sum)) {
        let of = self.by_counter.entry(counter).or_default();
        of.value += sum.value();
        of.adds += 1;
    }

    fn take_out(&mut self, &(counter, sum): &(CounterIndex, Sum)) {
        let Some(of) = self.by_counter.get_mut(&counter) else {
            return;
        };
        of.value -= sum.value();
        of.adds -= 1;
        if of.adds == 0 {
            self.by_counter.remove(&counter);
        }
    }
}

/// Where a session stands by a lane of its home.
pub(super) enum Decided<'a> {
    /// The home has said nothing of it.
    Nothing,
    /// The home says this.
    Mark(&'a SessionMark),
    /// The home has forgotten it.
    Gone,
}

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not decided: it counts, once.
    Open,
    /// This replica's counts.
    Granted(ReplicaId),
    /// None counts: the home has the request, or had it.
    Dropped,
}

impl Decided<'_> {
    /// What becomes of claims of a request.
    pub(super) fn verdict(&self, number: u64) -> Verdict {
        match self {
            Self::Nothing => Verdict::Open,
            Self::Mark(mark) if mark.is_taken(number) => Verdict::Dropped,
            Self::Mark(mark) => {
                let granted = mark.grants().get(&number);
                granted.map_or(Verdict::Open, |&to| Verdict::Granted(to))
            }
            Self::Gone => Verdict::Dropped,
        }
    }
}

/// Whether these records say that a session of their lane's owner is forgotten.
pub(super) fn is_gone_by(
    range: Option<(RecordKey, &RecordContent)>,
    start: StartId,
    count: u64,
) -> bool {
    matches!(
        range,
        Some((RecordKey::Gone { start: of, .. }, RecordContent::Gone { last }))
            if of == start && count <= *last
    )
}

impl Lane {
    /// What this lane says of a session of its owner.
    pub(super) fn decided(&self, start: StartId, count: u64) -> Decided<'_> {
        if let Some(RecordContent::Session(mark)) =
            self.records.get(RecordKey::Session { start, count })
        {
            return Decided::Mark(mark);
        }
        let key = RecordKey::Gone {
            start,
            first: count,
        };
        if is_gone_by(self.records.at_or_before(key), start, count) {
            return Decided::Gone;
        }
        Decided::Nothing
    }

    /// Sessions of its owner that this lane says are closed: start and count.
    fn closed(&self) -> impl Iterator<Item = (StartId, u64)> {
        let first = RecordKey::Session {
            start: StartId::NONE,
            count: 0,
        };
        let records = self.records.from(first);
        let sessions = records.map_while(|(key, content)| match (key, content) {
            (RecordKey::Session { start, count }, RecordContent::Session(mark)) => {
                Some((start, count, mark.closed))
            }
            _ => None,
        });
        sessions
            .filter(|&(_, _, is_closed)| is_closed)
            .map(|(start, count, _)| (start, count))
    }

    /// The lane's claims of a session.
    pub(super) fn claims_of(
        &self,
        session: SessionId,
    ) -> impl Iterator<Item = (u64, &Vec<(CounterIndex, Sum)>)> {
        let first = RecordKey::Claim(RequestId { session, number: 0 });
        let records = self.records.from(first);
        records.map_while(move |(key, content)| match (key, content) {
            (RecordKey::Claim(request), RecordContent::Claim(adds))
                if request.session == session =>
            {
                Some((request.number, adds))
            }
            _ => None,
        })
    }
}

impl Replica {
    /// What the held lane of its home says of a session.
    pub(super) fn decided(&self, session: SessionId) -> Decided<'_> {
        let home = self.lanes.get(&session.home);
        home.map_or(Decided::Nothing, |home| {
            home.decided(session.start, session.count)
        })
    }

    /// Takes out of the sums what the sessions count that an interval is about, before it is
    /// applied.
    pub(super) fn begin_touching(&mut self, interval: &Interval) -> BTreeSet<SessionId> {
        if interval.records.is_empty() {
            return BTreeSet::new();
        }
        let lane = self.lanes.get(&interval.lane);
        let keys = match lane {
            Some(lane) => lane
                .records
                .touched_by(&interval.records, lane.history.mark().version),
            None => interval
                .records
                .changed
                .iter()
                .map(|record| record.key)
                .collect(),
        };
        let mut sessions = BTreeSet::new();
        for key in keys {
            match key {
                RecordKey::Session { start, count } => {
                    sessions.insert(SessionId {
                        home: interval.lane,
                        start,
                        count,
                    });
                }
                RecordKey::Claim(request) => {
                    sessions.insert(request.session);
                }
                RecordKey::Heard(session) => {
                    sessions.insert(session);
                }
                RecordKey::Gone { start, first } => {
                    self.note_concerned(interval, start, first, &mut sessions);
                }
                // What the home has closed already is to be reported from now on.
                RecordKey::Knows(replica) if replica == self.id => {
                    sessions.extend(lane.into_iter().flat_map(|lane| {
                        lane.closed().map(|(start, count)| SessionId {
                            home: interval.lane,
                            start,
                            count,
                        })
                    }));
                }
                RecordKey::Knows(_) => {}
            }
        }
        for &session in &sessions {
            self.count_claims(session, Claimed::take_out);
        }
        sessions
    }

    /// Puts into the sums what these sessions count now.
    pub(super) fn end_touching(&mut self, sessions: BTreeSet<SessionId>) {
        for &session in &sessions {
            self.count_claims(session, Claimed::put);
        }
        self.due.extend(sessions);
    }

    /// Sessions in a range of forgotten ones that some lane still says something of.
    fn note_concerned(
        &self,
        interval: &Interval,
        start: StartId,
        first: u64,
        sessions: &mut BTreeSet<SessionId>,
    ) {
        let key = RecordKey::Gone { start, first };
        let changed = &interval.records.changed;
        let place = changed.binary_search_by_key(&key, |record| record.key);
        let Some(RecordContent::Gone { last }) = place.ok().map(|at| &changed[at].content) else {
            return;
        };
        let home = interval.lane;
        let (first, last) = [first, *last]
            .map(|count| SessionId { home, start, count })
            .into();
        for lane in self.lanes.values() {
            let request = RequestId {
                session: first,
                number: 0,
            };
            let claims = lane.records.from(RecordKey::Claim(request));
            let claimed = claims
                .map_while(|(key, _)| key.claim())
                .map(|it| it.session);
            sessions.extend(claimed.take_while(|session| *session <= last));
            let heard = lane.records.from(RecordKey::Heard(first));
            let heard = heard.map_while(|(key, _)| key.heard());
            sessions.extend(heard.take_while(|session| *session <= last));
        }
    }

    /// Gives each add of the session's claims that counts.
    fn count_claims(
        &mut self,
        session: SessionId,
        give: impl Fn(&mut Claimed, &(CounterIndex, Sum)),
    ) {
        let mut counting: BTreeMap<u64, &Vec<(CounterIndex, Sum)>> = BTreeMap::new();
        let home = self.lanes.get(&session.home);
        let decided = home.map_or(Decided::Nothing, |home| {
            home.decided(session.start, session.count)
        });
        for (&id, lane) in &self.lanes {
            for (number, adds) in lane.claims_of(session) {
                let counts = match decided.verdict(number) {
                    Verdict::Open => true,
                    Verdict::Granted(to) => to == id,
                    Verdict::Dropped => false,
                };
                if counts {
                    // Two replicas have the same adds, unless the client broke its word: then
                    // everywhere the lower id's are meant.
                    counting.entry(number).or_insert(adds);
                }
            }
        }
        for add in counting.into_values().flatten() {
            give(&mut self.claimed, add);
        }
    }
}
