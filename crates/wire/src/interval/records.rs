//! Records about sessions, their gaps, and what an interval needs, as protobuf and back.
//!
//! Each field is checked: a record of a kind that this program does not know, or with a field that
//! its kind does not have, is refused, since half of a record would count wrongly.

use std::collections::BTreeMap;

use crdt_core::{
    CounterIndex, Gap, Mark, Numbers, RecordContent, RecordKey, ReplicaId, RequestId, SessionId,
    SessionMark, SessionRecord, StartId, Sum, Version,
};

use super::{DecodeError, DecodeLimits};
use crate::{replica_id_from_bytes, replica_id_to_bytes, v1};

// To protobuf.

pub(super) fn record_to_wire(after: Version, record: &SessionRecord) -> v1::SessionRecord {
    let mut wire = v1::SessionRecord {
        key: Some(key_to_wire(record.key)),
        version_offset: record.version.get() - after.get(),
        ..Default::default()
    };
    match &record.content {
        RecordContent::Knows | RecordContent::Heard => {}
        RecordContent::Gone { last } => wire.last = *last,
        RecordContent::Session(mark) => wire.mark = Some(mark_to_wire(mark)),
        RecordContent::Claim(adds) => wire.adds = adds.iter().map(add_to_wire).collect(),
    }
    wire
}

pub(super) fn gap_to_wire(after: Version, gap: &Gap) -> v1::RecordGap {
    v1::RecordGap {
        after: gap.after.map(key_to_wire),
        before: gap.before.map(key_to_wire),
        version_offset: gap.version.get() - after.get(),
    }
}

pub(super) fn need_to_wire(&(lane, mark): &(ReplicaId, Mark)) -> v1::LaneNeed {
    v1::LaneNeed {
        replica_id: replica_id_to_bytes(lane),
        mark: Some(mark.into()),
    }
}

fn key_to_wire(key: RecordKey) -> v1::RecordKey {
    let session = |kind: v1::RecordKind, session: SessionId| v1::RecordKey {
        kind: kind.into(),
        replica_id: replica_id_to_bytes(session.home),
        start: session.start.get(),
        count: session.count,
        number: 0,
    };
    let own = |kind: v1::RecordKind, start: StartId, count| v1::RecordKey {
        kind: kind.into(),
        start: start.get(),
        count,
        ..Default::default()
    };
    match key {
        RecordKey::Knows(replica) => v1::RecordKey {
            kind: v1::RecordKind::Knows.into(),
            replica_id: replica_id_to_bytes(replica),
            ..Default::default()
        },
        RecordKey::Gone { start, first } => own(v1::RecordKind::Gone, start, first),
        RecordKey::Session { start, count } => own(v1::RecordKind::Session, start, count),
        RecordKey::Claim(request) => v1::RecordKey {
            number: request.number,
            ..session(v1::RecordKind::Claim, request.session)
        },
        RecordKey::Heard(heard) => session(v1::RecordKind::Heard, heard),
    }
}

fn mark_to_wire(mark: &SessionMark) -> v1::SessionMark {
    let numbers = |set: &Numbers| -> Vec<u64> {
        let ranges = set.ranges().iter();
        ranges.flat_map(|&(first, last)| [first, last]).collect()
    };
    let grant = |(&number, &to): (&u64, &ReplicaId)| v1::RequestGrant {
        number,
        replica_id: replica_id_to_bytes(to),
    };
    v1::SessionMark {
        answered_below: mark.answered_below,
        taken: numbers(&mark.taken()),
        void: mark.void().map(numbers).unwrap_or_default(),
        grants: mark.grants().iter().map(grant).collect(),
        closed: mark.closed,
    }
}

fn add_to_wire(&(counter, sum): &(CounterIndex, Sum)) -> v1::ClaimedAdd {
    v1::ClaimedAdd {
        counter: counter.get(),
        incremented: sum.incremented,
        decremented: sum.decremented,
    }
}

// From protobuf.

