//! Real `tallyd` processes: over real sockets, on a real disk, ended by real signals.
//!
//! What can be shown without processes is shown beside the code. Here is what needs them: what a
//! client sees, what survives a kill, and what an operator reads when something is wrong. Every
//! wait is bounded, and every process ends with the value that stands for it.

mod audit;
mod availability;
mod cluster;
mod connections;
mod counting;
mod crash;
mod disk;
mod export;
mod incarnation;
mod ingest_refusals;
mod load;
mod memory;
mod node;
mod reads;
mod recovery;
mod refusals;
mod sessions;
mod startup;
mod stopping;
mod strangers;
mod tokens;
mod traces;
mod watches;
