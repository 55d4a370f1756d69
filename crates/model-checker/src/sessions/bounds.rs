//! How large a world of sessions is, what may happen in it, and which rules it breaks.

use std::fmt;

use crate::crdt::Grain;
use crate::mutation::Mutation;

/// The bounds of a world, and the rules that it breaks.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Nodes; the first one is the session's home.
    pub replicas: usize,
    /// Requests of the session: 1 to 3.
    pub requests: u64,
    /// So many of the other nodes, the first ones, get what the client moves.
    pub targets: usize,
    /// So many of the other nodes, the last ones, are known to the home from some step on only.
    pub joins: usize,
    /// Whether the home may close the session, and the client once all is answered.
    pub closes: bool,
    /// Whether the home may refuse requests.
    pub refuses: bool,
    /// Power losses.
    pub crashes: u8,
    /// Whether a change is durable with the step that makes it, or taken, written and synced in
    /// steps of their own.
    pub grain: Grain,
    /// The broken rules.
    pub broken: &'static [Mutation],
}

impl Bounds {
    /// A session that is not closed, with all nodes known and free of faults.
    #[must_use]
    pub const fn new(replicas: usize, requests: u64) -> Self {
        Self {
            replicas,
            requests,
            targets: replicas - 1,
            joins: 0,
            closes: false,
            refuses: false,
            crashes: 0,
            grain: Grain::Atomic,
            broken: &[],
        }
    }
}

/// What the steps of a single node depend on.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) requests: u64,
    pub(super) grain: Grain,
    pub(super) broken: &'static [Mutation],
}

impl Rules {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            requests: bounds.requests,
            grain: bounds.grain,
            broken: bounds.broken,
        }
    }

    /// Whether the world breaks this rule.
    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.broken.contains(&mutation)
    }

    /// Whether the client says more than it may of what was answered.
    pub(super) fn breaks_the_client(&self) -> bool {
        self.breaks(Mutation::AnsweredToTheHighest) || self.breaks(Mutation::AnsweredAfterMove)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} replicas, {} requests, {} to move to",
            self.replicas, self.requests, self.targets
        )?;
        if self.joins > 0 {
            write!(f, ", {} joins", self.joins)?;
        }
        if self.closes {
            write!(f, ", the session is closed")?;
        }
        if self.refuses {
            write!(f, ", requests are refused")?;
        }
        if self.crashes > 0 {
            write!(f, ", {} crash", self.crashes)?;
        }
        if self.grain == Grain::Interleaved {
            write!(f, ", interleaved steps")?;
        }
        Ok(())
    }
}
