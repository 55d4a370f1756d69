//! Values of counters, and how old they may be, as the API tells them.

use std::time::Duration;

use crdt_core::CounterName;
use protocol::{Age, Reading};
use wire::replica_id_to_bytes;
use wire::v1::{CounterValue, LaneAge};

use crate::node::Node;

/// A sum as the API tells it: clamped to 64 bits, and saying so.
pub(super) fn counter_value(name: &CounterName, sum: i128) -> CounterValue {
    let clamped = sum.clamp(i64::MIN.into(), i64::MAX.into());
    CounterValue {
        counter: name.as_str().to_owned(),
        value: i64::try_from(clamped).expect("clamped to its range"),
        clamped: clamped != sum,
    }
}

/// How old what was read may be, where that was asked for.
pub(super) fn lane_ages(node: &Node, reading: &Reading, is_asked: bool) -> Vec<LaneAge> {
    if !is_asked {
        return Vec::new();
    }
    let ages = node.lane_ages(reading).into_iter();
    ages.map(lane_age).collect()
}

fn lane_age(age: protocol::LaneAge) -> LaneAge {
    let (newest_age, is_least) = match age.interval {
        None => (None, false),
        Some(Age::Exactly(age)) => (Some(age), false),
        Some(Age::AtLeast(age)) => (Some(age), true),
    };
    LaneAge {
        replica_id: replica_id_to_bytes(age.lane),
        newest_age_ms: newest_age.map(milliseconds),
        newest_age_is_least: is_least,
        complete_age_ms: age.caught_up.map(milliseconds),
    }
}

/// Whole milliseconds, rounded up: what is told is no younger than it is.
fn milliseconds(age: Duration) -> u64 {
    u64::try_from(age.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}
