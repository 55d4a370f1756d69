//! What is no interval, or too much of one.

use super::*;

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
        set_records_max: 2,
        set_name_bytes_max: 18,
        stream_names_max: 3,
        ..DecodeLimits::STREAM
    };
    assert_eq!(read(enough), Ok(2));
    assert_eq!(read(DecodeLimits::FILE), Ok(2));
    let lane = ReplicaId::new(0xabc);
    let fewer = |limits| read(limits).expect_err("refused");
    assert_eq!(
        fewer(DecodeLimits {
            set_records_max: 1,
            ..enough
        }),
        DecodeError::Records {
            lane,
            records_max: 1
        }
    );
    assert_eq!(
        fewer(DecodeLimits {
            set_name_bytes_max: 17,
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

#[test]
fn a_wide_total_that_is_none_is_refused() {
    let big = u128::from(u64::MAX) + 1;
    let good = encode(0, 1, &wide_interval(&[(0, 1, 0), (1, big, 1), (2, 1, big)])).remove(0);
    let refused = |change: &dyn Fn(&mut v1::IntervalPart)| {
        let mut part = good.clone();
        change(&mut part);
        decode(&mut decoder(1), &[part]).expect_err("refused")
    };
    let none = |entry, record| DecodeError::WideTotal {
        entry,
        record,
        records: 3,
    };
    let no_record = refused(&|part| part.wide[1].record = 3);
    assert_eq!(no_record, none(1, 3));
    let twice = refused(&|part| part.wide[1].record = 1);
    assert_eq!(twice, none(1, 1));
    let not_in_order = refused(&|part| part.wide.reverse());
    assert_eq!(not_in_order, none(0, 2));
    let too_many = refused(&|part| part.incremented.push(1));
    assert!(
        matches!(
            too_many,
            DecodeError::Columns {
                incremented: 2,
                wide: 2,
                ..
            }
        ),
        "{too_many}"
    );
}
