//! The wait of a read for its token.
//!
//! A read with a token is answered once the node holds what the token stands for, in the shards of
//! the counters that are read. It waits until its own deadline, and no longer than a bound; a
//! token that can never be covered here fails at once.

use alloc::vec::Vec;
use core::time::Duration;

use crdt_core::Fork;
use thiserror::Error;

use crate::{Coverage, ShardIndex, Shards, Time, Token};

/// What a read does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadEffect {
    /// Reads: the token is covered.
    Answer,
    /// Asks again when the next round is complete, or then.
    Wait {
        /// When the read gives up.
        until: Time,
    },
    /// Fails.
    Fail(ReadError),
}

/// Why a read with a token failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// What the token stands for has not arrived in time.
    #[error(
        "what the token stands for has not arrived here within {waited_ms} ms; retry, or read at \
         the node that gave the token"
    )]
    NotCovered {
        /// How long the read has waited.
        waited_ms: u128,
    },
    /// The lane that the token names has another history here.
    #[error("the token can never be covered here: {0}")]
    Forked(Fork),
}

/// A read that waits for its token.
#[derive(Clone, Debug)]
pub struct ReadWait {
    token: Token,
    /// Those not yet covered.
    shards: Vec<ShardIndex>,
    since: Time,
    until: Time,
}

impl ReadWait {
    /// A read of counters of these shards that begins now and waits for so long at most.
    #[must_use]
    pub fn new(token: Token, mut shards: Vec<ShardIndex>, now: Time, wait_max: Duration) -> Self {
        shards.sort_unstable();
        shards.dedup();
        Self {
            token,
            shards,
            since: now,
            until: now.after(wait_max),
        }
    }

    /// The next thing to do. Once a shard covers the token it always will.
    pub fn poll(&mut self, now: Time, shards: &impl Shards) -> ReadEffect {
        while let Some(&shard) = self.shards.last() {
            match shards.with(shard, |it| self.token.coverage(shard, it)) {
                Coverage::Covered => {
                    self.shards.pop();
                }
                Coverage::Never(fork) => return ReadEffect::Fail(ReadError::Forked(fork)),
                Coverage::Lacking if now >= self.until => {
                    let waited_ms = now.since(self.since).as_millis();
                    return ReadEffect::Fail(ReadError::NotCovered { waited_ms });
                }
                Coverage::Lacking => return ReadEffect::Wait { until: self.until },
            }
        }
        ReadEffect::Answer
    }
}
