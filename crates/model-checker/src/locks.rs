//! Worlds over `lock_core`: several servers that share one number, and what may befall them.
//!
//! Every protocol of that crate has the same methods, so one world carries messages for all of them
//! ([`Protocol`] says which machines; [`protocols`] has one entry each). Each server adds once. A
//! message is delivered at most once, in any order, or never to the dead. "Never stuck" is no
//! liveness property: each state is followed to its end without further faults, as in
//! [`crdt::rest`](crate::crdt).

pub mod protocols;

use std::fmt::Debug;
use std::hash::Hash;

use lock_core::{Add, AddId, Amount, ContenderId, Effect, Outcome};
use stateright::{Model, Property};

pub use protocols::{Database, Lease, Lock, Naive};

use crate::guarantee::{Check, Witness};
use crate::world::World;

/// The number before anybody adds.
pub const BEGIN: i64 = 10;

/// The machines of one protocol, and how to describe what they do.
pub trait Protocol: Clone + Debug + Eq + Hash + Send + Sync {
    /// The side that counts.
    type Contender: Clone + Debug + Eq + Hash + Send + Sync;
    /// The side that keeps the number.
    type Server: Clone + Debug + Eq + Hash + Send + Sync;
    /// From a contender to the server.
    type Request: Copy + Debug + Ord + Hash + Send + Sync;
    /// From the server to a contender.
    type Reply: Copy + Debug + Ord + Hash + Send + Sync;

    /// A contender that is idle.
    fn contender(&self) -> Self::Contender;
    /// The server side, with the number at [`BEGIN`].
    fn server(&self) -> Self::Server;
    /// Begins to count an add.
    fn start(contender: &mut Self::Contender, add: Add) -> Vec<Effect<Self::Request>>;
    /// Takes a reply.
    fn receive(contender: &mut Self::Contender, reply: Self::Reply) -> Vec<Effect<Self::Request>>;
    /// Serves a request.
    fn serve(
        server: &mut Self::Server,
        from: ContenderId,
        request: Self::Request,
    ) -> Vec<(ContenderId, Self::Reply)>;
    /// Time passes until the current lease is over; `None` where nothing expires.
    fn expire(server: &mut Self::Server) -> Option<Vec<(ContenderId, Self::Reply)>>;
    /// The number.
    fn value(server: &Self::Server) -> i64;
    /// What a request does, as a clause whose subject is the server that sent it; the number
    /// before it, where that is known.
    fn describe_request(request: Self::Request, value_before: Option<i64>) -> String;
    /// What a reply says, as a clause whose subject is the server that gets it.
    fn describe_reply(reply: Self::Reply) -> String;
}

/// A world of one protocol.
#[derive(Clone, Debug)]
pub struct Locks<P> {
    /// The machines.
    pub protocol: P,
    /// How many servers share the number.
    pub contenders: usize,
    /// Whether the number is in memory that all share, so that a request and its reply are one
    /// step.
    pub memory_is_shared: bool,
    /// How many of the servers may crash.
    pub crashes: u8,
    /// Whether the server that keeps the lock may crash.
    pub server_may_crash: bool,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<P: Protocol> {
    server: P::Server,
    server_is_up: bool,
    contenders: Vec<Contender<P>>,
    /// Under way, ordered.
    network: Vec<Packet<P::Request, P::Reply>>,
    crashes_left: u8,
}

/// One server that counts, and the fate of its add: ghost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Contender<P: Protocol> {
    machine: P::Contender,
    has_started: bool,
    is_up: bool,
    outcome: Option<Outcome>,
}

/// A message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packet<Request, Reply> {
    /// To the server side.
    Request(ContenderId, Request),
    /// Back.
    Reply(ContenderId, Reply),
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step<Request, Reply> {
    /// A server begins to count its add.
    Start(usize),
    /// A message arrives.
    Deliver(Packet<Request, Reply>),
    /// A server dies.
    Crash(usize),
    /// The server that keeps the lock and the number dies.
    CrashServer,
    /// The current lease runs out.
    Expire,
}

/// The step of a protocol's world.
type StepOf<P> = Step<<P as Protocol>::Request, <P as Protocol>::Reply>;

