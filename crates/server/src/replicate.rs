//! Replication between nodes, over sockets: each node *pulls* from each peer over one stream
//! ([`pull`]) and *serves* one stream to each ([`serve`]).
//!
//! What is said on a stream, and when, is decided by the machines of
//! [`protocol`](protocol::Sender), which [`wire::stream`] drives; here are their sockets and
//! timers.

/// The receiving side.
pub mod pull;
/// The sending side.
pub mod serve;
