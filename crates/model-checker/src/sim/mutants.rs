//! What mutants of the driver do to messages.

use crdt_core::ReplicaId;
use wire::v1::{IntervalPart, Mark, PullResponse};

/// The lane of each part of a message. Only an interval's first part names it; `under_way` is that
/// of the interval which the last message has left unfinished.
pub(super) fn lanes(message: &PullResponse, under_way: &mut Vec<u8>) -> Vec<ReplicaId> {
    let lane = |part: &IntervalPart| {
        if part.after.is_some() {
            under_way.clone_from(&part.replica_id);
        }
        wire::replica_id_from_bytes(under_way).expect("our own bytes")
    };
    message.parts.iter().map(lane).collect()
}

/// Leaves only the intervals of one lane.
pub(super) fn keep_lane(message: &mut PullResponse, lanes: &[ReplicaId], kept: ReplicaId) {
    let mut lanes = lanes.iter();
    message.parts.retain(|_| lanes.next() == Some(&kept));
}

/// Makes a set of each interval, as if none needed the others beside it.
pub(super) fn split_sets(message: &mut PullResponse) {
    for part in &mut message.parts {
        part.set_goes_on = false;
    }
}

/// Forgets what intervals need.
pub(super) fn forget_needs(message: &mut PullResponse) {
    for part in &mut message.parts {
        part.needs.clear();
    }
}

/// Makes two intervals of each one that came whole and spans two versions: the older half of its
/// records as one, the rest as another. The first is no state that the lane ever had.
pub(super) fn cut_intervals(message: &mut PullResponse) {
    let parts = std::mem::take(&mut message.parts);
    message.parts = parts.into_iter().flat_map(cut_in_two).collect();
}

fn cut_in_two(whole: IntervalPart) -> Vec<IntervalPart> {
    let (Some(after), Some(to)) = (whole.after, whole.to) else {
        return vec![whole];
    };
    let versions = to.version - after.version;
    let is_alone = !whole.set_goes_on && whole.needs.is_empty();
    if !whole.last || versions < 2 || !is_alone {
        return vec![whole];
    }
    let version = after.version + versions / 2;
    let started = whole.starts.iter().rfind(|start| start.version <= version);
    let middle = Mark {
        version,
        start: started.map_or(after.start, |start| start.start),
    };
    let offset = version - after.version;
    let cut = whole.version_offsets.partition_point(|&at| at <= offset);
    let (mut older, mut newer) = (whole.clone(), whole);
    older.to = Some(middle);
    older.starts.retain(|start| start.version <= version);
    newer.after = Some(middle);
    newer.starts.retain(|start| start.version > version);
    newer.introduced.clear();
    older
        .records
        .retain(|record| record.version_offset <= offset);
    newer
        .records
        .retain(|record| record.version_offset > offset);
    older.gaps.retain(|gap| gap.version_offset <= offset);
    newer.gaps.retain(|gap| gap.version_offset > offset);
    let offsets = newer.records.iter_mut().map(|it| &mut it.version_offset);
    for at in offsets.chain(newer.gaps.iter_mut().map(|it| &mut it.version_offset)) {
        *at -= offset;
    }
    newer
        .version_offsets
        .iter_mut()
        .for_each(|at| *at = at.saturating_sub(offset));
    for column in [&mut older.version_offsets, &mut older.incremented] {
        column.truncate(cut);
    }
    older.counters.truncate(cut);
    older.decremented.truncate(cut);
    for column in [&mut newer.version_offsets, &mut newer.incremented] {
        column.drain(..cut);
    }
    newer.counters.drain(..cut);
    newer.decremented.drain(..cut.min(newer.decremented.len()));
    vec![older, newer]
}
