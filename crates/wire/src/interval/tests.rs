//! Round trips, refusals, and the bytes that must not drift.

use std::fmt::Write as _;

use crdt_core::ReplicaId;
use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use super::*;

const SHARDS: u32 = 4;

/// A sender's names: index i is called "counter-i", padded to make long intervals.
fn names(count: u32, padding: usize) -> Vec<CounterName> {
    let pad = "x".repeat(padding);
    (0..count)
        .map(|i| format!("counter-{i}{pad}").parse().expect("a valid name"))
        .collect()
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
        let names = names(50, 0);
        let mut encoder = IntervalEncoder::new(SHARDS);
        let mut decoder = IntervalDecoder::new(SHARDS);
        for (shard, records) in &intervals {
            let sent = interval(records);
            let parts = encoder.encode(*shard, &sent, |counter| &names[counter.as_usize()]);
            let got = decode(&mut decoder, &parts);
            prop_assert_eq!(got, Ok(Some((*shard, renumbered(&sent)))));
        }
    }

    #[test]
    fn any_part_is_decoded_or_refused_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(part) = v1::IntervalPart::decode(&*bytes) {
            let mut decoder = IntervalDecoder::new(SHARDS);
            let _ = decoder.decode(&part, |_| CounterIndex::new(0));
        }
    }
}

#[test]
fn a_long_interval_travels_in_parts_below_the_message_limit() {
    let names = names(10_000, 490);
    let records: Vec<_> = (0..10_000)
        .map(|counter| (counter, u64::MAX, u64::MAX))
        .collect();
    let sent = interval(&records);
    let parts = IntervalEncoder::new(1).encode(0, &sent, |counter| &names[counter.as_usize()]);
    assert!(parts.len() > 4, "{} parts", parts.len());
    for part in &parts {
        assert!(
            part.encoded_len() < 2 * PART_BYTES_TARGET,
            "{}",
            part.encoded_len()
        );
    }
    let got = decode(&mut IntervalDecoder::new(1), &parts).expect("well-formed");
    assert_eq!(got, Some((0, renumbered(&sent))));
}

#[test]
fn a_name_travels_once_a_stream() {
    let names = names(1, 100);
    let mut encoder = IntervalEncoder::new(1);
    let mut bytes = || {
        let parts = encoder.encode(0, &interval(&[(0, 5, 0)]), |c| &names[c.as_usize()]);
        parts[0].encoded_len()
    };
    assert!(bytes() > 100);
    assert!(bytes() < 80, "{}", bytes());
}

#[test]
fn an_index_without_a_name_is_refused() {
    let names = names(3, 0);
    let mut encoder = IntervalEncoder::new(1);
    let mut parts = encoder.encode(0, &interval(&[(2, 1, 0)]), |c| &names[c.as_usize()]);
    parts[0].introduced.clear();
    let error = decode(&mut IntervalDecoder::new(1), &parts);
    assert_eq!(
        error,
        Err(DecodeError::NotIntroduced { shard: 0, index: 2 })
    );
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let names = names(3, 0);
    let mut parts =
        IntervalEncoder::new(1).encode(0, &interval(&[(2, 1, 0)]), |c| &names[c.as_usize()]);
    parts[0].incremented.clear();
    let error = decode(&mut IntervalDecoder::new(1), &parts);
    assert!(
        matches!(error, Err(DecodeError::Columns { incremented: 0, .. })),
        "{error:?}"
    );
}

#[test]
fn a_shard_that_does_not_exist_is_refused() {
    let parts = IntervalEncoder::new(8).encode(7, &interval(&[]), |_| unreachable!());
    let error = decode(&mut IntervalDecoder::new(4), &parts);
    assert_eq!(
        error,
        Err(DecodeError::Shard {
            found: 7,
            shard_count: 4
        })
    );
}

/// The wire vector: other versions of the program must read these bytes.
#[test]
fn the_bytes_of_an_interval_do_not_drift() {
    let names = names(2, 0);
    let mut sent = interval(&[(0, 300, 0), (1, 1, 2)]);
    sent.starts = vec![(Version::new(11), StartId::new(77))];
    let parts = IntervalEncoder::new(4).encode(3, &sent, |c| &names[c.as_usize()]);
    let mut hex = String::new();
    for byte in parts[0].encode_to_vec() {
        write!(hex, "{byte:02x}").expect("a string takes everything");
    }
    assert_eq!(
        hex,
        concat!(
            "0803",
            "121000000000000000000000000000000abc",
            "1a0b080a114d00000000000000",
            "220b080d114d00000000000000",
            "2a0b080b114d00000000000000",
            "320b1209636f756e7465722d30",
            "320d08011209636f756e7465722d31",
            "3a020001",
            "42020102",
            "4a03ac0201",
            "52020002",
            "5801",
        )
    );
}
