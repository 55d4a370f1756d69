//! Worlds of sessions over the deployed `crdt_core::Replica`: one session, whose requests count once
//! wherever and however often they are sent.
//!
//! The first node is the session's home. A client numbers its requests, sends them to the home, and
//! may give up on it once and move what was not answered to other nodes. Whatever the client may have
//! sent by then can arrive at any time, again and again, or never; whatever a lane was at any version
//! can be given to anybody at any time, alone or in a set with any versions of other lanes, and the
//! real [`Replica::receive_set`](crdt_core::Replica::receive_set) decides what it takes. That is more
//! than any sender sends. Each request adds its own power of 8, so what counts twice shows as a digit
//! above 1 wherever it is read.
//!
//! A world must also come to rest: each state is followed to its end on a clone, for every set of
//! nodes that may have survived (`rest`). What its mutants break is in `mutants`.
//!
//! Left out: bytes, time, more than one shard, a second session, and claims without room.

mod bounds;
mod client;
mod count;
mod ids;
mod mutants;
mod node;
mod properties;
mod rest;
mod step;
mod witnesses;

use stateright::{Model, Property};

pub use bounds::Bounds;
pub use client::Client;
pub use node::Node;
pub use rest::{AtRest, Outcome};
pub use step::Step;

use crate::mutation::Mutation;
use crate::shared::{Memo, Shared};
use crate::world::World;
use bounds::Rules;
use ids::HOME;
use node::History;

/// A state of a world of sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The nodes; the first one is the session's home.
    pub nodes: Vec<Shared<Node>>,
    /// The session's client.
    pub client: Client,
    /// How many crashes may still happen: ghost.
    pub crashes_left: u8,
}

/// A world of sessions: bounds, and the answers that its steps have given so far.
#[derive(Debug)]
pub struct Sessions {
    bounds: Bounds,
    rules: Rules,
    after: Memo<Option<Shared<Node>>>,
    rest: Memo<std::sync::Arc<Outcome>>,
    sound: Memo<bool>,
}

impl Sessions {
    /// The world within these bounds.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            rules: Rules::new(&bounds),
            after: Memo::default(),
            rest: Memo::default(),
            sound: Memo::default(),
        }
    }

    /// Its bounds.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// What the state comes to when it is left alone: once for every set of at least two nodes that
    /// may have survived, all of them last.
    #[must_use]
    pub fn at_rest(&self, state: &State) -> AtRest {
        let everybody = 1usize << state.nodes.len();
        let subsets = (0..everybody).filter(|it| it.count_ones() > 1);
        let outcome = |subset: usize| {
            let is_alive = |at: &usize| subset & (1 << at) != 0;
            let alive: Vec<usize> = (0..state.nodes.len()).filter(is_alive).collect();
            let part = |&at: &usize| {
                let node = &state.nodes[at];
                (at, &node.replica, node.is_writing)
            };
            let replicas: Vec<_> = alive.iter().map(part).collect();
            let is_whole = alive.len() == state.nodes.len();
            let outcome = self.rest.get(&(&replicas, is_whole), || {
                rest::outcome(&replicas, state.nodes.len(), &self.rules).into()
            });
            (alive, outcome)
        };
        AtRest {
            outcomes: subsets.map(outcome).collect(),
        }
    }

    /// One node's part of a step.
    fn local(&self, state: &State, step: &Step) -> Option<Shared<Node>> {
        let rules = &self.rules;
        let node = &state.nodes[step.at()];
        let mut served: Vec<(usize, &History, bool)> = Vec::new();
        if let Step::Deliver(at, set) = step {
            let lanes = set.iter();
            served.extend(lanes.map(|&(of, version)| self.served(state, *at, of, version)));
        }
        let run = || {
            let node = Node::clone(node);
            match *step {
                Step::Arrive(_, number, answered_below) => node.take(number, answered_below, rules),
                Step::Refuse(number) => node.refuse(number, rules),
                Step::Know(other) => node.know(other, rules),
                Step::Close(all_is_answered) => node.close(all_is_answered, rules),
                Step::Commit(_) => node.commit(rules),
                Step::Sync(_) => node.sync(rules),
                Step::LosePower(_) => Some(node.lose_power(rules)),
                Step::Deliver(..) => node.receive(&served, rules),
                Step::Answer(_) | Step::HearRefusal(_) | Step::Move => None,
            }
        };
        self.after
            .get(&(node, step, &served), || run().map(Shared::new))
    }

    /// A lane at a version, and whether a mutant has it come by a relay that leaves out its needs.
    fn served<'a>(
        &self,
        state: &'a State,
        to: usize,
        of: usize,
        version: usize,
    ) -> (usize, &'a History, bool) {
        let lane = ids::id(of);
        let is_relay = |&at: &usize| at != to && at != of;
        let mut relays = (0..state.nodes.len()).filter(is_relay);
        let holds = |at: usize| state.nodes[at].holds(lane) >= version;
        let is_bare = self.rules.breaks(Mutation::NeedsIgnored)
            || (self.rules.breaks(Mutation::RelayOmitsNeeds) && relays.any(holds));
        (of, &state.nodes[of].past[version - 1], is_bare)
    }

    /// Copies of requests that may arrive at a node: number, and what they say was answered.
    fn copies(&self, state: &State, at: usize) -> Vec<(u64, u64)> {
        let client = &state.client;
        let numbers = 1..=self.bounds.requests;
        if at == HOME {
            let below = |number: u64| {
                let highest = if self.rules.breaks_the_client() {
                    client.answered_below
                } else {
                    client.answered_below.min(number)
                };
                (1..=highest).map(move |below| (number, below))
            };
            numbers.flat_map(below).collect()
        } else if at <= self.bounds.targets {
            let moved = numbers.filter(|&number| client.has_moved(number));
            moved.map(|number| (number, 1)).collect()
        } else {
            Vec::new()
        }
    }

    /// Whether somebody to whom the client may have sent a request may have answered that it counts.
    fn may_be_answered(&self, state: &State, number: u64) -> bool {
        let targets = 1..=self.bounds.targets;
        let mut moved_to = targets.filter(|_| state.client.has_moved(number));
        self.rules.breaks(Mutation::AnsweredInAnotherShard)
            || state.nodes[HOME].has_told(number)
            || moved_to.any(|at| state.nodes[at].has_told(number))
    }

    /// What the client may do.
    fn client_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let client = &state.client;
        let open = (1..=self.bounds.requests).filter(|&it| !client.is_done(it));
        let open: Vec<u64> = open.collect();
        for &number in &open {
            if self.may_be_answered(state, number) {
                steps.push(Step::Answer(number));
            }
            if !client.is_moved() && state.nodes[HOME].has_refused(number, &self.rules) {
                steps.push(Step::HearRefusal(number));
            }
        }
        if self.bounds.targets > 0 && !client.is_moved() && !open.is_empty() {
            steps.push(Step::Move);
        }
        let is_careless = self.rules.breaks(Mutation::ForgottenUnheard);
        if self.bounds.closes && (is_careless || (!client.is_moved() && open.is_empty())) {
            steps.push(Step::Close(true));
        }
    }

    /// Every choice of versions of other lanes, beyond what the node holds of them.
    fn deliveries(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let node = &state.nodes[at];
        let mut sets: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
        for (of, owner) in state.nodes.iter().enumerate().filter(|&(of, _)| of != at) {
            let held = node.holds(ids::id(of));
            let newer = held + 1..=owner.past.len();
            let with = sets.iter().flat_map(|set| {
                let version = newer.clone();
                version.map(move |version| [set.as_slice(), &[(of, version)]].concat())
            });
            let with: Vec<_> = with.collect();
            sets.extend(with);
        }
        if self.rules.breaks(Mutation::SetsSplit) {
            sets.retain(|set| set.len() == 1);
        }
        let sets = sets.into_iter().filter(|set| !set.is_empty());
        steps.extend(sets.map(|set| Step::Deliver(at, set)));
    }
}