impl<P: Protocol> Locks<P> {
    /// What the server `index` adds. Different amounts tell losses apart; in shared memory all add
    /// 1, which makes the textbook's example.
    fn amount(&self, index: usize) -> i64 {
        if self.memory_is_shared {
            1
        } else {
            1 + i64::try_from(index).expect("few contenders")
        }
    }

    fn start(&self, state: &mut State<P>, index: usize) {
        let amount = Amount::new(self.amount(index)).expect("at least 1");
        let add = Add {
            id: AddId(index as u64),
            amount,
        };
        let contender = &mut state.contenders[index];
        contender.has_started = true;
        let effects = P::start(&mut contender.machine, add);
        let sent = perform(state, index, effects);
        if self.memory_is_shared {
            for packet in sent {
                self.deliver(state, packet);
            }
        }
    }

    fn deliver(&self, state: &mut State<P>, packet: Packet<P::Request, P::Reply>) {
        if let Ok(position) = state.network.binary_search(&packet) {
            state.network.remove(position);
        }
        match packet {
            Packet::Request(from, request) => {
                let replies = P::serve(&mut state.server, from, request);
                let packets = send(state, replies);
                if self.memory_is_shared {
                    for packet in packets {
                        self.deliver(state, packet);
                    }
                }
            }
            Packet::Reply(to, reply) => {
                let index = index(to);
                let effects = P::receive(&mut state.contenders[index].machine, reply);
                perform(state, index, effects);
            }
        }
    }

    /// Whether somebody is there to take the packet.
    fn can_arrive(state: &State<P>, packet: Packet<P::Request, P::Reply>) -> bool {
        match packet {
            Packet::Request(..) => state.server_is_up,
            Packet::Reply(to, _) => state.contenders[index(to)].is_up,
        }
    }

    /// The state without further faults, followed to its end.
    fn at_rest(&self, state: &State<P>) -> State<P> {
        let mut state = state.clone();
        loop {
            let mut next = state.network.iter().copied();
            if let Some(packet) = next.find(|&packet| Self::can_arrive(&state, packet)) {
                self.deliver(&mut state, packet);
                continue;
            }
            let can_start = |contender: &Contender<P>| contender.is_up && !contender.has_started;
            if let Some(index) = state.contenders.iter().position(can_start) {
                self.start(&mut state, index);
                continue;
            }
            // A lease that a dead server holds runs out; the rest goes on.
            let expired = if state.server_is_up {
                P::expire(&mut state.server)
            } else {
                None
            };
            match expired {
                Some(replies) if !replies.is_empty() => drop(send(&mut state, replies)),
                _ => return state,
            }
        }
    }
}

/// Puts replies on their way.
fn send<P: Protocol>(
    state: &mut State<P>,
    replies: Vec<(ContenderId, P::Reply)>,
) -> Vec<Packet<P::Request, P::Reply>> {
    let packets: Vec<_> = replies
        .into_iter()
        .map(|(to, it)| Packet::Reply(to, it))
        .collect();
    state.network.extend(packets.iter().copied());
    state.network.sort_unstable();
    packets
}

/// Does what a contender asks for.
fn perform<P: Protocol>(
    state: &mut State<P>,
    index: usize,
    effects: Vec<Effect<P::Request>>,
) -> Vec<Packet<P::Request, P::Reply>> {
    let mut packets = Vec::new();
    for effect in effects {
        match effect {
            Effect::Send(request) => {
                packets.push(Packet::Request(ContenderId(index as u64), request));
            }
            Effect::Settled { outcome, .. } => state.contenders[index].outcome = Some(outcome),
        }
    }
    state.network.extend(packets.iter().copied());
    state.network.sort_unstable();
    packets
}

fn index(contender: ContenderId) -> usize {
    usize::try_from(contender.0).expect("ids are indices")
}

impl<P: Protocol> Model for Locks<P> {
    type State = State<P>;
    type Action = StepOf<P>;

    fn init_states(&self) -> Vec<State<P>> {
        let contender = Contender {
            machine: self.protocol.contender(),
            has_started: false,
            is_up: true,
            outcome: None,
        };
        vec![State {
            server: self.protocol.server(),
            server_is_up: true,
            contenders: vec![contender; self.contenders],
            network: Vec::new(),
            crashes_left: self.crashes,
        }]
    }

