//! Every world by name, with its bounds, and with what it does *not* show.
//!
//! A name is `family-size` or `family-fault`; those of mutants begin with `mutant-`. Where a bug
//! of another project has become a world, its name is in the comment. No world shows anything of
//! bytes, of time, or of several shards; the lines say what is left out besides.

mod crdt;
mod locks;
mod mutants;
mod sessions;

use crate::crdt::{Bounds, Crdt};
use crate::locks::{Database, Lease, Lock, Locks, Naive};
use crate::ops::Ops;
use crate::sessions::Sessions;
use crate::world::World;
use crdt::CRDT;
use locks::LOCKS;
use mutants::MUTANTS;
use sessions::SESSIONS;

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
    Sessions(Box<Sessions>),
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
            Self::Sessions(world) => visitor.visit(*world),
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
            Self::Sessions(world) => world.bounds().to_string(),
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
    let lock = LOCKS.iter().find(|it| it.0 == name).map(|it| it.1());
    let crdt = || {
        let bounds = bounded().find(|it| it.0 == name)?.1;
        Some(AnyWorld::Crdt(Box::new(Crdt::new(bounds))))
    };
    let sessions = || {
        let bounds = SESSIONS.iter().find(|it| it.0 == name)?.1;
        Some(AnyWorld::Sessions(Box::new(Sessions::new(bounds))))
    };
    lock.or_else(crdt).or_else(sessions)
}

/// What the world of this name does not show, in one line.
#[must_use]
pub fn shows_not(name: &str) -> Option<&'static str> {
    let all = LOCKS.iter().map(|it| (it.0, it.2));
    let all = all.chain(bounded().map(|it| (it.0, it.2)));
    let mut all = all.chain(SESSIONS.iter().map(|it| (it.0, it.2)));
    all.find(|it| it.0 == name).map(|it| it.1)
}

/// The names of all worlds.
pub fn names() -> impl Iterator<Item = &'static str> {
    let locks = LOCKS.iter().map(|it| it.0);
    let crdt = bounded().map(|it| it.0);
    locks.chain(crdt).chain(SESSIONS.iter().map(|it| it.0))
}

/// A world's name, what it is, and what it does not show.
type Row<W> = (&'static str, W, &'static str);

fn bounded() -> impl Iterator<Item = &'static Row<Bounds>> {
    CRDT.iter().chain(MUTANTS)
}
