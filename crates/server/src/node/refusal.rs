//! Why a node takes no add: this one, or any.

use crdt_core::{AddError, CounterName, Fork};

/// Why adds were refused. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum AddRefusal {
    /// The value would leave its range.
    #[error("counter {counter:?}: {reason}")]
    OutOfRange {
        /// The counter.
        counter: CounterName,
        /// What would overflow.
        reason: AddError,
    },
    /// Amounts of one batch add up to more than 64 bits.
    #[error(
        "the amounts for counter {counter:?} in one request add up to more than {}; split them",
        u64::MAX
    )]
    BatchOverflow {
        /// The counter.
        counter: CounterName,
    },
    /// The node holds as many counters as it may.
    #[error(
        "counter {counter:?} would be a new one, and this node may hold {counters_max} \
         (--counters-max); raise the limit, or use fewer counters"
    )]
    CountersExhausted {
        /// The counter.
        counter: CounterName,
        /// The limit.
        counters_max: u64,
    },
    /// The node takes no adds at all.
    #[error(transparent)]
    Refusing(#[from] Refusing),
}

/// Why the node takes no adds.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusing {
    /// It is stopping.
    #[error("this node is stopping; use another one")]
    Stopping,
    /// Others know a history of its lane that it does not.
    #[error("this node takes no adds: {0}")]
    Forked(Fork),
}
