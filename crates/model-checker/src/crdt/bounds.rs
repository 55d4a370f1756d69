//! How large a world is, what may go wrong in it, and which rules it breaks.

use std::fmt;

use super::Step;
use crate::mutation::Mutation;

/// Whether the steps of an add on its way to the disk are atomic or interleave with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Grain {
    /// A commit is written and synced in one step, and what is delivered is committed at once. A
    /// crash between would leave the disk as it is before or after the step.
    #[default]
    Atomic,
    /// Deliver, commit (write) and sync are steps of their own, and crashes come between.
    Interleaved,
}

/// The bounds of a world, and the rule that it breaks.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Nodes, and so lanes to begin with.
    pub replicas: usize,
    /// Counters: 1 to 3.
    pub counters: usize,
    /// An add adds one of these.
    pub amounts: &'static [i64],
    /// Adds, by all nodes together.
    pub adds: u8,
    /// So many of the nodes, the first ones, take adds.
    pub writers: usize,
    /// Whether the first node has added 1 to each counter before the world begins, a commit each.
    pub is_primed: bool,
    /// Kills and power losses, together.
    pub crashes: u8,
    /// Disks lost for ever.
    pub disk_losses: u8,
    /// Disks replaced by a backup.
    pub roll_backs: u8,
    /// Disks replaced by a copy of another node's.
    pub copies: u8,
    /// Nodes that stop for ever.
    pub deaths: u8,
    /// Nodes that from some step on can dial the others, and cannot be dialled.
    pub inbound_cuts: u8,
    /// Ways, from a node to another, on which nothing ever arrives.
    pub cut: &'static [(usize, usize)],
    /// Whether a message says who sent it, so that a relay can be told from its source. Where a
    /// way is cut, all do.
    pub names_senders: bool,
    /// Whether steps are atomic or interleaved.
    pub grain: Grain,
    /// The broken rules.
    pub broken: &'static [Mutation],
}

impl Bounds {
    /// A world without faults: so many replicas, so many adds of 1 or 2 to one counter.
    #[must_use]
    pub const fn new(replicas: usize, adds: u8) -> Self {
        Self {
            replicas,
            counters: 1,
            amounts: &[1, 2],
            adds,
            writers: replicas,
            is_primed: false,
            crashes: 0,
            disk_losses: 0,
            roll_backs: 0,
            copies: 0,
            deaths: 0,
            inbound_cuts: 0,
            cut: &[],
            names_senders: false,
            grain: Grain::Atomic,
            broken: &[],
        }
    }
}

/// What the steps of a single node depend on.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) counters: usize,
    pub(super) grain: Grain,
    pub(super) broken: &'static [Mutation],
    pub(super) remembers_disks: bool,
    pub(super) only_increments: bool,
    pub(super) cut: &'static [(usize, usize)],
    pub(super) names_senders: bool,
}

impl Rules {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            counters: bounds.counters,
            grain: bounds.grain,
            broken: bounds.broken,
            remembers_disks: bounds.roll_backs > 0,
            only_increments: bounds.amounts.iter().all(|&amount| amount > 0),
            cut: bounds.cut,
            names_senders: bounds.names_senders || !bounds.cut.is_empty(),
        }
    }

    /// Whether what the first node sends can arrive at the second.
    pub(super) fn arrives(&self, from: usize, to: usize) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Whether the world breaks this rule.
    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.broken.contains(&mutation)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} replicas, {} adds", self.replicas, self.adds)?;
        if self.counters > 1 {
            write!(f, ", {} counters", self.counters)?;
        }
        let faults = [
            (self.crashes, "crash"),
            (self.disk_losses, "lost disk"),
            (self.roll_backs, "roll-back"),
            (self.copies, "copied disk"),
            (self.deaths, "death"),
            (self.inbound_cuts, "cut of all that is inbound"),
        ];
        for (count, fault) in faults.into_iter().filter(|&(count, _)| count > 0) {
            write!(f, ", {count} {fault}")?;
        }
        if self.is_primed {
            write!(f, ", 1 in each counter before")?;
        }
        if self.writers < self.replicas {
            write!(f, ", {} of them take adds", self.writers)?;
        }
        for (from, to) in self.cut {
            write!(f, ", nothing from {} to {}", from + 1, to + 1)?;
        }
        if self.grain == Grain::Interleaved {
            write!(f, ", interleaved steps")?;
        }
        Ok(())
    }
}

/// What may still happen: ghost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budgets {
    pub(super) adds: u8,
    pub(super) crashes: u8,
    pub(super) disk_losses: u8,
    pub(super) roll_backs: u8,
    pub(super) copies: u8,
    pub(super) deaths: u8,
    pub(super) inbound_cuts: u8,
}

impl Budgets {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            adds: bounds.adds,
            crashes: bounds.crashes,
            disk_losses: bounds.disk_losses,
            roll_backs: bounds.roll_backs,
            copies: bounds.copies,
            deaths: bounds.deaths,
            inbound_cuts: bounds.inbound_cuts,
        }
    }

    /// The budget that a step draws on.
    pub(super) fn of(&mut self, step: &Step) -> Option<&mut u8> {
        match step {
            Step::Add(..) => Some(&mut self.adds),
            Step::Kill(_) | Step::LosePower(_) | Step::RestartFrom(..) => Some(&mut self.crashes),
            Step::LoseDisk(_) => Some(&mut self.disk_losses),
            Step::RollBack(..) => Some(&mut self.roll_backs),
            Step::CopyDisk(..) => Some(&mut self.copies),
            Step::Die(_) => Some(&mut self.deaths),
            Step::CutInbound(_) => Some(&mut self.inbound_cuts),
            Step::Commit(_) | Step::Sync(_) | Step::Send(..) | Step::Deliver(..) => None,
        }
    }
}
