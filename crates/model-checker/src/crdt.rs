//! Worlds over the deployed `crdt_core::Replica`: every order of every step, and every fault.
//!
//! A state holds the nodes (`node`), and everything that was ever sent. The network *is* that
//! growing set: any message can be delivered to anybody at any time, again and again, or never,
//! which is loss, duplication, reordering and partition at once. Faults and adds are bounded by
//! budgets; within them the search is exhaustive. What a world must guarantee is in
//! [`properties`], what it comes to when left alone in `rest`, and what mutants do to messages in
//! `mutants`.
//!
//! Left out: bytes (tested in `wire` and in the server's log), time, and more than one shard
//! (shards share nothing).

mod bounds;
mod ledger;
mod mutants;
mod node;
pub mod properties;
mod rest;
mod step;
pub(crate) mod view;
mod witnesses;

use stateright::{Model, Property};

pub use bounds::{Bounds, Budgets, Grain, Rules};
pub use ledger::{Ledger, Point};
pub use node::{Message, Node, Sent};
pub use rest::{AtRest, LaneAtRest};
pub use step::Step;

use crate::mutation::Mutation;
use crate::shared::{Memo, Shared};
use crate::world::World;

/// A state of a CRDT world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The nodes.
    pub nodes: Vec<Shared<Node>>,
    /// Everything that was ever sent, ordered by hash.
    pub sent: Shared<Vec<Message>>,
    /// What is left of each budget: ghost.
    pub left: Budgets,
}

/// A CRDT world: bounds, and the answers that its steps have given so far.
#[derive(Debug)]
pub struct Crdt {
    bounds: Bounds,
    rules: Rules,
    after: Memo<Option<Shared<Node>>>,
    offers: Memo<std::sync::Arc<[Message]>>,
    rest: Memo<std::sync::Arc<AtRest>>,
    sound: Memo<bool>,
}

impl Crdt {
    /// The world within these bounds.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let rules = Rules::new(&bounds);
        Self {
            bounds,
            rules,
            after: Memo::default(),
            offers: Memo::default(),
            rest: Memo::default(),
            sound: Memo::default(),
        }
    }

    /// Its bounds.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// What the state comes to when it is left alone.
    pub fn at_rest(&self, state: &State) -> std::sync::Arc<AtRest> {
        let compute = || rest::at_rest(&state.nodes, &self.rules).into();
        self.rest.get(&state.nodes, compute)
    }

    /// What a node can be asked for.
    fn offers(&self, node: &Shared<Node>) -> std::sync::Arc<[Message]> {
        self.offers.get(node, || node.offers(&self.rules).into())
    }

    /// One node's part of a step.
    fn local(&self, node: &Shared<Node>, step: &Step) -> Option<Shared<Node>> {
        let rules = &self.rules;
        let run = || {
            let node = Node::clone(node);
            match step {
                Step::Add(_, counter, amount) => node.add(*counter, *amount),
                Step::Commit(_) => node.commit(rules),
                Step::Sync(_) => node.sync(rules),
                Step::Deliver(_, message) => node.receive(message, rules),
                Step::Kill(_) => Some(node.kill(rules)),
                Step::LosePower(_) => Some(node.lose_power(rules)),
                Step::LoseDisk(_) => Some(node.lose_disk(rules)),
                Step::RollBack(_, to) => Some(node.roll_back(*to, rules)),
                Step::Die(_) => Some(node.die()),
                Step::CutInbound(_) => node.cut_inbound(),
                Step::Send(..) | Step::RestartFrom(..) | Step::CopyDisk(..) => None,
            }
        };
        self.after.get(&(node, step), || run().map(share))
    }

    /// The node whose step it is, after the step.
    fn moved(&self, state: &State, step: &Step) -> Option<Shared<Node>> {
        let node = &state.nodes[step.at()];
        if let &Step::RestartFrom(_, peer) = step {
            let restarted = Node::clone(node).restart_from(&state.nodes[peer], &self.rules);
            return Some(share(restarted));
        }
        if let &Step::CopyDisk(_, of) = step {
            let copy = Node::clone(node).copy_disk(&state.nodes[of], &self.rules);
            return Some(share(copy));
        }
        let after = self.local(node, step)?;
        if let Step::Deliver(at, message) = step
            && self.is_relay(state, *at, message)
            && after.replica.digest() != node.replica.digest()
        {
            return Some(share(Node::clone(&after).learnt_by_relay()));
        }
        Some(after)
    }

    /// Whether a message comes from another node than the owner of its lane, although that one is
    /// dead, or cut off from the receiver.
    fn is_relay(&self, state: &State, at: usize, message: &Message) -> bool {
        let Some(from) = message.from else {
            return false;
        };
        let mut nodes = state.nodes.iter().enumerate();
        let owner = nodes.find(|(_, node)| node.ledger().lane == message.interval.lane);
        owner.is_some_and(|(owner, node)| {
            owner != from && (!node.is_alive() || !self.rules.arrives(owner, at))
        })
    }

    /// The faults that may still happen at a node.
    fn faults(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let (left, node) = (&state.left, &state.nodes[at]);
        let others = || (0..state.nodes.len()).filter(move |&other| other != at);
        if left.crashes > 0 {
            if self.rules.breaks(Mutation::RestartFromPeer) {
                steps.extend(others().map(|peer| Step::RestartFrom(at, peer)));
            } else {
                steps.push(Step::LosePower(at));
                if self.rules.grain == Grain::Interleaved {
                    steps.push(Step::Kill(at));
                }
            }
        }
        if left.disk_losses > 0 {
            steps.push(Step::LoseDisk(at));
        }
        if left.roll_backs > 0 {
            let earlier = node.past.len().saturating_sub(1);
            steps.extend((0..earlier).map(|to| Step::RollBack(at, to)));
        }
        if left.copies > 0 {
            steps.extend(others().map(|of| Step::CopyDisk(at, of)));
        }
        if left.deaths > 0 {
            steps.push(Step::Die(at));
        }
        if left.inbound_cuts > 0 {
            steps.push(Step::CutInbound(at));
        }
    }
}

