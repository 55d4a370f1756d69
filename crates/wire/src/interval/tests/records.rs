//! Records about sessions, gaps, needs and sets.

use std::collections::BTreeMap;

use crdt_core::{
    Gap, Numbers, REQUESTS_WINDOW, RecordContent, RecordKey, Records, RequestId, SessionId,
    SessionMark, SessionRecord,
};
use proptest::option;

use super::*;
use crate::PartsOf;

const START: StartId = StartId::new(77);

fn any_replica() -> impl Strategy<Value = ReplicaId> {
    any::<u128>().prop_map(ReplicaId::new)
}

fn any_start() -> impl Strategy<Value = StartId> {
    any::<u64>().prop_map(StartId::new)
}

/// Mostly small, and up to the end of 64 bits.
fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..20u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn any_session() -> impl Strategy<Value = SessionId> {
    (any_replica(), any_start(), any_number()).prop_map(|(home, start, count)| SessionId {
        home,
        start,
        count,
    })
}

fn any_numbers() -> impl Strategy<Value = Numbers> {
    vec(any_number(), 0..8).prop_map(|numbers| numbers.into_iter().collect())
}

fn any_mark() -> impl Strategy<Value = SessionMark> {
    let grants = prop::collection::btree_map(any_number(), any_replica(), 0..4);
    (
        0..u64::MAX - 2_000,
        vec(0..REQUESTS_WINDOW, 0..8),
        any_numbers(),
        grants,
        any::<bool>(),
    )
        .prop_map(|(answered_below, taken, void, grants, closed)| {
            let mut mark = SessionMark::default().with(void, grants);
            (mark.answered_below, mark.closed) = (answered_below, closed);
            let taken = taken.into_iter().map(|offset| answered_below + offset);
            mark.with_taken(&taken.collect()).expect("in the window")
        })
}

fn any_content() -> impl Strategy<Value = (RecordKey, RecordContent)> {
    let sum = (any::<u64>(), any::<u64>()).prop_map(|(incremented, decremented)| Sum {
        incremented,
        decremented,
    });
    let adds = vec(((0..50u32).prop_map(CounterIndex::new), sum), 0..6);
    prop_oneof![
        any_replica().prop_map(|it| (RecordKey::Knows(it), RecordContent::Knows)),
        (any_start(), any_number(), any_number()).prop_map(|(start, first, last)| (
            RecordKey::Gone { start, first },
            RecordContent::Gone { last }
        )),
        (any_start(), any_number(), any_mark()).prop_map(|(start, count, mark)| (
            RecordKey::Session { start, count },
            RecordContent::Session(mark)
        )),
        (any_session(), any_number(), adds).prop_map(|(session, number, adds)| (
            RecordKey::Claim(RequestId { session, number }),
            RecordContent::Claim(adds)
        )),
        any_session().prop_map(|it| (RecordKey::Heard(it), RecordContent::Heard)),
    ]
}

/// After version 10, to 100.
fn any_version() -> impl Strategy<Value = Version> {
    (11..=100u64).prop_map(Version::new)
}

fn any_records() -> impl Strategy<Value = Records> {
    let record =
        (any_content(), any_version()).prop_map(|((key, content), version)| SessionRecord {
            key,
            version,
            content,
        });
    let key = || option::of(any_content().prop_map(|(key, _)| key));
    let gap = (key(), key(), any_version()).prop_map(|(after, before, version)| Gap {
        after,
        before,
        version,
    });
    (vec(record, 0..12), vec(gap, 0..6)).prop_map(|(changed, gaps)| Records { changed, gaps })
}

fn any_interval() -> impl Strategy<Value = Interval> {
    let mark = (any::<u64>(), any_start()).prop_map(|(version, start)| Mark {
        version: Version::new(version),
        start,
    });
    let needs = vec((any_replica(), mark), 0..4);
    let sums = vec((0..50u32, any_part(), any_part()), 0..6);
    (any_replica(), sums, any_records(), needs).prop_map(|(lane, sums, records, needs)| Interval {
        lane,
        to: Mark {
            version: Version::new(100),
            start: START,
        },
        records,
        needs,
        ..wide_interval(&sums)
    })
}

/// The parts of a set.
fn encode_set(
    encoder: &mut IntervalEncoder,
    shard: u32,
    set: &[Interval],
    names: &[CounterName],
) -> Vec<v1::IntervalPart> {
    let mut all = Vec::new();
    for (index, interval) in set.iter().enumerate() {
        let mut parts = PartsOf::interval(shard, interval).of_set(index + 1 < set.len());
        while let Some(part) = parts.next(encoder, |it| names[it.as_usize()].clone()) {
            all.push(part);
        }
    }
    all
}

