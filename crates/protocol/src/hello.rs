//! How two nodes introduce themselves, and why one may refuse the other.

use alloc::string::String;

use crdt_core::ReplicaId;
use thiserror::Error;

/// The version of the replication protocol: changes whenever an older node would misread a newer
/// one, such as with a new kind of record.
pub const PROTOCOL_VERSION: u32 = 2;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster's name.
    pub cluster: String,
    /// See [`PROTOCOL_VERSION`].
    pub protocol_version: u32,
    /// Shards of the cluster.
    pub shard_count: u32,
    /// The speaker's incarnation.
    pub replica: ReplicaId,
}

/// Why a peer's hello was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
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
    Oneself(ReplicaId),
}

impl Hello {
    /// Whether this node, which would say `self`, accepts a peer that says `theirs`.
    ///
    /// # Errors
    ///
    /// The first difference that keeps the two apart.
    pub fn accept(&self, theirs: Option<&Self>) -> Result<ReplicaId, HelloError> {
        let theirs = theirs.ok_or(HelloError::Absent)?;
        if theirs.cluster != self.cluster {
            return Err(HelloError::Cluster {
                theirs: theirs.cluster.clone(),
                ours: self.cluster.clone(),
            });
        }
        if theirs.protocol_version != self.protocol_version {
            return Err(HelloError::Protocol {
                theirs: theirs.protocol_version,
                ours: self.protocol_version,
            });
        }
        if theirs.shard_count != self.shard_count {
            return Err(HelloError::ShardCount {
                theirs: theirs.shard_count,
                ours: self.shard_count,
            });
        }
        if theirs.replica == self.replica {
            return Err(HelloError::Oneself(theirs.replica));
        }
        Ok(theirs.replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(replica: u128) -> Hello {
        Hello {
            cluster: "likes".into(),
            protocol_version: PROTOCOL_VERSION,
            shard_count: 4,
            replica: ReplicaId::new(replica),
        }
    }

    #[test]
    fn a_peer_that_differs_in_anything_is_refused_with_both_values() {
        let ours = hello(1);
        assert_eq!(ours.accept(Some(&hello(2))), Ok(ReplicaId::new(2)));
        assert_eq!(ours.accept(None), Err(HelloError::Absent));
        let theirs = hello(1);
        let oneself = HelloError::Oneself(ReplicaId::new(1));
        assert_eq!(ours.accept(Some(&theirs)), Err(oneself));
        let theirs = Hello {
            cluster: "views".into(),
            ..hello(2)
        };
        let text = ours.accept(Some(&theirs)).expect_err("another cluster");
        let text = alloc::format!("{text}");
        assert!(
            text.contains("\"views\"") && text.contains("\"likes\""),
            "{text}"
        );
        let theirs = Hello {
            protocol_version: 1,
            ..hello(2)
        };
        let error = HelloError::Protocol { theirs: 1, ours: 2 };
        assert_eq!(ours.accept(Some(&theirs)), Err(error));
        let theirs = Hello {
            shard_count: 5,
            ..hello(2)
        };
        let error = HelloError::ShardCount { theirs: 5, ours: 4 };
        assert_eq!(ours.accept(Some(&theirs)), Err(error));
    }
}
