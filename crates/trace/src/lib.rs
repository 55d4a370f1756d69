//! The trace of a node: a line for each step, with its marks and a hash of what it carried.
//!
//! `tallyd --trace FILE` writes it; the checker (`model_checker::validation`) replays the traces of
//! all nodes into the machines of [`protocol`], and refuses what those would not have done. Both
//! take from here what a [`Line`] says.
//!
//! A line is an object of JSON, in the order in which things happened:
//!
//! ```text
//! {"n":8,"step":{"take":{"shard":3,"round":1,"mark":"1@9c1f","adds":2,"content":"5e0f3c2ab1d94e77"}}}
//! {"n":9,"step":{"due":{"us":5120,"effect":{"append":{"round":1}}}}}
//! ```
//!
//! **Order.** Steps of a shard are told to its [`Observer`](protocol::Observer) while the shard is
//! held, so two lines about one shard stand in the order of the steps. Lines are numbered, so one
//! that is missing is missed.
//!
//! **Ends.** Lines wait in memory, and are handed to the operating system before anybody else can
//! see what they tell of ([`Trace::flush`]). So a process that is killed loses only lines of what
//! nobody has seen; they are not synced, and a power loss takes them.
//!
//! **Content.** [`Content`] is a hash of sums that adds up: what a lane holds at a mark has the
//! sum of the hashes of the adds in it, however they were grouped on their way, and of the records
//! of sessions and the needs that it has. Owner, receivers and recovery each compute it from what
//! they have.
//!
//! What it leaves out: the names and amounts themselves, reads, and what the transport does.

mod content;
mod line;
mod observer;
mod records;
mod text;
mod writer;

pub use content::Content;
pub use line::{Effect, FORMAT, LaneAt, Line, Outcome, Step, Written};
pub use observer::{begin, lanes};
pub use writer::Trace;