proptest! {
    #[test]
    fn sets_with_records_survive_a_stream(
        sets in vec((0..SHARDS, vec(any_interval(), 1..4)), 1..5),
    ) {
        let names: Vec<_> = (0..SHARDS).map(|shard| names(shard, SHARDS, 50, 0)).collect();
        let mut encoder = IntervalEncoder::new(SHARDS);
        let mut decoder = decoder(SHARDS);
        for (shard, set) in &sets {
            let parts = encode_set(&mut encoder, *shard, set, &names[*shard as usize]);
            // As they are in messages, so that no default is mistaken for a value.
            let parts: Vec<_> = parts
                .iter()
                .map(|part| v1::IntervalPart::decode(&*part.encode_to_vec()).expect("a message"))
                .collect();
            let got = decode_set(&mut decoder, &parts);
            let expected = set.iter().map(renumbered).collect();
            prop_assert_eq!(got, Ok(Some((*shard, expected))));
        }
    }
}

fn claim(number: u64, adds: Vec<(CounterIndex, Sum)>) -> SessionRecord {
    SessionRecord {
        key: RecordKey::Claim(RequestId {
            session: SessionId {
                home: ReplicaId::new(9),
                start: START,
                count: 3,
            },
            number,
        }),
        version: Version::new(11),
        content: RecordContent::Claim(adds),
    }
}

#[test]
fn long_lists_of_records_travel_in_parts_below_the_message_limit() {
    let names = names(0, 1, 3_000, 490);
    let add = |counter| (CounterIndex::new(counter), Sum::of(1));
    let mut sent = interval(&[]);
    // One claim of many names, many claims of few, and a gap between each two of them.
    let few = (1..20_000).map(|number| claim(number, vec![add(0), add(1)]));
    sent.records.changed = few.collect();
    sent.records
        .changed
        .push(claim(20_000, (0..3_000).map(add).collect()));
    let keys = sent.records.changed.windows(2);
    sent.records.gaps = keys
        .map(|pair| Gap {
            after: Some(pair[0].key),
            before: Some(pair[1].key),
            version: Version::new(11),
        })
        .collect();
    let parts = encode_set(&mut IntervalEncoder::new(1), 0, &[sent.clone()], &names);
    assert!(parts.len() > 20, "{} parts", parts.len());
    for part in &parts {
        let bytes = part.encoded_len();
        assert!(bytes < 2 * PART_BYTES_TARGET, "{bytes}");
    }
    let got = decode(&mut decoder(1), &parts).expect("well-formed");
    assert_eq!(got, Some((0, renumbered(&sent))));
}

/// The wire vector: other versions of the program must read these bytes.
#[test]
fn the_bytes_of_records_do_not_drift() {
    let mut sent = interval(&[]);
    let mut mark = SessionMark::default().with(
        [4].into_iter().collect(),
        BTreeMap::from([(5, ReplicaId::new(2))]),
    );
    mark.answered_below = 2;
    mark.closed = true;
    let taken = [2, 3].into_iter().collect();
    let mark = mark.with_taken(&taken).expect("in the window");
    let version = Version::new(11);
    let record = |key, content| SessionRecord {
        key,
        version,
        content,
    };
    let heard = SessionId {
        home: ReplicaId::new(9),
        start: START,
        count: 6,
    };
    sent.records.changed = vec![
        record(RecordKey::Knows(ReplicaId::new(9)), RecordContent::Knows),
        record(
            RecordKey::Gone {
                start: START,
                first: 1,
            },
            RecordContent::Gone { last: 2 },
        ),
        record(
            RecordKey::Session {
                start: START,
                count: 3,
            },
            RecordContent::Session(mark),
        ),
        claim(1, vec![(CounterIndex::new(1), Sum::of(-2))]),
        record(RecordKey::Heard(heard), RecordContent::Heard),
    ];
    sent.records.gaps = vec![Gap {
        after: Some(RecordKey::Heard(heard)),
        before: None,
        version,
    }];
    sent.needs = vec![(ReplicaId::new(9), sent.to)];
    let names = names(3, SHARDS, 3, 0);
    let parts = encode_set(
        &mut IntervalEncoder::new(SHARDS),
        3,
        &[sent.clone(), sent],
        &names,
    );
    assert_eq!(parts.len(), 2);
    assert_eq!(hex(&parts[0].encode_to_vec()), VECTOR);
    assert_eq!((parts[0].set_goes_on, parts[1].set_goes_on), (true, false));
}

const VECTOR: &str = concat!(
    "0803",
    "121000000000000000000000000000000abc",
    "1a0b080a114d00000000000000",
    "220b080b114d00000000000000",
    "320e0801120a636f756e7465722d3178",
    "5801",
    "6a180a1408011210000000000000000000000000000000091001",
    "6a130a0d0802194d00000000000000200110011802",
    "6a350a0d0803194d0000000000000020031001",
    "22220802120202031a020404221408051210000000000000000000000000000000022801",
    "6a2b0a210804121000000000000000000000000000000009194d000000000000002003280110012a0408011802",
    "6a230a1f0805121000000000000000000000000000000009194d0000000000000020061001",
    "72230a1f0805121000000000000000000000000000000009194d0000000000000020061801",
    "7a1f0a1000000000000000000000000000000009120b080b114d00000000000000",
    "800101",
);

mod refused;
