//! One run: the nodes, the network, the clients, and the loop that moves them.
//!
//! A run has three phases. First the schedule's requests and faults. Then *isolation*: all nodes
//! run, none reaches another, and each must still take an add and answer a read (availability).
//! Then the network heals, and the run goes on until nothing is left to happen: what the nodes
//! hold then is judged in [`rest`](super::rest).
//!
//! The methods of [`World`] are in several files, one a concept: [`driver`](super::driver) (commit,
//! recovery), [`replication`](super::replication), [`clients`](super::clients),
//! [`faults`](super::faults). What can be wrong is judged where it becomes visible, by functions
//! of [`oracle`](super::oracle).

use std::collections::BTreeMap;
use std::rc::Rc;

use crdt_core::CounterName;

use super::clients::Clients;
use super::driver::Node;
use super::faults::Backup;
use super::kinds::{Coverage, CoverageCounts, FaultCounts, FaultKind};
use super::ledger::Ledger;
use super::network::{Message, Network};
use super::oracle::Violation;
use super::queue::{Queue, SimTime};
use super::random::Random;
use super::schedule::{COUNTERS, Schedule};
use super::trace::{MessageEntry, Trace, TraceEntry, counter_name};
use crate::guarantee::{Guarantee, Property};
use crate::mutation::Mutation;

/// In isolation, what was slow gets this long to finish before each node is asked for an add.
const ISOLATION_SETTLE_US: u64 = 150_000;
/// An isolated node answers within this time: many times a write and a sync.
const ISOLATION_ANSWER_US: u64 = 400_000;
/// No run comes near this number; one that does never comes to rest.
const EVENTS_MAX: u64 = 2_000_000;

/// What is going to happen.
pub(super) enum Event {
    Op(usize),
    ReadAgain {
        op: usize,
        add: usize,
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
    Written {
        node: usize,
        life: u32,
    },
    Synced {
        node: usize,
        life: u32,
    },
    Start {
        node: usize,
        life: u32,
    },
    Deliver {
        from: usize,
        to: usize,
        message: Rc<Message>,
    },
    Serve {
        from: usize,
        to: usize,
    },
    ReportHeld {
        node: usize,
        peer: usize,
        stream: u64,
    },
    Reopen {
        node: usize,
        peer: usize,
        stream: u64,
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
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) ledger: Ledger,
    pub(super) clients: Clients,
    /// Directories that faults of these numbers will set back.
    pub(super) backups: BTreeMap<usize, Backup>,
    pub(super) faults: FaultCounts,
    pub(super) coverage: CoverageCounts,
    pub(super) trace: Trace,
}

impl<'a> World<'a> {
    pub(super) fn new(schedule: &'a Schedule, mutation: Option<Mutation>, trace: Trace) -> Self {
        // Not the numbers that drew the schedule, or taking out one fault would change all others.
        let mut random = Random::new(schedule.seed ^ 0x5eed_0f7e_70d1_ce00);
        let mut ledger = Ledger::new(schedule.shards);
        let nodes = (0..schedule.nodes)
            .map(|_| {
                let incarnation = ledger.mint(&mut random);
                Node::new(incarnation, schedule.nodes)
            })
            .collect();
        let name = |counter| counter_name(counter).parse().expect("a short name");
        Self {
            schedule,
            mutation,
            now: SimTime::default(),
            queue: Queue::new(),
            random,
            names: (0..COUNTERS).map(name).collect(),
            nodes,
            network: Network::new(schedule.nodes, schedule.conditions),
            ledger,
            clients: Clients::new(schedule.nodes),
            backups: BTreeMap::new(),
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
        self.go_on(Some(self.schedule.ends))?;

        self.isolate();
        let asked = self.schedule.ends.after_us(ISOLATION_SETTLE_US);
        for node in 0..self.nodes.len() {
            self.queue.plan(asked, Event::IsolationProbe { node });
        }
        self.go_on(Some(asked.after_us(ISOLATION_ANSWER_US)))?;
        self.judge_availability()?;

        self.heal();
        self.go_on(None)?;
        self.judge_rest()
    }

    /// Lets events happen, up to a time or until there are none.
    fn go_on(&mut self, until: Option<SimTime>) -> Result<(), Violation> {
        let mut events = 0;
        while let Some((at, event)) = self.queue.next(until) {
            self.now = at;
            self.happen(event)?;
            events += 1;
            if events > EVENTS_MAX {
                return Err(self.violation(
                    Guarantee::Convergence,
                    None,
                    "the nodes never come to rest",
                ));
            }
        }
        if let Some(until) = until {
            self.now = until;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        // A process that stands still sees everything when it goes on. Only its end, and what is
        // done to its surroundings, reaches it before.
        let paused = event
            .seen_by()
            .and_then(|node| self.nodes[node].paused_until);
        if let Some(until) = paused.filter(|&until| until > self.now) {
            self.queue.plan(until, event);
            return Ok(());
        }
        match event {
            Event::Op(op) => self.request(op),
            Event::ReadAgain { op, add, tries } => self.read_own(op, add, tries),
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
            Event::Written { node, life } if self.is_life(node, life) => {
                self.written(node);
                Ok(())
            }
            Event::Synced { node, life } if self.is_life(node, life) => self.synced(node),
            Event::Start { node, life } if self.nodes[node].life == life => self.start(node),
            Event::Written { .. } | Event::Synced { .. } | Event::Start { .. } => Ok(()),
            Event::Deliver { from, to, message } => self.deliver(from, to, &message),
            Event::Serve { from, to } => self.serve(from, to),
            Event::ReportHeld { node, peer, stream } => {
                self.report_held(node, peer, stream);
                Ok(())
            }
            Event::Reopen { node, peer, stream } => {
                self.reopen(node, peer, stream);
                Ok(())
            }
        }
    }

    fn is_life(&self, node: usize, life: u32) -> bool {
        self.nodes[node].up && self.nodes[node].life == life
    }

    // What everybody needs.

    pub(super) fn shard_of(&self, counter: usize) -> usize {
        counter % self.schedule.shards
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
    /// The process that must run for the event to happen.
    fn seen_by(&self) -> Option<usize> {
        match *self {
            Self::Written { node, .. }
            | Self::Synced { node, .. }
            | Self::ReportHeld { node, .. }
            | Self::Reopen { node, .. } => Some(node),
            Self::Deliver { to, .. } => Some(to),
            Self::Serve { from, .. } => Some(from),
            // A client that is not answered goes away: see `request`.
            Self::Op(_)
            | Self::ReadAgain { .. }
            | Self::IsolationProbe { .. }
            | Self::FaultBegins(_)
            | Self::FaultEnds(_)
            | Self::Backup { .. }
            | Self::Start { .. } => None,
        }
    }
}
