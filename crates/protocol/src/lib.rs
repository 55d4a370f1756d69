//! What a node decides, as machines: commit rounds, replication, ingest, reads.
//!
//! This crate does not know sockets, files, threads, clocks, random numbers or protobuf. Events go
//! in, effects come out, and on each effect stands what must be so before it may be performed;
//! time, randomness and limits are arguments. `tallyd` and the simulator are two drivers of the
//! same machines, and the trace checker is a third: a driver that decides something itself is a
//! defect.
//!
//! | machine | in | out |
//! | --- | --- | --- |
//! | [`CommitRounds`] | taken, appended, synced, failed, snapshot written or failed | append, sync, complete a round, cut, begin a snapshot, seal, wait |
//! | [`Sender`] | report, round complete, room in the stream | send this piece, tell, heartbeat, a lane has forked, close, wait |
//! | [`Receiver`] | message, set of intervals, told, round complete | report, await a round, close, read |
//! | [`Dialer`] | dialled, ended | when to dial again |
//! | [`IngestStream`] | message, round complete, end | acknowledge, read, await a round, end so |
//! | [`ReadWait`] | round complete, time | answer, wait, fail |
//! | [`Reading`] | a shard as it is read | the token of what was read |
//! | [`Freshness`] | a group is held, an owner has sent all | how old each lane may be |
//! | [`Watch`] | round complete, time | tell these values, await a round, wait, fail |
//! | [`Standing`] | stop, a fork of the own lane is shown | whether adds are taken |
//! | [`Adds`] | placed and named adds, a request's head | all taken, or none; a request once |
//! | [`OpenSessions`] | own intervals as they are held, time | which session is closed for another |
//! | [`SnapshotReader`] | | the next piece of a snapshot |
//! | [`ShardExport`] | | the next piece of a shard's values |
//! | [`Audited`] | time, questions | rest, tell what is held, the answers |
//! | [`ShardAudit`], [`RecordComparison`] | what nodes hold, answers, pages | questions, what differs |
//!
//! All of them reach the node's replicas through [`Shards`]. What is *held* by a shard is durable,
//! by the shape of [`Replica`](crdt_core::Replica); so what a machine reads there it may send,
//! report and answer.
//!
//! # A driver
//!
//! One node without peers, with a vector for a disk:
//!
//! ```
//! use std::cell::RefCell;
//!
//! use crdt_core::{Replica, ReplicaId, StartId, Sum};
//! use protocol::{Adds, CommitEffect, CommitLimits, CommitRounds, Round, Shard, Shards, Time};
//!
//! let replica = Replica::new(ReplicaId::new(1), StartId::new(1));
//! let shards = RefCell::new(vec![Shard::new(replica)]);
//! let mut rounds = CommitRounds::new(CommitLimits::default(), 0, 0);
//! let mut disk = Vec::new();
//! let mut completed = Round::NONE;
//!
//! let mut adds = Adds::default();
//! adds.add_named(0, "likes".parse()?, Sum::of(3));
//! let receipt = adds.take(&shards, 1_000_000)?;
//! rounds.taken();
//!
//! let now = Time::from_us(0); // A real driver reads its clock.
//! loop {
//!     match rounds.poll(now) {
//!         CommitEffect::Append { round } => {
//!             let group = shards.with(0, |shard| shard.collect(round));
//!             let bytes = group.iter().map(|group| group.len() as u64).sum();
//!             disk.extend(group);
//!             rounds.appended(bytes);
//!         }
//!         CommitEffect::Sync => rounds.synced(now), // A real driver syncs first.
//!         CommitEffect::Complete { round } => {
//!             if shards.with(0, |shard| shard.synced()) {
//!                 rounds.taken(); // It settles what it holds, in a round of its own.
//!             }
//!             completed = round;
//!         }
//!         CommitEffect::Wait { .. } => break,
//!         other => unreachable!("nothing else is due: {other:?}"),
//!     }
//! }
//! assert!(completed >= receipt.round, "acknowledge it");
//! let value = shards.with(0, |shard| shard.replica().value(shard.replica().find("likes").unwrap()));
//! assert_eq!(value, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::float_arithmetic
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod audit;
mod budget;
mod commit;
mod export;
mod freshness;
mod hello;
mod ingest;
mod observer;
mod read;
mod reading;
mod replication;
mod session;
mod shard;
mod snapshot;
mod standing;
mod take;
mod time;
mod token;
mod watch;

pub use audit::{
    Audited, AuditedEffect, AuditedError, AuditedLimits, Compared, NodeHolds, PastAnswer,
    PastQuestion, RecordComparison, RecordDifference, RecordEffect, RecordPage, RecordState,
    RecordSummary, ShardAudit, Side, Verdict, check_shard,
};
pub use budget::{Budget, Lease};
pub use commit::{CommitEffect, CommitLimits, CommitRounds};
pub use export::{ExportPiece, ShardExport};
pub use freshness::{Age, Freshness, LaneAge};
pub use hello::{Hello, HelloError, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
pub use ingest::{
    Acknowledgement, ENTRY_BYTES, IngestEffect, IngestEnd, IngestError, IngestLimits,
    IngestMessage, IngestRefusal, IngestRequest, IngestRequestError, IngestStream,
};
pub use observer::{Observer, Span};
pub use read::{ReadEffect, ReadError, ReadWait};
pub use reading::Reading;
pub use replication::{
    DialLimits, Dialer, HeldLane, Outcome, Receiver, ReceiverEffect, ReceiverError,
    ReplicationLimits, Sender, SenderEffect, SenderError, SetOutcome,
};
pub use session::{
    CLOSED_SESSIONS_MAX, OpenSessions, RequestHead, RequestNumberError, SESSION_BYTES_MAX,
    SESSIONS_MAX, SessionError, SessionToken, SessionsExhausted,
};
pub use shard::{Place, Round, SHARD_COUNT_MAX, Shard, ShardIndex, Shards};
pub use snapshot::SnapshotReader;
pub use standing::{Claim, NotWritable, Standing};
pub use take::{
    Adds, Receipt, RequestError, RequestReceipt, RequestRefusal, TAKEN_AT_ONCE_MAX, TakeError,
};
pub use time::Time;
pub use token::{ClusterHash, Coverage, TOKEN_BYTES_MAX, Token, TokenError};
pub use watch::{Watch, WatchBudgets, WatchEffect, WatchError, WatchLimits, Watched};
