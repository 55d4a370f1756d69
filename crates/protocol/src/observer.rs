//! Watching a shard: for traces of what a node really did.
//!
//! An observer is told of each step of a shard while whoever makes it still holds the shard, so
//! the order in which it hears of them is the order in which they happened. It sees, and changes
//! nothing; a shard without one pays for a branch.

use core::fmt;

use crdt_core::{CounterName, Group, Mark, ReceiveError, ReplicaId, Sum};

use crate::{Round, Shard};

/// An interval without what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The lane's owner.
    pub lane: ReplicaId,
    /// Where the interval begins.
    pub after: Mark,
    /// Where it ends.
    pub to: Mark,
}

/// Told of each step of one shard.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Adds of one request were taken, each counter once. They are durable with the shard's
    /// [next round](Shard::next_round), once the own lane is at this mark.
    fn taken(&self, shard: &Shard, mark: Mark, adds: &mut dyn Iterator<Item = (&CounterName, Sum)>);

    /// An interval was received, and this became of it.
    fn received(&self, shard: &Shard, span: Span, outcome: &Result<Option<Round>, ReceiveError>);

    /// What was taken was collected for a round: a group, if it was anything. The lanes are still
    /// as they were before it.
    fn collected(&self, shard: &Shard, round: Round, group: Option<&Group>);

    /// The group that was collected last is held now.
    fn held(&self, shard: &Shard);
}
