//! Round trips, refusals, and the bytes that must not drift.

use std::fmt::Write as _;

use crdt_core::{
    CounterIndex, CounterName, Interval, IntervalReader, Replica, ReplicaId, Sum, SumRecord,
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
    let start = StartId::new(77);
    let mut version = 10;
    let sums = records
        .iter()
        .map(|&(counter, incremented, decremented)| {
            version += 1;
            SumRecord {
                counter: CounterIndex::new(counter),
                version: Version::new(version),
                sum: Sum {
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
    }
}

/// Decodes; this side calls the sender's counter i by the index i + 1000.
fn decode(
    decoder: &mut IntervalDecoder,
    parts: &[v1::IntervalPart],
) -> Result<Option<(u32, Interval)>, DecodeError> {
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

proptest! {
    #[test]
    fn intervals_survive_a_stream(
        intervals in vec((0..SHARDS, vec((0..50u32, any::<u64>(), 0..3u64), 0..40)), 1..8),
    ) {
        let names: Vec<_> = (0..SHARDS).map(|shard| names(shard, SHARDS, 50, 0)).collect();
        let mut encoder = IntervalEncoder::new(SHARDS);
        let mut decoder = decoder(SHARDS);
        for (shard, records) in &intervals {
            let sent = interval(records);
            let name = |counter: CounterIndex| names[*shard as usize][counter.as_usize()].clone();
            let parts = encoder.encode(*shard, &sent, name);
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
            let interval = decoder.decode(&part, |name| receiver.counter(name));
            let Some((shard, interval)) = interval.expect("well-formed") else {
                continue;
            };
            assert_eq!((shard, piece.end.is_some()), (3, true));
            receiver.receive(interval).expect("it continues the lane");
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
        sums: vec![],
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

#[test]
fn an_index_without_a_name_is_refused() {
    let mut parts = encode(0, 1, &interval(&[(2, 1, 0)]));
    parts[0].introduced.clear();
    let error = decode(&mut decoder(1), &parts);
    assert_eq!(
        error,
        Err(DecodeError::NotIntroduced { shard: 0, index: 2 })
    );
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let mut parts = encode(0, 1, &interval(&[(2, 1, 0)]));
    parts[0].incremented.clear();
    let error = decode(&mut decoder(1), &parts);
    assert!(
        matches!(error, Err(DecodeError::Columns { incremented: 0, .. })),
        "{error:?}"
    );
}

#[test]
fn a_shard_that_does_not_exist_is_refused() {
    let parts = encode(7, 8, &interval(&[]));
    let error = decode(&mut decoder(4), &parts);
    assert_eq!(
        error,
        Err(DecodeError::Shard {
            found: 7,
            shard_count: 4
        })
    );
}

#[test]
fn a_name_of_another_shard_is_refused_and_never_looked_up() {
    let mut parts = encode(3, SHARDS, &interval(&[(2, 1, 0)]));
    parts[0].shard = 1;
    let error = decoder(SHARDS).decode(&parts[0], |name| panic!("{name} was looked up"));
    let name = names(3, SHARDS, 3, 0).remove(2);
    assert_eq!(
        error,
        Err(DecodeError::NameShard {
            name,
            found: 1,
            expected: 3
        })
    );
}

/// What an interval may not say, beside the columns.
#[test]
fn an_interval_that_does_not_end_or_ends_twice_is_refused() {
    let whole = encode(0, 1, &interval(&[(2, 1, 0)])).remove(0);
    let refused = |parts: &[v1::IntervalPart]| decode(&mut decoder(1), parts).expect_err("refused");

    let mut endless = whole.clone();
    endless.to = None;
    assert_eq!(
        refused(&[endless.clone()]),
        DecodeError::Absent("end (`to`)")
    );
    endless.starts.push(v1::LaneStart::default());
    assert_eq!(
        refused(&[endless]),
        DecodeError::Absent("end (`to`) beside its starts")
    );
    let mut begun = whole.clone();
    begun.last = false;
    assert_eq!(
        refused(&[begun.clone(), whole.clone()]),
        DecodeError::Interrupted
    );
    let end_again = v1::IntervalPart {
        to: whole.to,
        last: true,
        ..Default::default()
    };
    assert_eq!(refused(&[begun, end_again]), DecodeError::EndsTwice);
    let mut nowhere = whole;
    nowhere.after = None;
    assert_eq!(refused(&[nowhere]), DecodeError::Absent("begin (`after`)"));
}

#[test]
fn what_passes_a_limit_is_refused() {
    // Two intervals of two records each, and three names of nine bytes.
    let names = names(0, 1, 3, 0);
    let name = |counter: CounterIndex| names[counter.as_usize()].clone();
    let mut encoder = IntervalEncoder::new(1);
    let mut parts = Vec::new();
    for records in [[(0, 1, 0), (1, 1, 0)], [(1, 1, 0), (2, 1, 0)]] {
        let mut part = encoder.encode(0, &interval(&records), name).remove(0);
        // Each in two parts, so that what counts is the interval.
        let mut second = v1::IntervalPart {
            last: true,
            ..Default::default()
        };
        second.counters.push(part.counters.pop().expect("two"));
        second
            .version_offsets
            .push(part.version_offsets.pop().expect("two"));
        second
            .incremented
            .push(part.incremented.pop().expect("two"));
        if part.introduced.len() == 2 {
            second.introduced.extend(part.introduced.pop());
        }
        (second.to, part.to, part.last) = (part.to, None, false);
        parts.extend([part, second]);
    }
    let read = |limits| -> Result<usize, DecodeError> {
        let mut decoder = IntervalDecoder::new(1, limits);
        let mut intervals = 0;
        for part in &parts {
            intervals += usize::from(decoder.decode(part, |_| CounterIndex::new(0))?.is_some());
        }
        Ok(intervals)
    };
    let enough = DecodeLimits {
        interval_records_max: 2,
        interval_name_bytes_max: 18,
        stream_names_max: 3,
    };
    assert_eq!(read(enough), Ok(2));
    assert_eq!(read(DecodeLimits::FILE), Ok(2));
    let lane = ReplicaId::new(0xabc);
    let fewer = |limits| read(limits).expect_err("refused");
    assert_eq!(
        fewer(DecodeLimits {
            interval_records_max: 1,
            ..enough
        }),
        DecodeError::Records {
            lane,
            records_max: 1
        }
    );
    assert_eq!(
        fewer(DecodeLimits {
            interval_name_bytes_max: 17,
            ..enough
        }),
        DecodeError::NameBytes {
            lane,
            bytes_max: 17
        }
    );
    assert_eq!(
        fewer(DecodeLimits {
            stream_names_max: 2,
            ..enough
        }),
        DecodeError::Names { names_max: 2 }
    );
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

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("a string takes everything");
    }
    hex
}
