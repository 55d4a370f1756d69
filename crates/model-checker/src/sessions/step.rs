//! The steps of a world of sessions, and how a trace describes them.

use std::fmt;

use super::ids::HOME;

/// A step. Nodes are numbered from 0, and the home is the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A copy of a request arrives at a node, and says that all below a number was answered.
    Arrive(usize, u64, u64),
    /// The client hears that a request counts.
    Answer(u64),
    /// The client hears that the home has refused a request.
    HearRefusal(u64),
    /// The client gives up on the home and moves what is open.
    Move,
    /// The home refuses a request.
    Refuse(u64),
    /// The home meets another node.
    Know(usize),
    /// The home closes the session: whether all was answered and nothing moved.
    Close(bool),
    /// The node closes a group and writes it; where steps are atomic, also syncs it.
    Commit(usize),
    /// The group that was written becomes durable, and takes effect.
    Sync(usize),
    /// The machine loses power and starts again.
    LosePower(usize),
    /// Lanes of other nodes arrive in one set, each as it was at a version.
    Deliver(usize, Vec<(usize, usize)>),
}

impl Step {
    /// The node whose step it is; the home's, where it is the client's.
    pub(super) fn at(&self) -> usize {
        match *self {
            Self::Arrive(at, ..)
            | Self::Commit(at)
            | Self::Sync(at)
            | Self::LosePower(at)
            | Self::Deliver(at, _) => at,
            Self::Answer(_)
            | Self::HearRefusal(_)
            | Self::Move
            | Self::Refuse(_)
            | Self::Know(_)
            | Self::Close(_) => HOME,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.at() + 1;
        match self {
            Self::Arrive(HOME, number, below) => {
                write!(f, "node 1 takes request {number}")?;
                match below {
                    1 => Ok(()),
                    _ => write!(f, ", all below {below} answered"),
                }
            }
            Self::Arrive(_, number, _) => write!(f, "node {node} claims request {number}"),
            Self::Answer(number) => write!(f, "the client hears that {number} counts"),
            Self::HearRefusal(number) => write!(f, "the client hears that {number} is refused"),
            Self::Move => write!(f, "the client gives up on node 1"),
            Self::Refuse(number) => write!(f, "node 1 refuses request {number}"),
            Self::Know(other) => write!(f, "node 1 meets node {}", other + 1),
            Self::Close(true) => write!(f, "node 1 closes the session, all answered"),
            Self::Close(false) => write!(f, "node 1 closes the session"),
            Self::Commit(_) => write!(f, "node {node} commits"),
            Self::Sync(_) => write!(f, "node {node} syncs its log"),
            Self::LosePower(_) => write!(f, "node {node} loses power and restarts"),
            Self::Deliver(_, set) => {
                write!(f, "node {node} receives")?;
                for (at, (of, version)) in set.iter().enumerate() {
                    let joint = if at > 0 { " and" } else { "" };
                    write!(f, "{joint} node {}'s lane to {version}", of + 1)?;
                }
                Ok(())
            }
        }
    }
}