impl Model for Sessions {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let nodes = Node::all(&self.bounds, &self.rules);
        vec![State {
            nodes: nodes.into_iter().map(Shared::new).collect(),
            client: Client::default(),
            crashes_left: self.bounds.crashes,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        self.client_steps(state, steps);
        if self.bounds.closes {
            steps.push(Step::Close(false));
        }
        for at in 0..state.nodes.len() {
            let copies = self.copies(state, at).into_iter();
            steps.extend(copies.map(|(number, below)| Step::Arrive(at, number, below)));
            if at == HOME {
                let refused = (1..=self.bounds.requests).filter(|_| self.bounds.refuses);
                steps.extend(refused.map(Step::Refuse));
            } else {
                steps.push(Step::Know(at));
            }
            steps.push(Step::Commit(at));
            steps.push(Step::Sync(at));
            if state.crashes_left > 0 {
                steps.push(Step::LosePower(at));
            }
            self.deliveries(state, at, steps);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        match step {
            Step::Answer(number) => {
                next.client
                    .hear_answer(number, self.bounds.requests, &self.rules);
            }
            Step::HearRefusal(number) => {
                next.client
                    .hear_refusal(number, self.bounds.requests, &self.rules);
            }
            Step::Move => next.client.give_up(self.bounds.requests),
            Step::Arrive(..)
            | Step::Refuse(_)
            | Step::Know(_)
            | Step::Close(_)
            | Step::Commit(_)
            | Step::Sync(_)
            | Step::LosePower(_)
            | Step::Deliver(..) => next.nodes[step.at()] = self.local(state, &step)?,
        }
        if let Step::LosePower(_) = step {
            next.crashes_left -= 1;
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = properties::all();
        properties.extend(witnesses::all());
        properties
    }

    fn format_action(&self, step: &Step) -> String {
        step.to_string()
    }

    fn format_step(&self, state: &State, step: Step) -> Option<String> {
        self.next_state(state, step).map(|next| self.show(&next))
    }
}

impl World for Sessions {
    fn describe(&self, before: &State, step: &Step, after: &State) -> String {
        let value = |state: &State| state.nodes[step.at()].value(&self.rules);
        if value(before) == value(after) {
            return step.to_string();
        }
        format!("{step} (it now reads {:o} in octal)", value(after))
    }

    fn show(&self, state: &State) -> String {
        let mut lines = vec![format!("{:?}", state.client)];
        for (at, node) in state.nodes.iter().enumerate() {
            let (value, held) = (node.value(&self.rules), node.replica.digest());
            lines.push(format!(
                "node {}: reads {value:o} in octal, holds {held:?}",
                at + 1
            ));
        }
        lines.join("\n")
    }
}
