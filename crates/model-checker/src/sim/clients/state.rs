//! What clients know, and the reads of theirs that wait.

use protocol::{Coverage, ReadWait, Shard, ShardIndex, Token};

use crate::sim::schedule::{CLIENTS, COUNTERS, COUNTERS_GROWING};

/// All that clients know.
pub(in crate::sim) struct Clients {
    /// For each counter, the sum of the increments that were sent, whatever became of them.
    pub(in crate::sim) invoked: [i128; COUNTERS],
    /// For each node and growing counter, the last value read.
    pub(super) read: Vec<[i128; COUNTERS_GROWING]>,
    /// For each node and growing counter, the last value read, and the token of that read.
    pub(super) read_with: Vec<[Option<(Token, i128)>; COUNTERS_GROWING]>,
    /// For each client, the last add it was acknowledged, and its token.
    pub(super) tokens: [Option<(usize, Vec<u8>)>; CLIENTS],
    /// For each node, the adds it was asked for in isolation.
    pub(super) probes: Vec<Vec<usize>>,
    /// Reads that wait for their token.
    pub(super) reads: Vec<WaitingRead>,
}

/// A read that waits for its token.
pub(super) struct WaitingRead {
    pub(super) node: usize,
    pub(super) life: u32,
    pub(super) add: usize,
    pub(super) wait: ReadWait,
}

impl Clients {
    pub(in crate::sim) fn new(nodes: usize) -> Self {
        Self {
            invoked: [0; COUNTERS],
            read: vec![[0; COUNTERS_GROWING]; nodes],
            read_with: vec![[const { None }; COUNTERS_GROWING]; nodes],
            tokens: [const { None }; CLIENTS],
            probes: vec![Vec::new(); nodes],
            reads: Vec::new(),
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
}
