//! Clients: they add, they read, and they remember what they were answered.
//!
//! An add that is not answered is *indeterminate*: it may count or not. Sessions keep the token of
//! their last acknowledged adds, and read with it at any node. What clients know is kept apart from
//! what nodes know, because the guarantees are promises to clients.

use crdt_core::{Mark, Sum};

use super::driver::Waiting;
use super::kinds::{Coverage, FaultKind};
use super::ledger::Answer;
use super::oracle::{self, Violation};
use super::schedule::{COUNTERS, COUNTERS_GROWING, Request, SESSIONS};
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;

/// How often a read looks whether its token is covered before it gives up, and how often it asks.
const TOKEN_TRIES_MAX: u32 = 4;
const TOKEN_RETRY_US: u64 = 15_000;

/// All that clients know.
pub(super) struct Clients {
    /// For each counter, the sum of the increments that were sent, whatever became of them.
    invoked: [i128; COUNTERS],
    /// For each node and growing counter, the last value read.
    read: Vec<[i128; COUNTERS_GROWING]>,
    /// For each session, the last add it was acknowledged: what its token stands for.
    tokens: [Option<usize>; SESSIONS],
    /// For each node, the adds it was asked for in isolation.
    isolation_probes: Vec<Vec<usize>>,
}

impl Clients {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            invoked: [0; COUNTERS],
            read: vec![[0; COUNTERS_GROWING]; nodes],
            tokens: [None; SESSIONS],
            isolation_probes: vec![Vec::new(); nodes],
        }
    }

    /// The node has another directory: its values are another node's values.
    pub(super) fn forget_reads(&mut self, node: usize) {
        self.read[node] = [0; COUNTERS_GROWING];
    }
}

