//! Reads: without a token, and with that of an add.

use std::time::Duration;

use protocol::{ReadEffect, ReadError, ReadWait, Reading, Shards as _, Token};

use super::state::WaitingRead;
use crate::guarantee::Guarantee;
use crate::mutation::Mutation;
use crate::sim::kinds::Coverage;
use crate::sim::limits::CLUSTER_HASH;
use crate::sim::oracle::{self, Violation};
use crate::sim::schedule::COUNTERS_GROWING;
use crate::sim::trace::TraceEntry;
use crate::sim::world::{Event, World};

/// How long a read waits for its token.
const TOKEN_WAIT: Duration = Duration::from_millis(80);

impl World<'_> {
    /// A read without a token: whatever is there, but nothing that is wrong.
    pub(in crate::sim) fn read(&mut self, node: usize, counter: usize) -> Result<i128, Violation> {
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
            self.judge_growing(node, counter, (value, covered))?;
            let token = reading.token(CLUSTER_HASH).to_bytes();
            let shard_count = u32::try_from(self.schedule.shards).expect("a small number");
            let token = Token::parse(&token, CLUSTER_HASH, shard_count).expect("our own bytes");
            self.clients.read_with[node][counter] = Some((token, value));
        }
        self.judge_value(node, counter, value)?;
        Ok(value)
    }

    /// What a counter that only grows may be read as. Where a fork may have made two requests of one,
    /// each history has one of them, and a node that goes from one to the other goes down.
    fn judge_growing(
        &mut self,
        node: usize,
        counter: usize,
        (value, covered): (i128, Option<i128>),
    ) -> Result<(), Violation> {
        let invoked = self.clients.invoked[counter];
        let before = std::mem::replace(&mut self.clients.read[node][counter], value);
        let is_lower = |before: &i128| !oracle::monotonic_reads(*before, value);
        let name = &self.names[counter];
        let violation = if !oracle::no_phantom(value, invoked) {
            let says = format!("{name} is {value}, but clients have sent {invoked} in all");
            self.violation(Guarantee::NoPhantom, Some(node), says)
        } else if is_lower(&before) {
            let says = format!("{name} was {before} and is {value}");
            self.violation(Guarantee::MonotonicReads, Some(node), says)
        } else if let Some(before) = covered.filter(is_lower) {
            let says = format!(
                "{name} was {before} where it was read with a token that this node covers, and is \
                 {value} here"
            );
            self.violation(Guarantee::MonotonicReads, Some(node), says)
        } else {
            return Ok(());
        };
        if self.ledger.is_uncertain(counter) {
            return Ok(());
        }
        Err(violation)
    }

    /// A value is what the lanes hold that the node holds, with each claimed request once.
    fn judge_value(&self, node: usize, counter: usize, value: i128) -> Result<(), Violation> {
        let shard = self.shard_of[counter];
        let process = self.nodes[node].process.as_ref().expect("it answers");
        let expected = self
            .ledger
            .value((counter, shard), |lane| process.held(shard, lane));
        let Some(expected) = expected.filter(|&expected| expected != value) else {
            return Ok(());
        };
        let name = &self.names[counter];
        let says = format!("{name} is {value}, but what the node holds makes {expected}");
        Err(self.violation(Guarantee::Conservation, Some(node), says))
    }

    // Reads with a token.

    /// A read with the token of an add: waits until the node covers it, or gives up.
    pub(super) fn read_own(
        &mut self,
        node: usize,
        request: usize,
        token: &[u8],
    ) -> Result<(), Violation> {
        if !self.answers(node) {
            return Ok(());
        }
        let now = self.nodes[node].clock(self.now);
        let shard_count = u32::try_from(self.schedule.shards).expect("a small number");
        let token = Token::parse(token, CLUSTER_HASH, shard_count).expect("our own bytes");
        let (_, shard) = self.looked_at(request);
        let shard = u32::try_from(shard).expect("a small number");
        let wait = ReadWait::new(token, vec![shard], now, TOKEN_WAIT);
        let life = self.nodes[node].life;
        self.clients.reads.push(WaitingRead {
            node,
            life,
            request,
            wait,
        });
        self.drive_reads(node)
    }

    /// Lets the reads that wait at a node do what is due.
    pub(in crate::sim) fn drive_reads(&mut self, node: usize) -> Result<(), Violation> {
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
                        let (_, shard) = self.looked_at(read.request);
                        self.fork_found(node, shard, &fork)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn answer_own(&mut self, read: &WaitingRead) -> Result<(), Violation> {
        let (node, request) = (read.node, read.request);
        self.trace(TraceEntry::ReadOwn { node, request });
        self.cover(Coverage::TokenCovered);
        let (counter, shard) = self.looked_at(request);
        let process = self.nodes[node].process.as_ref().expect("it answers");
        let held = |lane| process.held(shard, lane);
        if !self.ledger.holds(request, shard, held) {
            let says = format!("request #{request} gave a token, and the node does not hold it");
            return Err(self.violation(Guarantee::ReadYourWrites, Some(node), says));
        }
        self.read(node, counter).map(|_| ())
    }

    /// The counter of a request that its client looks at, and its shard.
    fn looked_at(&self, request: usize) -> (usize, usize) {
        let last = self.ledger.requests[request].items.last();
        let &(counter, _) = last.expect("an add has items");
        (counter, self.shard_of[counter])
    }
}
