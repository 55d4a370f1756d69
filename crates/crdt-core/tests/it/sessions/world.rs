//! Three replicas, their disks, what was sent, and clients that keep the rules.

use crdt_core::{
    CounterName, Interval, Mark, NameHash, ReceiveError, Replica, ReplicaId, RequestId,
    RequestState, SessionId, StartId, Sum,
};
use proptest::{prelude::*, sample::Index};

const REPLICAS: usize = 3;
const REQUESTS: usize = 2;

type Set = Vec<Interval<CounterName>>;

pub(super) fn id(at: usize) -> ReplicaId {
    ReplicaId::new(at as u128 + 1)
}

pub(super) fn likes() -> CounterName {
    "likes".parse().expect("a name")
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The client sends a request: to the home, or, once the session has moved, to another replica.
    Send {
        session: usize,
        request: usize,
        to: usize,
    },
    /// It gives up on the home.
    Move {
        session: usize,
    },
    Close {
        session: usize,
    },
    /// A copy of a request arrives again.
    Again {
        copy: Index,
    },
    Commit {
        at: usize,
    },
    Sync {
        at: usize,
    },
    /// All that was taken becomes durable.
    Rest {
        at: usize,
    },
    Crash {
        at: usize,
        torn: bool,
    },
    /// One asks another for all that it lacks.
    Pull {
        from: usize,
        to: usize,
    },
    /// One asks another for one lane alone, which may need another one.
    PullLane {
        from: usize,
        to: usize,
        lane: usize,
    },
    /// A set that was sent arrives, perhaps again.
    Deliver {
        set: Index,
        to: usize,
    },
}

pub(super) fn any_step(sessions: usize) -> impl Strategy<Value = Step> {
    let (at, session) = (0..REPLICAS, 0..sessions);
    prop_oneof![
        6 => (session.clone(), 0..REQUESTS, at.clone())
            .prop_map(|(session, request, to)| Step::Send { session, request, to }),
        1 => session.clone().prop_map(|session| Step::Move { session }),
        1 => session.prop_map(|session| Step::Close { session }),
        4 => any::<Index>().prop_map(|copy| Step::Again { copy }),
        6 => (at.clone(), at.clone(), at.clone())
            .prop_map(|(from, to, lane)| Step::PullLane { from, to, lane }),
        2 => at.clone().prop_map(|at| Step::Commit { at }),
        2 => at.clone().prop_map(|at| Step::Sync { at }),
        8 => at.clone().prop_map(|at| Step::Rest { at }),
        1 => (at.clone(), any::<bool>()).prop_map(|(at, torn)| Step::Crash { at, torn }),
        6 => (at.clone(), at.clone()).prop_map(|(from, to)| Step::Pull { from, to }),
        4 => (any::<Index>(), at).prop_map(|(set, to)| Step::Deliver { set, to }),
    ]
}

struct Node {
    replica: Replica,
    starts: u64,
    /// Sets in the order of writing; what is written and not synced is the last group.
    disk: Vec<Set>,
    written: Vec<Set>,
    /// Answers that wait until the own lane has come so far.
    waiting: Vec<(Mark, Copy)>,
    highest: i128,
}

/// A request as it travels.
#[derive(Clone, Copy, Debug)]
struct Copy {
    session: usize,
    request: usize,
    answered_below: u64,
    to: usize,
}

#[derive(Clone, Debug, Default)]
struct Client {
    answered: [bool; REQUESTS],
    has_moved: bool,
    is_closed: bool,
}

pub(super) struct World {
    nodes: Vec<Node>,
    clients: Vec<Client>,
    copies: Vec<Copy>,
    sets: Vec<Set>,
}

fn follow(replica: &mut Replica) {
    let hash_name = |name: &CounterName| NameHash::new(name.as_str().len() as u64);
    replica.follow(hash_name);
    while !replica.walk(100) {}
}

fn home(session: usize) -> usize {
    session % REPLICAS
}

pub(super) fn session_id(session: usize) -> SessionId {
    SessionId {
        home: id(home(session)),
        start: StartId::new(home(session) as u64 + 1),
        count: 7,
    }
}

fn amount(session: usize, request: usize) -> i64 {
    1 << (3 * (session * REQUESTS + request))
}

