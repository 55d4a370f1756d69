//! What clients know, and the reads of theirs that wait.

use crdt_core::SessionId;
use protocol::{Coverage, ReadWait, Shard, ShardIndex, Token};

use crate::sim::calls::call::Refusal;
use crate::sim::queue::SimTime;
use crate::sim::schedule::{CLIENTS, COUNTERS, COUNTERS_GROWING};

/// All that clients know.
pub(in crate::sim) struct Clients {
    /// For each counter, the sum of the increments that were sent, whatever became of them.
    pub(in crate::sim) invoked: [i128; COUNTERS],
    /// For each node and growing counter, the last value read.
    pub(super) read: Vec<[i128; COUNTERS_GROWING]>,
    /// For each node and growing counter, the last value read, and the token of that read.
    pub(super) read_with: Vec<[Option<(Token, i128)>; COUNTERS_GROWING]>,
    /// For each client, the last request that it was told counts, and its token.
    pub(super) tokens: [Option<(usize, Vec<u8>)>; CLIENTS],
    /// For each node, the request it was asked for in isolation.
    pub(super) probes: Vec<Option<usize>>,
    /// Reads that wait for their token.
    pub(super) reads: Vec<WaitingRead>,
    pub(super) sessions: Vec<Session>,
    /// For each client, the session that it numbers its adds in.
    pub(super) current: [Option<usize>; CLIENTS],
    /// What each client knows of each request that the ledger has, in its order.
    pub(in crate::sim) sent: Vec<Sent>,
}

/// A session, as its client has it.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Where it was opened.
    pub(super) home: usize,
    pub(super) client: Option<usize>,
    /// Its client asks this one node alone.
    pub(super) stays: bool,
    /// By number, from 1 on.
    pub(super) requests: Vec<usize>,
    /// The lowest request without an answer; never raised after a move.
    pub(super) answered_below: u64,
    /// The client has given up on the home.
    pub(super) has_moved: bool,
    /// After so many requests the client uses another one.
    pub(super) requests_max: usize,
    pub(super) ending: Ending,
    /// How long the client waits for the home before it moves a request.
    pub(super) patience_us: u64,
}

/// What becomes of a session that its client is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is just left.
    Left,
    /// Its client closes it when all is answered.
    Closes,
    /// Its client has said so.
    Closed,
}

/// A request, as its client has it.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Sent {
    pub(super) session: usize,
    pub(super) number: u64,
    pub(super) since: SimTime,
    pub(super) tries: u32,
    /// Whether it was sent to another node than the home.
    pub(super) was_moved: bool,
    /// Where it was sent last.
    pub(super) last_node: usize,
    /// Answered: it counts, or was refused for good.
    pub(in crate::sim) is_done: bool,
    /// The last refusal that says neither.
    pub(in crate::sim) refused: Option<Refusal>,
    /// The client sends it no more, for that reason.
    pub(in crate::sim) is_given_up: bool,
}

/// A read that waits for its token.
pub(super) struct WaitingRead {
    pub(super) node: usize,
    pub(super) life: u32,
    pub(super) request: usize,
    pub(super) wait: ReadWait,
}

impl Clients {
    pub(in crate::sim) fn new(nodes: usize) -> Self {
        Self {
            invoked: [0; COUNTERS],
            read: vec![[0; COUNTERS_GROWING]; nodes],
            read_with: vec![[const { None }; COUNTERS_GROWING]; nodes],
            tokens: [const { None }; CLIENTS],
            probes: vec![None; nodes],
            reads: Vec::new(),
            sessions: Vec::new(),
            current: [None; CLIENTS],
            sent: Vec::new(),
        }
    }

    /// The most that was read of a counter, on any node, with a token that a node covers which is
    /// asked for it now. Nothing of a counter that may fall.
    pub(super) fn covered(&self, counter: usize, index: ShardIndex, shard: &Shard) -> Option<i128> {
        let reads = self.read_with.iter();
        let reads = reads.filter_map(|of_node| of_node.get(counter)?.as_ref());
        let is_covered =
            |(token, _): &&(Token, i128)| token.coverage(index, shard) == Coverage::Covered;
        reads.filter(is_covered).map(|&(_, value)| value).max()
    }

    /// The node has another directory: its values are another node's values.
    pub(in crate::sim) fn forget_reads(&mut self, node: usize) {
        self.read[node] = [0; COUNTERS_GROWING];
    }

    /// All requests below the first without an answer were answered.
    pub(super) fn raise(&mut self, session: usize) {
        let of = &mut self.sessions[session];
        let is_done = |number: u64| {
            let place = usize::try_from(number - 1).expect("few requests");
            let request = of.requests.get(place);
            request.is_some_and(|&request| self.sent[request].is_done)
        };
        let mut below = of.answered_below;
        while is_done(below) {
            below += 1;
        }
        of.answered_below = below;
    }

    /// Whether all requests of a session were answered.
    pub(super) fn all_done(&self, session: usize) -> bool {
        let mut requests = self.sessions[session].requests.iter();
        requests.all(|&request| self.sent[request].is_done)
    }
}
