//! Read tokens: "everything this add changed", as bytes that are opaque to clients.
//!
//! A token names its cluster, the lane of the node that took the add, and for each shard touched
//! the mark at which the add is durable. A replica that holds the lane that far has the add,
//! whichever node it is (session guarantees; Terry et al., "Session Guarantees for Weakly
//! Consistent Replicated Data", 1994).
//!
//! Format: a version byte 2, the cluster (8 bytes), the lane (16 bytes), the start (8 bytes), then
//! for each shard its number (2 bytes) and a version (8 bytes), ascending; all numbers big-endian.

use alloc::vec::Vec;

use crdt_core::{Fork, Mark, ReplicaId, StartId, Version};
use thiserror::Error;

use crate::{Receipt, Shard, ShardIndex};

const FORMAT: u8 = 2;
const HEAD_BYTES: usize = 1 + 8 + 16 + 8;
const SHARD_BYTES: usize = 2 + 8;

/// A cluster as tokens name it: a hash of its name, which the driver computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterHash(pub u64);

/// A parsed token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    cluster: ClusterHash,
    lane: ReplicaId,
    start: StartId,
    /// Ascending, each shard once.
    shards: Vec<(ShardIndex, Version)>,
}

/// Why bytes are no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The length fits no token.
    #[error("a token has {HEAD_BYTES} bytes and {SHARD_BYTES} for each shard; this one has {0}")]
    Length(usize),
    /// Another program, or another version of this one, wrote it.
    #[error(
        "the token has format {0}; this version reads format {FORMAT}: read without it, or add again to get a new one"
    )]
    Format(u8),
    /// Another cluster gave it.
    #[error("the token is from another cluster; give it to a node of the cluster it came from")]
    Cluster,
    /// It names a shard that does not exist here.
    #[error(
        "the token names shard {found}, but the cluster has {shard_count}; it is not from here"
    )]
    Shard {
        /// Shard named.
        found: ShardIndex,
        /// Shards there are.
        shard_count: u32,
    },
    /// Its shards do not ascend.
    #[error("the token names shard {found} after shard {before}; it is not as it was given")]
    Order {
        /// The shard.
        found: ShardIndex,
        /// The one before.
        before: ShardIndex,
    },
}

/// Whether a node holds what a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It does.
    Covered,
    /// Not yet.
    Lacking,
    /// It holds another history of the lane, so it never will.
    Never(Fork),
}

impl Token {
    /// The token of adds that a node took: its lane, and the start of its process.
    #[must_use]
    pub fn of(cluster: ClusterHash, lane: ReplicaId, start: StartId, receipt: &Receipt) -> Self {
        let marks = receipt.marks.iter();
        let mut shards: Vec<_> = marks.map(|&(shard, mark)| (shard, mark.version)).collect();
        shards.sort_unstable();
        Self {
            cluster,
            lane,
            start,
            shards,
        }
    }

    /// The token as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + SHARD_BYTES * self.shards.len());
        bytes.push(FORMAT);
        bytes.extend(self.cluster.0.to_be_bytes());
        bytes.extend(self.lane.get().to_be_bytes());
        bytes.extend(self.start.get().to_be_bytes());
        for &(shard, version) in &self.shards {
            let shard = u16::try_from(shard).expect("at most 256 shards");
            bytes.extend(shard.to_be_bytes());
            bytes.extend(version.get().to_be_bytes());
        }
        bytes
    }

    /// Parses a token for a cluster of `shard_count` shards.
    ///
    /// # Errors
    ///
    /// When the bytes are no token of that cluster.
    pub fn parse(bytes: &[u8], cluster: ClusterHash, shard_count: u32) -> Result<Self, TokenError> {
        let length = TokenError::Length(bytes.len());
        if let Some(&format) = bytes.first()
            && format != FORMAT
        {
            return Err(TokenError::Format(format));
        }
        let (head, shards) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or(length.clone())?;
        let (entries, rest) = shards.as_chunks::<SHARD_BYTES>();
        if !rest.is_empty() {
            return Err(length);
        }
        let u64_at = |at: usize| {
            u64::from_be_bytes(head[at..at + 8].try_into().expect("8 bytes were taken"))
        };
        if u64_at(1) != cluster.0 {
            return Err(TokenError::Cluster);
        }
        let lane = head[9..25].try_into().expect("16 bytes were taken");
        Ok(Self {
            cluster,
            lane: ReplicaId::new(u128::from_be_bytes(lane)),
            start: StartId::new(u64_at(25)),
            shards: parse_shards(entries, shard_count)?,
        })
    }

    /// Whether a shard holds what the token stands for, in that shard.
    #[must_use]
    pub fn coverage(&self, index: ShardIndex, shard: &Shard) -> Coverage {
        let Ok(at) = self
            .shards
            .binary_search_by_key(&index, |&(named, _)| named)
        else {
            return Coverage::Covered;
        };
        let seen = Mark {
            version: self.shards[at].1,
            start: self.start,
        };
        let replica = shard.replica();
        match replica.admits(self.lane, seen) {
            Err(fork) => Coverage::Never(fork),
            Ok(()) if replica.held(self.lane).version >= seen.version => Coverage::Covered,
            Ok(()) => Coverage::Lacking,
        }
    }
}

