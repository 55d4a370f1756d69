//! The checker: every interleaving of a few steps, over the code that is deployed.
//!
//! This crate knows the protocols only by calling them: `crdt_core::Replica` and the machines of
//! `lock_core` are driven here by the same methods as in `tallyd` and `tally-baseline`. What a
//! world adds is what surrounds them: disks, a hostile network, faults, and ghosts that remember
//! what was promised. Three kinds of evidence are kept apart (`specs/guarantees.md`): exhaustive
//! within bounds (the worlds), for any number of replicas (the proofs under `specs/smt`), and
//! sampled (the simulator).
//!
//! Reading order: [`world`], [`crdt`] and its modules, [`sessions`], [`locks`], then the tables [`worlds`] and
//! [`expectations`], and [`search`]. [`shared`] makes it fast.

pub mod crdt;
pub mod expectations;
pub mod guarantee;
pub mod locks;
pub mod mutation;
mod names;
pub mod node_log;
pub mod ops;
pub mod proofs;
pub mod report;
pub mod search;
pub mod sessions;
pub mod shared;
pub mod sim;
pub mod validation;
pub mod world;
pub mod worlds;
