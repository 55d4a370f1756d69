//! The gRPC services: requests are parsed into valid values or refused, and nothing else happens
//! here. What a node does with them is in [`node`](crate::node).

mod audit;
/// Who the node is and how it fares.
pub mod cluster;
/// Adds and reads.
pub mod counter;
mod deadline;
mod export;
mod ingest;
mod limits;
mod list;
mod parse;
/// Sessions.
pub mod session;
mod sessions;
/// Errors as gRPC statuses.
pub(crate) mod status;
mod token;
mod value;
mod watch;

use std::sync::{Arc, OnceLock};

use tonic::Status;

use crate::node::Node;

/// The node, once it has recovered. Until then every call is refused with RECOVERING.
#[derive(Clone, Debug, Default)]
pub struct NodeCell(Arc<OnceLock<Arc<Node>>>);

impl NodeCell {
    /// The node.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE while it recovers.
    pub(crate) fn get(&self) -> Result<&Arc<Node>, Status> {
        self.0.get().ok_or_else(status::recovering)
    }

    /// The node has recovered.
    ///
    /// # Panics
    ///
    /// The second time.
    pub fn set(&self, node: Arc<Node>) {
        assert!(self.0.set(node).is_ok(), "a process recovers once");
    }
}
