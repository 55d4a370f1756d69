//! The node's end of an audit: one shard is followed, slowly, and told of.
//!
//! An audit is left on, so it must not be felt: the walk holds the shard for a bounded number of
//! counters at a time, and then rests for [`AuditedLimits::rest_ratio`] times as long as that took.
//! So however large a shard or slow a machine is, the walk takes the same small part of a core, and
//! only lasts longer. One shard of a node is audited at a time, so what follows the changes costs
//! the others nothing; an auditor that falls silent is cut off.

use core::time::Duration;

use alloc::vec::Vec;
use crdt_core::{HashName, LanePrint, Mark, ReplicaId};
use thiserror::Error;

use super::PastAnswer;
use crate::{ShardIndex, Shards, Time};

/// The bounds of the node's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedLimits {
    /// Counters for which a shard is held at a time: some hundred microseconds' worth.
    pub counters_at_once_max: usize,
    /// A piece of the walk is followed by a rest that lasts so many times longer.
    pub rest_ratio: u32,
    /// Marks that an auditor may ask for in one message: more than a cluster has lanes.
    pub questions_max: usize,
    /// An auditor that asks nothing for so long is cut off: it asks within a few round trips, and
    /// until it has gone, changes of its shard cost more.
    pub silence_max: Duration,
}

impl Default for AuditedLimits {
    fn default() -> Self {
        Self {
            counters_at_once_max: 1_024,
            // Half a percent of a core.
            rest_ratio: 199,
            questions_max: 4_096,
            silence_max: Duration::from_secs(10),
        }
    }
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditedEffect {
    /// Call again then: the walk rests.
    Rest {
        /// When it goes on.
        until: Time,
    },
    /// Tell the auditor what is held, and await its question until then.
    Tell(Vec<LanePrint>, Time),
}

/// Why an audit ends.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuditedError {
    /// There is no such shard.
    #[error("shard {found}; this cluster has {shard_count}, counted from 0")]
    NoSuchShard {
        /// What was asked for.
        found: u32,
        /// How many there are.
        shard_count: u32,
    },
    /// Too much is asked at once.
    #[error(
        "{found} marks in one message; at most {questions_max} are possible; ask several times"
    )]
    TooManyQuestions {
        /// How many.
        found: usize,
        /// How many may be.
        questions_max: usize,
    },
    /// The auditor asks nothing.
    #[error(
        "nothing was asked for {silence_max:?}, and an audit under way costs time; begin again"
    )]
    Silent {
        /// How long it may be silent.
        silence_max: Duration,
    },
}

/// Whether there is such a shard.
///
/// # Errors
///
/// When there is none.
pub fn check_shard(shards: &impl Shards, found: u32) -> Result<(), AuditedError> {
    let shard_count = shards.shard_count();
    if found < shard_count {
        Ok(())
    } else {
        Err(AuditedError::NoSuchShard { found, shard_count })
    }
}

/// An audit of one shard, on the node. The driver calls [`end`](Self::end) when it is over, however
/// that came.
#[derive(Clone, Copy, Debug)]
pub struct Audited {
    shard: ShardIndex,
    limits: AuditedLimits,
}

impl Audited {
    /// Begins to follow a shard, hashing names by this function, the same on all nodes.
    ///
    /// # Errors
    ///
    /// When there is no such shard.
    pub fn begin(
        shards: &impl Shards,
        shard: u32,
        limits: AuditedLimits,
        hash_name: HashName,
    ) -> Result<Self, AuditedError> {
        check_shard(shards, shard)?;
        shards.with(shard, |it| it.replica_mut().follow(hash_name));
        Ok(Self { shard, limits })
    }

    /// Reads on, or tells what is held. `clock` is asked while the shard is held.
    pub fn poll(self, shards: &impl Shards, clock: impl Fn() -> Time) -> AuditedEffect {
        let Self { shard, limits } = self;
        let (prints, began, ended) = shards.with(shard, |it| {
            let began = clock();
            it.replica_mut().walk(limits.counters_at_once_max);
            (it.replica().fingerprints(), began, clock())
        });
        match prints {
            Some(prints) => AuditedEffect::Tell(prints, ended.after(limits.silence_max)),
            None => AuditedEffect::Rest {
                until: ended.after(ended.since(began) * limits.rest_ratio),
            },
        }
    }

    /// What was held at marks of lanes.
    ///
    /// # Errors
    ///
    /// When too much is asked at once.
    pub fn ask(
        self,
        shards: &impl Shards,
        at: &[(ReplicaId, Mark)],
    ) -> Result<Vec<PastAnswer>, AuditedError> {
        let (found, questions_max) = (at.len(), self.limits.questions_max);
        if found > questions_max {
            return Err(AuditedError::TooManyQuestions {
                found,
                questions_max,
            });
        }
        let answers = shards.with(self.shard, |it| {
            let answer = |&(lane, mark)| match it.replica().fingerprint_at(lane, mark) {
                Ok(Some(fingerprint)) => PastAnswer::Known(fingerprint),
                Ok(None) => PastAnswer::Unknown,
                Err(_) => PastAnswer::Forked,
            };
            at.iter().map(answer).collect()
        });
        Ok(answers)
    }

    /// The auditor has not asked in time.
    #[must_use]
    pub fn silent(self) -> AuditedError {
        AuditedError::Silent {
            silence_max: self.limits.silence_max,
        }
    }

    /// Follows no longer.
    pub fn end(self, shards: &impl Shards) {
        shards.with(self.shard, |it| it.replica_mut().unfollow());
    }
}