/// A record; `counter` finds this side's index of a counter that was introduced.
pub(super) fn record_from_wire(
    limits: &DecodeLimits,
    after: Version,
    wire: &v1::SessionRecord,
    counter: impl Fn(u32) -> Result<CounterIndex, DecodeError>,
) -> Result<SessionRecord, DecodeError> {
    let key = wire.key.as_ref();
    let key = key_from_wire(key.ok_or(DecodeError::Absent("key (`key`) of a session record"))?)?;
    let has_last = matches!(key, RecordKey::Gone { .. });
    ensure_none(key, "last", has_last || wire.last == 0, wire.last)?;
    let has_mark = matches!(key, RecordKey::Session { .. });
    ensure_none(key, "mark", has_mark || wire.mark.is_none(), 1)?;
    let has_adds = matches!(key, RecordKey::Claim(_));
    let adds = wire.adds.len();
    ensure_none(key, "adds", has_adds || adds == 0, adds as u64)?;
    let content = match key {
        RecordKey::Knows(_) => RecordContent::Knows,
        RecordKey::Gone { .. } => RecordContent::Gone { last: wire.last },
        RecordKey::Session { .. } => {
            let mark = wire.mark.as_ref();
            let mark = mark.ok_or(DecodeError::Absent("mark (`mark`) of a session"))?;
            RecordContent::Session(mark_from_wire(limits, mark)?)
        }
        RecordKey::Claim(_) => {
            ensure_few("adds of a claim", adds, limits.claim_adds_max)?;
            let add = |add: &v1::ClaimedAdd| {
                let sum = Sum {
                    incremented: add.incremented,
                    decremented: add.decremented,
                };
                Ok((counter(add.counter)?, sum))
            };
            RecordContent::Claim(wire.adds.iter().map(add).collect::<Result<_, _>>()?)
        }
        RecordKey::Heard(_) => RecordContent::Heard,
    };
    Ok(SessionRecord {
        key,
        version: version_from_wire(after, wire.version_offset)?,
        content,
    })
}

pub(super) fn gap_from_wire(after: Version, wire: &v1::RecordGap) -> Result<Gap, DecodeError> {
    Ok(Gap {
        after: wire.after.as_ref().map(key_from_wire).transpose()?,
        before: wire.before.as_ref().map(key_from_wire).transpose()?,
        version: version_from_wire(after, wire.version_offset)?,
    })
}

/// What an interval needs.
pub(super) fn needs_from_wire(
    limits: &DecodeLimits,
    needs: &[v1::LaneNeed],
) -> Result<Vec<(ReplicaId, Mark)>, DecodeError> {
    ensure_few("needs of an interval", needs.len(), limits.needs_max)?;
    let need = |need: &v1::LaneNeed| {
        let mark = need.mark.ok_or(DecodeError::Absent("mark of a need"))?;
        Ok((replica_id_from_bytes(&need.replica_id)?, mark.into()))
    };
    needs.iter().map(need).collect()
}

/// A version, from its distance to where the interval begins.
pub(super) fn version_from_wire(after: Version, offset: u64) -> Result<Version, DecodeError> {
    let after = after.get();
    let version = after.checked_add(offset);
    let version = version.ok_or(DecodeError::VersionOverflow { after, offset })?;
    Ok(Version::new(version))
}