    fn actions(&self, state: &State<P>, steps: &mut Vec<Self::Action>) {
        for (index, contender) in state.contenders.iter().enumerate() {
            if contender.is_up && !contender.has_started {
                steps.push(Step::Start(index));
            }
            if contender.is_up && state.crashes_left > 0 {
                steps.push(Step::Crash(index));
            }
        }
        let mut packets = state.network.clone();
        packets.dedup();
        let arriving = packets
            .into_iter()
            .filter(|&packet| Self::can_arrive(state, packet));
        steps.extend(arriving.map(Step::Deliver));
        if state.server_is_up {
            steps.push(Step::Expire);
            if self.server_may_crash {
                steps.push(Step::CrashServer);
            }
        }
    }

    fn next_state(&self, state: &State<P>, step: Self::Action) -> Option<State<P>> {
        let mut next = state.clone();
        match step {
            Step::Start(index) => self.start(&mut next, index),
            Step::Deliver(packet) => self.deliver(&mut next, packet),
            Step::Crash(index) => {
                next.crashes_left -= 1;
                next.contenders[index].is_up = false;
                // Nobody is there to take what is under way to it.
                let is_for_the_dead =
                    |it: &Packet<_, _>| matches!(it, Packet::Reply(to, _) if to.0 == index as u64);
                next.network.retain(|it| !is_for_the_dead(it));
            }
            Step::CrashServer => next.server_is_up = false,
            Step::Expire => {
                let replies = P::expire(&mut next.server)?;
                send(&mut next, replies);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Check::Exact.name(), exact),
            Property::always(Check::NeverStuck.name(), never_stuck),
            Property::sometimes(Witness::AllCounted.name(), all_counted),
        ]
    }

    fn format_action(&self, step: &Self::Action) -> String {
        self.clause(step, None)
    }
}

impl<P: Protocol> Locks<P> {
    fn clause(&self, step: &StepOf<P>, value_before: Option<i64>) -> String {
        match *step {
            Step::Start(index) if self.memory_is_shared => {
                format!("server {} {}", index + 1, protocols::reads(value_before))
            }
            Step::Start(index) => {
                format!("server {} wants to add {}", index + 1, self.amount(index))
            }
            Step::Deliver(Packet::Request(from, request)) => {
                let clause = P::describe_request(request, value_before);
                format!("server {} {clause}", from.0 + 1)
            }
            Step::Deliver(Packet::Reply(to, reply)) => {
                format!("server {} {}", to.0 + 1, P::describe_reply(reply))
            }
            Step::Crash(index) => format!("server {} crashes", index + 1),
            Step::CrashServer => "the lock server crashes".to_owned(),
            Step::Expire => "the lease runs out".to_owned(),
        }
    }
}

impl<P: Protocol> World for Locks<P> {
    fn describe(&self, before: &State<P>, step: &Self::Action, _after: &State<P>) -> String {
        self.clause(step, Some(P::value(&before.server)))
    }

    fn show(&self, state: &State<P>) -> String {
        format!("value {}\n{state:#?}", P::value(&state.server))
    }
}

/// The number is what was acknowledged, plus some of those adds whose outcome is open.
fn exact<P: Protocol>(world: &Locks<P>, state: &State<P>) -> bool {
    let mut sums = vec![BEGIN];
    for (index, contender) in state.contenders.iter().enumerate() {
        let amount = world.amount(index);
        match contender.outcome {
            Some(Outcome::Counted) => sums.iter_mut().for_each(|sum| *sum += amount),
            Some(Outcome::Refused(_)) => {}
            Some(Outcome::Indeterminate) | None => {
                let with: Vec<i64> = sums.iter().map(|sum| sum + amount).collect();
                sums.extend(with);
            }
        }
    }
    sums.contains(&P::value(&state.server))
}

/// Without further faults, every server that lives gets an answer for its add.
fn never_stuck<P: Protocol>(world: &Locks<P>, state: &State<P>) -> bool {
    let rest = world.at_rest(state);
    rest.contenders
        .iter()
        .all(|contender| !contender.is_up || contender.outcome.is_some())
}

/// Witness: every add was acknowledged.
fn all_counted<P: Protocol>(_world: &Locks<P>, state: &State<P>) -> bool {
    state
        .contenders
        .iter()
        .all(|contender| contender.outcome == Some(Outcome::Counted))
}
