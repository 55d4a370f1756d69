//! The executable reference: counters as the literature writes them.
//!
//! One map entry a replica, merged entry by entry with `max`. Nothing here is fast and nothing
//! here is deployed: [`Replica`](crate::Replica) is compared with these in property tests and in
//! the model checker.

mod g;
mod pn;

pub use g::GCounter;
pub use pn::PnCounter;
