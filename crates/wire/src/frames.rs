//! What a replica's commits are in the log: each frame is a part of an interval, and the shards'
//! replicas are read back from them.
//!
//! A dictionary of names goes with each file, so the writing end is made anew with each segment
//! and snapshot, and the reading end is told where a file begins. An interval is applied once it
//! was read to its end; one that was not written to its end was never synced, and is dropped.

use crdt_core::{CounterIndex, CounterName, Group, IntervalPiece, ReceiveError, Replica};
use prost::Message as _;
use thiserror::Error;

use crate::{DecodeError, DecodeLimits, IntervalDecoder, IntervalEncoder, v1};

/// Why a frame of the log cannot be applied.
#[derive(Debug, PartialEq, Error)]
pub enum FrameError {
    /// It is not a protobuf message.
    #[error("it is no interval: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// It is a message, but not a well-formed one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It does not continue the lane.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

/// The writing end of one file.
#[derive(Debug)]
pub struct FrameEncoder(IntervalEncoder);

impl FrameEncoder {
    /// For a file without frames.
    #[must_use]
    pub fn new(shard_count: u32) -> Self {
        Self(IntervalEncoder::new(shard_count))
    }

    /// Gives the payload of each frame of a group to `append`, in the order of writing.
    ///
    /// # Errors
    ///
    /// As `append`.
    pub fn group<E>(
        &mut self,
        shard: u32,
        group: &Group,
        name: impl Fn(CounterIndex) -> CounterName,
        mut append: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for interval in group.iter() {
            for part in self.0.encode(shard, interval, &name) {
                append(&part.encode_to_vec())?;
            }
        }
        Ok(())
    }

    /// Gives the payload of each frame of a piece to `append`.
    ///
    /// # Errors
    ///
    /// As `append`.
    pub fn piece<E>(
        &mut self,
        shard: u32,
        piece: &IntervalPiece,
        name: impl Fn(CounterIndex) -> CounterName,
        mut append: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let parts = self.0.encode_piece(shard, piece, name);
        parts
            .iter()
            .try_for_each(|part| append(&part.encode_to_vec()))
    }
}

/// The reading end: replicas, one a shard, that take back what is durable.
#[derive(Debug)]
pub struct Recovery {
    replicas: Vec<Replica>,
    decoder: IntervalDecoder,
}

impl Recovery {
    /// Nothing is read yet; the replicas are empty.
    ///
    /// # Panics
    ///
    /// With 2^32 shards.
    #[must_use]
    pub fn new(replicas: Vec<Replica>) -> Self {
        Self {
            decoder: decoder(&replicas),
            replicas,
        }
    }

    /// A file begins: a snapshot, or a segment.
    pub fn begin_file(&mut self) {
        self.decoder = decoder(&self.replicas);
    }

    /// Takes back a frame.
    ///
    /// # Errors
    ///
    /// When no replica of this node has written it so.
    pub fn frame(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let part = v1::IntervalPart::decode(payload)?;
        let shard = self.decoder.shard_of(&part)?;
        let replica = &mut self.replicas[shard as usize];
        let decoded = self.decoder.decode(&part, |name| replica.counter(name))?;
        if let Some((_, interval)) = decoded {
            replica.recover(&interval)?;
        }
        Ok(())
    }

    /// Everything was read.
    #[must_use]
    pub fn finish(self) -> Vec<Replica> {
        self.replicas
    }
}

fn decoder(replicas: &[Replica]) -> IntervalDecoder {
    let shard_count = u32::try_from(replicas.len()).expect("at most 256 shards");
    IntervalDecoder::new(shard_count, DecodeLimits::FILE)
}
