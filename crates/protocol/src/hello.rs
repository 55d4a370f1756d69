//! How two nodes introduce themselves, and why one may refuse the other.

use alloc::string::String;

use crdt_core::ReplicaId;
use thiserror::Error;

/// The highest version of the replication protocol that this code speaks: it rises whenever an older
/// node would misread a newer one, such as with a new kind of record.
pub const PROTOCOL_VERSION: u32 = 3;

/// The lowest one. Before version 3 intervals had no needs and no records about sessions, so who
/// speaks only those cannot be told what a lane holds.
pub const PROTOCOL_VERSION_MIN: u32 = 3;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster's name.
    pub cluster: String,
    /// The lowest version of the protocol that the speaker speaks. Nodes before version 3 did not say
    /// it, which reads as 0.
    pub protocol_version_min: u32,
    /// The highest one. Both ends of a stream speak the highest that both know.
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
    /// A peer that is older than ranges of versions.
    #[error(
        "the peer speaks protocol version {theirs} only, this node {lowest} to {highest}; upgrade \
         the peer: until then neither gets the other's adds, and none are lost"
    )]
    TooOld {
        /// The peer's.
        theirs: u32,
        /// The lowest of this node ...
        lowest: u32,
        /// ... and the highest.
        highest: u32,
    },
    /// No version that both speak.
    #[error(
        "the peer speaks protocol versions {} to {}, this node {} to {}; upgrade the older one",
        theirs.0, theirs.1, ours.0, ours.1
    )]
    Protocol {
        /// The peer's lowest and highest.
        theirs: (u32, u32),
        /// This node's.
        ours: (u32, u32),
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
    /// The hello of a node that runs this code.
    #[must_use]
    pub fn new(cluster: String, shard_count: u32, replica: ReplicaId) -> Self {
        Self {
            cluster,
            protocol_version_min: PROTOCOL_VERSION_MIN,
            protocol_version: PROTOCOL_VERSION,
            shard_count,
            replica,
        }
    }

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
        self.accept_versions(theirs)?;
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

    fn accept_versions(&self, theirs: &Self) -> Result<(), HelloError> {
        let versions = |it: &Self| (it.protocol_version_min, it.protocol_version);
        let (ours, theirs) = (versions(self), versions(theirs));
        if theirs.0 == 0 {
            return Err(HelloError::TooOld {
                theirs: theirs.1,
                lowest: ours.0,
                highest: ours.1,
            });
        }
        if ours.0.max(theirs.0) > ours.1.min(theirs.1) {
            return Err(HelloError::Protocol { theirs, ours });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(replica: u128) -> Hello {
        Hello::new("likes".into(), 4, ReplicaId::new(replica))
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
            shard_count: 5,
            ..hello(2)
        };
        let error = HelloError::ShardCount { theirs: 5, ours: 4 };
        assert_eq!(ours.accept(Some(&theirs)), Err(error));
    }
    fn speaking(protocol_version_min: u32, protocol_version: u32) -> Hello {
        Hello {
            protocol_version_min,
            protocol_version,
            ..hello(2)
        }
    }

    #[test]
    fn nodes_with_a_version_in_common_speak_and_others_are_refused_with_both_ranges() {
        let ours = Hello {
            replica: ReplicaId::new(1),
            ..speaking(3, 5)
        };
        for (lowest, highest) in [(3, 3), (1, 3), (5, 5), (5, 9), (4, 4), (1, 9)] {
            let accepted = ours.accept(Some(&speaking(lowest, highest)));
            assert_eq!(accepted, Ok(ReplicaId::new(2)), "{lowest} to {highest}");
        }
        // The last one is no range.
        for theirs in [(1, 2), (6, 9), (5, 3)] {
            let error = HelloError::Protocol {
                theirs,
                ours: (3, 5),
            };
            let accepted = ours.accept(Some(&speaking(theirs.0, theirs.1)));
            assert_eq!(accepted, Err(error));
        }
    }

    #[test]
    fn a_peer_that_says_no_range_is_refused_by_its_version() {
        let error = hello(1).accept(Some(&speaking(0, 2)));
        let error = error.expect_err("it is older");
        assert_eq!(
            error,
            HelloError::TooOld {
                theirs: 2,
                lowest: PROTOCOL_VERSION_MIN,
                highest: PROTOCOL_VERSION,
            }
        );
        let text = alloc::format!("{error}");
        for part in ["version 2 only", "3 to 3", "upgrade the peer"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
