//! One search: a world, one property, breadth first, until the end or the first hit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use stateright::{Checker, Model};

use crate::expectations::{Expectation, Verdict};
use crate::world::{Only, World};
use crate::worlds::{AnyWorld, Visitor, world};

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The verdict.
    pub verdict: Verdict,
    /// How many steps lead to the counterexample or witness, if there is one.
    pub steps: Option<usize>,
    /// Different states seen.
    pub states: usize,
    /// States generated, the same ones again included.
    pub generated: usize,
    /// How long it took.
    pub took: Duration,
    /// What happens on the way to the counterexample or witness, a clause a step.
    pub trace: Vec<String>,
}

impl Found {
    /// Whether this is what was expected, to the step and to the state.
    #[must_use]
    pub fn is_as(&self, expected: &Expectation) -> bool {
        self.verdict == expected.verdict
            && self.steps == expected.steps
            && expected.states.is_none_or(|states| states == self.states)
    }
}

/// Why a search cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// No such world.
    #[error("there is no world {name:?}; `cargo xtask model list` names them all")]
    NoWorld {
        /// What was asked for.
        name: String,
    },
    /// The world has no such property.
    #[error("world {world:?} has no property {property:?}; it has {known:?}")]
    NoProperty {
        /// The world.
        world: String,
        /// What was asked for.
        property: String,
        /// What there is.
        known: Vec<&'static str>,
    },
}

/// Finds a world by its name.
///
/// # Errors
///
/// When there is none.
pub fn find(name: &str) -> Result<AnyWorld, SearchError> {
    world(name).ok_or_else(|| SearchError::NoWorld {
        name: name.to_owned(),
    })
}

/// Searches a world for a counterexample to a property, or for a witness.
///
/// # Errors
///
/// When there is no such world, or no such property in it.
pub fn search(world: &'static str, property: &'static str) -> Result<Found, SearchError> {
    let begun = Instant::now();
    let found = find(world)?;
    // An assertion of the code under test may fail: that is a finding, not the end of the table.
    let searched = catch_unwind(AssertUnwindSafe(|| {
        found.accept(Search { world, property })
    }));
    searched.unwrap_or_else(|_| {
        Ok(Found {
            verdict: Verdict::Panicked,
            steps: None,
            states: 0,
            generated: 0,
            took: begun.elapsed(),
            trace: Vec::new(),
        })
    })
}

struct Search {
    world: &'static str,
    property: &'static str,
}

impl Visitor for Search {
    type Output = Result<Found, SearchError>;

    fn visit<W: World + Send + Sync + 'static>(self, world: W) -> Self::Output {
        let known: Vec<&str> = world
            .properties()
            .iter()
            .map(|property| property.name)
            .collect();
        let Some(only) = Only::new(world, self.property) else {
            let (world, property) = (self.world.to_owned(), self.property.to_owned());
            return Err(SearchError::NoProperty {
                world,
                property,
                known,
            });
        };
        let is_witness = only.is_witness();
        let begun = Instant::now();
        // One thread: breadth first, a single one finds a shortest path. No limit of time or
        // depth: with one, a search that saw nothing would pass for one that saw everything.
        let checker = only.checker().threads(1).spawn_bfs().join();
        let took = begun.elapsed();
        let path = checker.discovery(self.property);
        let verdict = match (&path, is_witness) {
            (None, false) => Verdict::Holds,
            (Some(_), false) => Verdict::Counterexample,
            (Some(_), true) => Verdict::Reached,
            (None, true) => Verdict::Unreachable,
        };
        let trace = path
            .as_ref()
            .map(|path| describe(&checker.model().world, &path.clone().into_vec()));
        Ok(Found {
            verdict,
            steps: trace.as_ref().map(Vec::len),
            states: checker.unique_state_count(),
            generated: checker.state_count(),
            took,
            trace: trace.unwrap_or_default(),
        })
    }
}

/// The steps of a path as clauses.
fn describe<W: World>(world: &W, path: &[(W::State, Option<W::Action>)]) -> Vec<String> {
    let clause = |pair: &[(W::State, Option<W::Action>)]| {
        let [(before, step), (after, _)] = pair else {
            return None;
        };
        step.as_ref()
            .map(|step| world.describe(before, step, after))
    };
    path.windows(2).filter_map(clause).collect()
}
