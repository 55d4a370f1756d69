//! What is no record, or too much of one.

use super::*;

const OTHER: ReplicaId = ReplicaId::new(9);

/// A part with a record of each kind, a gap and a need; then changed.
fn refused(change: impl FnOnce(&mut v1::IntervalPart)) -> DecodeError {
    refused_within(DecodeLimits::STREAM, change).expect_err("refused")
}

const GONE: usize = 1;
const SESSION: usize = 2;
const CLAIM: usize = 3;
const HEARD: usize = 4;

fn refused_within(
    limits: DecodeLimits,
    change: impl FnOnce(&mut v1::IntervalPart),
) -> Result<(), DecodeError> {
    let session = SessionId {
        home: OTHER,
        start: START,
        count: 6,
    };
    let mark =
        SessionMark::default().with(Numbers::default(), BTreeMap::from([(7, OTHER), (8, OTHER)]));
    let taken = [1, 3, 5].into_iter().collect();
    let mark = mark.with_taken(&taken).expect("in the window");
    let contents = [
        (RecordKey::Knows(OTHER), RecordContent::Knows),
        (
            RecordKey::Gone {
                start: START,
                first: 1,
            },
            RecordContent::Gone { last: 2 },
        ),
        (
            RecordKey::Session {
                start: START,
                count: 3,
            },
            RecordContent::Session(mark),
        ),
        (
            RecordKey::Claim(RequestId { session, number: 1 }),
            RecordContent::Claim(vec![
                (CounterIndex::new(0), Sum::of(1)),
                (CounterIndex::new(1), Sum::of(1)),
            ]),
        ),
        (RecordKey::Heard(session), RecordContent::Heard),
    ];
    let mut sent = interval(&[]);
    let version = sent.to.version;
    let record = |(key, content)| SessionRecord {
        key,
        version,
        content,
    };
    sent.records.changed = contents.map(record).into();
    sent.records.gaps = vec![Gap {
        after: Some(RecordKey::Heard(session)),
        before: None,
        version,
    }];
    sent.needs = vec![(OTHER, sent.to), (ReplicaId::new(10), sent.to)];
    let mut part = encode(0, 1, &sent).remove(0);
    change(&mut part);
    let mut decoder = IntervalDecoder::new(1, limits);
    decode(&mut decoder, &[part]).map(|_| ())
}

fn key(part: &mut v1::IntervalPart, record: usize) -> &mut v1::RecordKey {
    part.records[record].key.as_mut().expect("set")
}

fn mark(part: &mut v1::IntervalPart) -> &mut v1::SessionMark {
    part.records[SESSION].mark.as_mut().expect("set")
}

#[test]
fn a_record_of_an_unknown_kind_is_refused() {
    for found in [-1, 0, 6] {
        let expected = DecodeError::RecordKind { found };
        assert_eq!(refused(|part| key(part, CLAIM).kind = found), expected);
        let in_gap = refused(|part| part.gaps[0].after.as_mut().expect("set").kind = found);
        assert_eq!(in_gap, expected);
        let in_gap = refused(|part| {
            part.gaps[0].before = Some(v1::RecordKey {
                kind: found,
                ..Default::default()
            });
        });
        assert_eq!(in_gap, expected);
    }
    let told = DecodeError::RecordKind { found: 6 }.to_string();
    assert!(
        told.contains("kind 6, which this program does not know"),
        "{told}"
    );
}

#[test]
fn what_is_absent_is_told() {
    let absent = DecodeError::Absent;
    assert_eq!(
        refused(|part| part.records[0].key = None),
        absent("key (`key`) of a session record")
    );
    assert_eq!(
        refused(|part| part.records[SESSION].mark = None),
        absent("mark (`mark`) of a session")
    );
    assert_eq!(
        refused(|part| part.needs[1].mark = None),
        absent("mark of a need")
    );
    assert_eq!(
        refused(|part| part.to = None),
        absent("end (`to`) beside its needs")
    );
    let goes_on = refused(|part| (part.last, part.set_goes_on) = (false, true));
    assert_eq!(goes_on, absent("last part before its set goes on"));
}

