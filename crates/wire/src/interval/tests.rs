//! Round trips, refusals, and the bytes that must not drift.

use std::fmt::Write as _;

use crdt_core::{
    CounterIndex, CounterName, Interval, IntervalReader, Replica, ReplicaId, Sum, SumRecord, Sums,
    Total,
};
use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use super::*;
use crate::shard_of;

const SHARDS: u32 = 4;

/// A sender's names in a shard: index i is called "counter-i", padded to make long intervals, and
/// to belong there.
fn names(shard: u32, shard_count: u32, count: u32, padding: usize) -> Vec<CounterName> {
    let padded = |i: u32, more: usize| -> CounterName {
        let pad = "x".repeat(padding + more);
        format!("counter-{i}{pad}").parse().expect("a valid name")
    };
    let belongs = |name: &CounterName| shard_of(name, shard_count) == shard;
    let name = |i| (0..999).map(|more| padded(i, more)).find(belongs);
    (0..count).filter_map(name).collect()
}

fn decoder(shard_count: u32) -> IntervalDecoder {
    IntervalDecoder::new(shard_count, DecodeLimits::STREAM)
}

/// The one interval, encoded alone.
fn encode(shard: u32, shard_count: u32, interval: &Interval) -> Vec<v1::IntervalPart> {
    let names = names(shard, shard_count, 3, 0);
    let name = |counter: CounterIndex| names[counter.as_usize()].clone();
    IntervalEncoder::new(shard_count).encode(shard, interval, name)
}

fn interval(records: &[(u32, u64, u64)]) -> Interval {
    let wide = |&(counter, incremented, decremented): &(u32, u64, u64)| {
        (counter, incremented.into(), decremented.into())
    };
    wide_interval(&records.iter().map(wide).collect::<Vec<_>>())
}

fn wide_interval(records: &[(u32, u128, u128)]) -> Interval {
    let start = StartId::new(77);
    let mut version = 10;
    let sums = records
        .iter()
        .map(|&(counter, incremented, decremented)| {
            version += 1;
            SumRecord {
                counter: CounterIndex::new(counter),
                version: Version::new(version),
                total: Total {
                    incremented,
                    decremented,
                },
            }
        })
        .collect();
    Interval {
        lane: ReplicaId::new(0xabc),
        after: Mark {
            version: Version::new(10),
            start,
        },
        to: Mark {
            version: Version::new(version + 1),
            start,
        },
        starts: vec![],
        sums,
        records: crdt_core::Records::default(),
        needs: Vec::new(),
    }
}

/// Decodes; this side calls the sender's counter i by the index i + 1000.
fn decode(
    decoder: &mut IntervalDecoder,
    parts: &[v1::IntervalPart],
) -> Result<Option<(u32, Interval)>, DecodeError> {
    let set = decode_set(decoder, parts)?;
    Ok(set.map(|(shard, mut set)| {
        assert_eq!(set.len(), 1, "a set of one");
        (shard, set.remove(0))
    }))
}

/// As [`decode`], of a set.
fn decode_set(
    decoder: &mut IntervalDecoder,
    parts: &[v1::IntervalPart],
) -> Result<Option<(u32, Vec<Interval>)>, DecodeError> {
    let mut whole = None;
    for part in parts {
        assert!(whole.is_none(), "only the last part completes the interval");
        whole = decoder.decode(part, |name| {
            let digits: String = name.as_str().chars().filter(char::is_ascii_digit).collect();
            CounterIndex::new(1000 + digits.parse::<u32>().expect("a number"))
        })?;
    }
    Ok(whole)
}

fn renumbered(interval: &Interval) -> Interval {
    interval.map_counters(|counter| CounterIndex::new(counter.get() + 1000))
}

/// Mostly small, and around the ends of 64 bits and of what a total can be.
fn any_part() -> impl Strategy<Value = u128> {
    let near = |bound: u128| (0..3u128).prop_map(move |less| bound - less);
    let end = u128::from(u64::MAX);
    prop_oneof![
        6 => 0..3u128,
        2 => any::<u64>().prop_map(u128::from),
        1 => near(end + 2),
        1 => near(Total::PART_MAX),
    ]
}

