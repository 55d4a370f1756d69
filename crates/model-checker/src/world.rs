//! What every world has in common, and the wrapper that checks one property at a time.
//!
//! With two or more properties, Stateright's breadth-first search need not report the shortest
//! trace of each, so every row of the table is a search of its own ([`Only`]).

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Expectation, Model, Property};

/// A model that can describe what happens in it.
pub trait World:
    Model<
        State: Clone + Debug + Hash + Eq + Send + Sync,
        Action: Clone + Debug + PartialEq + Send + Sync,
    >
{
    /// One step as a clause of a trace: "server 1 reads 10".
    fn describe(&self, before: &Self::State, step: &Self::Action, after: &Self::State) -> String;

    /// A state for the Explorer.
    fn show(&self, state: &Self::State) -> String;
}

/// A world with one of its properties.
pub struct Only<W: World> {
    /// The world.
    pub world: W,
    property: Property<W>,
}

impl<W: World> Only<W> {
    /// The world with the property of this name; `None` when it has none.
    pub fn new(world: W, name: &str) -> Option<Self> {
        let property = world.properties().into_iter().find(|it| it.name == name)?;
        Some(Self { world, property })
    }

    /// Whether the property is a witness: to be reached, not to hold.
    pub fn is_witness(&self) -> bool {
        matches!(self.property.expectation, Expectation::Sometimes)
    }
}

impl<W: World> Model for Only<W> {
    type State = W::State;
    type Action = W::Action;

    fn init_states(&self) -> Vec<Self::State> {
        self.world.init_states()
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>) {
        self.world.actions(state, actions);
    }

    fn next_state(&self, state: &Self::State, action: Self::Action) -> Option<Self::State> {
        self.world.next_state(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        // The condition is a `fn` pointer, which captures nothing: it finds the property in here.
        let condition =
            |only: &Self, state: &W::State| (only.property.condition)(&only.world, state);
        vec![match self.property.expectation {
            Expectation::Sometimes => Property::sometimes(self.property.name, condition),
            Expectation::Always | Expectation::Eventually => {
                Property::always(self.property.name, condition)
            }
        }]
    }
}
