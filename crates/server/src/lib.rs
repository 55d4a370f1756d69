//! `tallyd` as a library: one Tally node, that is, sockets, disk and time around `crdt-core`.
//!
//! The binary is a few lines on top of this crate, so that tests and benchmarks reach every part.
//! What it leaves out: how counters are joined (`crdt-core`) and what they look like as bytes
//! (`wire`).

pub mod clock;
pub mod config;
pub mod connections;
pub mod health;
pub mod node;
pub mod replicate;
pub mod server;
pub mod service;
pub mod shutdown;
pub mod traced;