fn parse_shards(
    entries: &[[u8; SHARD_BYTES]],
    shard_count: u32,
) -> Result<Vec<(ShardIndex, Version)>, TokenError> {
    // They ascend, so there are no more of them than the cluster has.
    let mut shards: Vec<(ShardIndex, Version)> = Vec::new();
    for entry in entries {
        let found = ShardIndex::from(u16::from_be_bytes([entry[0], entry[1]]));
        let version = entry[2..].try_into().expect("8 of 10 bytes");
        if found >= shard_count {
            return Err(TokenError::Shard { found, shard_count });
        }
        if let Some(&(before, _)) = shards.last()
            && before >= found
        {
            return Err(TokenError::Order { found, before });
        }
        shards.push((found, Version::new(u64::from_be_bytes(version))));
    }
    Ok(shards)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const HERE: ClusterHash = ClusterHash(7);

    proptest! {
        #[test]
        fn tokens_survive_their_bytes(
            lane: u128, start: u64, shards in proptest::collection::btree_map(0..16u32, any::<u64>(), 0..16),
        ) {
            let token = Token {
                cluster: HERE,
                lane: ReplicaId::new(lane),
                start: StartId::new(start),
                shards: shards.into_iter().map(|(s, v)| (s, Version::new(v))).collect(),
            };
            prop_assert_eq!(Token::parse(&token.to_bytes(), HERE, 16), Ok(token.clone()));
            let elsewhere = Token::parse(&token.to_bytes(), ClusterHash(8), 16);
            prop_assert_eq!(elsewhere, Err(TokenError::Cluster));
        }

        #[test]
        fn any_bytes_are_a_token_or_refused(mut bytes in vec(any::<u8>(), 0..80), ours: bool) {
            if ours && bytes.len() > 9 {
                bytes[0] = FORMAT;
                bytes[1..9].copy_from_slice(&HERE.0.to_be_bytes());
            }
            if let Ok(token) = Token::parse(&bytes, HERE, 300) {
                prop_assert_eq!(token.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn what_is_no_token_says_why() {
        let token = |shards: &[u32]| Token {
            cluster: HERE,
            lane: ReplicaId::new(1),
            start: StartId::new(1),
            shards: shards.iter().map(|&s| (s, Version::new(1))).collect(),
        };
        let parse = |bytes: &[u8]| Token::parse(bytes, HERE, 16).expect_err("no token");
        let too_large = TokenError::Shard {
            found: 16,
            shard_count: 16,
        };
        assert_eq!(parse(&token(&[16]).to_bytes()), too_large);
        let twice = TokenError::Order {
            found: 3,
            before: 3,
        };
        assert_eq!(parse(&token(&[3, 3]).to_bytes()), twice);
        assert_eq!(parse(&[1; 35]), TokenError::Format(1));
        assert_eq!(parse(&[2; 5]), TokenError::Length(5));
        assert_eq!(parse(&[]), TokenError::Length(0));
    }
}
