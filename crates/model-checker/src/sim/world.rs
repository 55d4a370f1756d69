//! One run: the nodes, the network, the clients, and the loop that moves them.
//!
//! A run has three phases. First the schedule's requests and faults. Then *isolation*: all nodes
//! run, none reaches another, and each must still take an add and answer a read (availability).
//! Then the network heals, and the run goes on until nothing is left to happen: what the nodes
//! hold then is judged in [`rest`](super::rest).
//!
//! The methods of [`World`] are in several files, one a concept: [`driver`](super::driver) (commit,
//! recovery), [`streams`](super::streams), [`clients`](super::clients),
//! [`faults`](super::faults). What can be wrong is judged where it becomes visible, by functions
//! of [`oracle`](super::oracle).

use std::collections::BTreeMap;

use commit_log::memory::{Contents, FaultEffects, MemoryDisk};
use crdt_core::CounterName;
use protocol::HeldLane;

use super::calls::call::{Call, Told};
use super::clients::state::Clients;
use super::kinds::{Coverage, CoverageCounts, FaultCounts, FaultKind};
use super::ledger::Ledger;
use super::network::Network;
use super::node::{Node, Process};
use super::oracle::Violation;
use super::queue::{Queue, SimTime};
use super::random::Random;
use super::schedule::{COUNTERS, Schedule};
use super::streams::state::Connections;
use super::trace::{MessageEntry, Trace, TraceEntry, counter_name};
use crate::guarantee::{Guarantee, Property};
use crate::mutation::Mutation;

/// Sizes of a page: so small that a group has several, or larger than any.
const PAGE_BYTES: [usize; 3] = [32, 128, 4_096];
/// After the faults everybody has heard from those it dials within this time.
const SETTLE_US: u64 = 600_000;
/// Who holds something of a peer's lane tells that peer within this time, on a stream that stays.
const TOLD_US: u64 = 400_000;
/// At rest is who has not changed for so long: relays, which wait 120 ms, have had their turn twice.
const REST_US: u64 = 390_000;
/// Nodes that reach each other are at rest by then.
const REST_US_MAX: u64 = 30_000_000;
/// In isolation, what was slow gets this long to finish before each node is asked for an add.
const ISOLATION_SETTLE_US: u64 = 150_000;
/// An isolated node answers within this time: many times a write and a sync.
const ISOLATION_ANSWER_US: u64 = 400_000;
/// No run comes near this number; one that does never comes to rest.
const EVENTS_MAX: u64 = 2_000_000;

/// What is going to happen. What has the life of a process is void once that has ended.
pub(super) enum Event {
    Op(usize),
    ReadTimer {
        node: usize,
        life: u32,
    },
    IngestMessage {
        node: usize,
        life: u32,
        number: u64,
        index: usize,
    },
    Call(Call),
    Answered {
        node: usize,
        request: usize,
        told: Told,
    },
    Retry {
        request: usize,
    },
    Close {
        session: usize,
        tries: u32,
    },
    IsolationProbe {
        node: usize,
    },
    FaultBegins(usize),
    FaultEnds(usize),
    Backup {
        fault: usize,
    },
    Commit {
        node: usize,
        life: u32,
    },
    Synced {
        node: usize,
        life: u32,
    },
    SnapshotPiece {
        node: usize,
        life: u32,
    },
    Start {
        node: usize,
        life: u32,
    },
    Replace {
        node: usize,
        life: u32,
    },
    Dial {
        node: usize,
        peer: usize,
        life: u32,
    },
    Deliver {
        number: u64,
        to_dialler: bool,
    },
    StreamTimer {
        number: u64,
        is_receiving: bool,
    },
    Broken {
        number: u64,
        is_dialler: bool,
    },
}

/// One run of a schedule.
pub(super) struct World<'a> {
    pub(super) schedule: &'a Schedule,
    pub(super) mutation: Option<Mutation>,
    pub(super) now: SimTime,
    pub(super) queue: Queue<Event>,
    pub(super) random: Random,
    pub(super) names: Vec<CounterName>,
    /// By counter.
    pub(super) shard_of: Vec<usize>,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) connections: Connections,
    pub(super) next_connection: u64,
    /// What a mutant remembers of a stream beyond its end.
    pub(super) kept_cursors: BTreeMap<(usize, usize), Vec<HeldLane>>,
    pub(super) ledger: Ledger,
    pub(super) clients: Clients,
    /// Directories that faults of these numbers will set back.
    pub(super) backups: BTreeMap<usize, Contents>,
    /// What the faults of each disk have done, as counted.
    pub(super) disk_effects: Vec<FaultEffects>,
    pub(super) faults: FaultCounts,
    pub(super) coverage: CoverageCounts,
    pub(super) trace: Trace,
}

