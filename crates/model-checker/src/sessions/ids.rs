//! How the nodes, the session and its requests of a world are called.

use crdt_core::{ReplicaId, RequestId, SessionId, StartId};

/// The node that opened the session.
pub(super) const HOME: usize = 0;

pub(super) fn id(at: usize) -> ReplicaId {
    ReplicaId::new(at as u128 + 1)
}

pub(super) fn session() -> SessionId {
    SessionId {
        home: id(HOME),
        start: StartId::new(1),
        count: 0,
    }
}

pub(super) fn request(number: u64) -> RequestId {
    RequestId {
        session: session(),
        number,
    }
}

/// What a request adds: a digit of its own in octal.
pub(super) fn amount(number: u64) -> i64 {
    1 << (3 * (number - 1))
}

/// How often a value counts a request.
pub(super) fn times(value: i128, number: u64) -> i128 {
    (value >> (3 * (number - 1))) & 7
}
