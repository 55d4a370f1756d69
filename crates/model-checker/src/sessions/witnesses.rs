//! Witnesses: states that must be reached, so that a guarantee is known to have been tried there.

use crdt_core::RequestState;
use stateright::Property;

use super::ids::{self, HOME, times};
use super::{Sessions, State};
use crate::crdt::view::sum_of;
use crate::guarantee::Witness;

/// All of them, as Stateright looks for them.
pub(super) fn all() -> Vec<Property<Sessions>> {
    let sometimes = |it: Witness, is_it| Property::sometimes(it.name(), is_it);
    vec![
        sometimes(Witness::ARequestIsClaimedTwice, a_request_is_claimed_twice),
        sometimes(Witness::AClaimIsFolded, a_claim_is_folded),
        sometimes(
            Witness::AMovedSessionIsForgotten,
            a_moved_session_is_forgotten,
        ),
        sometimes(Witness::ARefusedRequestCounts, a_refused_request_counts),
        sometimes(Witness::AJoinerClaims, a_joiner_claims),
    ]
}

fn a_request_is_claimed_twice(_world: &Sessions, state: &State) -> bool {
    state.nodes.iter().any(|node| {
        let claims: Vec<_> = node.replica.held_claims().collect();
        let is_again = |at: usize| claims[..at].iter().any(|it| it.1 == claims[at].1);
        (0..claims.len()).any(is_again)
    })
}

fn a_claim_is_folded(_world: &Sessions, state: &State) -> bool {
    let mut others = state.nodes.iter().enumerate().skip(1);
    others.any(|(at, node)| sum_of(&node.replica, ids::id(at), 0).value() > 0)
}

fn a_moved_session_is_forgotten(world: &Sessions, state: &State) -> bool {
    let home = &state.nodes[HOME].replica;
    let new = ids::request(world.bounds.requests + 1);
    a_claim_is_folded(world, state)
        && home.request(new) == RequestState::Closed
        && home.own_sessions().next().is_none()
}

fn a_refused_request_counts(world: &Sessions, state: &State) -> bool {
    let home = &state.nodes[HOME];
    let mut numbers = 1..=world.bounds.requests;
    numbers.any(|number| {
        let mut marks = home.replica.own_sessions();
        let is_void = marks.any(|(_, mark)| mark.is_void(number));
        is_void && times(home.value(&world.rules), number) == 1
    })
}

fn a_joiner_claims(world: &Sessions, state: &State) -> bool {
    let first = world.bounds.replicas - world.bounds.joins;
    let mut joined = state.nodes.iter().enumerate().skip(first);
    joined.any(|(at, node)| {
        let mut claims = node.replica.held_claims();
        claims.any(|(by, _)| by == ids::id(at))
    })
}
