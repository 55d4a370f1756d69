//! What [`crate::guarantee`] names, each as one pure function of a reachable state.
//!
//! A guarantee that is an implication comes with a *witness* (`witnesses`): a condition that some
//! state must meet, so that the search is known to have reached what the guarantee speaks of.

use crdt_core::{Mark, Replica, StartId, Sum, Total};
use stateright::Property;

use super::node::Node;
use super::view::{counter_name, recovered, sum_of};
use super::{Crdt, State};
use crate::guarantee::{self as checked, Check, Guarantee};

/// All that can be checked, as Stateright does it.
pub(super) fn all() -> Vec<Property<Crdt>> {
    fn always(
        it: impl Into<checked::Property>,
        holds: fn(&Crdt, &State) -> bool,
    ) -> Property<Crdt> {
        Property::always(it.into().name(), holds)
    }
    vec![
        always(Guarantee::Conservation, conservation),
        always(Guarantee::NoPhantom, no_phantom),
        always(Guarantee::Convergence, convergence),
        always(Guarantee::Durability, durability),
        always(Check::DurableBeforeSeen, durable_before_seen),
        always(Guarantee::ReadYourWrites, read_your_writes),
        always(Guarantee::MonotonicReads, monotonic_reads),
        always(Guarantee::Availability, availability),
        always(Guarantee::IncarnationSafety, incarnation_safety),
        always(Check::Bootstrap, bootstrap),
        always(Check::Range, range),
    ]
}

fn conservation(world: &Crdt, state: &State) -> bool {
    world.at_rest(state).is_exact()
}

fn incarnation_safety(world: &Crdt, state: &State) -> bool {
    world.at_rest(state).is_safe()
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
        node.replica.digest().iter().all(|(lane, held)| {
            // A lane may have several ledgers, and branches; a mark is a point of one of them.
            let of_lane = lanes(state).filter(|ledger| ledger.lane == lane);
            let mut points = of_lane.flat_map(|it| it.durable.iter().chain(&it.abandoned));
            let point = points.find(|point| point.mark == held);
            let is_as_held =
                |(counter, sum): (usize, &Total)| sum_of(&node.replica, lane, counter) == *sum;
            point.is_some_and(|point| point.sums.iter().enumerate().all(is_as_held))
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
                .all(|c| super::view::value(&newcomer, c) == node.value(c))
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

/// The ledgers of all lanes, of lost incarnations too.
pub(super) fn lanes(state: &State) -> impl Iterator<Item = &super::Ledger> {
    state.nodes.iter().flat_map(|node| &node.ledgers)
}

/// Whether something holds of each living node by itself.
fn each_node(
    world: &Crdt,
    state: &State,
    what: &'static str,
    holds: impl Fn(&Node) -> bool,
) -> bool {
    let mut living = state.nodes.iter().filter(|node| node.is_alive());
    living.all(|node| world.sound.get(&(what, node), || holds(node)))
}
