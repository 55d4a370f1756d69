//! Calls of clients at the nodes: requests of sessions, and the closing of sessions.
//!
//! A call that counts is answered once what it rests on is durable. When a process ends, calls that
//! wait in it are never answered.

use crdt_core::{CounterIndex, Mark, RequestState, SessionId, Sum};
use protocol::{Receipt, Token};

use super::kinds::Coverage;
use super::ledger::{Answer, Incarnation};
use super::limits::CLUSTER_HASH;
use super::node::Waiting;
use super::oracle::Violation;
use super::trace::TraceEntry;
use super::world::World;
use crate::mutation::Mutation;

/// A request on its way to a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) request: usize,
    pub(super) node: usize,
    pub(super) answered_below: u64,
    pub(super) is_moved: bool,
}

/// Why a node does not say that a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refusal {
    /// The home has refused it for good.
    ForGood,
    /// The node is not the session's home, and the request is not moved.
    NotHome,
    /// The node is the session's home, and the request is moved.
    MovedToHome,
    /// The session is closed: whether the request counts is not known here.
    Closed,
    /// The session's home does not know the node.
    UnknownToHome,
    /// A value would leave its range, at a node that is not the home.
    OutOfRange,
    /// Some of it counts, and the rest cannot any more.
    CountsInPart,
    /// The node takes no adds.
    NotWritable,
}

/// What a call rests on: own marks, by shard.
type Marks = Vec<(usize, Mark)>;

