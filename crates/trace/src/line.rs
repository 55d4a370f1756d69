//! What the lines of a trace say.

use crdt_core::{Mark, ReplicaId, StartId};
use protocol::{Round, ShardIndex};
use serde::{Deserialize, Serialize};

use crate::{Content, text};

/// The form of the lines that are described here.
pub const FORMAT: u32 = 1;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number in this start of the process, from 0.
    pub n: u64,
    /// What happened.
    pub step: Step,
}

/// What happened.
///
/// A shard's steps are told while it is held; what was sent or reported is told afterwards, so the
/// node may hold more by then, but never less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// A process has read its directory back. Its lanes follow, then [`Open`](Self::Open).
    Start {
        /// [`FORMAT`].
        format: u32,
        /// The node.
        #[serde(with = "text::replica")]
        replica: ReplicaId,
        /// This start of its process.
        #[serde(with = "text::start")]
        start: StartId,
        /// Shards of the cluster.
        shards: u32,
    },
    /// A lane was read back so far; counted anew from all its records.
    Recovered(LaneAt),
    /// All lanes were named that hold anything.
    Open {
        /// What was read of segments.
        segment_bytes: u64,
        /// The size of the snapshot that was read; 0 where there is none.
        snapshot_bytes: u64,
    },
    /// Adds of one request to counters of one shard were taken.
    Take {
        /// The shard.
        shard: ShardIndex,
        /// The round that makes them durable.
        round: u64,
        /// Where the own lane will be then.
        #[serde(with = "text::mark")]
        mark: Mark,
        /// How many counters they change.
        adds: u64,
        /// What they add.
        content: Content,
    },
    /// An interval came from a peer.
    Receive {
        /// Its shard.
        shard: ShardIndex,
        /// Its lane.
        #[serde(with = "text::replica")]
        lane: ReplicaId,
        /// Where it begins.
        #[serde(with = "text::mark")]
        after: Mark,
        /// Where it ends.
        #[serde(with = "text::mark")]
        to: Mark,
        /// What became of it.
        outcome: Outcome,
    },
    /// The machine of commit rounds was asked what is due, at this time, and said this.
    Due {
        /// The process's clock.
        us: u64,
        /// What is due.
        effect: Effect,
    },
    /// A shard was collected for the round that is being appended.
    Commit {
        /// The shard.
        shard: ShardIndex,
        /// The round.
        round: u64,
        /// Its group, in order; empty when it has taken nothing.
        group: Vec<Written>,
    },
    /// All of the round is appended.
    Appended {
        /// Bytes that were appended.
        bytes: u64,
    },
    /// Everything appended is synced.
    Synced {
        /// The process's clock.
        us: u64,
    },
    /// A shard holds its group now.
    Held {
        /// The shard.
        shard: ShardIndex,
        /// The lanes that have moved.
        lanes: Vec<LaneAt>,
    },
    /// All who wait for the round are told now.
    Complete {
        /// The round.
        round: u64,
    },
    /// The log was cut.
    Cut {
        /// The first frame of the new segment.
        below: u64,
    },
    /// A lane was copied so far into the snapshot that is being written.
    Copied {
        /// The shard.
        shard: ShardIndex,
        /// The lane.
        #[serde(with = "text::replica")]
        lane: ReplicaId,
        /// Where its copy ends.
        #[serde(with = "text::mark")]
        mark: Mark,
    },
    /// The snapshot is durable, and the machine is told so.
    SnapshotWritten {
        /// Its size.
        bytes: u64,
        /// What is left of segments.
        segment_bytes: u64,
    },
    /// The snapshot could not be written, and the machine is told so.
    SnapshotFailed {
        /// The process's clock.
        us: u64,
    },
    /// The next round is the last one.
    Closing,
    /// The end of an interval goes to a peer.
    Send {
        /// The peer.
        #[serde(with = "text::replica")]
        peer: ReplicaId,
        /// The interval's shard.
        shard: ShardIndex,
        /// Its lane.
        #[serde(with = "text::replica")]
        lane: ReplicaId,
        /// Where it begins.
        #[serde(with = "text::mark")]
        after: Mark,
        /// Where it ends.
        #[serde(with = "text::mark")]
        to: Mark,
    },
    /// A peer is told that this node holds a lane so far.
    Report {
        /// The shard.
        shard: ShardIndex,
        /// The lane.
        #[serde(with = "text::replica")]
        lane: ReplicaId,
        /// How far.
        #[serde(with = "text::mark")]
        mark: Mark,
    },
    /// Somebody who has waited for a round goes on, and may acknowledge.
    Awaited {
        /// The round.
        round: u64,
    },
    /// A lane in memory, when the process ends in order; counted anew from all its records.
    Counted(LaneAt),
}

