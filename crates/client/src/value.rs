//! A counter's value as a read returns it.

/// A counter and its value, as one node knew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterValue {
    /// The counter's name.
    pub counter: String,
    /// The sum of all amounts known to the node that answered. A counter that nobody added to
    /// has 0.
    pub value: i64,
    /// The true sum does not fit 64 bits (possible only when several nodes took adds that do not
    /// fit together); `value` is the nearest number that does.
    pub clamped: bool,
}

impl From<wire::v1::CounterValue> for CounterValue {
    fn from(wire: wire::v1::CounterValue) -> Self {
        Self {
            counter: wire.counter,
            value: wire.value,
            clamped: wire.clamped,
        }
    }
}
