//! Read tokens: "everything this add changed", as bytes that are opaque to clients.
//!
//! A token names the lane of the node that took the add, and for each shard touched the mark at
//! which the add is durable. A replica that holds the lane that far has the add, whichever node
//! it is (session guarantees; Terry et al., "Session Guarantees for Weakly Consistent Replicated
//! Data", 1994).
//!
//! Format: a version byte 1, the lane (16 bytes), the start (8 bytes), then for each shard its
//! number (2 bytes) and a version (8 bytes), ascending; all numbers big-endian.

use crdt_core::{Mark, Replica, ReplicaId, StartId, Version};

use super::{Node, Receipt, SHARD_COUNT_MAX, ShardIndex};

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 1 + 16 + 8;
const SHARD_BYTES: usize = 2 + 8;

/// A parsed token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    lane: ReplicaId,
    start: StartId,
    shards: Vec<(ShardIndex, Version)>,
}

/// Why bytes are no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The length fits no token.
    #[error("a token has {HEAD_BYTES} bytes and {SHARD_BYTES} for each shard; this one has {0}")]
    Length(usize),
    /// Another program wrote it.
    #[error("the token has format {0}; this version reads format {FORMAT}")]
    Format(u8),
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
}

impl Token {
    /// The token of adds that this node took.
    #[must_use]
    pub fn of(node: &Node, receipt: &Receipt) -> Self {
        let shards = receipt
            .marks
            .iter()
            .map(|&(shard, mark)| (shard, mark.version))
            .collect();
        Self {
            lane: node.identity.replica,
            start: node.identity.start,
            shards,
        }
    }

    /// The token as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + SHARD_BYTES * self.shards.len());
        bytes.push(FORMAT);
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
    /// When the bytes are no token of such a cluster.
    pub fn parse(bytes: &[u8], shard_count: u32) -> Result<Self, TokenError> {
        let length = TokenError::Length(bytes.len());
        let (head, shards) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or(length.clone())?;
        if head[0] != FORMAT {
            return Err(TokenError::Format(head[0]));
        }
        let (entries, rest) = shards.as_chunks::<SHARD_BYTES>();
        if !rest.is_empty() || entries.len() > SHARD_COUNT_MAX as usize {
            return Err(length);
        }
        let shards = entries.iter().map(|entry| {
            let shard = ShardIndex::from(u16::from_be_bytes([entry[0], entry[1]]));
            let version = entry[2..].try_into().expect("8 of 10 bytes");
            if shard >= shard_count {
                return Err(TokenError::Shard {
                    found: shard,
                    shard_count,
                });
            }
            Ok((shard, Version::new(u64::from_be_bytes(version))))
        });
        Ok(Self {
            lane: ReplicaId::new(u128::from_be_bytes(
                head[1..17].try_into().expect("16 bytes"),
            )),
            start: StartId::new(u64::from_be_bytes(head[17..].try_into().expect("8 bytes"))),
            shards: shards.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a shard's replica holds what the token stands for, in that shard.
    #[must_use]
    pub fn is_covered(&self, shard: ShardIndex, replica: &Replica) -> bool {
        let Some(&(_, version)) = self.shards.iter().find(|&&(named, _)| named == shard) else {
            return true;
        };
        let seen = Mark {
            version,
            start: self.start,
        };
        replica.held(self.lane).version >= version && replica.admits(self.lane, seen).is_ok()
    }
}

impl Node {
    /// Waits until this node holds what the token stands for, in the given shards. The caller
    /// bounds the wait.
    pub async fn covered(&self, token: &Token, shards: &[ShardIndex]) {
        let mut completed = self.completed();
        for &shard in shards {
            while !self.with_shard(shard, |replica| token.is_covered(shard, replica)) {
                completed
                    .changed()
                    .await
                    .expect("the sender lives as long as self");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn tokens_survive_their_bytes(
            lane: u128, start: u64, shards in vec((0..16u32, any::<u64>()), 0..16),
        ) {
            let token = Token {
                lane: ReplicaId::new(lane),
                start: StartId::new(start),
                shards: shards.into_iter().map(|(s, v)| (s, Version::new(v))).collect(),
            };
            prop_assert_eq!(Token::parse(&token.to_bytes(), 16), Ok(token));
        }

        #[test]
        fn any_bytes_are_a_token_or_refused(bytes in vec(any::<u8>(), 0..60)) {
            if let Ok(token) = Token::parse(&bytes, 300) {
                prop_assert_eq!(token.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_token_of_a_larger_cluster_is_refused() {
        let token = Token {
            lane: ReplicaId::new(1),
            start: StartId::new(1),
            shards: vec![(16, Version::new(1))],
        };
        let error = TokenError::Shard {
            found: 16,
            shard_count: 16,
        };
        assert_eq!(Token::parse(&token.to_bytes(), 16), Err(error));
    }
}
