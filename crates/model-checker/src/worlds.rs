//! Every world by name, with its bounds: the left columns of the table.
//!
//! A name is `family-size` or `family-fault`; those of mutants begin with `mutant-`. Where a bug
//! of another project has become a world, its name is in the comment.

use lock_core::lock::ValueTravels;
use lock_core::register::Fencing;

use crate::crdt::{Bounds, Crdt, Grain};
use crate::locks::{Database, Lease, Lock, Locks, Naive};
use crate::mutation::Mutation;
use crate::ops::{Dedupe, Ops};
use crate::world::World;

/// A world of any kind.
#[expect(
    missing_docs,
    reason = "each variant is named after its module or machine"
)]
pub enum AnyWorld {
    Naive(Locks<Naive>),
    Database(Locks<Database>),
    Lock(Locks<Lock>),
    Lease(Locks<Lease>),
    Crdt(Box<Crdt>),
    Ops(Ops),
}

/// Something that can be done with a world whatever its type.
pub trait Visitor {
    /// What comes of it.
    type Output;
    /// Does it.
    fn visit<W: World + Send + Sync + 'static>(self, world: W) -> Self::Output;
}

impl AnyWorld {
    /// Does something with the world inside.
    pub fn accept<V: Visitor>(self, visitor: V) -> V::Output {
        match self {
            Self::Naive(world) => visitor.visit(world),
            Self::Database(world) => visitor.visit(world),
            Self::Lock(world) => visitor.visit(world),
            Self::Lease(world) => visitor.visit(world),
            Self::Crdt(world) => visitor.visit(*world),
            Self::Ops(world) => visitor.visit(world),
        }
    }

    /// Its bounds, in words.
    #[must_use]
    pub fn bounds(&self) -> String {
        match self {
            Self::Naive(world) => lock_bounds(world),
            Self::Database(world) => lock_bounds(world),
            Self::Lock(world) => lock_bounds(world),
            Self::Lease(world) => lock_bounds(world),
            Self::Crdt(world) => world.bounds().to_string(),
            Self::Ops(world) => format!("{} adds, {} deliveries", world.adds, world.deliveries),
        }
    }
}

fn lock_bounds<P>(world: &Locks<P>) -> String {
    let crash = if world.crashes > 0 { ", 1 crash" } else { "" };
    let server = if world.server_may_crash {
        ", lock server may crash"
    } else {
        ""
    };
    format!("{} servers, 1 add each{crash}{server}", world.contenders)
}

/// The world of this name.
#[must_use]
pub fn world(name: &str) -> Option<AnyWorld> {
    lock_world(name).or_else(|| ops_world(name)).or_else(|| {
        let bounds = crdt_bounds(name).or_else(|| mutant_bounds(name))?;
        Some(AnyWorld::Crdt(Box::new(Crdt::new(bounds))))
    })
}

fn locks<P>(protocol: P, contenders: usize) -> Locks<P> {
    Locks {
        protocol,
        contenders,
        memory_is_shared: false,
        crashes: 0,
        server_may_crash: false,
    }
}

