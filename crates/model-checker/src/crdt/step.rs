//! The steps of a CRDT world, and how a trace describes them.

use std::fmt;

use crdt_core::{Mark, ReplicaId};

use super::node::Message;
use super::view::counter_name;

/// A step of a CRDT world. Nodes are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A client adds.
    Add(usize, usize, i64),
    /// The node closes a group and writes it; where steps are atomic, also syncs it.
    Commit(usize),
    /// The group that was written becomes durable, and takes effect.
    Sync(usize),
    /// The node serves a lane after a mark.
    Send(usize, Message),
    /// A message arrives.
    Deliver(usize, Message),
    /// The process dies and starts again.
    Kill(usize),
    /// The machine loses power and starts again.
    LosePower(usize),
    /// The mutant restart, from a peer.
    RestartFrom(usize, usize),
    /// The disk is lost for ever, and an empty one takes its place.
    LoseDisk(usize),
    /// The disk is replaced by its state after so many syncs.
    RollBack(usize, usize),
    /// The first node's disk is replaced by a copy of the second one's.
    CopyDisk(usize, usize),
    /// The node stops for ever.
    Die(usize),
    /// From here on nobody can dial the node; it can dial the others.
    CutInbound(usize),
}

impl Step {
    /// The node whose step it is.
    pub(super) fn at(&self) -> usize {
        match *self {
            Self::Add(at, ..)
            | Self::Commit(at)
            | Self::Sync(at)
            | Self::Send(at, _)
            | Self::Deliver(at, _)
            | Self::Kill(at)
            | Self::LosePower(at)
            | Self::RestartFrom(at, _)
            | Self::LoseDisk(at)
            | Self::RollBack(at, _)
            | Self::CopyDisk(at, _)
            | Self::Die(at)
            | Self::CutInbound(at) => at,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.at() + 1;
        match self {
            Self::Add(_, counter, amount) => {
                write!(
                    f,
                    "node {node} takes {amount:+} to {}",
                    counter_name(*counter)
                )
            }
            Self::Commit(_) => write!(f, "node {node} commits"),
            Self::Sync(_) => write!(f, "node {node} syncs its log"),
            Self::Send(_, message) => write!(f, "node {node} sends {}", Named(message)),
            Self::Deliver(_, message) => {
                write!(f, "node {node} receives {}", Named(message))?;
                match message.from {
                    Some(from) => write!(f, ", sent by node {}", from + 1),
                    None => Ok(()),
                }
            }
            Self::Kill(_) => write!(f, "node {node} is killed and restarts"),
            Self::LosePower(_) => write!(f, "node {node} loses power and restarts"),
            Self::RestartFrom(_, peer) => {
                write!(
                    f,
                    "node {node} restarts from what node {} knows of it",
                    peer + 1
                )
            }
            Self::LoseDisk(_) => write!(f, "node {node} loses its disk, gets an empty one"),
            Self::RollBack(_, to) => {
                write!(
                    f,
                    "node {node}'s disk is rolled back to where it was after {to} syncs"
                )
            }
            Self::CopyDisk(_, of) => {
                write!(
                    f,
                    "node {node} starts with a copy of node {}'s disk",
                    of + 1
                )
            }
            Self::Die(_) => write!(f, "node {node} dies for ever"),
            Self::CutInbound(_) => write!(f, "nobody can dial node {node} any more"),
        }
    }
}

/// An interval as a trace names it.
struct Named<'a>(&'a Message);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = &self.0.interval;
        let point = |mark: Mark| mark.version.get();
        write!(
            f,
            "{}'s lane from {} to {}",
            lane_name(interval.lane),
            point(interval.after),
            point(interval.to)
        )
    }
}

/// Who owns a lane: "node 1", or "node 1 (disk 2)" for a later incarnation.
fn lane_name(lane: ReplicaId) -> String {
    let (node, disk) = ((lane.get() >> 4) - 0xa + 1, (lane.get() & 0xf) + 1);
    if disk == 1 {
        format!("node {node}")
    } else {
        format!("node {node} (disk {disk})")
    }
}
