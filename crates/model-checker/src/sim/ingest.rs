//! Ingest streams of clients: messages with many adds, and exactly what is told when one ends.
//!
//! A client sends messages one after the other; some add, some only introduce names, and one may
//! be wrong. When the node ends the stream, the client knows: what is acknowledged counts, and what
//! is not does not, so it may be sent again. When the connection breaks instead, it knows less.

use crdt_core::Mark;
use protocol::{IngestEffect, IngestEnd, IngestLimits, IngestMessage, IngestStream, Shards as _};

use super::kinds::{Coverage, FaultKind};
use super::limits::{CLUSTER_HASH, SHARD_COUNTERS_MAX};
use super::node::Ingest;
use super::oracle::Violation;
use super::schedule::{IngestPlan, Request};
use super::trace::TraceEntry;
use super::world::{Event, World};
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;

/// Between two messages of a stream, at most.
const GAP_US_MAX: u64 = 3_000;

impl World<'_> {
    fn plan_of(&self, op: usize) -> &IngestPlan {
        let Request::Ingest { plan } = &self.schedule.ops[op].request else {
            panic!("only an ingest request opens a stream")
        };
        plan
    }

    /// A client opens a stream, and sends its messages.
    pub(super) fn open_ingest(&mut self, op: usize) {
        let node = self.schedule.ops[op].node;
        let life = self.nodes[node].life;
        let number = self.next_connection;
        self.next_connection += 1;
        let process = self.process(node);
        let limits = IngestLimits::new(SHARD_COUNTERS_MAX);
        let stream = IngestStream::new(limits, &process.dictionaries, CLUSTER_HASH);
        process.ingests.push(Ingest {
            number,
            stream,
            op,
            taken: Vec::new(),
            acknowledged: 0,
            introduced: Vec::new(),
            is_cut: false,
        });
        let mut at = self.now;
        // One more than there are messages: the client's end.
        for index in 0..=self.plan_of(op).messages.len() {
            at = at.after_us(self.random.between(1, GAP_US_MAX));
            let event = Event::IngestMessage {
                node,
                life,
                number,
                index,
            };
            self.queue.plan(at, event);
        }
    }

    /// The next message of a stream arrives, or its end.
    pub(super) fn ingest_message(
        &mut self,
        node: usize,
        number: u64,
        index: usize,
    ) -> Result<(), Violation> {
        let process = self.process(node);
        let Some(at) = process.ingests.iter().position(|it| it.number == number) else {
            return Ok(());
        };
        let op = process.ingests[at].op;
        let plan = self.plan_of(op).clone();
        let unanswered = self.schedule.conditions.unanswered;
        if self.random.chance(unanswered) {
            self.count_fault(node, FaultKind::IngestCut);
            let ingest = &mut self.process(node).ingests[at];
            ingest.is_cut = true;
            ingest.stream.ended(IngestEnd::Transport);
        } else if let Some(entries) = plan.messages.get(index) {
            let is_bad = plan.bad == Some(index);
            self.take_message(node, at, index, entries, is_bad);
        } else {
            self.process(node).ingests[at]
                .stream
                .ended(IngestEnd::Closed);
        }
        self.drive_ingests(node)?;
        self.taken(node)
    }

    fn take_message(
        &mut self,
        node: usize,
        at: usize,
        index: usize,
        entries: &[(usize, i64)],
        is_bad: bool,
    ) {
        for &(counter, amount) in entries {
            self.clients.invoked[counter] += i128::from(amount.max(0));
        }
        let incarnation = self.nodes[node].incarnation;
        let names = self.names.clone();
        let shard_of = self.shard_of.clone();
        let process = self.nodes[node].process.as_mut().expect("it runs");
        let ingest = &mut process.ingests[at];
        let mut introduced = Vec::new();
        let mut counters = Vec::new();
        // A message without entries introduces a name that is used later, or never.
        let extra = entries.is_empty().then_some(index % names.len());
        for counter in entries.iter().map(|&(counter, _)| counter).chain(extra) {
            if !ingest.introduced.contains(&counter) {
                ingest.introduced.push(counter);
                introduced.push(names[counter].as_str().to_owned());
            }
        }
        for &(counter, _) in entries {
            let place = ingest.introduced.iter().position(|&it| it == counter);
            let place = place.expect("it was introduced");
            counters.push(u32::try_from(place).expect("few"));
        }
        let amounts: Vec<i64> = entries.iter().map(|&(_, amount)| amount).collect();
        if is_bad {
            counters = vec![99];
        }
        let message = IngestMessage {
            sequence: index as u64 + 1,
            introduced: &introduced,
            counters: &counters,
            amounts: if is_bad { &[] } else { &amounts },
            request: None,
        };
        let writable = process.standing.ensure_writable();
        let shard_index =
            |name: &crdt_core::CounterName| wire::shard_of(name, process.hello.shard_count);
        let before = process
            .shards
            .indices()
            .into_iter()
            .map(|shard| process.shards.with(shard, |it| it.replica().next_mark()));
        let marks: Vec<Mark> = before.collect();
        let stream = &mut ingest.stream;
        stream.message(&process.shards, writable, &message, shard_index, |_| Ok(()));
        let is_taken = !ingest.stream.is_ending();
        if !is_taken {
            return;
        }
        let mut adds = Vec::new();
        for &(counter, amount) in entries {
            let shard = shard_of[counter];
            let add = self.ledger.take((counter, amount), shard, incarnation);
            process.taken[shard].push((add, marks[shard]));
            adds.push(add);
        }
        process.ingests[at].taken.push(adds);
        let number = process.ingests[at].number;
        self.trace(TraceEntry::IngestTaken {
            node,
            number,
            message: index + 1,
        });
    }

    /// Lets every stream of a node do what is due.
    pub(super) fn drive_ingests(&mut self, node: usize) -> Result<(), Violation> {
        let mut at = 0;
        loop {
            let Some(process) = &mut self.nodes[node].process else {
                return Ok(());
            };
            let completed = process.completed;
            let Some(ingest) = process.ingests.get_mut(at) else {
                return Ok(());
            };
            ingest.stream.completed(completed);
            match ingest.stream.poll() {
                IngestEffect::Acknowledge(told) => self.acknowledge_ingest(node, at, told.sequence),
                IngestEffect::Read | IngestEffect::ReadOrAwaitRound | IngestEffect::AwaitRound => {
                    at += 1;
                }
                IngestEffect::End(end) => {
                    let ingest = process.ingests.remove(at);
                    self.judge_ingest_end(node, &ingest, &end)?;
                }
            }
        }
    }

    fn acknowledge_ingest(&mut self, node: usize, at: usize, sequence: u64) {
        let hides = self.breaks(Mutation::HiddenAcknowledgement);
        let ingest = &mut self.process(node).ingests[at];
        let upto = usize::try_from(sequence).expect("few messages");
        if ingest.is_cut {
            return;
        }
        // What was once a bug: a message without entries at the end hid those before it.
        if hides && ingest.stream.is_ending() && ingest.taken.last().is_some_and(Vec::is_empty) {
            return;
        }
        let from = ingest.acknowledged;
        ingest.acknowledged = upto;
        let adds: Vec<usize> = ingest.taken[from..upto].iter().flatten().copied().collect();
        for add in adds {
            self.ledger.acknowledge(add);
            self.trace(TraceEntry::Acknowledged { node, add });
        }
    }

    /// The stream has ended: the client was told of everything that was taken.
    fn judge_ingest_end(
        &mut self,
        node: usize,
        ingest: &Ingest,
        end: &IngestEnd,
    ) -> Result<(), Violation> {
        self.cover(match end {
            IngestEnd::Closed => Coverage::IngestClosed,
            IngestEnd::Refused(_) => Coverage::IngestRefused,
            IngestEnd::NotWritable(_) | IngestEnd::Transport => Coverage::IngestBroken,
        });
        let (taken, told) = (ingest.taken.len(), ingest.acknowledged);
        if !ingest.is_cut && told != taken {
            let says = format!(
                "an ingest stream ended with {end:?} and told of {told} messages, but {taken} were \
                 taken: its client sends the others again, and they count twice"
            );
            return Err(self.violation(Guarantee::Conservation, Some(node), says));
        }
        Ok(())
    }
}
