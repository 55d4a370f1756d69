//! The guarantees of `specs/guarantees.md`, each as one pure function of a reachable state.
//!
//! A guarantee that is an implication comes with a *witness*: a condition that some state must
//! meet, so that the search is known to have reached what the guarantee speaks of.

use crdt_core::{Mark, Replica, StartId, Sum};
use stateright::Property;

use super::node::{Node, counter_name, recovered, sum_of};
use super::{Crdt, State};
use crate::shared::Shared;

/// A property of CRDT worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guarantee {
    /// At rest, every node reads the sum of what was taken and not lost, and nobody complains.
    Conservation,
    /// No lane is held anywhere with more than its owner was asked to add.
    NoPhantom,
    /// Whoever holds the same lanes reads the same values.
    Convergence,
    /// What a node shows is what its disk gives back, and all that was acknowledged is on it.
    Durability,
    /// No lane is held anywhere further than its owner's disk holds it.
    DurableBeforeSeen,
    /// A lane is held exactly as its owner had it at that version, so a read with a token sees
    /// the add that gave it.
    ReadYourWrites,
    /// No read is lower than an earlier one at the same node.
    MonotonicReads,
    /// A node can always take an add and make it durable by itself.
    Availability,
    /// Either somebody reports a fork, or everybody reads what is expected.
    IncarnationSafety,
    /// An empty node that takes every lane whole from one node reads what that one reads.
    Bootstrap,
    /// An add is refused just when it would take what the node reads out of 64 bits, and then
    /// changes nothing.
    Range,
    /// At rest, no node reads more than was ever asked for.
    NothingCountsTwice,
    /// Witness: all adds are taken, by more than one node, and everybody holds everything.
    AllDelivered,
    /// Witness: a fork is reported.
    AForkIsReported,
    /// Witness: a disk was lost or rolled back, and adds with it that nobody else had heard of:
    /// they are gone, and nobody can know.
    ALossWithoutAlarm,
    /// Witness: a dead node's add is read by one that never heard from it directly.
    ARelayWorked,
}

impl Guarantee {
    /// All of them, as the Explorer lists them.
    pub const ALL: &'static [Self] = &[
        Self::Conservation,
        Self::NoPhantom,
        Self::Convergence,
        Self::Durability,
        Self::DurableBeforeSeen,
        Self::ReadYourWrites,
        Self::MonotonicReads,
        Self::Availability,
        Self::IncarnationSafety,
        Self::Bootstrap,
        Self::Range,
        Self::NothingCountsTwice,
        Self::AllDelivered,
        Self::AForkIsReported,
        Self::ALossWithoutAlarm,
        Self::ARelayWorked,
    ];

    /// Its name, the same in every kind of evidence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conservation => "conservation",
            Self::NoPhantom => "no_phantom",
            Self::Convergence => "convergence",
            Self::Durability => "durability",
            Self::DurableBeforeSeen => "durable_before_seen",
            Self::ReadYourWrites => "read_your_writes",
            Self::MonotonicReads => "monotonic_reads",
            Self::Availability => "availability",
            Self::IncarnationSafety => "incarnation_safety",
            Self::Bootstrap => "bootstrap",
            Self::Range => "range",
            Self::NothingCountsTwice => "nothing_counts_twice",
            Self::AllDelivered => "all delivered",
            Self::AForkIsReported => "a fork is reported",
            Self::ALossWithoutAlarm => "a loss without alarm",
            Self::ARelayWorked => "a relay worked",
        }
    }

    /// As Stateright checks it.
    pub(super) fn property(self) -> Property<Crdt> {
        let name = self.name();
        match self {
            Self::Conservation => Property::always(name, conservation),
            Self::NoPhantom => Property::always(name, no_phantom),
            Self::Convergence => Property::always(name, convergence),
            Self::Durability => Property::always(name, durability),
            Self::DurableBeforeSeen => Property::always(name, durable_before_seen),
            Self::ReadYourWrites => Property::always(name, read_your_writes),
            Self::MonotonicReads => Property::always(name, monotonic_reads),
            Self::Availability => Property::always(name, availability),
            Self::IncarnationSafety => Property::always(name, incarnation_safety),
            Self::Bootstrap => Property::always(name, bootstrap),
            Self::Range => Property::always(name, range),
            Self::NothingCountsTwice => Property::always(name, nothing_counts_twice),
            Self::AllDelivered => Property::sometimes(name, all_delivered),
            Self::AForkIsReported => Property::sometimes(name, a_fork_is_reported),
            Self::ALossWithoutAlarm => Property::sometimes(name, a_loss_without_alarm),
            Self::ARelayWorked => Property::sometimes(name, a_relay_worked),
        }
    }
}

