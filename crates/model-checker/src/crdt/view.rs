//! What can be seen of a replica from outside, by the names of a world's counters.

use std::sync::OnceLock;

use crdt_core::{CounterIndex, CounterName, Mark, Replica, ReplicaId, StartId, Total};

/// The names of a world's counters.
pub(crate) fn counter_name(counter: usize) -> &'static CounterName {
    static NAMES: OnceLock<[CounterName; 3]> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        ["likes", "shares", "views"].map(|name| CounterName::new(name).expect("a short name"))
    });
    &names[counter]
}

/// A counter's value at a replica.
pub(crate) fn value(replica: &Replica, counter: usize) -> i128 {
    index_at(replica, counter).map_or(0, |index| replica.value(index))
}

/// What a replica holds of one lane's counter.
pub(crate) fn sum_of(replica: &Replica, lane: ReplicaId, counter: usize) -> Total {
    index_at(replica, counter).map_or_else(Total::default, |index| replica.sum_of(lane, index))
}

fn index_at(replica: &Replica, counter: usize) -> Option<CounterIndex> {
    replica.find(counter_name(counter).as_str())
}

/// A replica that has recovered all that another one holds: each lane as one interval, which is
/// what a snapshot is. A lane that is not served is lost, for the guarantees to notice.
pub(crate) fn recovered(from: &Replica, id: ReplicaId, start: StartId) -> Replica {
    let mut replica = Replica::new(id, start);
    for (lane, _) in from.digest().iter() {
        let Ok(Some(whole)) = from.interval(lane, Mark::ZERO) else {
            continue;
        };
        let whole = replica.import(&from.export(&whole));
        replica
            .recover(&whole)
            .expect("a whole lane continues nothing");
    }
    replica
}

/// Every point of a lane that a replica holds, before its last one.
pub(super) fn points(replica: &Replica, lane: ReplicaId) -> Vec<Mark> {
    let whole = replica
        .interval(lane, Mark::ZERO)
        .expect("every lane begins at zero");
    let Some(whole) = whole else {
        return Vec::new();
    };
    let versions = (0..whole.to.version.get()).map(crdt_core::Version::new);
    let start_of = |version| {
        let begun = whole.starts.iter().rfind(|(first, _)| *first <= version);
        begun.map_or(StartId::NONE, |&(_, start)| start)
    };
    versions
        .map(|version| Mark {
            version,
            start: start_of(version),
        })
        .collect()
}
