//! What others do: replicas that send each other operations ("+1") instead of states.
//!
//! An operation must be applied once, so a receiver has to remember what it has applied. Here are
//! the two ways in which that goes wrong, and the one that is exact, at the price of remembering
//! every number for ever. Each node's count is a real `crdt_core::Replica` that adds whatever it
//! is told; the operations are no protocol of ours, and no part of what is deployed.

use std::collections::BTreeSet;

use crdt_core::{CounterName, Replica, ReplicaId, StartId, Sum};
use stateright::{Model, Property};

use crate::guarantee::{Guarantee, Witness};
use crate::world::World;

/// How a receiver tells an operation that it has applied already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dedupe {
    /// Not at all.
    None,
    /// By the highest number seen of each origin; what has a lower one is dropped.
    HighestNumber,
    /// By every number seen.
    EveryNumber,
}

/// A world of nodes that send operations over a network that repeats and reorders.
#[derive(Clone, Debug)]
pub struct Ops {
    /// The receivers' memory.
    pub dedupe: Dedupe,
    /// Adds, all by node 1, of 1 or 2.
    pub adds: usize,
    /// How often anything is delivered.
    pub deliveries: usize,
}

/// An operation: the origin's number of it, and the amount.
type Op = (usize, i64);

/// A state: one node that adds and one that receives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    receiver: Replica,
    seen: BTreeSet<usize>,
    sent: Vec<Op>,
    /// Ghost: what was delivered at least once.
    delivered: BTreeSet<usize>,
    deliveries_left: usize,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Node 1 adds, and sends the operation.
    Add(i64),
    /// Node 2 receives an operation.
    Deliver(Op),
}

fn name() -> CounterName {
    CounterName::new("likes").expect("a short name")
}

fn value(state: &State) -> i128 {
    let counter = state.receiver.find(name().as_str());
    counter.map_or(0, |counter| state.receiver.value(counter))
}

fn made(state: &State) -> i128 {
    state
        .sent
        .iter()
        .map(|&(_, amount)| i128::from(amount))
        .sum()
}

impl Ops {
    fn is_news(&self, state: &State, number: usize) -> bool {
        match self.dedupe {
            Dedupe::None => true,
            Dedupe::HighestNumber => state.seen.last().is_none_or(|&highest| number > highest),
            Dedupe::EveryNumber => !state.seen.contains(&number),
        }
    }
}

impl Model for Ops {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            receiver: Replica::new(ReplicaId::new(2), StartId::new(1)),
            seen: BTreeSet::new(),
            sent: Vec::new(),
            delivered: BTreeSet::new(),
            deliveries_left: self.deliveries,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.sent.len() < self.adds {
            steps.extend([1, 2].map(Step::Add));
        }
        if state.deliveries_left > 0 {
            steps.extend(state.sent.iter().copied().map(Step::Deliver));
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        match step {
            Step::Add(amount) => next.sent.push((next.sent.len(), amount)),
            Step::Deliver((number, amount)) => {
                next.deliveries_left -= 1;
                next.delivered.insert(number);
                if self.is_news(state, number) {
                    let counter = next.receiver.counter(&name());
                    next.receiver
                        .add(counter, Sum::of(amount))
                        .expect("a small amount");
                    next.receiver.commit().expect("something was added");
                    next.receiver.synced();
                }
                next.seen.insert(number);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Guarantee::NoPhantom.name(), |_, state: &State| {
                value(state) <= made(state)
            }),
            Property::always(Guarantee::Conservation.name(), |_, state: &State| {
                state.delivered.len() < state.sent.len() || value(state) == made(state)
            }),
            Property::sometimes(
                Witness::AllDelivered.name(),
                |world: &Self, state: &State| {
                    state.sent.len() == world.adds && state.delivered.len() == state.sent.len()
                },
            ),
        ]
    }
}

impl World for Ops {
    fn describe(&self, _before: &State, step: &Step, after: &State) -> String {
        match step {
            Step::Add(amount) => format!("node 1 adds {amount}, and sends \"{amount:+}\""),
            Step::Deliver((_, amount)) => {
                format!(
                    "node 2 receives \"{amount:+}\" (it now reads {})",
                    value(after)
                )
            }
        }
    }

    fn show(&self, state: &State) -> String {
        format!(
            "node 2 reads {}, of {}\n{state:#?}",
            value(state),
            made(state)
        )
    }
}
