//! What a client asks of a node, and what it is told.

/// A request on its way to a node.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Call {
    pub(in crate::sim) request: usize,
    pub(in crate::sim) node: usize,
    pub(in crate::sim) answered_below: u64,
    pub(in crate::sim) is_moved: bool,
}

/// Why a node does not say that a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sim) enum Refusal {
    /// The home has refused it for good.
    ForGood,
    /// The node is not the session's home, and the request is not moved.
    NotHome,
    /// The node is the session's home, and the request is moved.
    MovedToHome,
    /// The session is closed: whether the request counts is not known here.
    Closed,
    /// The session's home does not know the node.
    UnknownToHome,
    /// A value would leave its range, at a node that is not the home.
    OutOfRange,
    /// Some of it counts, and the rest cannot any more.
    CountsInPart,
    /// The node takes nothing, or nothing more of that kind.
    NotTaken,
}

/// What a client is told: that its request counts, mostly with a token, or why not.
pub(in crate::sim) type Told = Result<Option<Vec<u8>>, Refusal>;