impl World<'_> {
    /// A node opens a session, if it takes adds.
    pub(super) fn open_at(&mut self, node: usize) -> Option<SessionId> {
        let process = self.process(node);
        if process.standing.ensure_writable().is_err() {
            self.cover(Coverage::ForkedRefused);
            return None;
        }
        let session = SessionId {
            home: process.hello.replica,
            start: process.start,
            count: process.sessions_opened,
        };
        process.sessions_opened += 1;
        Some(session)
    }

    /// A call arrives; where no process runs, it is nowhere.
    pub(super) fn call(&mut self, call: Call) -> Result<(), Violation> {
        let (node, request) = (call.node, call.request);
        if !self.nodes[node].is_up() {
            return Ok(());
        }
        let (marks, answer) = match self.judge_call(call) {
            Ok(marks) => (marks, Ok(())),
            Err((marks, refusal)) => (marks, Err(refusal)),
        };
        self.process(node).waiting.push(Waiting {
            request,
            marks,
            answer,
        });
        self.taken(node)?;
        if self.nodes[node].is_up() {
            self.acknowledge(node, false);
        }
        Ok(())
    }

    /// Takes what is open of a request, where nothing stands against any of it.
    fn judge_call(&mut self, call: Call) -> Result<Marks, (Marks, Refusal)> {
        let Call { request, node, .. } = call;
        let id = self.ledger.requests[request].id;
        let shards = self.ledger.shards_of(request, &self.shard_of);
        let process = self.process(node);
        let own = process.hello.replica;
        let refuse = |refusal| Err((Marks::new(), refusal));
        if process.standing.ensure_writable().is_err() {
            self.cover(Coverage::ForkedRefused);
            return refuse(Refusal::NotWritable);
        }
        match (id.session.home == own, call.is_moved) {
            (true, true) => return refuse(Refusal::MovedToHome),
            (false, false) => return refuse(Refusal::NotHome),
            (true, false) | (false, true) => {}
        }
        let (mut open, mut marks, mut counted) = (Vec::new(), Marks::new(), 0);
        let mut refused = None;
        for &shard in &shards {
            let state = process.shards.borrow()[shard].replica().request(id);
            match state {
                RequestState::Open => open.push(shard),
                RequestState::Counted { lane, mark } => {
                    counted += 1;
                    if lane == own {
                        marks.push((shard, mark));
                    }
                }
                RequestState::Refused(mark) => {
                    marks.push((shard, mark));
                    refused = Some(Refusal::ForGood);
                }
                RequestState::Closed => refused = Some(Refusal::Closed),
                RequestState::UnknownToHome => refused = Some(Refusal::UnknownToHome),
            }
        }
        if let Some(refusal) = refused {
            let in_part = counted > 0;
            return Err((marks, if in_part { Refusal::CountsInPart } else { refusal }));
        }
        if open.is_empty() {
            self.cover(Coverage::RequestCountedBefore);
            if self.breaks(Mutation::DuplicateNotAwaited) {
                marks.clear();
            }
            return Ok(marks);
        }
        let fits = open.iter().all(|&shard| self.fits(node, request, shard));
        if !fits {
            self.cover(Coverage::AddRefused);
            self.trace(TraceEntry::Refused { node });
        }
        match (fits, id.session.home == own) {
            (true, _) => {
                for shard in open {
                    let mark = self.take_part(&call, shard);
                    marks.push((shard, mark));
                }
                Ok(marks)
            }
            (false, _) if counted > 0 => Err((marks, Refusal::CountsInPart)),
            (false, false) => Err((marks, Refusal::OutOfRange)),
            (false, true) => {
                for shard in open {
                    let process = self.process(node);
                    let replica = process.shards.get_mut()[shard].replica_mut();
                    marks.push((shard, replica.refuse_request(id, call.answered_below)));
                }
                Err((marks, Refusal::ForGood))
            }
        }
    }

    /// What a request adds in a shard, a sum for each counter.
    fn sums(&self, request: usize, shard: usize) -> Vec<(usize, Sum)> {
        let mut sums: Vec<(usize, Sum)> = Vec::new();
        for &(counter, amount) in &self.ledger.requests[request].items {
            if self.shard_of[counter] != shard {
                continue;
            }
            let sum = Sum::of(amount);
            match sums.iter_mut().find(|(of, _)| *of == counter) {
                Some((_, total)) => *total = total.checked_add(sum).expect("few amounts"),
                None => sums.push((counter, sum)),
            }
        }
        sums
    }

    /// Whether no value would leave its range with the part of a request.
    fn fits(&self, node: usize, request: usize, shard: usize) -> bool {
        let process = self.nodes[node].process.as_ref().expect("it was called");
        let shards = process.shards.borrow();
        let replica = shards[shard].replica();
        let sums = self.sums(request, shard).into_iter();
        sums.fold(true, |fits, (counter, sum)| {
            let checked = match replica.find(self.names[counter].as_str()) {
                Some(index) => replica.check(index, sum),
                None => replica.check_new(sum),
            };
            fits && checked.is_ok()
        })
    }

    /// Takes a part of a request that is open and fits.
    fn take_part(&mut self, call: &Call, shard: usize) -> Mark {
        let Call { node, request, .. } = *call;
        let incarnation = self.nodes[node].incarnation;
        let id = self.ledger.requests[request].id;
        let sums = self.sums(request, shard);
        let names = &self.names;
        let process = self.nodes[node].process.as_mut().expect("it was called");
        let is_claim = id.session.home != process.hello.replica;
        let replica = process.shards.get_mut()[shard].replica_mut();
        let adds: Vec<(CounterIndex, Sum)> = sums
            .iter()
            .map(|&(counter, sum)| (replica.counter(&names[counter]), sum))
            .collect();
        let mark = replica.take_request(id, call.answered_below, &adds);
        if is_claim {
            self.cover(Coverage::RequestClaimed);
        }
        self.note_taken((node, incarnation), request, shard, (is_claim, mark));
        mark
    }

    /// The ledger learns what a node has taken, and with which mark it is promised.
    fn note_taken(
        &mut self,
        (node, by): (usize, Incarnation),
        request: usize,
        shard: usize,
        (is_claim, mark): (bool, Mark),
    ) {
        for (counter, amount) in self.ledger.requests[request].items.clone() {
            if self.shard_of[counter] != shard {
                continue;
            }
            let add = (counter, amount);
            let add = self.ledger.take(request, add, shard, (by, is_claim));
            self.process(node).taken[shard].push((add, mark));
            self.trace(TraceEntry::Taken {
                node,
                add,
                counter,
                amount,
                is_claim,
            });
        }
    }

    /// Answers the calls that rest on nothing that is not durable.
    pub(super) fn acknowledge(&mut self, node: usize, is_early: bool) {
        let waiting = std::mem::take(&mut self.process(node).waiting);
        for call in waiting {
            let process = self.process(node);
            let own = process.hello.replica;
            let is_held = |&(shard, mark): &(usize, Mark)| {
                process.held(shard, own).version >= mark.version
            };
            let is_enough = (is_early || call.marks.iter().all(is_held))
                && (!self.breaks(Mutation::WaitForPeer) || self.others_hold(node, &call));
            if is_enough {
                self.answer(node, call);
            } else {
                self.process(node).waiting.push(call);
            }
        }
    }

    /// What a mutant waits for.
    fn others_hold(&self, node: usize, call: &Waiting) -> bool {
        let own = self.ledger.ids()[self.nodes[node].incarnation.0];
        call.marks.iter().all(|&(shard, mark)| {
            let mut others = self.nodes.iter().enumerate();
            others.any(|(number, other)| {
                let process = other.process.as_ref().filter(|_| number != node);
                process.is_some_and(|it| it.held(shard, own).version >= mark.version)
            })
        })
    }

    fn answer(&mut self, node: usize, call: Waiting) {
        let request = call.request;
        let answer = call.answer.map(|()| {
            self.ledger.requests[request].answer = Answer::Counted;
            self.token(node, &call.marks)
        });
        self.tell(node, request, answer);
    }

    /// The token of what was taken in this start of the process.
    fn token(&mut self, node: usize, marks: &Marks) -> Option<Vec<u8>> {
        let process = self.process(node);
        let (lane, start) = (process.hello.replica, process.start);
        let is_own = marks.iter().all(|(_, mark)| mark.start == start);
        let index = |shard| u32::try_from(shard).expect("a small number");
        let receipt = Receipt {
            round: process.completed,
            marks: marks.iter().map(|&(shard, mark)| (index(shard), mark)).collect(),
        };
        let is_whole = is_own && !marks.is_empty();
        is_whole.then(|| Token::of(CLUSTER_HASH, lane, start, &receipt).to_bytes())
    }

    /// What a client does that knows of no sessions: it adds again, at the next node.
    pub(super) fn retry_blindly(&mut self, request: usize) -> Result<(), Violation> {
        let node = self.random.index(self.nodes.len());
        if !self.answers(node) {
            return Ok(());
        }
        let incarnation = self.nodes[node].incarnation;
        let mut marks = Marks::new();
        for shard in self.ledger.shards_of(request, &self.shard_of) {
            let sums = self.sums(request, shard);
            let process = self.nodes[node].process.as_mut().expect("it answers");
            let replica = process.shards.get_mut()[shard].replica_mut();
            for (counter, sum) in sums {
                let index = replica.counter(&self.names[counter]);
                replica.take(index, sum);
            }
            let mark = replica.next_mark();
            self.note_taken((node, incarnation), request, shard, (false, mark));
            marks.push((shard, mark));
        }
        self.process(node).waiting.push(Waiting {
            request,
            marks,
            answer: Ok(()),
        });
        self.taken(node)
    }

    /// A client closes a session at a node, which is or was its home.
    pub(super) fn close_at(
        &mut self,
        node: usize,
        session: SessionId,
        all_is_answered: bool,
    ) -> Result<(), Violation> {
        let process = self.process(node);
        let is_home = process.hello.replica == session.home;
        if !is_home || process.standing.ensure_writable().is_err() {
            return Ok(());
        }
        for shard in process.shards.get_mut() {
            shard.replica_mut().close_session(session, all_is_answered);
        }
        self.cover(Coverage::SessionClosed);
        self.taken(node)
    }
}
