//! The worlds in which everything holds, over the deployed state machine.

use super::Row;
use crate::crdt::{Bounds, Grain};
use crate::mutation::Mutation;

/// Near the end of the range of a value, so that two adds leave it.
const HUGE: &[i64] = &[i64::MAX, 5, -3];
/// Both ends of the range.
const ENDS: &[i64] = &[i64::MAX, i64::MIN];

const fn new(replicas: usize, adds: u8) -> Bounds {
    Bounds::new(replicas, adds)
}

/// So many adds of 1.
const fn ones(replicas: usize, adds: u8) -> Bounds {
    Bounds {
        amounts: &[1],
        ..Bounds::new(replicas, adds)
    }
}

const fn interleaved(bounds: Bounds) -> Bounds {
    Bounds {
        grain: Grain::Interleaved,
        ..bounds
    }
}

/// Each with its name, and what it does not show.
#[rustfmt::skip] // Two lines a world.
pub(super) const CRDT: &[Row<Bounds>] = &[
    // The network.
    ("crdt-2x3", new(2, 3),
        "crashes; relays, which take a third node; several records in one interval"),
    ("crdt-2x4", new(2, 4),
        "the same as crdt-2x3, one add further"),
    ("crdt-2x5", ones(2, 5),
        "the same as crdt-2x3, two adds further; amounts that differ"),
    ("crdt-3x1", new(3, 1),
        "two versions of a lane: there is one add"),
    ("crdt-3x2", new(3, 2),
        "crashes; a lane of three versions; several records in one interval"),
    ("crdt-3x3", new(3, 3),
        "crashes; several records in one interval"),
    ("crdt-3x4", ones(3, 4),
        "crashes; several records in one interval; amounts that differ"),
    ("crdt-3x5", ones(3, 5),
        "crashes; several records in one interval; amounts that differ"),
    ("crdt-4x3", ones(4, 3),
        "crashes; several records in one interval; amounts that differ"),
    ("crdt-4x4", ones(4, 4),
        "crashes; several records in one interval; amounts that differ"),
    ("crdt-interleaved-2x3", interleaved(new(2, 3)),
        "crashes between the steps; relays, which take a third node"),
    ("crdt-interleaved-3x2", interleaved(ones(3, 2)),
        "crashes between the steps; several records in one interval"),
    ("crdt-interleaved-3x3", interleaved(ones(3, 3)),
        "crashes between the steps; several records in one interval"),
    ("crdt-two-counters-2x3", Bounds { counters: 2, ..new(2, 3) },
        "crashes; a record in the middle of a lane's list, which takes three counters"),
    ("crdt-three-counters-2x2", Bounds { counters: 3, is_primed: true, ..ones(2, 2) },
        "crashes; relays; amounts that differ"),
    ("crdt-three-counters-3x1", Bounds { counters: 3, is_primed: true, ..ones(3, 1) },
        "crashes; two nodes that both add while the world runs"),
    ("crdt-decrements-2x3", Bounds { amounts: &[2, -1], ..new(2, 3) },
        "crashes; values at the ends of their range"),
    ("crdt-overflow-2x3", Bounds { amounts: HUGE, ..new(2, 3) },
        "crashes; both ends of the range"),
    ("crdt-overflow-ends-2x3", Bounds { amounts: ENDS, ..new(2, 3) },
        "crashes; small adds beside the large ones; a total that needs more than 128 bits"),
    ("crdt-one-way-3x2", Bounds { cut: &[(0, 1)], ..ones(3, 2) },
        "a way that is cut for some time only; crashes"),
    ("crdt-undialled-3x2", Bounds { inbound_cuts: 1, ..ones(3, 2) },
        "a node that can be dialled again; crashes"),

    // Crashes and power losses.
    ("crdt-crash-2x2", Bounds { crashes: 1, ..interleaved(new(2, 2)) },
        "a crash during recovery; several records in one group; torn bytes, which are the log's"),
    // scylladb#2169: a counter shard used again after a crash that lost its log's end.
    ("crdt-crash-2x2x2-scylladb-2169", Bounds { crashes: 2, ..interleaved(new(2, 2)) },
        "several records in one group; relays; torn bytes, which are the log's"),
    ("crdt-crash-2x3x2", Bounds { crashes: 2, ..interleaved(new(2, 3)) },
        "several records in one group; relays; torn bytes, which are the log's"),
    // The bounds of `specs/tla`: these and crdt-2x3 have as many states as the specification.
    ("crdt-crash-as-specified", Bounds { crashes: 2, ..new(2, 2) },
        "a crash between two steps of one commit: they are atomic, as in the specification"),
    ("crdt-relay-as-specified", Bounds { counters: 2, ..ones(3, 2) },
        "a relay that is needed: the owner lives and can be asked"),
    ("crdt-crash-3x2", Bounds { crashes: 1, ..new(3, 2) },
        "a crash between two steps of one commit"),
    ("crdt-interleaved-crash-3x2", Bounds { crashes: 1, ..interleaved(ones(3, 2)) },
        "several records in one group; amounts that differ"),
    ("crdt-two-counters-crash-2x2", Bounds { counters: 2, crashes: 1, ..interleaved(ones(2, 2)) },
        "relays; a second crash"),
    ("crdt-overflow-crash-2x2", Bounds { amounts: HUGE, crashes: 1, ..interleaved(new(2, 2)) },
        "relays; a second crash; both ends of the range"),

    // Disks that are lost, rolled back or copied; nodes that die, or cannot be dialled any more.
    ("crdt-disk-lost-2x2", Bounds { disk_losses: 1, ..new(2, 2) },
        "relays; that what nobody else had heard of is not lost: it is"),
    ("crdt-disk-lost-2x3", Bounds { disk_losses: 1, ..new(2, 3) },
        "relays; that what nobody else had heard of is not lost: it is"),
    ("crdt-disk-lost-twice-2x2", Bounds { disk_losses: 2, ..new(2, 2) },
        "relays; that what nobody else had heard of is not lost: it is"),
    ("crdt-disk-lost-3x2", Bounds { disk_losses: 1, ..ones(3, 2) },
        "several records in one interval; amounts that differ"),
    ("crdt-two-counters-disk-lost-2x2", Bounds { counters: 2, disk_losses: 1, ..ones(2, 2) },
        "relays; amounts that differ"),
    // riak_kv#679 and #1094: an actor's id used again after its state was lost.
    ("crdt-id-reused-2x3-riak-kv-679", Bounds { disk_losses: 1, broken: &[Mutation::IdReused], ..new(2, 3) },
        "that the fork can be mended: it is only reported"),
    ("crdt-rolled-back-2x3", Bounds { roll_backs: 1, ..new(2, 3) },
        "what a third node makes of the fork; crashes beside it"),
    ("crdt-rolled-back-2x4", Bounds { roll_backs: 1, ..ones(2, 4) },
        "what a third node makes of the fork; amounts that differ"),
    ("crdt-rolled-back-3x2", Bounds { roll_backs: 1, ..ones(3, 2) },
        "two branches that are both written on at two nodes: there are two adds"),
    ("crdt-rolled-back-3x3", Bounds { roll_backs: 1, ..ones(3, 3) },
        "crashes beside the roll-back; amounts that differ"),
    ("crdt-rolled-back-interleaved-2x3", Bounds { roll_backs: 1, crashes: 1, ..interleaved(ones(2, 3)) },
        "what a third node makes of the fork; amounts that differ"),
    ("crdt-rolled-back-twice-2x3", Bounds { roll_backs: 2, ..ones(2, 3) },
        "what a third node makes of the fork; amounts that differ"),
    ("crdt-rolled-back-crash-2x3", Bounds { roll_backs: 1, crashes: 1, ..ones(2, 3) },
        "a crash between two steps of one commit; what a third node makes of the fork"),
    ("crdt-two-counters-rolled-back-2x3", Bounds { counters: 2, roll_backs: 1, ..ones(2, 3) },
        "what a third node makes of the fork; amounts that differ"),
    ("crdt-rolled-back-death-3x2", Bounds { roll_backs: 1, deaths: 1, ..ones(3, 2) },
        "a dead node that comes back; amounts that differ"),
    ("crdt-rolled-back-relay-3x2", Bounds { roll_backs: 1, cut: &[(0, 2)], ..ones(3, 2) },
        "a fork of a lane whose owner is heard everywhere; a second writer"),
    ("crdt-rolled-back-undialled-2x3", Bounds { roll_backs: 1, inbound_cuts: 1, ..ones(2, 3) },
        "when the node is told: at rest it has asked its peers, and nothing says how soon it does"),
    ("crdt-disk-copied-2x3", Bounds { copies: 1, ..new(2, 3) },
        "what a third node makes of the fork; crashes beside it"),
    ("crdt-disk-copied-3x2", Bounds { copies: 1, ..ones(3, 2) },
        "several records in one interval; amounts that differ"),
    ("crdt-two-counters-disk-copied-2x3", Bounds { counters: 2, copies: 1, ..ones(2, 3) },
        "what a third node makes of the fork; amounts that differ"),
    ("crdt-relay-3x2", Bounds { deaths: 1, names_senders: true, ..ones(3, 2) },
        "how long a relay waits: at rest it has been asked"),
    ("crdt-two-counters-relay-3x2", Bounds { counters: 2, deaths: 1, names_senders: true, ..ones(3, 2) },
        "how long a relay waits: at rest it has been asked"),
];