fn conservation(world: &Crdt, state: &State) -> bool {
    world.at_rest(state).is_exact()
}

fn incarnation_safety(world: &Crdt, state: &State) -> bool {
    let rest = world.at_rest(state);
    rest.has_alarmed || rest.is_exact()
}

fn nothing_counts_twice(world: &Crdt, state: &State) -> bool {
    let rest = world.at_rest(state);
    (0..world.bounds.counters).all(|counter| {
        let made: i128 = lanes(state)
            .map(|ledger| ledger.made[counter].value())
            .sum();
        rest.values.iter().all(|values| values[counter] <= made)
    })
}

fn no_phantom(world: &Crdt, state: &State) -> bool {
    state.nodes.iter().all(|node| {
        lanes(state).all(|ledger| {
            (0..world.bounds.counters).all(|counter| {
                let held = sum_of(&node.replica, ledger.lane, counter);
                let made = ledger.made[counter];
                held.incremented <= made.incremented && held.decremented <= made.decremented
            })
        })
    })
}

fn convergence(world: &Crdt, state: &State) -> bool {
    let values = |node: &Node| -> Vec<i128> {
        (0..world.bounds.counters)
            .map(|counter| node.value(counter))
            .collect()
    };
    state.nodes.iter().enumerate().all(|(at, left)| {
        state.nodes[at + 1..].iter().all(|right| {
            left.replica.digest() != right.replica.digest() || values(left) == values(right)
        })
    })
}

fn durability(world: &Crdt, state: &State) -> bool {
    each_node(world, state, "durability", |node| {
        // The same lanes, compared as replicas that have recovered them.
        let id = node.replica.id();
        let shown = recovered(&node.replica, id, StartId::new(1));
        let stored = recovered(&node.disk, id, StartId::new(1));
        let acknowledged = node.ledger().durable.last();
        shown == stored
            && acknowledged.is_none_or(|point| {
                let stored_sum = |counter| sum_of(&node.disk, id, counter);
                (0..point.sums.len()).all(|counter| stored_sum(counter) == point.sums[counter])
            })
    })
}

fn durable_before_seen(_world: &Crdt, state: &State) -> bool {
    state.nodes.iter().all(|owner| {
        let lane = owner.disk.id();
        let durable = owner.disk.held(lane).version;
        state
            .nodes
            .iter()
            .all(|node| node.replica.held(lane).version <= durable)
    })
}

fn read_your_writes(_world: &Crdt, state: &State) -> bool {
    state.nodes.iter().all(|node| {
        lanes(state).all(|ledger| {
            let held = node.replica.held(ledger.lane);
            let at = ledger.durable.iter().find(|point| point.mark == held);
            let Some(point) = at else {
                // Nothing is held, or it is a version that its owner never acknowledged.
                return held == Mark::ZERO;
            };
            let held_sum = |counter| sum_of(&node.replica, ledger.lane, counter);
            (0..point.sums.len()).all(|counter| held_sum(counter) == point.sums[counter])
        })
    })
}

fn monotonic_reads(_world: &Crdt, state: &State) -> bool {
    state.nodes.iter().all(|node| {
        let highest = node.highest_read.iter().enumerate();
        highest
            .into_iter()
            .all(|(counter, &highest)| node.value(counter) >= highest)
    })
}

fn availability(world: &Crdt, state: &State) -> bool {
    each_node(world, state, "availability", |node| {
        let mut replica = node.finished();
        let counter = replica.counter(counter_name(0));
        let before = replica.value(counter);
        let Ok(mark) = replica.add(counter, Sum::of(1)) else {
            return false;
        };
        if replica.commit().is_none() {
            return false;
        }
        replica.synced();
        replica.held(replica.id()) == mark && replica.value(counter) == before + 1
    })
}