impl World {
    pub(super) fn new(sessions: usize) -> Self {
        let nodes = (0..REPLICAS).map(|at| {
            let mut replica = Replica::new(id(at), StartId::new(at as u64 + 1));
            for other in 0..REPLICAS {
                replica.know(id(other));
            }
            follow(&mut replica);
            Node {
                replica,
                starts: 0,
                disk: Vec::new(),
                written: Vec::new(),
                waiting: Vec::new(),
                highest: 0,
            }
        });
        Self {
            nodes: nodes.collect(),
            clients: vec![Client::default(); sessions],
            copies: Vec::new(),
            sets: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match *step {
            Step::Send {
                session,
                request,
                to,
            } => self.send(session, request, to),
            Step::Move { session } => self.clients[session].has_moved = true,
            Step::Close { session } => self.close(session),
            Step::Again { ref copy } => {
                if !self.copies.is_empty() {
                    self.arrive(*copy.get(&self.copies));
                }
            }
            Step::Commit { at } => self.commit(at),
            Step::Sync { at } => self.sync(at),
            Step::Rest { at } => self.rest(at),
            Step::Crash { at, torn } => self.crash(at, torn),
            Step::Pull { from, to } => self.pull(from, to, |_| true),
            Step::PullLane { from, to, lane } => self.pull(from, to, |it| it == id(lane)),
            Step::Deliver { ref set, to } => {
                if !self.sets.is_empty() {
                    let set = set.get(&self.sets).clone();
                    self.deliver(&set, to);
                }
            }
        }
        self.check();
    }

    /// By the rules for clients.
    fn send(&mut self, session: usize, request: usize, to: usize) {
        let client = &self.clients[session];
        if client.answered[request] || client.is_closed || client.has_moved == (to == home(session))
        {
            return;
        }
        let lowest = client.answered.iter().position(|answered| !answered);
        // The number of the lowest request without an answer; not raised after a move.
        let answered_below = if client.has_moved {
            1
        } else {
            lowest.unwrap_or(REQUESTS) as u64 + 1
        };
        let copy = Copy {
            session,
            request,
            answered_below,
            to,
        };
        self.copies.push(copy);
        self.arrive(copy);
    }

    fn arrive(&mut self, copy: Copy) {
        let Copy {
            session,
            request,
            answered_below,
            to,
        } = copy;
        let node = &mut self.nodes[to];
        let counter = node.replica.counter(&likes());
        let number = request as u64 + 1;
        let request = RequestId {
            session: session_id(session),
            number,
        };
        let sum = Sum::of(amount(session, copy.request));
        match node.replica.request(request) {
            RequestState::Open => {
                node.replica.check(counter, sum).expect("small amounts");
                let mark = node
                    .replica
                    .take_request(request, answered_below, &[(counter, sum)]);
                node.waiting.push((mark, copy));
            }
            RequestState::Counted { lane, mark } if lane == id(to) => {
                node.waiting.push((mark, copy));
            }
            RequestState::Counted { .. } => self.clients[session].answered[copy.request] = true,
            RequestState::Closed | RequestState::UnknownToHome => {}
            RequestState::Refused(_) => panic!("nothing is refused here"),
        }
        self.answer(to);
    }

    fn answer(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let held = node.replica.held(id(at));
        let (durable, waiting) = node
            .waiting
            .iter()
            .partition(|(mark, _)| mark.version <= held.version);
        node.waiting = waiting;
        let durable: Vec<(Mark, Copy)> = durable;
        for (_, copy) in durable {
            self.clients[copy.session].answered[copy.request] = true;
        }
    }

    fn close(&mut self, session: usize) {
        let client = &mut self.clients[session];
        client.is_closed = true;
        let all_is_answered = !client.has_moved && client.answered.iter().all(|&it| it);
        let home = &mut self.nodes[home(session)].replica;
        home.close_session(session_id(session), all_is_answered);
    }

    fn commit(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(group) = node.replica.commit() else {
            return;
        };
        let named: Set = group.iter().map(|it| node.replica.export(it)).collect();
        let (own, received): (Set, Set) = named.into_iter().partition(|it| it.lane == id(at));
        node.written = [own, received]
            .into_iter()
            .filter(|set| !set.is_empty())
            .collect();
    }

    fn sync(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if !node.written.is_empty() {
            node.disk.append(&mut node.written);
            node.replica.synced();
            self.answer(at);
        }
    }

    fn rest(&mut self, at: usize) {
        for _ in 0..2 {
            self.sync(at);
            self.commit(at);
        }
        self.sync(at);
    }

    fn crash(&mut self, at: usize, torn: bool) {
        let node = &mut self.nodes[at];
        if !torn {
            node.disk.append(&mut node.written);
        }
        node.written.clear();
        node.waiting.clear();
        node.starts += 1;
        let start = StartId::new(at as u64 + 1 + node.starts * 10);
        node.replica = Replica::new(id(at), start);
        for interval in node.disk.iter().flatten() {
            let interval = node.replica.import(interval);
            node.replica.recover(&interval).expect("an own log");
        }
        follow(&mut node.replica);
    }

    /// All that one lacks of what another holds is a set that covers its needs.
    fn pull(&mut self, from: usize, to: usize, asks_for: impl Fn(ReplicaId) -> bool) {
        let mut set = Set::new();
        let digest = self.nodes[from].replica.digest();
        for (lane, _) in digest.iter().filter(|&(lane, _)| asks_for(lane)) {
            let after = self.nodes[to].replica.held(lane);
            let interval = self.nodes[from]
                .replica
                .interval(lane, after)
                .expect("no fork");
            set.extend(interval.map(|it| self.nodes[from].replica.export(&it)));
        }
        if !set.is_empty() {
            self.sets.push(set.clone());
            self.deliver(&set, to);
        }
    }

    fn deliver(&mut self, set: &Set, to: usize) {
        let replica = &mut self.nodes[to].replica;
        let set = set.iter().map(|it| replica.import(it)).collect();
        match replica.receive_set(set) {
            Ok(_) | Err(ReceiveError::Gap { .. } | ReceiveError::Needs { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn check(&mut self) {
        for at in 0..REPLICAS {
            let replica = &self.nodes[at].replica;
            replica.assert_invariants();
            assert_eq!(replica.uncovered_needs().next(), None, "at {at}");
            let value = self.value(at);
            let digits = |place: usize| (value >> (3 * place)) & 7;
            assert!(
                (0..self.clients.len() * REQUESTS).all(|it| digits(it) <= 1),
                "{value:o} at {at}"
            );
            assert!(
                value >= self.nodes[at].highest,
                "{value:o} after {:o}",
                self.nodes[at].highest
            );
            self.nodes[at].highest = value;
        }
    }

    fn value(&self, at: usize) -> i128 {
        let replica = &self.nodes[at].replica;
        replica
            .find("likes")
            .map_or(0, |counter| replica.value(counter))
    }

    /// Everybody hears of everything until nobody has anything to say.
    pub(super) fn heal(&mut self) {
        for round in 0.. {
            assert!(round < 20, "it comes to rest");
            let before: Vec<_> = self.nodes.iter().map(|it| it.replica.digest()).collect();
            for from in 0..REPLICAS {
                for to in 0..REPLICAS {
                    self.pull(from, to, |_| true);
                    self.rest(to);
                    self.check();
                }
            }
            if self.nodes.iter().map(|it| it.replica.digest()).eq(before) {
                break;
            }
        }
    }

    pub(super) fn check_rest(&self) {
        let value = self.value(0);
        for at in 0..REPLICAS {
            let replica = &self.nodes[at].replica;
            assert_eq!(self.value(at), value, "at {at}");
            assert!(!replica.is_due(), "nothing is left to be done at {at}");
            let mut again = replica.clone();
            follow(&mut again);
            let prints = replica.fingerprints();
            assert_eq!(again.fingerprints(), prints, "kept up with every change");
            assert_eq!(
                self.nodes[0].replica.fingerprints(),
                prints,
                "the same everywhere"
            );
            assert_eq!(
                replica.held_claims().next(),
                None,
                "no claim is left at {at}"
            );
            for (session, mark) in replica.own_sessions() {
                assert!(!mark.closed, "{session} is forgotten at {at}");
            }
        }
        for (session, client) in self.clients.iter().enumerate() {
            for (request, &answered) in client.answered.iter().enumerate() {
                let digit = (value >> (3 * (session * REQUESTS + request))) & 7;
                assert!(
                    digit == 1 || !answered,
                    "{value:o}: {session}, {request} was answered"
                );
            }
        }
    }
}
