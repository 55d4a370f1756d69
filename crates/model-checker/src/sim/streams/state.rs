//! A connection between two nodes, with the ends of the stream on it.

use std::collections::{BTreeMap, VecDeque};

use wire::stream::{ReceivingEnd, SendingEnd};

use crate::sim::network::Pipe;
use crate::sim::queue::SimTime;

/// One end's process: void once another life has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Owner {
    pub(in crate::sim) node: usize,
    pub(in crate::sim) life: u32,
}

/// A connection that `dialler` has opened to `acceptor`.
pub(in crate::sim) struct Connection {
    pub(in crate::sim) dialler: Owner,
    pub(in crate::sim) acceptor: Owner,
    pub(in crate::sim) receiving: Option<ReceivingEnd>,
    pub(in crate::sim) sending: Option<SendingEnd>,
    /// The acceptor knows the dialler as a replica that may claim requests.
    pub(super) is_known: bool,
    /// Nothing passes any more.
    pub(in crate::sim) is_broken: bool,
    pub(super) to_acceptor: Pipe,
    pub(super) to_dialler: Pipe,
    /// What has arrived at the dialler and is not yet read.
    pub(super) inbox: VecDeque<Vec<u8>>,
    /// The lane of the interval whose parts are being sent.
    pub(super) lane_under_way: Vec<u8>,
    pub(super) receiving_wakes_at: Option<SimTime>,
    pub(super) sending_wakes_at: Option<SimTime>,
}

impl Connection {
    /// Whether the dialler gets what the acceptor sends.
    pub(in crate::sim) fn is_heard(&self) -> bool {
        !self.is_broken && self.sending.is_some()
    }
}

/// Connections by number; those with an end that lives.
pub(in crate::sim) type Connections = BTreeMap<u64, Connection>;
