//! The longest idle goes, and what the own lane says is so.

use alloc::vec;

use crdt_core::{Mark, Records, SessionMark, SessionRecord, Sums, Version};

use super::*;

const HOME: ReplicaId = ReplicaId::new(1);
const START: StartId = StartId::new(7);

fn sessions() -> OpenSessions {
    OpenSessions::with_bounds(HOME, START, 2, 2)
}

fn session(count: u64) -> SessionId {
    SessionId {
        home: HOME,
        start: START,
        count,
    }
}

fn at_s(seconds: u64) -> Time {
    Time::from_us(seconds * 1_000_000)
}

fn interval(key: RecordKey, content: RecordContent) -> Interval {
    let version = Version::new(1);
    Interval {
        lane: HOME,
        after: Mark::ZERO,
        to: Mark {
            version,
            start: START,
        },
        starts: vec![],
        sums: Sums::new(),
        records: Records {
            changed: vec![SessionRecord {
                key,
                version,
                content,
            }],
            gaps: vec![],
        },
        needs: vec![],
    }
}

fn marked(count: u64, closed: bool) -> Interval {
    let mut mark = SessionMark::default();
    mark.closed = closed;
    let key = RecordKey::Session {
        start: START,
        count,
    };
    interval(key, RecordContent::Session(mark))
}

fn gone(first: u64, last: u64) -> Interval {
    let key = RecordKey::Gone {
        start: START,
        first,
    };
    interval(key, RecordContent::Gone { last })
}

#[test]
fn the_session_that_was_idle_longest_is_closed_for_another() {
    let mut sessions = sessions();
    for count in 0..2 {
        assert_eq!(sessions.open(at_s(count)), Ok(session(count)));
    }
    sessions.held(3, &marked(0, false), at_s(5));
    assert_eq!(sessions.surplus(), None);
    assert_eq!(sessions.open(at_s(6)), Ok(session(2)));
    assert_eq!(sessions.surplus(), Some(session(1)));
    assert_eq!(sessions.surplus(), None);
    assert_eq!(sessions.open_count(), 2);
}

#[test]
fn what_is_closed_is_open_no_more_and_what_is_forgotten_is_nowhere() {
    let mut sessions = sessions();
    for count in 0..2 {
        assert_eq!(sessions.open(at_s(0)), Ok(session(count)));
    }
    sessions.held(1, &marked(0, true), at_s(1));
    assert_eq!((sessions.open_count(), sessions.closed_count()), (1, 0));
    sessions.held(0, &marked(0, true), at_s(1));
    assert_eq!(sessions.closed_count(), 1);
    sessions.held(1, &gone(0, 0), at_s(2));
    assert_eq!(sessions.closed_count(), 1, "shard 0 remembers it");
    sessions.held(0, &gone(0, 1), at_s(2));
    assert_eq!((sessions.open_count(), sessions.closed_count()), (0, 0));
    assert_eq!(sessions.open(at_s(3)), Ok(session(2)), "never twice");
}

#[test]
fn too_many_closed_sessions_stop_the_opening_of_others() {
    let mut sessions = sessions();
    assert_eq!(sessions.open(at_s(0)), Ok(session(0)));
    for count in 8..10 {
        assert_eq!(sessions.has_room(), Ok(()));
        sessions.recovered(0, session(count), true, at_s(0));
    }
    let exhausted = SessionsExhausted { closed: 2 };
    assert_eq!(sessions.open(at_s(1)), Err(exhausted));
    assert_eq!(sessions.admits(session(7)), Err(exhausted));
    assert_eq!(sessions.admits(session(0)), Ok(()));
    sessions.held(0, &gone(8, 8), at_s(2));
    assert_eq!(sessions.open(at_s(2)), Ok(session(1)));
}

#[test]
fn sessions_of_earlier_starts_are_open_and_idle() {
    let mut sessions = sessions();
    let earlier = SessionId {
        start: StartId::new(9),
        ..session(4)
    };
    sessions.recovered(0, earlier, false, at_s(0));
    sessions.recovered(1, earlier, false, at_s(0));
    assert_eq!(sessions.open_count(), 1);
    for count in 0..2 {
        assert_eq!(sessions.open(at_s(1)), Ok(session(count)));
    }
    assert_eq!(sessions.surplus(), Some(earlier));
}