fn key_from_wire(wire: &v1::RecordKey) -> Result<RecordKey, DecodeError> {
    let start = StartId::new(wire.start);
    let count = wire.count;
    let session = || {
        Ok(SessionId {
            home: replica_id_from_bytes(&wire.replica_id)?,
            start,
            count,
        })
    };
    let key = match v1::RecordKind::try_from(wire.kind) {
        Ok(v1::RecordKind::Knows) => RecordKey::Knows(replica_id_from_bytes(&wire.replica_id)?),
        Ok(v1::RecordKind::Gone) => RecordKey::Gone {
            start,
            first: count,
        },
        Ok(v1::RecordKind::Session) => RecordKey::Session { start, count },
        Ok(v1::RecordKind::Claim) => RecordKey::Claim(RequestId {
            session: session()?,
            number: wire.number,
        }),
        Ok(v1::RecordKind::Heard) => RecordKey::Heard(session()?),
        Ok(v1::RecordKind::Unspecified) | Err(_) => {
            return Err(DecodeError::RecordKind { found: wire.kind });
        }
    };
    let is_own = matches!(key, RecordKey::Gone { .. } | RecordKey::Session { .. });
    let bytes = wire.replica_id.len();
    ensure_none(key, "replica_id", !is_own || bytes == 0, bytes as u64)?;
    let has_start = !matches!(key, RecordKey::Knows(_));
    ensure_none(key, "start", has_start || wire.start == 0, wire.start)?;
    ensure_none(key, "count", has_start || count == 0, count)?;
    let has_number = matches!(key, RecordKey::Claim(_));
    ensure_none(key, "number", has_number || wire.number == 0, wire.number)?;
    Ok(key)
}

fn mark_from_wire(
    limits: &DecodeLimits,
    wire: &v1::SessionMark,
) -> Result<SessionMark, DecodeError> {
    let mut mark = SessionMark::default();
    mark.answered_below = wire.answered_below;
    mark.closed = wire.closed;
    let taken = numbers_from_wire(limits, "taken", &wire.taken)?;
    let outside = DecodeError::TakenOutside {
        answered_below: wire.answered_below,
        last: taken.last().unwrap_or(0),
    };
    let mark = mark.with_taken(&taken).ok_or(outside)?;
    let void = numbers_from_wire(limits, "void", &wire.void)?;
    ensure_few(
        "grants of a session",
        wire.grants.len(),
        limits.mark_grants_max,
    )?;
    let mut grants = BTreeMap::new();
    for grant in &wire.grants {
        let number = grant.number;
        let last = grants.last_key_value().map(|(&last, _)| last);
        if let Some(before) = last.filter(|&last| last >= number) {
            return Err(DecodeError::GrantOrder { number, before });
        }
        grants.insert(number, replica_id_from_bytes(&grant.replica_id)?);
    }
    Ok(mark.with(void, grants))
}

fn numbers_from_wire(
    limits: &DecodeLimits,
    field: &'static str,
    numbers: &[u64],
) -> Result<Numbers, DecodeError> {
    let count = numbers.len().div_ceil(2);
    ensure_few("ranges of a session", count, limits.mark_ranges_max)?;
    // A first number lies apart from the last one before it, and a last one not before its first.
    let is_wrong = |entry: usize| {
        let before = numbers[entry - 1];
        let least = if entry.is_multiple_of(2) {
            before.checked_add(2)
        } else {
            Some(before)
        };
        least.is_none_or(|least| numbers[entry] < least)
    };
    let wrong = (1..numbers.len()).find(|&entry| is_wrong(entry));
    let alone = (numbers.len() % 2 == 1).then(|| numbers.len() - 1);
    if let Some(entry) = wrong.or(alone) {
        let found = numbers[entry];
        return Err(DecodeError::Ranges {
            field,
            entry,
            found,
        });
    }
    let ranges = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    Ok(Numbers::of_ranges(ranges.collect()).expect("they were looked at"))
}

/// A field that the record's kind does not have must not be set.
fn ensure_none(
    key: RecordKey,
    field: &'static str,
    is_so: bool,
    found: u64,
) -> Result<(), DecodeError> {
    let kind = match key {
        RecordKey::Knows(_) => "KNOWS",
        RecordKey::Gone { .. } => "GONE",
        RecordKey::Session { .. } => "SESSION",
        RecordKey::Claim(_) => "CLAIM",
        RecordKey::Heard(_) => "HEARD",
    };
    if is_so {
        Ok(())
    } else {
        Err(DecodeError::RecordField { kind, field, found })
    }
}

fn ensure_few(what: &'static str, found: usize, max: usize) -> Result<(), DecodeError> {
    if found > max {
        return Err(DecodeError::TooMany { what, found, max });
    }
    Ok(())
}