proptest! {
    #[test]
    fn intervals_survive_a_stream(
        intervals in vec((0..SHARDS, vec((0..50u32, any_part(), any_part()), 0..40)), 1..8),
    ) {
        let names: Vec<_> = (0..SHARDS).map(|shard| names(shard, SHARDS, 50, 0)).collect();
        let mut encoder = IntervalEncoder::new(SHARDS);
        let mut decoder = decoder(SHARDS);
        for (shard, records) in &intervals {
            let sent = wide_interval(records);
            let name = |counter: CounterIndex| names[*shard as usize][counter.as_usize()].clone();
            let parts = encoder.encode(*shard, &sent, name);
            for part in &parts {
                // Who does not know of wide totals compares these.
                let is_narrow = part.counters.len() == part.incremented.len();
                prop_assert_eq!(is_narrow, part.wide.is_empty());
            }
            let got = decode(&mut decoder, &parts);
            prop_assert_eq!(got, Ok(Some((*shard, renumbered(&sent)))));
        }
    }

    #[test]
    fn any_part_is_decoded_or_refused_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(part) = v1::IntervalPart::decode(&*bytes) {
            let _ = decoder(SHARDS).decode(&part, |_| CounterIndex::new(0));
        }
    }
}

#[test]
fn a_long_interval_travels_in_parts_below_the_message_limit() {
    let names = names(0, 1, 10_000, 490);
    let records: Vec<_> = (0..10_000)
        .map(|counter| (counter, u64::MAX, u64::MAX))
        .collect();
    let sent = interval(&records);
    let name = |counter: CounterIndex| names[counter.as_usize()].clone();
    let parts = IntervalEncoder::new(1).encode(0, &sent, name);
    assert!(parts.len() > 4, "{} parts", parts.len());
    for part in &parts {
        assert!(
            part.encoded_len() < 2 * PART_BYTES_TARGET,
            "{}",
            part.encoded_len()
        );
    }
    let got = decode(&mut decoder(1), &parts).expect("well-formed");
    assert_eq!(got, Some((0, renumbered(&sent))));
}

/// Between two pieces the lane changes; what is decoded leads to the lane as it is at the end.
#[test]
fn an_interval_travels_in_pieces() {
    let mut source = Replica::new(ReplicaId::new(0xabc), StartId::new(77));
    let change = |source: &mut Replica, counters: std::ops::Range<usize>| {
        for name in &names(3, SHARDS, 20, 0)[counters] {
            let counter = source.counter(name);
            source.add(counter, Sum::of(1)).expect("it fits");
        }
        source.commit().expect("something was added");
        source.synced();
    };
    change(&mut source, 0..20);
    let mut reader = IntervalReader::new(source.id(), Mark::ZERO);
    let mut encoder = IntervalEncoder::new(SHARDS);
    let mut decoder = decoder(SHARDS);
    let mut receiver = Replica::new(ReplicaId::new(2), StartId::new(2));
    for changed in 0.. {
        let piece = source.read(&mut reader, 6).expect("one history");
        let piece = piece.expect("it has an end");
        for part in encoder.encode_piece(3, &piece, |counter| source.name(counter).clone()) {
            let set = decoder.decode(&part, |name| receiver.counter(name));
            let Some((shard, set)) = set.expect("well-formed") else {
                continue;
            };
            assert_eq!((shard, piece.end.is_some()), (3, true));
            receiver.receive_set(set).expect("it continues the lane");
            receiver.commit().expect("something was received");
            receiver.synced();
        }
        if piece.end.is_some() {
            break;
        }
        if changed < 2 {
            change(&mut source, 3..9);
        }
    }
    assert_eq!(receiver.digest(), source.digest());
    let values = |replica: &Replica| -> Vec<_> {
        let values = replica.values_from("");
        values.map(|(name, value)| (name.clone(), value)).collect()
    };
    assert_eq!(values(&receiver), values(&source));
}

