//! The sending end: a [`Sender`] whose pieces become messages.

use std::collections::VecDeque;

use crdt_core::{Fork, ReplicaId};
use prost::Message as _;
use protocol::{
    Hello, HelloError, ReplicationLimits, Sender, SenderEffect, SenderError, ShardIndex, Shards,
    Time,
};
use thiserror::Error;

use super::convert::{held_from_wire, held_to_wire, hello_from_wire, hello_to_wire};
use crate::{DecodeError, IntervalEncoder, PART_BYTES_TARGET, PartsOf, v1};

/// Why a stream ends, or does not begin.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum SendingError {
    /// The receiver is none of ours.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The receiver's message is not well-formed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What the receiver reports, or what is held here, ends the stream.
    #[error(transparent)]
    Sender(#[from] SenderError),
}

/// What the driver does next.
#[derive(Debug, PartialEq)]
pub enum Sending {
    /// Sends a message.
    Message(v1::PullResponse),
    /// Notes that this lane has forked between the two nodes. It is left alone.
    LaneForked(ShardIndex, Fork),
    /// Nothing is due until then, or until something happens.
    Wait(Time),
}

/// The sending end of one stream.
#[derive(Debug)]
pub struct SendingEnd {
    sender: Sender,
    encoder: IntervalEncoder,
    /// Due with the first message.
    hello: Option<v1::Hello>,
    /// Parts of a piece that did not fit into the message before them.
    parts: VecDeque<v1::IntervalPart>,
    /// What did not fit with the message before it.
    waiting: Option<SenderEffect>,
}

impl SendingEnd {
    /// A stream that a receiver opens with this request.
    ///
    /// # Errors
    ///
    /// When the receiver is none of ours, or its report is not sound.
    pub fn accept(
        limits: ReplicationLimits,
        ours: &Hello,
        request: &v1::PullRequest,
        shards: &impl Shards,
        now: Time,
    ) -> Result<Self, SendingError> {
        let theirs = request.hello.as_ref().map(hello_from_wire).transpose()?;
        let peer = ours.accept(theirs.as_ref())?;
        let mut end = Self {
            sender: Sender::new(limits, ours.replica, peer, ours.shard_count, now),
            encoder: IntervalEncoder::new(ours.shard_count),
            hello: Some(hello_to_wire(ours)),
            parts: VecDeque::new(),
            waiting: None,
        };
        end.request(shards, request)?;
        Ok(end)
    }

    /// The receiver.
    #[must_use]
    pub fn peer(&self) -> ReplicaId {
        self.sender.peer()
    }

    /// The receiver has sent a request.
    ///
    /// # Errors
    ///
    /// When the stream must end.
    pub fn request(
        &mut self,
        shards: &impl Shards,
        request: &v1::PullRequest,
    ) -> Result<(), SendingError> {
        let held = held_from_wire(&request.held)?;
        Ok(self.sender.report(shards, &held)?)
    }

    /// A round is complete.
    pub fn completed(&mut self) {
        self.sender.completed();
    }

    /// The next thing to do, as long as the transport has room: a message of about
    /// [`PART_BYTES_TARGET`], or whatever is due.
    pub fn poll(&mut self, now: Time, shards: &impl Shards) -> Sending {
        let mut message = v1::PullResponse {
            hello: self.hello.take(),
            ..Default::default()
        };
        let mut bytes = 0;
        loop {
            while let Some(part) = self.parts.pop_front() {
                bytes += part.encoded_len();
                message.parts.push(part);
                if bytes >= PART_BYTES_TARGET {
                    return Sending::Message(message);
                }
            }
            let effect = self.waiting.take();
            match effect.unwrap_or_else(|| self.sender.poll(now, shards)) {
                SenderEffect::Send {
                    shard,
                    piece,
                    set_goes_on,
                } => {
                    let parts = PartsOf::piece(shard, &piece).of_set(set_goes_on);
                    self.parts = parts
                        .collect(&mut self.encoder, |counter| {
                            shards.with(shard, |it| it.replica().name(counter).clone())
                        })
                        .into();
                }
                SenderEffect::Tell(held) => {
                    message.held = held_to_wire(&held);
                    return Sending::Message(message);
                }
                SenderEffect::Heartbeat => {
                    message.ends_all = self.sender.sends_own();
                    return Sending::Message(message);
                }
                other if message != v1::PullResponse::default() => {
                    let is_all = matches!(other, SenderEffect::Wait { .. });
                    message.ends_all = is_all && self.sender.sends_own();
                    self.waiting = Some(other);
                    return Sending::Message(message);
                }
                SenderEffect::LaneForked { shard, fork } => {
                    return Sending::LaneForked(shard, fork);
                }
                SenderEffect::Wait { until } => return Sending::Wait(until),
            }
        }
    }
}
