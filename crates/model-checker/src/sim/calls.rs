//! Calls of clients at the nodes: requests of sessions, and the opening and closing of sessions.
//!
//! What counts is decided by [`Adds::take_request`], which sessions are open by
//! [`OpenSessions`](protocol::OpenSessions). A call is answered once the round is complete that its
//! answer rests on. When a process ends, calls that wait in it are never answered.

pub(super) mod call;

use crdt_core::{Mark, ReplicaId, RequestState, SessionId, Sum};
use protocol::{
    Adds, RequestError, RequestHead, RequestReceipt, RequestRefusal, Round, TakeError, Token,
};

use self::call::{Call, Refusal};
use super::kinds::Coverage;
use super::limits::{CLUSTER_HASH, SHARD_COUNTERS_MAX};
use super::node::Waiting;
use super::oracle::Violation;
use super::trace::TraceEntry;
use super::world::World;
use crate::mutation::Mutation;

impl World<'_> {
    /// A node opens a session, if it opens any.
    pub(super) fn open_at(&mut self, node: usize) -> Option<SessionId> {
        let now = self.nodes[node].clock(self.now);
        let process = self.process(node);
        if process.standing.ensure_writable().is_err() {
            self.cover(Coverage::ForkedRefused);
            return None;
        }
        let opened = process.sessions.open(now).ok();
        if opened.is_none() {
            self.cover(Coverage::SessionsExhausted);
        }
        self.close_surplus(node);
        opened
    }

    /// A call arrives; where no process runs, it is nowhere.
    pub(super) fn call(&mut self, call: Call) -> Result<(), Violation> {
        if !self.nodes[call.node].is_up() {
            return Ok(());
        }
        let waiting = self.take_request(call);
        let process = self.process(call.node);
        let is_durable = waiting.round <= process.completed;
        process.waiting.push(waiting);
        if is_durable {
            self.acknowledge(call.node, false);
            return Ok(());
        }
        self.taken(call.node)
    }

    /// The node takes a request, or says why it does not.
    fn take_request(&mut self, call: Call) -> Waiting {
        let Call { node, request, .. } = call;
        let id = self.ledger.requests[request].id;
        let (below, is_moved) = (call.answered_below, call.is_moved);
        let head = RequestHead::new(id.session, id.number, below, is_moved);
        let head = head.expect("clients keep to the window");
        let open = self.open_shards(node, request);
        let mut adds = self.adds_of(request);
        let taken = self.admit(node, id.session).and_then(|()| {
            let shards = &self.process(node).shards;
            adds.take_request(shards, &head, SHARD_COUNTERS_MAX)
        });
        match taken {
            Ok(receipt) => {
                let told = Ok(Some(Token::of_request(CLUSTER_HASH, &receipt).to_bytes()));
                let marks = self.note_request(node, request, &open, &receipt);
                let mut round = receipt.round;
                if receipt.was_counted {
                    self.cover(Coverage::RequestCountedBefore);
                    if self.breaks(Mutation::AnsweredBeforeSync) {
                        round = Round::NONE;
                    }
                }
                Waiting {
                    request,
                    round,
                    marks,
                    told,
                }
            }
            Err(refused) => {
                self.trace(TraceEntry::Refused { node });
                Waiting {
                    request,
                    round: refused.round,
                    marks: Vec::new(),
                    told: Err(self.refusal(&refused.error)),
                }
            }
        }
    }

    /// Whether the node takes requests of a session at all.
    fn admit(&mut self, node: usize, session: SessionId) -> Result<(), RequestRefusal> {
        let process = self.process(node);
        let writable = process.standing.ensure_writable();
        writable.map_err(|error| RequestError::from(TakeError::from(error)).at_once())?;
        if session.home == process.hello.replica {
            let admitted = process.sessions.admits(session);
            admitted.map_err(|error| RequestError::from(error).at_once())?;
        }
        Ok(())
    }

    pub(super) fn refusal(&mut self, error: &RequestError) -> Refusal {
        match error {
            RequestError::NotHome { .. } => Refusal::NotHome,
            RequestError::MovedToHome => Refusal::MovedToHome,
            RequestError::UnknownToHome { .. } => Refusal::UnknownToHome,
            RequestError::Closed { .. } => Refusal::Closed,
            RequestError::Refused => Refusal::ForGood,
            RequestError::InPart { .. } => Refusal::CountsInPart,
            RequestError::SessionsExhausted(_) => {
                self.cover(Coverage::SessionsExhausted);
                Refusal::NotTaken
            }
            RequestError::Take(error) if matches!(**error, TakeError::NotWritable(_)) => {
                self.cover(Coverage::ForkedRefused);
                Refusal::NotTaken
            }
            RequestError::Take(_) => {
                self.cover(Coverage::AddRefused);
                Refusal::OutOfRange
            }
            RequestError::OtherAdds | RequestError::ClaimsExhausted => {
                unreachable!("no client does this: {error}")
            }
        }
    }

    /// The shards where a node may still take a part of a request.
    pub(super) fn open_shards(&self, node: usize, request: usize) -> Vec<usize> {
        let id = self.ledger.requests[request].id;
        let process = self.nodes[node].process.as_ref().expect("it is called");
        let shards = process.shards.borrow();
        let is_open = |&shard: &usize| shards[shard].replica().request(id) == RequestState::Open;
        let of_request = self.ledger.shards_of(request, &self.shard_of).into_iter();
        of_request.filter(is_open).collect()
    }

    fn adds_of(&self, request: usize) -> Adds {
        let mut adds = Adds::default();
        for &(counter, amount) in &self.ledger.requests[request].items {
            let shard = u32::try_from(self.shard_of[counter]).expect("a small number");
            adds.add_named(shard, self.names[counter].clone(), Sum::of(amount));
        }
        adds
    }

    /// The ledger learns which parts of a request a node has taken: those that were open there.
    /// The own marks that have any of it.
    fn note_request(
        &mut self,
        node: usize,
        request: usize,
        open: &[usize],
        receipt: &RequestReceipt,
    ) -> Vec<(usize, Mark)> {
        let own = self.process(node).hello.replica;
        let of_own = receipt.marks.iter().filter(|&&(_, lane, _)| lane == own);
        let marks: Vec<(usize, Mark)> = of_own
            .map(|&(shard, _, mark)| (shard as usize, mark))
            .collect();
        let home = self.ledger.requests[request].id.session.home;
        for &(shard, mark) in marks.iter().filter(|(shard, _)| open.contains(shard)) {
            self.note_taken(node, request, shard, (home != own, mark));
        }
        marks
    }

    pub(super) fn note_taken(
        &mut self,
        node: usize,
        request: usize,
        shard: usize,
        (is_claim, mark): (bool, Mark),
    ) {
        let by = self.nodes[node].incarnation;
        if is_claim {
            self.cover(Coverage::RequestClaimed);
        }
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

    /// Answers the calls whose round is complete; all of them, where a mutant is early.
    pub(super) fn acknowledge(&mut self, node: usize, is_early: bool) {
        let waiting = std::mem::take(&mut self.process(node).waiting);
        for call in waiting {
            let is_complete = is_early || call.round <= self.process(node).completed;
            let is_enough = is_complete
                && (!self.breaks(Mutation::WaitForPeer) || self.others_hold(node, &call));
            if is_enough {
                if call.told.is_ok() {
                    self.ledger.told_counts(call.request);
                }
                self.tell(node, call.request, call.told);
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

    /// What a client does that knows of no sessions: it adds again, at any node.
    pub(super) fn retry_blindly(&mut self, request: usize) -> Result<(), Violation> {
        let node = self.random.index(self.nodes.len());
        let is_up = self.answers(node);
        if !is_up || self.process(node).standing.ensure_writable().is_err() {
            return Ok(());
        }
        self.take_blindly(node, request)
    }

    /// A node takes adds that belong to no session.
    pub(super) fn take_blindly(&mut self, node: usize, request: usize) -> Result<(), Violation> {
        let mut adds = self.adds_of(request);
        let taken = adds.take(&self.process(node).shards, SHARD_COUNTERS_MAX);
        let Ok(receipt) = taken else {
            return Ok(());
        };
        for &(shard, mark) in &receipt.marks {
            self.note_taken(node, request, shard as usize, (false, mark));
        }
        let lane = self.process(node).hello.replica;
        let start = self.process(node).start;
        let proof = Token::of(CLUSTER_HASH, lane, start, &receipt);
        self.process(node).waiting.push(Waiting {
            request,
            round: receipt.round,
            marks: Vec::new(),
            told: Ok(Some(proof.to_bytes())),
        });
        self.taken(node)
    }

    // Closing.

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
        self.cover(Coverage::SessionClosed);
        self.close_in_all_shards(node, session, all_is_answered);
        self.taken(node)
    }

    fn close_in_all_shards(&mut self, node: usize, session: SessionId, all_is_answered: bool) {
        self.trace(TraceEntry::SessionClosed { node });
        for shard in self.process(node).shards.get_mut() {
            shard.close_session(session, all_is_answered);
        }
    }

    /// The node learns from its own lane, as that is held now, which sessions are used, closed and
    /// forgotten.
    pub(super) fn note_sessions(&mut self, node: usize) {
        let now = self.nodes[node].clock(self.now);
        let process = self.process(node);
        for (shard, group) in std::mem::take(&mut process.own_records) {
            let shard = u32::try_from(shard).expect("a small number");
            process.sessions.held(shard, &group[0], now);
        }
        self.close_surplus(node);
    }

    /// The node closes the sessions that were idle longest, where there are too many.
    pub(super) fn close_surplus(&mut self, node: usize) {
        while let Some(session) = self.process(node).sessions.surplus() {
            self.cover(Coverage::SessionClosedIdle);
            self.close_in_all_shards(node, session, false);
            self.process(node).rounds.taken();
        }
    }

    // Who is known.

    /// A node has met a replica: it may claim requests of the node's sessions from now on.
    pub(super) fn know(&mut self, node: usize, replica: ReplicaId) {
        let process = self.process(node);
        if process.standing.ensure_writable().is_err() {
            return;
        }
        let mut is_news = false;
        for shard in process.shards.get_mut() {
            is_news |= shard.know(replica).is_some();
        }
        if is_news {
            process.rounds.taken();
        }
    }

    /// The same of somebody who has dialled the node; whether it is known. A stranger is not: it would
    /// be waited for.
    pub(super) fn know_acquaintance(&mut self, node: usize, replica: ReplicaId) -> bool {
        let process = self.process(node);
        let is_acquainted = process.standing.is_acquainted(&process.shards, replica);
        if is_acquainted {
            self.know(node, replica);
        }
        is_acquainted
    }
}