impl<'a> World<'a> {
    pub(super) fn new(schedule: &'a Schedule, mutation: Option<Mutation>, trace: Trace) -> Self {
        // Not the numbers that drew the schedule, or taking out one fault would change all others.
        let mut random = Random::new(schedule.seed ^ 0x5eed_0f7e_70d1_ce00);
        let page_bytes = PAGE_BYTES[random.index(PAGE_BYTES.len())];
        let nodes = (0..schedule.nodes)
            .map(|_| Node::new(MemoryDisk::new(page_bytes, random.bits())))
            .collect();
        let name = |counter| counter_name(counter).parse().expect("a short name");
        let names: Vec<CounterName> = (0..COUNTERS).map(name).collect();
        let shard_count = u32::try_from(schedule.shards).expect("a small number");
        let shard_of = names
            .iter()
            .map(|name| wire::shard_of(name, shard_count) as usize);
        Self {
            schedule,
            mutation,
            now: SimTime::default(),
            queue: Queue::new(),
            random,
            shard_of: shard_of.collect(),
            names,
            nodes,
            network: Network::new(schedule.nodes, schedule.conditions),
            connections: Connections::new(),
            next_connection: 0,
            kept_cursors: BTreeMap::new(),
            ledger: Ledger::new(schedule.shards),
            clients: Clients::new(schedule.nodes),
            backups: BTreeMap::new(),
            disk_effects: vec![FaultEffects::default(); schedule.nodes],
            faults: FaultCounts::default(),
            coverage: CoverageCounts::default(),
            trace,
        }
    }

    /// Runs all phases.
    pub(super) fn run(&mut self) -> Result<(), Violation> {
        for (number, op) in self.schedule.ops.iter().enumerate() {
            self.queue.plan(op.at, Event::Op(number));
        }
        self.plan_faults();
        for node in 0..self.nodes.len() {
            self.start(node)?;
        }
        self.go_on(self.schedule.ends)?;

        self.settle();
        self.go_on(self.now.after_us(SETTLE_US))?;
        let heard = self.heard();
        self.go_on(self.now.after_us(TOLD_US))?;
        self.judge_told(&heard)?;

        self.replace_copies();
        self.declare_lost()?;
        self.isolate();
        let asked = self.now.after_us(ISOLATION_SETTLE_US);
        for node in 0..self.nodes.len() {
            self.queue.plan(asked, Event::IsolationProbe { node });
        }
        self.go_on(asked.after_us(ISOLATION_ANSWER_US))?;
        self.judge_availability()?;

        self.heal();
        self.go_to_rest()?;
        self.judge_rest()
    }

    /// Goes on until nothing has changed for a while. Timers never end.
    fn go_to_rest(&mut self) -> Result<(), Violation> {
        let latest = self.now.after_us(REST_US_MAX);
        let mut held = Vec::new();
        while self.now < latest {
            self.go_on(self.now.after_us(REST_US))?;
            let before = std::mem::replace(&mut held, self.digests());
            let all_up = self.nodes.iter().all(Node::is_up);
            if all_up && before == held && self.all_connected() {
                return Ok(());
            }
        }
        let says = "the nodes never come to rest";
        Err(self.violation(Guarantee::Convergence, None, says))
    }

    /// Whether every node hears every other that would have it.
    fn all_connected(&self) -> bool {
        let all = 0..self.nodes.len();
        let mut pairs = all.clone().flat_map(|a| all.clone().map(move |b| (a, b)));
        pairs.all(|(node, peer)| {
            let same = self.nodes[node].incarnation == self.nodes[peer].incarnation;
            node == peer || same || self.hears(node, peer)
        })
    }