impl Model for Crdt {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let bounds = &self.bounds;
        let node = |index| {
            let node = Node::new(index, &self.rules);
            let is_primed = bounds.is_primed && index == 0;
            share(if is_primed {
                node.primed(&self.rules)
            } else {
                node
            })
        };
        vec![State {
            nodes: (0..bounds.replicas).map(node).collect(),
            sent: Shared::new(Vec::new()),
            left: Budgets::new(bounds),
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let living = || (0..state.nodes.len()).filter(|&at| state.nodes[at].is_alive());
        for at in living() {
            let node = &state.nodes[at];
            for counter in 0..self.bounds.counters {
                for &amount in self.bounds.amounts {
                    if state.left.adds > 0 && at < self.bounds.writers {
                        steps.push(Step::Add(at, counter, amount));
                    }
                }
            }
            steps.push(Step::Commit(at));
            if self.rules.grain == Grain::Interleaved {
                steps.push(Step::Sync(at));
            }
            let is_new = |message: &&Message| position(&state.sent, message).is_err();
            let offers = self.offers(node);
            steps.extend(
                offers
                    .iter()
                    .filter(is_new)
                    .map(|it| Step::Send(at, it.clone())),
            );
            let arrives = |it: &&Message| it.from.is_none_or(|from| self.rules.arrives(from, at));
            let arriving = state.sent.iter().filter(arrives);
            steps.extend(arriving.map(|it| Step::Deliver(at, it.clone())));
            self.faults(state, at, steps);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        if let Step::Send(_, message) = &step {
            let mut sent = Vec::clone(&state.sent);
            let position = position(&sent, message).err()?;
            sent.insert(position, message.clone());
            let sent = Shared::new(sent);
            return Some(State {
                sent,
                ..state.clone()
            });
        }
        let mut left = state.left;
        if let Some(budget) = left.of(&step) {
            *budget = budget.checked_sub(1)?;
        }
        let mut nodes = state.nodes.clone();
        nodes[step.at()] = self.moved(state, &step)?;
        let sent = state.sent.clone();
        Some(State { nodes, sent, left })
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

impl World for Crdt {
    fn describe(&self, before: &State, step: &Step, after: &State) -> String {
        let at = step.at();
        let values = |state: &State| -> Vec<i128> {
            let counters = 0..self.bounds.counters;
            counters
                .map(|counter| state.nodes[at].value(counter))
                .collect()
        };
        if values(before) == values(after) {
            return step.to_string();
        }
        let now: Vec<String> = values(after).iter().map(i128::to_string).collect();
        format!("{step} (it now reads {})", now.join(", "))
    }

    fn show(&self, state: &State) -> String {
        let mut lines = Vec::new();
        for (at, node) in state.nodes.iter().enumerate() {
            let counters = 0..self.bounds.counters;
            let values: Vec<i128> = counters.map(|counter| node.value(counter)).collect();
            let held = node.replica.digest();
            lines.push(format!("node {}: reads {values:?}, holds {held:?}", at + 1));
        }
        lines.push(format!("sent: {:#?}", state.sent));
        lines.push(format!("at rest: {:#?}", self.at_rest(state)));
        lines.join("\n")
    }
}

/// Shares a node, which must be sound: equality compares what can be seen, and not how a replica
/// keeps it, so what is equal to this node later is taken for it.
fn share(node: Node) -> Shared<Node> {
    node.replica.assert_invariants();
    node.disk.assert_invariants();
    Shared::new(node)
}

/// Where a message is, or would be, among those sent.
fn position(sent: &[Message], message: &Message) -> Result<usize, usize> {
    sent.binary_search_by_key(&message.hash_of(), Shared::hash_of)
}
