//! What Tally replaces, and what others do: worlds of locks, and of operations that travel.

use lock_core::lock::ValueTravels;
use lock_core::register::Fencing;

use super::{AnyWorld, Row};
use crate::locks::{Lease, Lock, Locks, Naive};
use crate::ops::{Dedupe, Ops};

const fn locks<P>(protocol: P, contenders: usize) -> Locks<P> {
    Locks {
        protocol,
        contenders,
        memory_is_shared: false,
        crashes: 0,
        server_may_crash: false,
    }
}

const fn shared(contenders: usize) -> AnyWorld {
    AnyWorld::Naive(Locks {
        memory_is_shared: true,
        ..locks(Naive, contenders)
    })
}

const fn naive(contenders: usize) -> AnyWorld {
    AnyWorld::Naive(locks(Naive, contenders))
}

const fn lock(contenders: usize) -> Locks<Lock> {
    locks(Lock(ValueTravels::WithTheLock), contenders)
}

const fn separate(contenders: usize) -> Locks<Lock> {
    locks(Lock(ValueTravels::Separately), contenders)
}

const fn lease(fencing: Fencing, contenders: usize) -> Locks<Lease> {
    locks(Lease(fencing), contenders)
}

const fn ops(dedupe: Dedupe) -> AnyWorld {
    AnyWorld::Ops(Ops {
        dedupe,
        adds: 3,
        deliveries: 5,
    })
}

const MEMORY: &str = "caches, and a processor that reorders: each read and each write is one step";
const MESSAGES: &str = "more than one add each, and a message that arrives twice";
const NO_FAULT: &str =
    "what a crash does; several holds of one server; a message that arrives twice";
const HOLDER: &str = "what becomes of the clients of the dead; a server that comes back";
const SERVER: &str = "a lock server that comes back, or that is replicated";
const LEASE: &str = "how long a lease should be: it may run out at any step";
const OPERATIONS: &str = "a second sender, crashes, and what remembering every number costs";

/// Each with its name, and what it does not show.
#[rustfmt::skip] // One line a world.
pub(super) const LOCKS: &[Row<fn() -> AnyWorld>] = &[
    ("naive-shared-memory-2", || shared(2), MEMORY),
    ("naive-shared-memory-3", || shared(3), MEMORY),
    ("naive-shared-memory-4", || shared(4), MEMORY),
    ("naive-shared-memory-5", || shared(5), MEMORY),
    ("naive-remote-2", || naive(2), MESSAGES),
    ("naive-remote-3", || naive(3), MESSAGES),
    ("naive-remote-4", || naive(4), MESSAGES),
    ("database-3", || AnyWorld::Database(locks(crate::locks::Database, 3)), NO_FAULT),
    ("lock-2", || AnyWorld::Lock(lock(2)), NO_FAULT),
    ("lock-3", || AnyWorld::Lock(lock(3)), NO_FAULT),
    ("lock-separate-2", || AnyWorld::Lock(separate(2)), NO_FAULT),
    ("lock-separate-3", || AnyWorld::Lock(separate(3)), NO_FAULT),
    ("lock-holder-crash-2", || AnyWorld::Lock(Locks { crashes: 1, ..separate(2) }), HOLDER),
    ("lock-holder-crash-3", || AnyWorld::Lock(Locks { crashes: 1, ..separate(3) }), HOLDER),
    ("lock-server-crash-2", || AnyWorld::Lock(Locks { server_may_crash: true, ..lock(2) }), SERVER),
    ("lock-server-crash-3", || AnyWorld::Lock(Locks { server_may_crash: true, ..lock(3) }), SERVER),
    ("lease-holder-crash-2", || AnyWorld::Lease(Locks { crashes: 1, ..lease(Fencing::OnReadAndWrite, 2) }), HOLDER),
    ("lease-holder-crash-3", || AnyWorld::Lease(Locks { crashes: 1, ..lease(Fencing::OnReadAndWrite, 3) }), HOLDER),
    ("lease-no-fencing-2", || AnyWorld::Lease(lease(Fencing::None, 2)), LEASE),
    ("lease-no-fencing-3", || AnyWorld::Lease(lease(Fencing::None, 3)), LEASE),
    ("lease-fenced-on-write-2", || AnyWorld::Lease(lease(Fencing::OnWrite, 2)), LEASE),
    ("lease-fenced-on-write-3", || AnyWorld::Lease(lease(Fencing::OnWrite, 3)), LEASE),
    ("lease-fenced-on-read-and-write-2", || AnyWorld::Lease(lease(Fencing::OnReadAndWrite, 2)), LEASE),
    ("lease-fenced-on-read-and-write-3", || AnyWorld::Lease(lease(Fencing::OnReadAndWrite, 3)), LEASE),
    ("ops-every-number-remembered", || ops(Dedupe::EveryNumber), OPERATIONS),
    ("mutant-ops-without-dedupe", || ops(Dedupe::None), OPERATIONS),
    ("mutant-ops-highest-number", || ops(Dedupe::HighestNumber), OPERATIONS),
];
