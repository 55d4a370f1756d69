//! Replication between nodes: anti-entropy, driven by the receiver.
//!
//! Each node *pulls* from each peer over one stream ([`pull`]) and *serves* one stream to each
//! ([`serve`]). The receiver says what it holds; the sender sends what is missing, its own lane at
//! a pace, other lanes when the receiver has not had them from elsewhere for a while. A stream is
//! ordered and reliable while it lives, so the sender remembers what it has sent; a new stream
//! begins with what the receiver holds. Nothing is kept for a peer that is away.

/// The receiving side.
pub mod pull;
/// The sending side.
pub mod serve;

use std::time::Duration;

use wire::v1::Hello;

use crate::node::Node;

/// The version of the replication protocol: changes whenever an older node would misread a newer
/// one, such as with a new kind of record.
pub const PROTOCOL_VERSION: u32 = 2;

/// How often a receiver tells what it holds. Relays wait for it, and so does the detection of a
/// peer that was rolled back; both can wait.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// A receiver that still lacks what this node held so long ago, of a lane that is not this
/// node's, gets it from here. Longer than a report takes over the slowest usual link, so that
/// lanes are not sent twice while their owners are well.
pub(crate) const RELAY_INTERVAL: Duration = Duration::from_millis(500);

/// A sender with nothing to say says so this often, so that the receiver knows it is there.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How this node introduces itself.
pub(crate) fn hello(node: &Node) -> Hello {
    let identity = node.identity();
    Hello {
        cluster: identity.cluster.clone(),
        protocol_version: PROTOCOL_VERSION,
        shard_count: identity.shard_count,
        replica_id: wire::replica_id_to_bytes(identity.replica),
    }
}

/// Why a peer's hello was not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The stream does not begin with a hello.
    #[error("the first message has no hello; the peer speaks another protocol")]
    Absent,
    /// Another cluster.
    #[error(
        "the peer is of cluster {theirs:?}, this node of {ours:?}; correct --peer or --cluster"
    )]
    Cluster {
        /// The peer's.
        theirs: String,
        /// This node's.
        ours: String,
    },
    /// Another protocol.
    #[error("the peer speaks protocol version {theirs}, this node {ours}; upgrade the older one")]
    Protocol {
        /// The peer's.
        theirs: u32,
        /// This node's.
        ours: u32,
    },
    /// Another number of shards.
    #[error(
        "the peer has {theirs} shards, this node {ours}; the number is fixed when a cluster is \
         created, so start the newer node again with an empty directory and --shards as the peer's"
    )]
    ShardCount {
        /// The peer's.
        theirs: u32,
        /// This node's.
        ours: u32,
    },
    /// The same incarnation.
    #[error(
        "the peer has this node's own replica id {0}: it is this node itself (remove it from \
         --peer) or runs on a copy of its data directory (stop one and give it an empty directory)"
    )]
    Oneself(crdt_core::ReplicaId),
    /// The id is none.
    #[error(transparent)]
    ReplicaId(#[from] wire::DecodeError),
}

/// Checks a peer's hello; the peer's id.
pub(crate) fn check_hello(
    node: &Node,
    hello: Option<Hello>,
) -> Result<crdt_core::ReplicaId, HelloError> {
    let theirs = hello.ok_or(HelloError::Absent)?;
    let ours = node.identity();
    if theirs.cluster != ours.cluster {
        let ours = ours.cluster.clone();
        return Err(HelloError::Cluster {
            theirs: theirs.cluster,
            ours,
        });
    }
    if theirs.protocol_version != PROTOCOL_VERSION {
        let theirs = theirs.protocol_version;
        return Err(HelloError::Protocol {
            theirs,
            ours: PROTOCOL_VERSION,
        });
    }
    if theirs.shard_count != ours.shard_count {
        let (theirs, ours) = (theirs.shard_count, ours.shard_count);
        return Err(HelloError::ShardCount { theirs, ours });
    }
    let id = wire::replica_id_from_bytes(&theirs.replica_id)?;
    if id == ours.replica {
        Err(HelloError::Oneself(id))
    } else {
        Ok(id)
    }
}
