//! Protobuf types of Tally's API, generated from `proto/`, and their conversions.
//!
//! Wire types stop here: what comes in is parsed into valid values of `crdt-core` or refused.
//! This crate does not know sockets, files, clocks or threads.

/// The public API and the replication API, as generated.
#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("tally.v1");
}

/// What the programs of `tally-baseline` say to each other, as generated.
#[allow(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod baseline_v1 {
    tonic::include_proto!("tally.baseline.v1");
}

pub mod audit;
mod frames;
mod id;
mod interval;
mod shard;
pub mod stream;

pub use frames::{FrameEncoder, FrameError, Recovery};
pub use id::{replica_id_from_bytes, replica_id_to_bytes};
pub use interval::{
    DecodeError, DecodeLimits, IntervalDecoder, IntervalEncoder, PART_BYTES_TARGET, PartsOf,
};
pub use shard::{hash_name, shard_of};

/// All schemas as one encoded `FileDescriptorSet`, for gRPC reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tally_descriptor.bin"));
