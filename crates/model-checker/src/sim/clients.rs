//! Clients: they add, they read, and they remember what they were told.
//!
//! An add that is not answered is *indeterminate*: it may count or not. Clients keep the token of
//! their last acknowledged adds, and read with it at any node. What clients know is kept apart from
//! what nodes know, because the guarantees are promises to clients.

pub(super) mod state;

use std::time::Duration;

use crdt_core::{Mark, Sum};
use protocol::{
    Adds, NotWritable, ReadEffect, ReadError, ReadWait, Reading, Receipt, Round, Shards as _,
    TakeError, Token,
};

use super::kinds::{Coverage, FaultKind};
use super::limits::{CLUSTER_HASH, SHARD_COUNTERS_MAX};
use super::node::Waiting;
use super::oracle::{self, Violation};
use super::schedule::{COUNTERS_GROWING, Request};
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;
use state::WaitingRead;

/// How long a read waits for its token.
const TOKEN_WAIT: Duration = Duration::from_millis(80);

impl World<'_> {
    /// A client asks.
    pub(super) fn request(&mut self, op: usize) -> Result<(), Violation> {
        let schedule = self.schedule;
        let node = schedule.ops[op].node;
        match &schedule.ops[op].request {
            Request::Add { client, items } => self.request_adds(node, *client, items),
            Request::Ingest { .. } => {
                if self.answers(node) {
                    self.open_ingest(op);
                }
                Ok(())
            }
            Request::Read { counter } if self.answers(node) => {
                self.read(node, *counter).map(|_| ())
            }
            Request::Read { .. } => Ok(()),
            Request::ReadOwn { client } => match self.clients.tokens[*client].clone() {
                Some((add, token)) => self.read_own(node, add, &token),
                None => Ok(()),
            },
        }
    }

    /// Whether a request gets through to the process; a client of one that stands still gives up.
    fn answers(&mut self, node: usize) -> bool {
        let now = self.now;
        let is_paused = self.nodes[node]
            .paused_until
            .is_some_and(|until| until > now);
        if is_paused {
            self.faults.count(FaultKind::ProcessPaused);
        }
        self.nodes[node].is_up() && !is_paused
    }

    fn request_adds(
        &mut self,
        node: usize,
        client: usize,
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
        let adds = self.take(node, Some(client), items, response_lost);
        if response_lost {
            self.count_fault(node, FaultKind::ResponseLost);
            if self.breaks(Mutation::RetriedElsewhere) {
                self.retry_elsewhere(node, items, &adds)?;
            }
        }
        self.taken(node)
    }

    /// The node takes adds, all or none, and will answer when they are durable.
    fn take(
        &mut self,
        node: usize,
        client: Option<usize>,
        items: &[(usize, i64)],
        response_lost: bool,
    ) -> Vec<usize> {
        let incarnation = self.nodes[node].incarnation;
        let mut adds = Adds::default();
        for &(counter, amount) in items {
            let shard = u32::try_from(self.shard_of[counter]).expect("a small number");
            adds.add_named(shard, self.names[counter].clone(), Sum::of(amount));
        }
        let process = self.process(node);
        let writable = process.standing.ensure_writable();
        let outcome = writable
            .map_err(TakeError::NotWritable)
            .and_then(|()| adds.take(&process.shards, SHARD_COUNTERS_MAX));
        let receipt = match outcome {
            Ok(receipt) => receipt,
            Err(error) => {
                self.cover(match error {
                    TakeError::NotWritable(NotWritable::Forked(_)) => Coverage::ForkedRefused,
                    TakeError::NotWritable(NotWritable::Stopping)
                    | TakeError::OutOfRange { .. }
                    | TakeError::RequestOverflow { .. }
                    | TakeError::CountersExhausted { .. } => Coverage::AddRefused,
                });
                self.trace(TraceEntry::Refused { node });
                return Vec::new();
            }
        };
        let mut numbers = Vec::new();
        for &(counter, amount) in items {
            let shard = self.shard_of[counter];
            let add = self.ledger.take((counter, amount), shard, incarnation);
            let mark = mark_in(&receipt, shard);
            self.process(node).taken[shard].push((add, mark));
            self.trace(TraceEntry::Taken {
                node,
                add,
                counter,
                amount,
            });
            numbers.push(add);
        }
        let process = self.process(node);
        let lane = process.hello.replica;
        let proof = Token::of(CLUSTER_HASH, lane, process.start, &receipt);
        process.waiting.push(Waiting {
            round: receipt.round,
            client,
            adds: numbers.clone(),
            token: proof.to_bytes(),
            response_lost,
        });
        numbers
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
        self.taken(other)
    }

    /// Answers the requests whose round is complete.
    pub(super) fn acknowledge(&mut self, node: usize, completed: Round) {
        let waiting = std::mem::take(&mut self.process(node).waiting);
        for request in waiting {
            let is_enough = request.round <= completed
                && (!self.breaks(Mutation::WaitForPeer) || self.others_hold(node, &request));
            if !is_enough {
                self.process(node).waiting.push(request);
            } else if !request.response_lost {
                self.answer(node, request);
            }
        }
    }

    /// What a mutant waits for.
    fn others_hold(&self, node: usize, request: &Waiting) -> bool {
        let own = self.ledger.ids()[self.nodes[node].incarnation.0];
        let holds = |add: usize, mark: Mark| {
            let shard = self.ledger.adds[add].shard;
            let mut others = self
                .nodes
                .iter()
                .enumerate()
                .filter(|&(number, _)| number != node);
            others.any(|(_, other)| {
                let process = other.process.as_ref();
                process.is_some_and(|it| it.held(shard, own).version >= mark.version)
            })
        };
        let mut adds = request.adds.iter();
        adds.all(|&add| self.ledger.mark(add).is_some_and(|mark| holds(add, mark)))
    }

    fn answer(&mut self, node: usize, request: Waiting) {
        for &add in &request.adds {
            self.ledger.acknowledge(add);
            self.trace(TraceEntry::Acknowledged { node, add });
        }
        if let (Some(client), Some(&add)) = (request.client, request.adds.last()) {
            self.clients.tokens[client] = Some((add, request.token));
        }
    }

    /// A read without a token: whatever is there, but nothing that is wrong.
    pub(super) fn read(&mut self, node: usize, counter: usize) -> Result<i128, Violation> {
        let shard = self.shard_of[counter];
        let index = u32::try_from(shard).expect("a small number");
        let process = self.nodes[node].process.as_ref().expect("it answers");
        let (value, reading, covered) = process.shards.with(index, |it| {
            let mut reading = Reading::default();
            reading.note(index, it);
            let name = self.names[counter].as_str();
            let found = it.replica().find(name);
            let value = found.map_or(0, |counter| it.replica().value(counter));
            let covered = self.clients.covered(counter, index, it);
            (value, reading, covered)
        });
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
            if let Some(before) = covered.filter(|&before| !oracle::monotonic_reads(before, value))
            {
                let name = &self.names[counter];
                let says = format!(
                    "{name} was {before} where it was read with a token that this node covers, and \
                     is {value} here"
                );
                return Err(self.violation(Guarantee::MonotonicReads, Some(node), says));
            }
            let token = reading.token(CLUSTER_HASH).to_bytes();
            let shard_count = u32::try_from(self.schedule.shards).expect("a small number");
            let token = Token::parse(&token, CLUSTER_HASH, shard_count).expect("our own bytes");
            self.clients.read_with[node][counter] = Some((token, value));
        }
        Ok(value)
    }

    // Reads with a token.

    /// A read with the token of an add: waits until the node covers it, or gives up.
    fn read_own(&mut self, node: usize, add: usize, token: &[u8]) -> Result<(), Violation> {
        if !self.answers(node) {
            return Ok(());
        }
        let now = self.nodes[node].clock(self.now);
        let shard_count = u32::try_from(self.schedule.shards).expect("a small number");
        let token = Token::parse(token, CLUSTER_HASH, shard_count).expect("our own bytes");
        let shard = u32::try_from(self.ledger.adds[add].shard).expect("a small number");
        let wait = ReadWait::new(token, vec![shard], now, TOKEN_WAIT);
        let life = self.nodes[node].life;
        self.clients.reads.push(WaitingRead {
            node,
            life,
            add,
            wait,
        });
        self.drive_reads(node)
    }

    /// Lets the reads that wait at a node do what is due.
    pub(super) fn drive_reads(&mut self, node: usize) -> Result<(), Violation> {
        let reads = std::mem::take(&mut self.clients.reads);
        for mut read in reads {
            let is_here = read.node == node && read.life == self.nodes[node].life;
            let Some(process) = self.nodes[node].process.as_ref().filter(|_| is_here) else {
                if read.node != node {
                    self.clients.reads.push(read);
                }
                continue;
            };
            let now = self.nodes[node].clock(self.now);
            match read.wait.poll(now, &process.shards) {
                ReadEffect::Answer => self.answer_own(&read)?,
                ReadEffect::Wait { until } => {
                    let at = self.nodes[node].when(until, self.now);
                    let life = read.life;
                    self.queue.plan(at, Event::ReadTimer { node, life });
                    self.cover(Coverage::TokenAwaited);
                    self.clients.reads.push(read);
                }
                ReadEffect::Fail(ReadError::NotCovered { .. }) => {
                    self.cover(Coverage::TokenNotCovered);
                }
                ReadEffect::Fail(ReadError::Forked(fork)) => {
                    if self.breaks(Mutation::TokenByVersion) {
                        self.answer_own(&read)?;
                    } else {
                        let shard = self.ledger.adds[read.add].shard;
                        self.fork_found(node, shard, &fork)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn answer_own(&mut self, read: &WaitingRead) -> Result<(), Violation> {
        let (node, add) = (read.node, read.add);
        self.trace(TraceEntry::ReadOwn { node, add });
        self.cover(Coverage::TokenCovered);
        let (shard, counter) = (self.ledger.adds[add].shard, self.ledger.adds[add].counter);
        let lane = self.ledger.ids()[self.ledger.adds[add].taken_by.0];
        let held = self.process(node).held(shard, lane);
        if !self.ledger.holds(add, held) {
            let says = format!("add #{add} gave a token, which {held} does not cover");
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
        self.clients.probes[node] = self.take(node, None, &items, false);
        self.taken(node)
    }

    /// All of them have been answered by now, but by nodes whose lane has forked.
    pub(super) fn judge_availability(&self) -> Result<(), Violation> {
        for (node, adds) in self.clients.probes.iter().enumerate() {
            let place = &self.nodes[node];
            let has_forked = place.process.as_ref().is_some_and(|process| {
                process.standing.forked().is_some()
                    && self.ledger.may_have_forked(place.incarnation)
            });
            let answered = adds
                .iter()
                .filter(|&&add| self.ledger.adds[add].is_acknowledged());
            if !has_forked && answered.count() != COUNTERS_GROWING {
                let says = "it reaches no other node, and did not answer an add in time";
                return Err(self.violation(Guarantee::Availability, Some(node), says));
            }
        }
        Ok(())
    }
}

fn mark_in(receipt: &Receipt, shard: usize) -> Mark {
    let of_shard = receipt
        .marks
        .iter()
        .find(|(index, _)| *index as usize == shard);
    of_shard.expect("something was added there").1
}
