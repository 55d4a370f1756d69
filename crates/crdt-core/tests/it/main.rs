//! What holds of whole replicas, from outside: one binary, one module a subject.

mod following;
mod identity;
mod malformed;
mod range;
mod reading;
mod refusals;
mod schedule;
mod sessions;