#[test]
fn a_replica_id_of_another_length_is_refused() {
    let short = DecodeError::ReplicaId { found: 15 };
    let cut = |id: &mut Vec<u8>| id.truncate(15);
    for record in [0, CLAIM, HEARD] {
        assert_eq!(
            refused(|part| cut(&mut key(part, record).replica_id)),
            short
        );
    }
    assert_eq!(
        refused(|part| cut(&mut mark(part).grants[1].replica_id)),
        short
    );
    assert_eq!(refused(|part| cut(&mut part.needs[1].replica_id)), short);
}

#[test]
fn a_field_of_another_kind_is_refused() {
    let field = |kind, field, found| DecodeError::RecordField { kind, field, found };
    let in_key = |record, change: fn(&mut v1::RecordKey)| refused(|part| change(key(part, record)));
    for (record, kind) in [
        (0, "KNOWS"),
        (GONE, "GONE"),
        (SESSION, "SESSION"),
        (HEARD, "HEARD"),
    ] {
        assert_eq!(
            in_key(record, |key| key.number = 4),
            field(kind, "number", 4)
        );
        let adds = refused(|part| part.records[record].adds = vec![v1::ClaimedAdd::default()]);
        assert_eq!(adds, field(kind, "adds", 1));
    }
    for (record, kind) in [(GONE, "GONE"), (SESSION, "SESSION")] {
        let id = in_key(record, |key| key.replica_id = vec![1; 16]);
        assert_eq!(id, field(kind, "replica_id", 16));
    }
    assert_eq!(in_key(0, |key| key.start = 5), field("KNOWS", "start", 5));
    assert_eq!(in_key(0, |key| key.count = 6), field("KNOWS", "count", 6));
    for (record, kind) in [(0, "KNOWS"), (SESSION, "SESSION"), (CLAIM, "CLAIM")] {
        let last = refused(|part| part.records[record].last = 7);
        assert_eq!(last, field(kind, "last", 7));
    }
    for (record, kind) in [
        (0, "KNOWS"),
        (GONE, "GONE"),
        (CLAIM, "CLAIM"),
        (HEARD, "HEARD"),
    ] {
        let mark = refused(|part| part.records[record].mark = Some(v1::SessionMark::default()));
        assert_eq!(mark, field(kind, "mark", 1));
    }
}

#[test]
fn numbers_that_are_no_ranges_are_refused() {
    let max = u64::MAX;
    for (numbers, entry) in [
        (vec![1], 0),
        (vec![1, 1, 5], 2),
        (vec![2, 1], 1),
        (vec![1, 2, 3, 4], 2),
        (vec![5, 6, 1, 2], 2),
        (vec![1, max, 0, 5], 2),
        (vec![1, max - 1, max, max], 2),
    ] {
        for field in ["taken", "void"] {
            let error = refused(|part| match field {
                "taken" => mark(part).taken = numbers.clone(),
                _ => mark(part).void = numbers.clone(),
            });
            let found = numbers[entry];
            assert_eq!(
                error,
                DecodeError::Ranges {
                    field,
                    entry,
                    found
                },
                "{numbers:?}"
            );
        }
    }
}

#[test]
fn requests_outside_of_the_window_are_refused_as_taken() {
    for (answered_below, taken, last) in [
        (5, vec![4, 6], 6),
        (5, vec![5, 5, 1_029, 1_029], 1_029),
        (0, vec![1, u64::MAX], u64::MAX),
    ] {
        let error = refused(|part| {
            let mark = mark(part);
            (mark.answered_below, mark.taken) = (answered_below, taken.clone());
        });
        let expected = DecodeError::TakenOutside {
            answered_below,
            last,
        };
        assert_eq!(error, expected, "{taken:?}");
    }
}

#[test]
fn grants_that_do_not_ascend_are_refused() {
    for number in [7, 3] {
        let error = refused(|part| mark(part).grants[1].number = number);
        assert_eq!(error, DecodeError::GrantOrder { number, before: 7 });
    }
}

