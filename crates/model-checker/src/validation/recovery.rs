//! What the next start of a process may find on its disk, and what a snapshot must have.
//!
//! Everything synced is there. Of a group that was appended and not synced any number of whole
//! intervals may be, from its beginning on: the log is one file, and its end is torn. (After
//! `kill -9` all that was handed to the system is there; the rule is that of a power loss.)

use crdt_core::{Digest, Mark, ReplicaId, StartId};
use protocol::ShardIndex;
use trace::LaneAt;

use super::error::{Mismatch, ensure};
use super::ledger::Ledger;

/// What a process has left on its disk, as its trace tells.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// By shard: what is synced.
    pub(super) synced: Vec<Digest>,
    /// What was appended after that, in order.
    pub(super) appended: Vec<(ShardIndex, ReplicaId, Mark)>,
}

/// A process that names what it has read back.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) replica: ReplicaId,
    pub(super) start: StartId,
    /// By shard.
    pub(super) found: Vec<Digest>,
}

impl Disk {
    /// That of a node that was never started.
    pub(super) fn empty(shard_count: usize) -> Self {
        Self {
            synced: vec![Digest::default(); shard_count],
            appended: Vec::new(),
        }
    }

    /// Whether a lane may be found so; all lanes together are judged by
    /// [`ensure_found`](Self::ensure_found).
    pub(super) fn ensure_lane(&self, ledger: &Ledger, found: &LaneAt) -> Result<(), Mismatch> {
        let &LaneAt {
            shard,
            lane,
            mark,
            content,
        } = found;
        let synced = self.synced[shard as usize].mark(lane);
        let appended = self
            .appended
            .iter()
            .filter(|it| (it.0, it.1) == (shard, lane));
        let appended: Vec<Mark> = appended.map(|it| it.2).collect();
        ensure(mark == synced || appended.contains(&mark), || {
            Mismatch::new(
                format_args!(
                    "lane {lane} of shard {shard} at {synced}, which is synced, or at one of {appended:?}"
                ),
                mark,
            )
        })?;
        let expected = ledger.content((shard, lane), mark);
        ensure(expected == Some(content), || {
            Mismatch::new(
                format_args!("lane {lane} of shard {shard} at {mark} with content {expected:?}"),
                content,
            )
        })
    }

    /// All that was found is the synced, and a beginning of what was appended after it.
    pub(super) fn ensure_found(&self, found: &[Digest]) -> Result<(), Mismatch> {
        let mut expected = self.synced.clone();
        for &(shard, lane, mark) in &self.appended {
            if expected == found {
                break;
            }
            expected[shard as usize].note(lane, mark);
        }
        ensure(expected == found, || {
            let differs = |(expected, found): &(&Digest, &Digest)| expected != found;
            let shard = expected.iter().zip(found).position(|pair| differs(&pair));
            let shard = shard.expect("they differ");
            Mismatch::new(
                format_args!(
                    "shard {shard} with {:?}, which is synced, and what was appended after it, in its order",
                    self.synced[shard]
                ),
                format_args!("{:?}", found[shard]),
            )
        })
    }
}

/// A snapshot that is being written.
pub(super) struct Copying {
    /// By shard: what was held when it began. The segments with that go once it is written.
    held: Vec<Digest>,
    /// By shard: what was copied.
    pub(super) copied: Vec<Digest>,
}

impl Copying {
    pub(super) fn begin(held: Vec<Digest>) -> Self {
        let copied = vec![Digest::default(); held.len()];
        Self { held, copied }
    }

    /// It has what it stands for.
    pub(super) fn ensure_whole(&self) -> Result<(), Mismatch> {
        let shards = (0..).zip(self.copied.iter().zip(&self.held));
        for (shard, (copied, held)) in shards {
            let shard: ShardIndex = shard;
            ensure(copied.covers(held), || {
                Mismatch::new(
                    format_args!("a snapshot of shard {shard} with {held:?}, held when it began"),
                    format_args!("{copied:?}"),
                )
            })?;
        }
        Ok(())
    }
}