/// A lane of a shard at a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaneAt {
    /// The shard.
    pub shard: ShardIndex,
    /// The lane's owner.
    #[serde(with = "text::replica")]
    pub lane: ReplicaId,
    /// How far it is held.
    #[serde(with = "text::mark")]
    pub mark: Mark,
    /// All that it holds.
    pub content: Content,
}

/// An interval that is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Its lane.
    #[serde(with = "text::replica")]
    pub lane: ReplicaId,
    /// Where it begins.
    #[serde(with = "text::mark")]
    pub after: Mark,
    /// Where it ends.
    #[serde(with = "text::mark")]
    pub to: Mark,
    /// All that the lane holds there.
    pub content: Content,
    /// What the owner's commit has moved in its lane beside what it took, where it did: records of
    /// sessions, needs, and the adds of claims that it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Content>,
}

/// What became of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It becomes durable with this round.
    Taken(u64),
    /// It tells nothing new.
    Known,
    /// Something is missing before it.
    Gap,
    /// It needs another lane further than that is held.
    Needs,
    /// Its lane has another history here.
    Fork,
    /// It contradicts itself.
    Malformed,
}

/// As [`protocol::CommitEffect`], but for waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are documented there")]
pub enum Effect {
    Append { round: u64 },
    Sync,
    Complete { round: u64 },
    Cut,
    BeginSnapshot { below: u64 },
    Seal,
    End,
    Failed,
}

impl Effect {
    /// The effect, unless it is to wait.
    #[must_use]
    pub fn of(effect: protocol::CommitEffect) -> Option<Self> {
        use protocol::CommitEffect as Commit;
        Some(match effect {
            Commit::Append { round } => Self::Append { round: round.get() },
            Commit::Sync => Self::Sync,
            Commit::Complete { round } => Self::Complete { round: round.get() },
            Commit::Cut => Self::Cut,
            Commit::BeginSnapshot { below } => Self::BeginSnapshot { below },
            Commit::Seal => Self::Seal,
            Commit::End => Self::End,
            Commit::Failed => Self::Failed,
            Commit::Wait { .. } => return None,
        })
    }
}

impl Outcome {
    /// What became of an interval that a shard was given.
    #[must_use]
    pub fn of(outcome: &Result<Option<Round>, crdt_core::ReceiveError>) -> Self {
        use crdt_core::ReceiveError as Error;
        match outcome {
            Ok(Some(round)) => Self::Taken(round.get()),
            Ok(None) => Self::Known,
            Err(Error::Gap { .. }) => Self::Gap,
            Err(Error::Needs { .. }) => Self::Needs,
            Err(Error::Fork(_)) => Self::Fork,
            Err(Error::Malformed { .. }) => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::Version;

    use super::*;

    #[test]
    fn a_line_is_as_documented_and_read_back() {
        let take = Step::Take {
            shard: 3,
            round: 1,
            mark: Mark {
                version: Version::new(1),
                start: StartId::new(0x9c1f),
            },
            adds: 2,
            content: Content::new(0x5e0f_3c2a_b1d9_4e77),
        };
        let due = Step::Due {
            us: 5_120,
            effect: Effect::Append { round: 1 },
        };
        for (n, step, text) in [
            (
                8,
                take,
                r#"{"n":8,"step":{"take":{"shard":3,"round":1,"mark":"1@9c1f","adds":2,"content":"5e0f3c2ab1d94e77"}}}"#,
            ),
            (
                9,
                due,
                r#"{"n":9,"step":{"due":{"us":5120,"effect":{"append":{"round":1}}}}}"#,
            ),
        ] {
            let line = Line { n, step };
            assert_eq!(serde_json::to_string(&line).expect("plain values"), text);
            assert_eq!(serde_json::from_str::<Line>(text).expect("a line"), line);
            assert!(include_str!("lib.rs").contains(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_mark_is_refused_with_what_was_expected() {
        let text = r#"{"report":{"shard":0,"lane":"a","mark":"1-2"}}"#;
        let error = serde_json::from_str::<Step>(text).expect_err("no mark");
        assert!(error.to_string().contains("VERSION@START"), "{error}");
    }
}