impl World<'_> {
    /// A client asks.
    pub(super) fn request(&mut self, op: usize) -> Result<(), Violation> {
        let op_of = &self.schedule.ops[op];
        let node = op_of.node;
        match &op_of.request {
            Request::Add { session, items } => self.request_adds(node, *session, items),
            Request::Read { counter } if self.answers(node) => {
                self.read(node, *counter).map(|_| ())
            }
            Request::Read { .. } => Ok(()),
            Request::ReadOwn { session } => match self.clients.tokens[*session] {
                Some(add) => self.read_own(op, add, 0),
                None => Ok(()),
            },
        }
    }

    /// Whether a request gets through to the process; a client of one that stands still gives up.
    fn answers(&self, node: usize) -> bool {
        let paused = self.nodes[node]
            .paused_until
            .is_some_and(|until| until > self.now);
        self.nodes[node].up && !paused
    }

    fn request_adds(
        &mut self,
        node: usize,
        session: usize,
        items: &[(usize, i64)],
    ) -> Result<(), Violation> {
        for &(counter, amount) in items {
            self.clients.invoked[counter] += i128::from(amount.max(0));
        }
        let unanswered = self.schedule.conditions.unanswered;
        if self.random.chance(unanswered) {
            self.count_fault(node, FaultKind::RequestLost);
            return Ok(());
        }
        if !self.answers(node) {
            return Ok(());
        }
        let response_lost = self.random.chance(unanswered);
        let adds = self.take(node, Some(session), items, response_lost);
        if response_lost {
            self.count_fault(node, FaultKind::ResponseLost);
            if self.breaks(Mutation::RetriedElsewhere) {
                self.retry_elsewhere(node, items, &adds)?;
            }
        }
        self.kick(node)
    }

    /// The node takes adds, and will answer when they are durable.
    fn take(
        &mut self,
        node: usize,
        session: Option<usize>,
        items: &[(usize, i64)],
        response_lost: bool,
    ) -> Vec<usize> {
        let incarnation = self.nodes[node].incarnation;
        let (mut adds, mut marks) = (Vec::new(), Vec::new());
        for &(counter, amount) in items {
            let shard = self.shard_of(counter);
            let replica = &mut self.nodes[node].replicas[shard];
            let index = replica.counter(&self.names[counter]);
            let Ok(mark) = replica.add(index, Sum::of(amount)) else {
                self.cover(Coverage::AddRefused);
                self.trace(TraceEntry::Refused {
                    node,
                    counter,
                    amount,
                });
                continue;
            };
            let add = self.ledger.take((counter, amount), shard, incarnation);
            self.nodes[node].taken[shard].push((add, mark));
            self.trace(TraceEntry::Taken {
                node,
                add,
                counter,
                amount,
            });
            adds.push(add);
            marks.push((shard, mark));
        }
        let waiting = Waiting {
            session,
            adds: adds.clone(),
            marks,
            response_lost,
        };
        self.nodes[node].waiting.push(waiting);
        adds
    }

    fn retry_elsewhere(
        &mut self,
        node: usize,
        items: &[(usize, i64)],
        first: &[usize],
    ) -> Result<(), Violation> {
        let other = (node + 1) % self.nodes.len();
        if first.len() != items.len() || !self.answers(other) {
            return Ok(());
        }
        let again = self.take(other, None, items, false);
        for (&add, &repeats) in again.iter().zip(first) {
            self.ledger.adds[add].repeats = Some(repeats);
        }
        self.kick(other)
    }

    /// Answers the requests whose adds are durable, or (a mutation) only written.
    pub(super) fn acknowledge(&mut self, node: usize, written_is_enough: bool) {
        let waiting = std::mem::take(&mut self.nodes[node].waiting);
        for request in waiting {
            let own = self.ledger.ids()[self.nodes[node].incarnation.0];
            let replicas = &self.nodes[node].replicas;
            let durable = request
                .marks
                .iter()
                .all(|&(shard, mark)| replicas[shard].held(own).version >= mark.version);
            let committed = || {
                let mut adds = request.adds.iter();
                adds.all(|&add| self.nodes[node].taken.iter().flatten().all(|t| t.0 != add))
            };
            let enough = match self.mutation {
                Some(Mutation::WaitForPeer) => durable && self.others_hold(node, &request),
                Some(Mutation::AcknowledgedBeforeSync) if written_is_enough => committed(),
                _ => durable,
            };
            if !enough {
                self.nodes[node].waiting.push(request);
            } else if !request.response_lost {
                self.answer(node, &request);
            }
        }
    }

    /// What a mutation waits for.
    fn others_hold(&self, node: usize, request: &Waiting) -> bool {
        let own = self.ledger.ids()[self.nodes[node].incarnation.0];
        let mut others = self
            .nodes
            .iter()
            .filter(|other| other.incarnation != self.nodes[node].incarnation);
        others.any(|other| {
            let holds = |&(shard, mark): &(usize, Mark)| {
                other.up && other.replicas[shard].held(own).version >= mark.version
            };
            request.marks.iter().all(holds)
        })
    }

    fn answer(&mut self, node: usize, request: &Waiting) {
        for &add in &request.adds {
            self.ledger.adds[add].answer = Answer::Acknowledged;
            self.trace(TraceEntry::Acknowledged { node, add });
        }
        if let (Some(session), Some(&add)) = (request.session, request.adds.last()) {
            self.clients.tokens[session] = Some(add);
        }
    }

    /// A read without a token: whatever is there, but nothing that is wrong.
    pub(super) fn read(&mut self, node: usize, counter: usize) -> Result<i128, Violation> {
        let shard = self.shard_of(counter);
        let replica = &self.nodes[node].replicas[shard];
        let name = &self.names[counter];
        let value = replica
            .find(name.as_str())
            .map_or(0, |index| replica.value(index));
        self.trace(TraceEntry::Read {
            node,
            counter,
            value,
        });
        if counter < COUNTERS_GROWING {
            let invoked = self.clients.invoked[counter];
            if !oracle::no_phantom(value, invoked) {
                let name = &self.names[counter];
                let says = format!("{name} is {value}, but clients have sent {invoked} in all");
                return Err(self.violation(Guarantee::NoPhantom, Some(node), says));
            }
            let before = std::mem::replace(&mut self.clients.read[node][counter], value);
            if !oracle::monotonic_reads(before, value) {
                let name = &self.names[counter];
                let says = format!("{name} was {before} and is {value}");
                return Err(self.violation(Guarantee::MonotonicReads, Some(node), says));
            }
        }
        Ok(value)
    }

    /// A read with the token of an add: waits until the node covers it, or gives up.
    pub(super) fn read_own(&mut self, op: usize, add: usize, tries: u32) -> Result<(), Violation> {
        let node = self.schedule.ops[op].node;
        if !self.answers(node) {
            return Ok(());
        }
        let (shard, counter) = (self.ledger.adds[add].shard, self.ledger.adds[add].counter);
        let lane = self.ledger.ids()[self.ledger.adds[add].taken_by.0];
        let at = self
            .ledger
            .mark(add)
            .expect("an acknowledged add was committed");
        let replica = &self.nodes[node].replicas[shard];
        let held = replica.held(lane);
        if let Err(fork) = replica.admits(lane, at)
            && !self.breaks(Mutation::TokenByVersion)
        {
            return self.fork_found(node, shard, &fork);
        }
        let covered = held.version >= at.version;
        self.trace(TraceEntry::ReadOwn { node, add, covered });
        if !covered {
            if tries < TOKEN_TRIES_MAX {
                let again = Event::ReadAgain {
                    op,
                    add,
                    tries: tries + 1,
                };
                self.queue.plan(self.now.after_us(TOKEN_RETRY_US), again);
            }
            return Ok(());
        }
        self.cover(if tries > 0 {
            Coverage::TokenAwaited
        } else {
            Coverage::TokenCovered
        });
        if !self.ledger.holds(add, held) {
            let says = format!("add #{add} gave a token for {at}, which {held} does not cover");
            return Err(self.violation(Guarantee::ReadYourWrites, Some(node), says));
        }
        self.read(node, counter).map(|_| ())
    }

    // Isolation: what a node can do by itself.

    /// Asks an isolated node for a read, and for one add to each counter that only grows.
    pub(super) fn probe_isolated(&mut self, node: usize) -> Result<(), Violation> {
        if !self.answers(node) {
            return Ok(());
        }
        let items: Vec<(usize, i64)> = (0..COUNTERS_GROWING).map(|counter| (counter, 1)).collect();
        for &(counter, _) in &items {
            self.read(node, counter)?;
            self.clients.invoked[counter] += 1;
        }
        self.clients.isolation_probes[node] = self.take(node, None, &items, false);
        self.kick(node)
    }

    /// All of them have been answered by now.
    pub(super) fn judge_availability(&self) -> Result<(), Violation> {
        for (node, adds) in self.clients.isolation_probes.iter().enumerate() {
            let answered = adds
                .iter()
                .filter(|&&add| self.ledger.adds[add].is_acknowledged());
            if answered.count() != COUNTERS_GROWING {
                let says = "it reaches no other node, and did not answer an add in time";
                return Err(self.violation(Guarantee::Availability, Some(node), says));
            }
        }
        Ok(())
    }
}
