//! What a traced node writes down beside the steps of its shards and its commit thread: what
//! it says to its peers, and what it copies into snapshots.
//!
//! Nothing of this runs on a node without `--trace`.

use crdt_core::{IntervalPiece, Mark, ReplicaId};
use protocol::ShardIndex;
use trace::{Step, Trace};
use wire::v1;

/// A piece was copied into the snapshot.
pub(crate) fn copied(trace: &Trace, shard: ShardIndex, piece: &IntervalPiece) {
    if let Some(end) = &piece.end {
        trace.line(|| Step::Copied {
            shard,
            lane: piece.lane,
            mark: end.to,
        });
    }
}

/// A peer is about to be told how far lanes are held here.
pub(crate) fn reported(trace: &Trace, held: &[v1::HeldLane]) {
    if !trace.is_on() {
        return;
    }
    let held = wire::stream::held_from_wire(held).expect("this node has written it");
    for held in held {
        trace.line(|| Step::Report {
            shard: held.shard,
            lane: held.lane,
            mark: held.mark,
        });
    }
    trace.flush();
}

/// What goes out on one stream: an interval is told with its end.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The interval that has begun: its shard, its lane, and where it begins.
    begun: Option<(ShardIndex, ReplicaId, Mark)>,
}

impl Sent {
    /// A message is about to be sent.
    pub(crate) fn message(&mut self, trace: &Trace, peer: ReplicaId, message: &v1::PullResponse) {
        if !trace.is_on() {
            return;
        }
        for part in &message.parts {
            if let Some(after) = part.after {
                let lane = wire::replica_id_from_bytes(&part.replica_id);
                let lane = lane.expect("this node has written it");
                self.begun = Some((part.shard, lane, after.into()));
            }
            if let (true, Some((shard, lane, after))) = (part.last, self.begun) {
                let to = part.to.unwrap_or_default().into();
                trace.line(|| Step::Send {
                    peer,
                    shard,
                    lane,
                    after,
                    to,
                });
            }
        }
        reported(trace, &message.held);
    }
}
