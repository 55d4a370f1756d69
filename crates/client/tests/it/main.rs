//! The client against a fake node that fails on demand; the commands as real processes.
#![expect(unreachable_pub, reason = "modules of a test binary")]

mod answers;
mod calls;
mod commands;
mod deadlines;
mod fake;
mod fake_stream;
mod health;
mod ingest;
mod load;
mod network;
mod reads;
mod script;
mod sessions;
mod streams;