#[test]
fn a_version_past_64_bits_or_a_counter_without_a_name_is_refused() {
    let offset = u64::MAX;
    let overflow = DecodeError::VersionOverflow { after: 10, offset };
    assert_eq!(
        refused(|part| part.records[0].version_offset = offset),
        overflow
    );
    assert_eq!(
        refused(|part| part.gaps[0].version_offset = offset),
        overflow
    );
    let unnamed = refused(|part| part.records[CLAIM].adds[1].counter = 8);
    assert_eq!(unnamed, DecodeError::NotIntroduced { shard: 0, index: 8 });
}

#[test]
fn more_records_than_a_limit_are_refused() {
    let bytes = {
        let mut bytes = 0;
        refused_within(DecodeLimits::FILE, |part| {
            let records = part.records.iter().map(v1::SessionRecord::encoded_len);
            let gaps = part.gaps.iter().map(v1::RecordGap::encoded_len);
            bytes = records.chain(gaps).map(|bytes| bytes + 2).sum();
        })
        .expect("sound");
        bytes
    };
    let enough = DecodeLimits {
        set_record_bytes_max: bytes,
        mark_ranges_max: 3,
        mark_grants_max: 2,
        claim_adds_max: 2,
        needs_max: 2,
        ..DecodeLimits::STREAM
    };
    assert_eq!(refused_within(enough, |_| {}), Ok(()));
    let less = |change: fn(&mut DecodeLimits)| {
        let mut limits = enough;
        change(&mut limits);
        refused_within(limits, |_| {}).expect_err("refused")
    };
    let many = |what, found| DecodeError::TooMany {
        what,
        found,
        max: found - 1,
    };
    let ranges = less(|it| it.mark_ranges_max = 2);
    assert_eq!(ranges, many("ranges of a session", 3));
    let grants = less(|it| it.mark_grants_max = 1);
    assert_eq!(grants, many("grants of a session", 2));
    let adds = less(|it| it.claim_adds_max = 1);
    assert_eq!(adds, many("adds of a claim", 2));
    let needs = less(|it| it.needs_max = 1);
    assert_eq!(needs, many("needs of an interval", 2));
    let (lane, bytes_max) = (ReplicaId::new(0xabc), bytes - 1);
    let fewer = DecodeLimits {
        set_record_bytes_max: bytes_max,
        ..enough
    };
    let error = refused_within(fewer, |_| {});
    assert_eq!(error, Err(DecodeError::RecordBytes { lane, bytes_max }));
}

#[test]
fn a_set_of_several_shards_or_past_a_limit_is_refused() {
    let names = names(0, 1, 3, 0);
    let set = [interval(&[(0, 1, 0)]), interval(&[(1, 1, 0)])];
    let parts = encode_set(&mut IntervalEncoder::new(1), 0, &set, &names);
    let within = |change: fn(&mut DecodeLimits)| {
        let mut limits = DecodeLimits {
            set_intervals_max: 2,
            set_records_max: 2,
            set_name_bytes_max: 18,
            ..DecodeLimits::STREAM
        };
        change(&mut limits);
        decode_set(&mut IntervalDecoder::new(1, limits), &parts)
    };
    let whole = within(|_| {}).expect("within").expect("whole");
    assert_eq!(whole.1.len(), 2);
    assert_eq!(
        within(|it| it.set_intervals_max = 1),
        Err(DecodeError::Intervals { intervals_max: 1 })
    );
    let lane = ReplicaId::new(0xabc);
    assert_eq!(
        within(|it| it.set_records_max = 1),
        Err(DecodeError::Records {
            lane,
            records_max: 1
        })
    );
    assert_eq!(
        within(|it| it.set_name_bytes_max = 17),
        Err(DecodeError::NameBytes {
            lane,
            bytes_max: 17
        })
    );
    let mut other = parts.clone();
    other[1].shard = 1;
    assert_eq!(
        decode_set(&mut decoder(2), &other[..1]).map(|set| set.is_some()),
        Ok(false)
    );
    let mut decoder = decoder(1);
    assert_eq!(
        decode_set(&mut decoder, &other),
        Err(DecodeError::SetShard {
            found: 1,
            expected: 0
        })
    );
}
