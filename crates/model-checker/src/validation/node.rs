//! One node: the starts of its process, one after the other.

use crdt_core::{Digest, ReplicaId};
use protocol::SHARD_COUNT_MAX;
use trace::{FORMAT, LaneAt, Step};

use super::Progress;
use super::error::{Mismatch, ensure, ensure_equal};
use super::ledger::{Ledger, Shipment};
use super::life::Life;
use super::recovery::{Disk, Opening};

/// What was replayed of a node.
#[derive(Default)]
pub(super) struct NodeReplay {
    /// What the last process has left, and whose directory that is.
    disk: Option<(ReplicaId, Disk)>,
    opening: Option<Opening>,
    life: Option<Life>,
}

impl NodeReplay {
    /// Replays a line; [`Progress::Blocked`] changes nothing.
    pub(super) fn replay(
        &mut self,
        ledger: &mut Ledger,
        step: &Step,
    ) -> Result<Progress, Mismatch> {
        match step {
            &Step::Start {
                format,
                replica,
                start,
                shards,
            } => {
                ensure_equal("a trace of format", &FORMAT, &format)?;
                ensure((1..=SHARD_COUNT_MAX).contains(&shards), || {
                    Mismatch::new(format_args!("1 to {SHARD_COUNT_MAX} shards"), shards)
                })?;
                self.leave();
                let (shards, found) = (shards as usize, Digest::default());
                let is_same =
                    |(it, disk): &(ReplicaId, Disk)| *it == replica && disk.synced.len() == shards;
                if !self.disk.as_ref().is_some_and(is_same) {
                    ensure(ledger.enters(replica), || {
                        Mismatch::new(
                            "a replica that has no other trace, and always as many shards",
                            replica,
                        )
                    })?;
                    self.disk = Some((replica, Disk::empty(shards)));
                }
                self.opening = Some(Opening {
                    replica,
                    start,
                    found: vec![found; shards],
                });
            }
            Step::Recovered(lane) => self.recovered(ledger, lane)?,
            &Step::Open {
                segment_bytes,
                snapshot_bytes,
            } => {
                let (_, disk) = self.disk.as_ref().ok_or_else(|| too_early(step))?;
                let opening = self.opening.take().ok_or_else(|| too_early(step))?;
                disk.ensure_found(&opening.found)?;
                self.life = Some(Life::begin(opening, ledger, segment_bytes, snapshot_bytes));
            }
            Step::Take { .. }
            | Step::Receive { .. }
            | Step::Due { .. }
            | Step::Commit { .. }
            | Step::Appended { .. }
            | Step::Synced { .. }
            | Step::Held { .. }
            | Step::Complete { .. }
            | Step::Cut { .. }
            | Step::Copied { .. }
            | Step::SnapshotWritten { .. }
            | Step::SnapshotFailed { .. }
            | Step::Closing
            | Step::Send { .. }
            | Step::Report { .. }
            | Step::Awaited { .. }
            | Step::Counted(_) => {
                let life = self.life.as_mut().ok_or_else(|| too_early(step))?;
                return life.replay(ledger, step);
            }
        }
        Ok(Progress::Done)
    }

    /// What a line that is blocked waits for.
    pub(super) fn awaited(&self, step: &Step) -> Option<Shipment> {
        let id = self.life.as_ref()?.id();
        let &Step::Receive {
            shard,
            lane,
            after,
            to,
            ..
        } = step
        else {
            return None;
        };
        Some(Shipment {
            peer: id,
            shard,
            lane,
            after,
            to,
        })
    }

    /// The process is gone.
    fn leave(&mut self) {
        self.opening = None;
        if let Some(life) = self.life.take() {
            self.disk = Some((life.id(), life.end()));
        }
    }

    fn recovered(&mut self, ledger: &Ledger, lane: &LaneAt) -> Result<(), Mismatch> {
        let (Some(opening), Some((_, disk))) = (&mut self.opening, &self.disk) else {
            return Err(too_early(&Step::Recovered(*lane)));
        };
        let shards = opening.found.len();
        ensure((lane.shard as usize) < shards, || {
            Mismatch::new(format_args!("one of {shards} shards"), lane.shard)
        })?;
        disk.ensure_lane(ledger, lane)?;
        opening.found[lane.shard as usize].note(lane.lane, lane.mark);
        Ok(())
    }
}

fn too_early(step: &Step) -> Mismatch {
    Mismatch::new(
        "the start of a process, its lanes, and then what it does",
        format_args!("{step:?}"),
    )
}
