//! Mutants: the same worlds with one rule broken, each of which the checker must find.

use super::Row;
use crate::crdt::{Bounds, Grain};
use crate::mutation::Mutation;

const fn mutant(broken: &'static [Mutation], bounds: Bounds) -> Bounds {
    Bounds { broken, ..bounds }
}

const fn new(replicas: usize, adds: u8) -> Bounds {
    Bounds::new(replicas, adds)
}

const TWO_COUNTERS: Bounds = Bounds {
    counters: 2,
    ..new(2, 3)
};
const RELAYED: Bounds = Bounds {
    counters: 2,
    amounts: &[1],
    ..new(3, 2)
};
const CRASH: Bounds = Bounds {
    crashes: 1,
    ..new(2, 2)
};
const CRASHES: Bounds = Bounds {
    crashes: 2,
    grain: Grain::Interleaved,
    ..new(2, 2)
};
const ROLLED_BACK: Bounds = Bounds {
    roll_backs: 1,
    ..new(2, 3)
};
const UNDIALLED: Bounds = Bounds {
    roll_backs: 1,
    inbound_cuts: 1,
    amounts: &[1],
    ..new(2, 3)
};

/// Each with its name, and what it does not show.
#[rustfmt::skip] // Two lines a world.
pub(super) const MUTANTS: &[Row<Bounds>] = &[
    ("mutant-additive-merge", mutant(&[Mutation::AdditiveMerge], new(2, 3)),
        "that `Lane::apply` replaces: the sums are changed before it gets them"),
    ("mutant-sent-before-durable", mutant(&[Mutation::SentBeforeDurable], CRASH),
        "that a driver could do this: `Replica` offers nothing that is not held"),
    ("mutant-acknowledged-before-sync", mutant(&[Mutation::AcknowledgedBeforeSync], CRASHES),
        "which line of a driver acknowledges too early"),
    ("mutant-replayed-not-synced", mutant(&[Mutation::ReplayedNotSynced], CRASHES),
        "that tallyd's recovery syncs: its log is tested for that"),
    ("mutant-piecemeal", mutant(&[Mutation::Piecemeal], TWO_COUNTERS),
        "that `Replica` takes intervals whole: they are cut before it gets them"),
    ("mutant-relay-omits-records", mutant(&[Mutation::RelayOmitsRecords], RELAYED),
        "that `Lane::interval` omits nothing: the interval is thinned out behind it"),
    ("mutant-delta-dropped-on-send", mutant(&[Mutation::DeltaDroppedOnSend], TWO_COUNTERS),
        "that `History` notices a gap: the interval is changed so that it shows none"),
    ("mutant-restart-from-peer", mutant(&[Mutation::RestartFromPeer], CRASH),
        "a restart from all peers, which is as wrong and takes longer to go wrong"),
    ("mutant-disk-lost-starts-equal", mutant(&[Mutation::IdReused, Mutation::StartsEqual], Bounds { disk_losses: 1, ..new(2, 3) }),
        "how often two random starts are equal: here they always are"),
    ("mutant-rolled-back-starts-equal", mutant(&[Mutation::StartsEqual], ROLLED_BACK),
        "how often two random starts are equal: here they always are"),
    ("mutant-fork-ends-stream", mutant(&[Mutation::ForkEndsStream], ROLLED_BACK),
        "the streams of tallyd, where this bug once was: at rest, lanes are asked for in turn"),
    ("mutant-gap-reported", mutant(&[Mutation::GapReported], new(2, 3)),
        "how many false alarms there would be"),
    ("mutant-relay-omits-starts", mutant(&[Mutation::RelayOmitsStarts], RELAYED),
        "that `Lane::interval` names the starts: they are left out behind it"),
    ("mutant-own-lane-withheld", mutant(&[Mutation::OwnLaneWithheld], UNDIALLED),
        "the streams of tallyd, which decide what is sent back"),
];
