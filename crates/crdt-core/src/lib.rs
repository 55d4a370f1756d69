//! Counters that merge: the state machine that Tally deploys, and the one it model-checks.
//!
//! This crate does not know sockets, files, clocks, threads, random numbers or protobuf. Bytes,
//! time and randomness are its driver's business; identities and amounts come in as arguments, and
//! what must be written or sent comes out as values. The `tallyd` server, the model checker and
//! the simulator are three drivers of the same [`Replica`].
//!
//! # The idea
//!
//! **Every replica writes only to its own lane; everything else is a pure function of the lanes.**
//!
//! - A *lane* belongs to one replica: for each counter what that replica has added. A record keeps
//!   only its newest form, and carries the lane *version* at which it got it. One commit makes one
//!   version.
//! - A replica holds every lane exactly as it was at some version. All those versions together are
//!   its *digest*. The same digest means the same lanes, and so the same values.
//! - *Anti-entropy* is one question: "lane r, after version v?" The answer is a *delta-interval*,
//!   applied whole. It may be lost, repeated or late, and any replica may give it.
//!
//! The sources: Shapiro et al., "Conflict-free Replicated Data Types" (2011); Almeida, Shoker,
//! Baquero, "Delta State Replicated Data Types" (2018).
//!
//! # Vocabulary
//!
//! | word | is |
//! | --- | --- |
//! | [`ReplicaId`] | an incarnation of a replica, minted with its data directory |
//! | [`StartId`] | one start of its process |
//! | [`Version`], [`Mark`] | a point of a lane; the same with the start that wrote it |
//! | [`Sum`] | what an add puts on top of a counter |
//! | [`Total`] | all that one replica added to and subtracted from one counter |
//! | [`Interval`] | what changed in a lane between two marks |
//! | [`IntervalPiece`] | some of an interval's records, where reading all of them at once takes too long |
//! | [`Group`] | the intervals that one commit makes durable |
//! | [`Digest`] | how far each lane is held |
//! | [`Fork`] | two histories of one lane: a directory was rolled back or copied |
//!
//! # A driver
//!
//! A complete one, with vectors for a disk and a network:
//!
//! ```
//! use crdt_core::{CounterName, Interval, Replica, ReplicaId, StartId, Sum};
//!
//! /// What survives a crash: the intervals of all synced groups, in order.
//! type Disk = Vec<Interval<CounterName>>;
//!
//! fn commit(replica: &mut Replica, disk: &mut Disk) {
//!     if let Some(group) = replica.commit() {
//!         // Write and sync; if that fails, the process must end.
//!         disk.extend(group.iter().map(|interval| replica.export(interval)));
//!         // From here on the group can be read, acknowledged and sent.
//!         replica.synced();
//!     }
//! }
//!
//! fn pull(asker: &mut Replica, peer: &Replica) -> Result<(), Box<dyn std::error::Error>> {
//!     for (lane, _) in peer.digest().iter() {
//!         if let Some(interval) = peer.interval(lane, asker.held(lane))? {
//!             let interval = asker.import(&peer.export(&interval));
//!             asker.receive(interval)?;
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let likes: CounterName = "likes".parse()?;
//! let (mut disk_a, mut disk_b) = (Disk::new(), Disk::new());
//! let mut a = Replica::new(ReplicaId::new(0xa), StartId::new(1));
//! let mut b = Replica::new(ReplicaId::new(0xb), StartId::new(2));
//!
//! let index = a.counter(&likes);
//! let durable_at = a.add(index, Sum::of(3))?;
//! assert_eq!(a.value(index), 0, "not durable, so not visible");
//! commit(&mut a, &mut disk_a);
//! assert_eq!(a.held(a.id()), durable_at);
//! assert_eq!(a.value(index), 3);
//!
//! pull(&mut b, &a)?;
//! commit(&mut b, &mut disk_b);
//! assert_eq!(b.value(b.find("likes").unwrap()), 3);
//!
//! // A restart takes back what is on the disk.
//! let mut restarted = Replica::new(a.id(), StartId::new(3));
//! for interval in &disk_a {
//!     let interval = restarted.import(interval);
//!     restarted.recover(&interval)?;
//! }
//! assert_eq!(restarted.digest(), a.digest());
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

mod catalogue;
#[cfg(test)]
mod complaint;
pub mod counter;
mod digest;
mod error;
mod fingerprint;
mod history;
mod id;
mod interval;
mod lane;
mod lattice;
mod packed;
mod record;
mod record_map;
mod replica;
mod session;
mod sums;

pub use digest::Digest;
pub use error::{AddError, CounterNameError, Fork, ReceiveError};
pub use fingerprint::{Fingerprint, HashName, NameHash, RecordHash};
pub use id::{CounterIndex, CounterName, Mark, ReplicaId, StartId, Version};
pub use interval::{Interval, IntervalEnd, IntervalPiece};
pub use lattice::JoinSemilattice;
pub use record::{Sum, SumRecord, Total};
pub use replica::{
    Group, IntervalReader, LanePrint, PAST_MARKS_MAX, Received, Replica, RequestState,
};
pub use session::{
    CLAIMED_ADDS_MAX, Gap, Numbers, REQUESTS_WINDOW, RecordContent, RecordKey, Records, RequestId,
    SessionId, SessionMark, SessionRecord,
};
pub use sums::Sums;