fn bootstrap(world: &Crdt, state: &State) -> bool {
    each_node(world, state, "bootstrap", |node| {
        let mut newcomer = Replica::new(crdt_core::ReplicaId::new(1), StartId::new(1));
        for (lane, _) in node.replica.digest().iter() {
            let whole = node.replica.interval(lane, Mark::ZERO);
            let Ok(Some(whole)) = whole else { return false };
            let whole = newcomer.import(&node.replica.export(&whole));
            if newcomer.receive(whole) != Ok(crdt_core::Received::Taken) {
                return false;
            }
        }
        if newcomer.commit().is_some() {
            newcomer.synced();
        }
        let counters = 0..world.bounds.counters;
        newcomer.digest() == node.replica.digest()
            && counters
                .into_iter()
                .all(|c| super::node::value(&newcomer, c) == node.value(c))
    })
}

fn range(world: &Crdt, state: &State) -> bool {
    each_node(world, state, "range", |node| {
        let mut replica = node.replica.clone();
        let counter = replica.counter(counter_name(0));
        world.bounds.amounts.iter().all(|&amount| {
            // What the node would read if all that it has taken were durable.
            let own = node.ledger().taken(0).value();
            let shown = node.value(0) - sum_of(&replica, replica.id(), 0).value() + own;
            let would_be = shown + i128::from(amount);
            let limits = i128::from(i64::MIN)..=i128::from(i64::MAX);
            let moves_away = (would_be > 0) == (amount > 0);
            let is_refused = !limits.contains(&would_be) && moves_away;
            let before = replica.clone();
            let refused = replica.clone().add(counter, Sum::of(amount)).is_err();
            refused == is_refused && replica == before
        })
    })
}

fn all_delivered(world: &Crdt, state: &State) -> bool {
    let writers = lanes(state)
        .filter(|ledger| !ledger.durable.is_empty())
        .count();
    let everything: Vec<i128> = (0..world.bounds.counters)
        .map(|counter| {
            lanes(state)
                .map(|ledger| ledger.made[counter].value())
                .sum()
        })
        .collect();
    let reads_all = |node: &Shared<Node>| {
        (0..world.bounds.counters).all(|counter| node.value(counter) == everything[counter])
    };
    state.left.adds == 0 && writers > 1 && state.nodes.iter().all(reads_all)
}

fn a_fork_is_reported(world: &Crdt, state: &State) -> bool {
    world.at_rest(state).has_alarmed
}

fn a_loss_without_alarm(world: &Crdt, state: &State) -> bool {
    let (left, bounds) = (&state.left, &world.bounds);
    let is_lost = left.roll_backs < bounds.roll_backs
        || left.disk_losses < bounds.disk_losses
        || left.copies < bounds.copies;
    let rest = world.at_rest(state);
    let made: i128 = lanes(state)
        .flat_map(|ledger| &ledger.made)
        .map(|sum| sum.value())
        .sum();
    let counted: i128 = rest.expected.iter().sum();
    is_lost && rest.is_exact() && 0 < counted && counted < made
}

fn a_relay_worked(_world: &Crdt, state: &State) -> bool {
    let dead = state.nodes.iter().filter(|node| !node.is_alive);
    dead.into_iter().any(|dead| {
        let lane = dead.replica.id();
        let holders = state.nodes.iter().filter(|node| node.is_alive);
        holders
            .into_iter()
            .all(|node| node.replica.held(lane) != Mark::ZERO)
    })
}

/// The ledgers of all lanes, of lost incarnations too.
fn lanes(state: &State) -> impl Iterator<Item = &super::Ledger> {
    state.nodes.iter().flat_map(|node| &node.ledgers)
}

/// Whether something holds of each living node by itself.
fn each_node(
    world: &Crdt,
    state: &State,
    what: &'static str,
    holds: impl Fn(&Node) -> bool,
) -> bool {
    let mut living = state.nodes.iter().filter(|node| node.is_alive);
    living.all(|node| world.sound.get(&(what, node), || holds(node)))
}
