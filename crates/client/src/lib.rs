//! The Rust client of Tally: an exact counter service for several data centres.
//!
//! ```no_run
//! # async fn example() -> Result<(), tally_client::Error> {
//! use tally_client::{Client, Options};
//!
//! let client = Client::connect(["10.0.0.1:7071", "10.0.1.1:7071"], Options::default())?;
//! let token = client.add("likes/post-1", 1).await?;
//! let likes = client.get_after("likes/post-1", &token).await?; // sees the add, on any node
//! println!("{} has {} likes", likes.counter, likes.value);
//! # Ok(())
//! # }
//! ```
//!
//! Reading order: [`Client`] makes single calls, [`Read`] is an answer with its token and its age,
//! [`List`], [`Watch`] and [`Changes`] are reads with many answers, [`Ingest`] is the road to millions of adds a
//! second, [`Session`] keeps adds beyond a process, [`Error`] says what became of a call, [`Options`] holds every
//! bound that can be chosen.
//!
//! **What is retried.** Everything, until its deadline, on every node. A read changes nothing. An add is
//! a request of a session: nodes know it again wherever it arrives, so it counts once, by the rules in
//! `proto/README.md`. Only one that is not answered by its deadline is left in doubt: the caller
//! gets an error with [`Error::is_indeterminate`]. [`Options::sessions`] turns this off; then an add is retried
//! only when the error proves that it was not applied.
//!
//! **What is bounded.** Every call returns by [`Options::deadline`], and every message of an ingest
//! stream is acknowledged by it, or the stream ends and says what became of each message. A node
//! that failed is left alone for a while, by calls, watches and streams alike.
//!
//! This crate leaves out: summing adds before they are sent (every add is its own entry on the
//! wire), discovery of nodes (the caller names them), and TLS (nodes speak plain HTTP/2, so
//! keep them on a private network).

mod adds;
mod age;
mod arguments;
mod attempt;
mod audit;
mod call;
mod client;
mod error;
mod export;
mod ingest;
mod list;
mod nodes;
mod options;
mod read;
mod session;
mod token;
mod value;
mod watch;

pub use adds::AddItem;
pub use age::LaneAge;
pub use audit::{
    AuditDifference, AuditReport, CounterDifference, EXPLAINED_MAX, Explanation, NotCompared,
};
pub use client::{Added, Client};
pub use error::Error;
pub use export::{ExportedLane, ExportedShard};
pub use ingest::{CounterIndex, Ingest, Outcome};
pub use list::List;
pub use options::{
    BATCH_ITEMS_MAX, COUNTER_NAME_BYTES_MAX, DICTIONARY_NAMES_MAX, IngestOptions,
    MESSAGE_AMOUNTS_MAX, MESSAGE_BYTES_MAX, MESSAGE_ENTRIES_MAX, NODES_MAX, Options,
    WATCH_INTERVAL_MAX, WATCH_INTERVAL_MIN,
};
pub use read::{Read, ReadOptions};
pub use session::{Prepared, Session};
pub use token::{ParseTokenError, TOKEN_BYTES_MAX, Token};
pub use value::CounterValue;
pub use watch::{Changes, Watch, WatchOptions};

/// What a node says of itself, as it came over the wire: a report for people and their tools,
/// which this crate passes on and never interprets. Its fields are documented in
/// `proto/tally/v1/cluster_service.proto`.
pub use wire::v1::GetStatusResponse as NodeStatus;