#[rustfmt::skip] // One line a world.
fn lock_world(name: &str) -> Option<AnyWorld> {
    let shared = |n| Locks { memory_is_shared: true, ..locks(Naive, n) };
    let lock = |n| locks(Lock(ValueTravels::WithTheLock), n);
    let separate = |n| locks(Lock(ValueTravels::Separately), n);
    let lease = |fencing, n| AnyWorld::Lease(locks(Lease(fencing), n));
    Some(match name {
        "naive-shared-memory-2" => AnyWorld::Naive(shared(2)),
        "naive-shared-memory-3" => AnyWorld::Naive(shared(3)),
        "naive-shared-memory-4" => AnyWorld::Naive(shared(4)),
        "naive-shared-memory-5" => AnyWorld::Naive(shared(5)),
        "naive-remote-2" => AnyWorld::Naive(locks(Naive, 2)),
        "naive-remote-3" => AnyWorld::Naive(locks(Naive, 3)),
        "naive-remote-4" => AnyWorld::Naive(locks(Naive, 4)),
        "database-3" => AnyWorld::Database(locks(Database, 3)),
        "lock-2" => AnyWorld::Lock(lock(2)),
        "lock-3" => AnyWorld::Lock(lock(3)),
        "lock-separate-2" => AnyWorld::Lock(separate(2)),
        "lock-separate-3" => AnyWorld::Lock(separate(3)),
        "lock-holder-crash-2" => AnyWorld::Lock(Locks { crashes: 1, ..separate(2) }),
        "lock-holder-crash-3" => AnyWorld::Lock(Locks { crashes: 1, ..separate(3) }),
        "lock-server-crash-2" => AnyWorld::Lock(Locks { server_may_crash: true, ..lock(2) }),
        "lock-server-crash-3" => AnyWorld::Lock(Locks { server_may_crash: true, ..lock(3) }),
        "lease-holder-crash-2" => AnyWorld::Lease(Locks { crashes: 1, ..locks(Lease(Fencing::OnReadAndWrite), 2) }),
        "lease-holder-crash-3" => AnyWorld::Lease(Locks { crashes: 1, ..locks(Lease(Fencing::OnReadAndWrite), 3) }),
        "lease-no-fencing-2" => lease(Fencing::None, 2),
        "lease-no-fencing-3" => lease(Fencing::None, 3),
        "lease-fenced-on-write-2" => lease(Fencing::OnWrite, 2),
        "lease-fenced-on-write-3" => lease(Fencing::OnWrite, 3),
        "lease-fenced-on-read-and-write-2" => lease(Fencing::OnReadAndWrite, 2),
        "lease-fenced-on-read-and-write-3" => lease(Fencing::OnReadAndWrite, 3),
        _ => return None,
    })
}

#[rustfmt::skip] // One line a world.
fn ops_world(name: &str) -> Option<AnyWorld> {
    let ops = |dedupe| AnyWorld::Ops(Ops { dedupe, adds: 3, deliveries: 5 });
    Some(match name {
        "ops-every-number-remembered" => ops(Dedupe::EveryNumber),
        "mutant-ops-without-dedupe" => ops(Dedupe::None),
        "mutant-ops-highest-number" => ops(Dedupe::HighestNumber),
        _ => return None,
    })
}

/// Near the end of the range of a value, so that two adds leave it.
const HUGE: &[i64] = &[i64::MAX, 5, -3];

