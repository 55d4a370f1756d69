//! Values of counters, as the API tells them.

use crdt_core::CounterName;
use wire::v1::CounterValue;

use crate::node::Node;

/// A counter's value now.
pub(super) fn value(node: &Node, name: &CounterName) -> CounterValue {
    counter_value(name, node.value(name))
}

/// A sum as the API tells it: clamped to 64 bits, and saying so.
pub(super) fn counter_value(name: &CounterName, sum: i128) -> CounterValue {
    let clamped = sum.clamp(i64::MIN.into(), i64::MAX.into());
    CounterValue {
        counter: name.as_str().to_owned(),
        value: i64::try_from(clamped).expect("clamped to its range"),
        clamped: clamped != sum,
    }
}