#[test]
fn a_piece_that_says_nothing_has_no_part() {
    let piece = crdt_core::IntervalPiece {
        lane: ReplicaId::new(1),
        after: Mark::ZERO,
        is_first: false,
        sums: Sums::new(),
        end: None,
    };
    let parts = IntervalEncoder::new(1).encode_piece(0, &piece, |_| unreachable!());
    assert_eq!(parts, []);
}

/// Versions of this program that read no interval in pieces wrote its end first.
#[test]
fn an_interval_that_tells_its_end_first_is_read() {
    let names = names(0, 1, 10_000, 490);
    let records: Vec<_> = (0..10_000).map(|counter| (counter, 1, 0)).collect();
    let mut sent = interval(&records);
    sent.starts = vec![(Version::new(11), StartId::new(77))];
    let name = |counter: CounterIndex| names[counter.as_usize()].clone();
    let mut parts = IntervalEncoder::new(1).encode(0, &sent, name);
    let mut last = parts.pop().expect("the last part");
    parts[0].to = last.to.take();
    parts[0].starts = std::mem::take(&mut last.starts);
    parts.push(last);
    let got = decode(&mut decoder(1), &parts);
    assert_eq!(got, Ok(Some((0, renumbered(&sent)))));
}

#[test]
fn wide_totals_travel_in_parts_below_the_message_limit() {
    let names = names(0, 1, 30_000, 0);
    let records: Vec<_> = (0..30_000)
        .map(|counter| (counter, Total::PART_MAX - 1, Total::PART_MAX - 1))
        .collect();
    let sent = wide_interval(&records);
    let name = |counter: CounterIndex| names[counter.as_usize()].clone();
    let parts = IntervalEncoder::new(1).encode(0, &sent, name);
    assert!(parts.len() > 1, "one part");
    for part in &parts {
        let bytes = part.encoded_len();
        assert!(bytes < PART_BYTES_TARGET + 1024, "{bytes}");
    }
    let got = decode(&mut decoder(1), &parts).expect("well-formed");
    assert_eq!(got, Some((0, renumbered(&sent))));
}

#[test]
fn a_name_travels_once_a_stream() {
    let names = names(0, 1, 1, 100);
    let mut encoder = IntervalEncoder::new(1);
    let mut bytes = || {
        let name = |counter: CounterIndex| names[counter.as_usize()].clone();
        let parts = encoder.encode(0, &interval(&[(0, 5, 0)]), name);
        parts[0].encoded_len()
    };
    assert!(bytes() > 100);
    assert!(bytes() < 80, "{}", bytes());
}

/// The wire vector: other versions of the program must read these bytes.
#[test]
fn the_bytes_of_an_interval_do_not_drift() {
    let mut sent = interval(&[(0, 300, 0), (1, 1, 2)]);
    sent.starts = vec![(Version::new(11), StartId::new(77))];
    let parts = encode(3, 4, &sent);
    assert_eq!(
        hex(&parts[0].encode_to_vec()),
        concat!(
            "0803",
            "121000000000000000000000000000000abc",
            "1a0b080a114d00000000000000",
            "220b080d114d00000000000000",
            "2a0b080b114d00000000000000",
            "320d120b636f756e7465722d307878",
            "320e0801120a636f756e7465722d3178",
            "3a020001",
            "42020102",
            "4a03ac0201",
            "52020002",
            "5801",
        )
    );
}

#[test]
fn the_bytes_of_a_wide_total_do_not_drift() {
    let big = 1 << 64 | 5;
    let sent = wide_interval(&[(0, 7, 0), (1, big, 2), (2, 1, 1)]);
    let mut part = encode(3, 4, &sent).remove(0);
    part.introduced.clear();
    assert_eq!(
        hex(&part.encode_to_vec()),
        concat!(
            "0803",
            "121000000000000000000000000000000abc",
            "1a0b080a114d00000000000000",
            "220b080e114d00000000000000",
            "3a03000102",
            "4203010203",
            "4a020701",
            "52020001",
            "5801",
            "6208080110051801",
            "2002",
        )
    );
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("a string takes everything");
    }
    hex
}

mod records;
mod refusals;