    /// Lets events happen, up to a time.
    fn go_on(&mut self, until: SimTime) -> Result<(), Violation> {
        let mut events = 0;
        while let Some((at, event)) = self.queue.next(Some(until)) {
            self.now = at;
            self.happen(event)?;
            events += 1;
            if events > EVENTS_MAX {
                let says = "events follow each other without end";
                return Err(self.violation(Guarantee::Convergence, None, says));
            }
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        // A process that stands still sees everything when it goes on. Only its end, and what is
        // done to its surroundings, reaches it before.
        let seen_by = self.seen_by(&event);
        let paused = seen_by.and_then(|node| self.nodes[node].paused_until);
        if let Some(until) = paused.filter(|&until| until > self.now) {
            self.faults.count(FaultKind::ProcessPaused);
            self.queue.plan(until, event);
            return Ok(());
        }
        if event
            .life()
            .is_some_and(|(node, life)| !self.is_life(node, life))
        {
            return Ok(());
        }
        match event {
            Event::Op(op) => self.request(op),
            Event::ReadTimer { node, .. } => self.drive_reads(node),
            Event::IngestMessage {
                node,
                number,
                index,
                ..
            } => self.ingest_message(node, number, index),
            Event::Call(call) => self.call(call),
            Event::Answered {
                node,
                request,
                told,
            } => self.answered(node, request, told),
            Event::Retry { request } => self.retry(request),
            Event::Close { session, tries } => self.close(session, tries),
            Event::IsolationProbe { node } => self.probe_isolated(node),
            Event::FaultBegins(number) => {
                self.begin_fault(number);
                Ok(())
            }
            Event::FaultEnds(number) => {
                self.end_fault(number);
                Ok(())
            }
            Event::Backup { fault } => {
                self.back_up(fault);
                Ok(())
            }
            Event::Commit { node, .. } => self.commit_is_due(node),
            Event::Synced { node, .. } => self.synced(node),
            Event::SnapshotPiece { node, .. } => self.snapshot_piece(node),
            Event::Start { node, life } if self.nodes[node].life == life => self.start(node),
            Event::Start { .. } => Ok(()),
            Event::Replace { node, .. } => {
                self.replace(node);
                Ok(())
            }
            Event::Dial { node, peer, .. } => self.dial(node, peer),
            Event::Deliver { number, to_dialler } => self.deliver(number, to_dialler),
            Event::StreamTimer {
                number,
                is_receiving,
            } => self.stream_timer(number, is_receiving),
            Event::Broken { number, is_dialler } => {
                self.noticed(number, is_dialler);
                Ok(())
            }
        }
    }

    fn is_life(&self, node: usize, life: u32) -> bool {
        self.nodes[node].is_up() && self.nodes[node].life == life
    }

    /// The process that must run for the event to happen.
    fn seen_by(&self, event: &Event) -> Option<usize> {
        let end = |number: u64, is_dialler: bool| {
            let connection = self.connections.get(&number)?;
            let owner = if is_dialler {
                connection.dialler
            } else {
                connection.acceptor
            };
            self.is_alive(owner).then_some(owner.node)
        };
        match *event {
            Event::Deliver { number, to_dialler } => end(number, to_dialler),
            Event::StreamTimer {
                number,
                is_receiving,
            } => end(number, is_receiving),
            Event::Broken { number, is_dialler } => end(number, is_dialler),
            // A client that is not answered goes away: see `request`.
            Event::Op(_)
            | Event::Answered { .. }
            | Event::Retry { .. }
            | Event::Close { .. }
            | Event::IsolationProbe { .. }
            | Event::FaultBegins(_)
            | Event::FaultEnds(_)
            | Event::Backup { .. }
            | Event::Start { .. }
            | Event::Replace { .. } => None,
            // What was sent to a process that stands still is there when it goes on.
            Event::Call(Call { node, .. })
            | Event::ReadTimer { node, .. }
            | Event::IngestMessage { node, .. }
            | Event::Commit { node, .. }
            | Event::Synced { node, .. }
            | Event::SnapshotPiece { node, .. }
            | Event::Dial { node, .. } => Some(node),
        }
    }

    // What everybody needs.

    /// The process of a node that runs.
    pub(super) fn process(&mut self, node: usize) -> &mut Process {
        let process = self.nodes[node].process.as_mut();
        process.expect("only a process that runs is driven")
    }

    /// The counters of a shard, by number and name.
    pub(super) fn counters_of(&self, shard: usize) -> impl Iterator<Item = (usize, &CounterName)> {
        let counters = self.names.iter().enumerate();
        counters.filter(move |&(counter, _)| self.shard_of[counter] == shard)
    }

    pub(super) fn trace(&mut self, entry: TraceEntry) {
        self.trace.push(self.now, entry);
    }

    pub(super) fn trace_message(&mut self, entry: MessageEntry) {
        self.trace(TraceEntry::Message(entry));
    }

    pub(super) fn count_fault(&mut self, node: usize, kind: FaultKind) {
        self.faults.count(kind);
        self.trace(TraceEntry::FaultFired { node, kind });
    }

    pub(super) fn cover(&mut self, path: Coverage) {
        self.coverage.count(path);
    }

    pub(super) fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    pub(super) fn violation(
        &self,
        violated: impl Into<Property>,
        node: Option<usize>,
        says: impl Into<String>,
    ) -> Violation {
        Violation {
            violated: violated.into(),
            node,
            at: self.now,
            says: says.into(),
        }
    }
}

impl Event {
    /// The life without which the event is void.
    fn life(&self) -> Option<(usize, u32)> {
        match *self {
            Self::ReadTimer { node, life }
            | Self::IngestMessage { node, life, .. }
            | Self::Commit { node, life }
            | Self::Synced { node, life }
            | Self::SnapshotPiece { node, life }
            | Self::Replace { node, life }
            | Self::Dial { node, life, .. } => Some((node, life)),
            Self::Op(_)
            | Self::Call(_)
            | Self::Answered { .. }
            | Self::Retry { .. }
            | Self::Close { .. }
            | Self::IsolationProbe { .. }
            | Self::FaultBegins(_)
            | Self::FaultEnds(_)
            | Self::Backup { .. }
            | Self::Start { .. }
            | Self::Deliver { .. }
            | Self::StreamTimer { .. }
            | Self::Broken { .. } => None,
        }
    }
}
