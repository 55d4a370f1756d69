//! What Tally replaces: three servers that share **one** counter, as pure state machines.
//!
//! This crate knows no sockets, no clocks, no threads, no files, no random source and no
//! protobuf. Events go in as method calls, effects come out as values; time, where a protocol
//! needs it (a lease), is an argument. Every state is an ordinary ordered value
//! (`Clone + Eq + Hash + Debug`), so the model checker explores exactly the code that
//! `tally-baseline` runs between real processes.
//!
//! # The problem
//!
//! "Counter = counter + 1" is three steps: read 10, add, write 11. Two servers that both read 10
//! both write 11, and one add is gone. The modules of this crate are the usual answers, in the
//! order in which one arrives at them:
//!
//! | module | idea | what the checker finds |
//! | --- | --- | --- |
//! | [`register`] | the shared number itself | |
//! | [`naive`] | read, add, write; hope | lost updates |
//! | [`database`] | send the addition to where the number is | exact, and one round trip away |
//! | [`lock`] | one server at a time | exact, but a crash leaves the others waiting for ever |
//! | [`lease`] | a lock that expires | lost updates again, unless every read and write is fenced |
//!
//! # Vocabulary
//!
//! * An **add** is a change of the counter, by any amount but 0 ([`Add`]).
//! * A **contender** is the side that counts: a server in some data centre that has adds to make
//!   and must agree with the others. Each module has its own (`naive::Contender`, ...), and all have
//!   the same three methods: `start(add)`, `receive(reply)` and `connection_lost()`.
//! * The **server side** ([`Register`](register::Register), [`LockServer`](lock::LockServer),
//!   [`LeaseServer`](lease::LeaseServer)) has one method, `receive`, and one more for each thing
//!   that may befall it: `forget` (a contender is known to be gone), `expire` (time has passed).
//! * A contender answers with [`Effect`]s: messages to send, and what became of each add
//!   ([`Outcome`]).
//!
//! # Assumptions about the network
//!
//! A message is delivered at most once, to the one it is addressed to. It may be late, overtake
//! others, or never arrive. A driver that runs over TCP gets more than that.
//!
//! # The whole of a driver
//!
//! A driver is a loop that carries messages. This one runs three servers that share a lock:
//!
//! ```
//! use std::collections::VecDeque;
//! use lock_core::lock::{Contender, LockServer, Reply, Request, ValueTravels};
//! use lock_core::{Amount, ContenderId, Effect, Add, AddId, Outcome, Value};
//!
//! enum Packet {
//!     ToServer(ContenderId, Request),
//!     ToContender(ContenderId, Reply),
//! }
//!
//! let mut server = LockServer::default();
//! let mut contenders = vec![Contender::new(ValueTravels::WithTheLock, 1); 3];
//! let mut network = VecDeque::new();
//! let mut counted = 0;
//!
//! // Each server takes two adds, ...
//! for (index, contender) in (0_u64..).zip(&mut contenders) {
//!     for round in 0..2 {
//!         let add = Add { id: AddId(2 * index + round), amount: Amount::ONE };
//!         for effect in contender.start(add) {
//!             if let Effect::Send(request) = effect {
//!                 network.push_back(Packet::ToServer(ContenderId(index), request));
//!             }
//!         }
//!     }
//! }
//! // ... and then messages are carried until there are none left.
//! while let Some(packet) = network.pop_front() {
//!     match packet {
//!         Packet::ToServer(from, request) => {
//!             for (to, reply) in server.receive(from, request)? {
//!                 network.push_back(Packet::ToContender(to, reply));
//!             }
//!         }
//!         Packet::ToContender(to, reply) => {
//!             for effect in contenders[usize::try_from(to.0)?].receive(reply)? {
//!                 match effect {
//!                     Effect::Send(request) => network.push_back(Packet::ToServer(to, request)),
//!                     Effect::Settled { outcome, .. } => {
//!                         assert_eq!(outcome, Outcome::Counted);
//!                         counted += 1;
//!                     }
//!                 }
//!             }
//!         }
//!     }
//! }
//! assert_eq!(counted, 6);
//! assert_eq!(server.register().value(), Value(6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]

extern crate alloc;

mod add;
pub mod database;
mod effect;
pub mod lease;
pub mod lock;
pub mod naive;
pub mod register;

pub use add::{Add, AddId, Amount, ContenderId, Value};
pub use effect::{Effect, Outcome, Refusal, UnexpectedReply};
