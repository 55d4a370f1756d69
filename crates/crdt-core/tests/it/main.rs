//! What holds of whole replicas, from outside: one binary, one module a subject.

mod refusals;
mod schedule;