#[rustfmt::skip] // One line a world.
fn crdt_bounds(name: &str) -> Option<Bounds> {
    let new = Bounds::new;
    Some(match name {
        "crdt-2x3" => new(2, 3),
        "crdt-2x4" => new(2, 4),
        "crdt-3x1" => new(3, 1),
        "crdt-3x2" => new(3, 2),
        "crdt-2x5" => Bounds { amounts: &[1], ..new(2, 5) },
        "crdt-3x3" => new(3, 3),
        "crdt-3x5" => Bounds { amounts: &[1], ..new(3, 5) },
        "crdt-4x4" => Bounds { amounts: &[1], ..new(4, 4) },
        "crdt-3x4" => Bounds { amounts: &[1], ..new(3, 4) },
        "crdt-4x3" => Bounds { amounts: &[1], ..new(4, 3) },
        "crdt-interleaved-2x3" => Bounds { grain: Grain::Interleaved, ..new(2, 3) },
        "crdt-two-counters-2x3" => Bounds { counters: 2, amounts: &[1, 2], ..new(2, 3) },
        "crdt-decrements-2x3" => Bounds { amounts: &[2, -1], ..new(2, 3) },
        "crdt-overflow-2x3" => Bounds { amounts: HUGE, ..new(2, 3) },
        "crdt-crash-2x2" => Bounds { crashes: 1, grain: Grain::Interleaved, ..new(2, 2) },
        // scylladb#2169: a counter shard used again after a crash that lost its log's end.
        "crdt-crash-2x2x2-scylladb-2169" => Bounds { crashes: 2, grain: Grain::Interleaved, ..new(2, 2) },
        "crdt-crash-2x3x2" => Bounds { crashes: 2, grain: Grain::Interleaved, ..new(2, 3) },
        // The bounds of `specs/tla`: these and crdt-2x3 have as many states as the specification.
        "crdt-crash-as-specified" => Bounds { crashes: 2, ..new(2, 2) },
        "crdt-relay-as-specified" => Bounds { counters: 2, amounts: &[1], ..new(3, 2) },
        "crdt-crash-3x2" => Bounds { crashes: 1, amounts: &[1, 2], ..new(3, 2) },
        "crdt-disk-lost-2x2" => Bounds { disk_losses: 1, ..new(2, 2) },
        "crdt-disk-lost-2x3" => Bounds { disk_losses: 1, ..new(2, 3) },
        "crdt-disk-lost-twice-2x2" => Bounds { disk_losses: 2, ..new(2, 2) },
        "crdt-disk-lost-3x2" => Bounds { disk_losses: 1, amounts: &[1], ..new(3, 2) },
        // riak_kv#679 and #1094: an actor's id used again after its state was lost.
        "crdt-id-reused-2x3-riak-kv-679" => Bounds { disk_losses: 1, broken: &[Mutation::IdReused], ..new(2, 3) },
        "crdt-rolled-back-2x3" => Bounds { roll_backs: 1, ..new(2, 3) },
        "crdt-rolled-back-2x4" => Bounds { roll_backs: 1, amounts: &[1], ..new(2, 4) },
        "crdt-rolled-back-3x2" => Bounds { roll_backs: 1, amounts: &[1], ..new(3, 2) },
        "crdt-rolled-back-3x3" => Bounds { roll_backs: 1, amounts: &[1], ..new(3, 3) },
        "crdt-rolled-back-interleaved-2x3" => Bounds { roll_backs: 1, crashes: 1, amounts: &[1], grain: Grain::Interleaved, ..new(2, 3) },
        "crdt-rolled-back-twice-2x3" => Bounds { roll_backs: 2, amounts: &[1], ..new(2, 3) },
        "crdt-rolled-back-crash-2x3" => Bounds { roll_backs: 1, crashes: 1, amounts: &[1], ..new(2, 3) },
        "crdt-disk-copied-2x3" => Bounds { copies: 1, ..new(2, 3) },
        "crdt-disk-copied-3x2" => Bounds { copies: 1, amounts: &[1], ..new(3, 2) },
        "crdt-relay-3x2" => Bounds { deaths: 1, amounts: &[1], ..new(3, 2) },
        _ => return None,
    })
}

#[rustfmt::skip] // One line a world.
fn mutant_bounds(name: &str) -> Option<Bounds> {
    let mutant = |broken, bounds| Bounds { broken, ..bounds };
    let new = Bounds::new;
    let two_counters = Bounds { counters: 2, ..new(2, 3) };
    let crash = Bounds { crashes: 1, ..new(2, 2) };
    let interleaved = Bounds { crashes: 2, grain: Grain::Interleaved, ..new(2, 2) };
    Some(match name {
        "mutant-additive-merge" => mutant(&[Mutation::AdditiveMerge], new(2, 3)),
        "mutant-sent-before-durable" => mutant(&[Mutation::SentBeforeDurable], crash),
        "mutant-acknowledged-before-sync" => mutant(&[Mutation::AcknowledgedBeforeSync], interleaved),
        "mutant-replayed-not-synced" => mutant(&[Mutation::ReplayedNotSynced], interleaved),
        "mutant-piecemeal" => mutant(&[Mutation::Piecemeal], two_counters),
        "mutant-relay-omits-records" => mutant(&[Mutation::RelayOmitsRecords], Bounds { counters: 2, amounts: &[1], ..new(3, 2) }),
        "mutant-delta-dropped-on-send" => mutant(&[Mutation::DeltaDroppedOnSend], two_counters),
        "mutant-restart-from-peer" => mutant(&[Mutation::RestartFromPeer], crash),
        "mutant-disk-lost-starts-equal" => mutant(&[Mutation::IdReused, Mutation::StartsEqual], Bounds { disk_losses: 1, ..new(2, 3) }),
        "mutant-rolled-back-starts-equal" => mutant(&[Mutation::StartsEqual], Bounds { roll_backs: 1, ..new(2, 3) }),
        // FoundationDB's `commit_unknown_result`: an increment that is tried again counts twice.
        "mutant-retried-elsewhere-foundationdb" => mutant(&[Mutation::RetriedElsewhere], crash),
        _ => return None,
    })
}
