//! Witnesses: states that must be reached, so that a guarantee is known to have been tried there.

use crdt_core::Mark;
use stateright::Property;

use super::node::Node;
use super::properties::lanes;
use super::rest::LaneAtRest;
use super::{Crdt, State};
use crate::guarantee::Witness;
use crate::shared::Shared;

/// All of them, as Stateright looks for them.
pub(super) fn all() -> Vec<Property<Crdt>> {
    let sometimes = |it: Witness, is_it| Property::sometimes(it.name(), is_it);
    vec![
        sometimes(Witness::AllDelivered, all_delivered),
        sometimes(Witness::AForkIsReported, a_fork_is_reported),
        sometimes(Witness::ALossWithoutAlarm, a_loss_without_alarm),
        sometimes(Witness::ARelayWorked, a_relay_worked),
        sometimes(Witness::ARelayedForkIsReported, a_relayed_fork_is_reported),
        sometimes(
            Witness::AnOrphansForkIsReported,
            an_orphans_fork_is_reported,
        ),
        sometimes(Witness::AReadIsClamped, a_read_is_clamped),
    ]
}

/// What all nodes were ever asked to add, by counter.
fn made(world: &Crdt, state: &State) -> Vec<i128> {
    let counters = 0..world.bounds.counters;
    let made = |counter: usize| lanes(state).map(|it| it.made[counter].value()).sum();
    counters.map(made).collect()
}

fn all_delivered(world: &Crdt, state: &State) -> bool {
    let written = lanes(state).filter(|ledger| !ledger.durable.is_empty());
    let writers = written.count();
    let everything = made(world, state);
    let reads_all = |node: &Shared<Node>| {
        let mut counters = everything.iter().enumerate();
        counters.all(|(counter, &made)| node.value(counter) == made)
    };
    state.left.adds == 0
        && writers > usize::from(world.bounds.writers > 1)
        && state.nodes.iter().all(reads_all)
}

fn a_fork_is_reported(world: &Crdt, state: &State) -> bool {
    world
        .at_rest(state)
        .lanes
        .iter()
        .any(|lane| lane.is_reported)
}

fn a_loss_without_alarm(world: &Crdt, state: &State) -> bool {
    let (left, bounds) = (&state.left, &world.bounds);
    let is_lost = left.roll_backs < bounds.roll_backs
        || left.disk_losses < bounds.disk_losses
        || left.copies < bounds.copies;
    let rest = world.at_rest(state);
    let made: i128 = made(world, state).iter().sum();
    let counted: i128 = rest.counted.iter().sum();
    is_lost && rest.is_exact() && 0 < counted && counted < made
}

fn a_relay_worked(_world: &Crdt, state: &State) -> bool {
    state
        .nodes
        .iter()
        .any(|node| node.has_learnt_by_relay && node.is_alive())
}

fn a_relayed_fork_is_reported(world: &Crdt, state: &State) -> bool {
    let rest = world.at_rest(state);
    let came_by_relay = |lane: &LaneAtRest| {
        let mut nodes = state.nodes.iter();
        nodes.any(|node| node.has_learnt_by_relay && node.replica.held(lane.lane) != Mark::ZERO)
    };
    let mut forked = rest
        .lanes
        .iter()
        .filter(|it| it.is_reported && it.has_forked);
    forked.any(came_by_relay)
}

fn an_orphans_fork_is_reported(world: &Crdt, state: &State) -> bool {
    let rest = world.at_rest(state);
    rest.lanes
        .iter()
        .any(|it| it.is_reported && it.has_forked && it.owners == 0)
}

fn a_read_is_clamped(world: &Crdt, state: &State) -> bool {
    let range = i128::from(i64::MIN)..=i128::from(i64::MAX);
    state.nodes.iter().any(|node| {
        let mut counters = 0..world.bounds.counters;
        node.is_alive() && counters.any(|counter| !range.contains(&node.value(counter)))
    })
}
