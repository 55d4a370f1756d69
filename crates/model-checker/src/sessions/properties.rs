//! What [`crate::guarantee`] names, each as one pure function of a reachable state.

use crdt_core::{Replica, RequestState, Sum};
use stateright::Property;

use super::ids::{self, HOME, times};
use super::node::Node;
use super::{Sessions, State, count};
use crate::crdt::view::counter_name;
use crate::guarantee::{self as checked, Check, Guarantee};

/// All that can be checked, as Stateright does it.
pub(super) fn all() -> Vec<Property<Sessions>> {
    fn always(
        it: impl Into<checked::Property>,
        holds: fn(&Sessions, &State) -> bool,
    ) -> Property<Sessions> {
        Property::always(it.into().name(), holds)
    }
    vec![
        always(Guarantee::Idempotence, idempotence),
        always(Guarantee::Conservation, conservation),
        always(Guarantee::Convergence, convergence),
        always(Guarantee::MonotonicReads, monotonic_reads),
        always(Guarantee::Availability, availability),
        always(Check::NothingLeft, nothing_left),
    ]
}

/// No value ever counts a request twice, or one that its client knows to be refused; what a node has
/// told that it counts, counts there; and so it is at rest, whoever survives.
fn idempotence(world: &Sessions, state: &State) -> bool {
    let mut numbers = 1..=world.bounds.requests;
    let is_right = |value: i128, node: &Node, number: u64| {
        let is_refused = state.client.refused & (1 << number) != 0;
        let expected = match (is_refused, node.has_told(number)) {
            (true, _) => 0..=0,
            (false, true) => 1..=1,
            (false, false) => 0..=1,
        };
        expected.contains(&times(value, number))
    };
    let rest = world.at_rest(state);
    let is_right_at_rest = |number: u64| {
        rest.outcomes.iter().all(|(alive, outcome)| {
            let mut nodes = alive.iter().zip(&outcome.values);
            nodes.all(|(&at, &value)| is_right(value, &state.nodes[at], number))
        })
    };
    numbers.all(|number| {
        let mut nodes = state.nodes.iter();
        nodes.all(|node| is_right(node.value(&world.rules), node, number))
            && is_right_at_rest(number)
    })
}

/// At rest, all read the same: each request once of which the client was told that it counts, any
/// other at most once, and nothing else; and nobody has refused what was sent.
fn conservation(world: &Sessions, state: &State) -> bool {
    let rest = world.at_rest(state);
    let is_settled = rest.outcomes.iter().all(|(_, outcome)| {
        outcome.is_at_rest && outcome.values.windows(2).all(|pair| pair[0] == pair[1])
    });
    let value = rest.whole().values[HOME];
    let counted = |number: u64| times(value, number);
    let is_counted = |number: u64| {
        let is_answered = state.client.answered & (1 << number) != 0;
        counted(number) == 1 || (counted(number) == 0 && !is_answered)
    };
    let everything = (1..=world.bounds.requests).map(|it| counted(it) << (3 * (it - 1)));
    is_settled
        && !state.nodes.iter().any(|node| node.has_refused_a_lane)
        && everything.sum::<i128>() == value
        && (1..=world.bounds.requests).all(is_counted)
}

/// Nodes that hold the same read the same, and each reads what its lanes say.
fn convergence(world: &Sessions, state: &State) -> bool {
    let value = |node: &Node| node.value(&world.rules);
    let is_broken = count::Rule::broken_by(&world.rules).is_some();
    let is_of_lanes = |node: &Node| {
        let replica = &node.replica;
        let is_it = || is_broken || count::is_of_lanes(replica);
        world.sound.get(&("of lanes", replica), is_it)
    };
    state.nodes.iter().enumerate().all(|(at, left)| {
        let mut others = state.nodes[at + 1..].iter();
        is_of_lanes(left)
            && others.all(|right| {
                left.replica.digest() != right.replica.digest() || value(left) == value(right)
            })
    })
}

fn monotonic_reads(world: &Sessions, state: &State) -> bool {
    let mut nodes = state.nodes.iter();
    nodes.all(|node| node.value(&world.rules) >= node.highest_read)
}

/// A node that reaches no other takes a new request of a session that is not closed, as far as it
/// knows, if the home knows it; and makes it durable by itself.
fn availability(world: &Sessions, state: &State) -> bool {
    let takes = |node: &Node| {
        let mut replica = Replica::clone(&node.replica);
        if node.is_writing {
            replica.synced();
        }
        if replica.commit().is_some() {
            replica.synced();
        }
        let new = ids::request(world.bounds.requests + 1);
        match replica.request(new) {
            RequestState::Open => {}
            RequestState::UnknownToHome => return !replica.is_known_by(ids::id(HOME)),
            RequestState::Closed => return is_closed(&replica),
            RequestState::Counted { .. } | RequestState::Refused(_) => return false,
        }
        let counter = replica.counter(counter_name(0));
        let mark = replica.take_request(new, 1, &[(counter, Sum::of(1))]);
        if replica.commit().is_none() {
            return false;
        }
        replica.synced();
        let expected = RequestState::Counted {
            lane: replica.id(),
            mark,
        };
        replica.request(new) == expected && replica.held(replica.id()) == mark
    };
    state.nodes.iter().all(|node| {
        let subject = ("availability", &node.replica, node.is_writing);
        world.sound.get(&subject, || takes(node))
    })
}

/// Whether the home's lane, as it is held, says that the session is closed or forgotten.
fn is_closed(replica: &Replica) -> bool {
    count::Home::of(replica).is_closed()
}

fn nothing_left(world: &Sessions, state: &State) -> bool {
    let rest = world.at_rest(state);
    let mut outcomes = rest.outcomes.iter();
    outcomes.all(|(_, outcome)| outcome.is_at_rest && !outcome.is_left)
}
