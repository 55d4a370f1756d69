//! The receiving end: a [`Receiver`] that is given messages.

use crdt_core::{Fork, Mark, ReplicaId};
use protocol::{
    Hello, Outcome, Receiver, ReceiverEffect, ReceiverError, ReplicationLimits, Round, ShardIndex,
    Shards, Time,
};
use thiserror::Error;

use super::convert::{held_from_wire, held_to_wire, hello_from_wire, hello_to_wire};
use crate::{DecodeError, DecodeLimits, IntervalDecoder, v1};

/// Why a stream ends.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ReceivingError {
    /// The message is not well-formed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// What the sender says, or that it is silent, ends the stream.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
}

/// What the driver does next.
#[derive(Debug, PartialEq)]
pub enum Receiving {
    /// Sends a request.
    Request(v1::PullRequest),
    /// Reads nothing until this round is complete.
    AwaitRound(Round),
    /// Ends the stream.
    Close(ReceiverError),
    /// Reads the next message; nothing else is due until then.
    Read(Time),
}

/// What a message has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The intervals that it has completed.
    pub taken: Vec<Taken>,
    /// Lanes, with their shards, that have forked between the two nodes, each told once. What it
    /// means when one is this node's own is for [`Standing`](protocol::Standing) to say.
    pub forks: Vec<(ShardIndex, Fork)>,
}

impl Received {
    /// Whether there is something for the next round.
    #[must_use]
    pub fn is_news(&self) -> bool {
        self.taken
            .iter()
            .any(|it| matches!(it.outcome, Outcome::Taken(_)))
    }
}

/// An interval of a message, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its shard.
    pub shard: ShardIndex,
    /// Its lane.
    pub lane: ReplicaId,
    /// Where it begins and where it ends.
    pub span: (Mark, Mark),
    /// What became of it.
    pub outcome: Outcome,
}

/// The receiving end of one stream.
#[derive(Debug)]
pub struct ReceivingEnd {
    receiver: Receiver,
    decoder: IntervalDecoder,
    /// Due with the first request.
    hello: Option<v1::Hello>,
}

impl ReceivingEnd {
    /// A stream that is opened now; what is due first is its first request.
    #[must_use]
    pub fn new(limits: ReplicationLimits, ours: Hello, now: Time) -> Self {
        Self {
            decoder: IntervalDecoder::new(ours.shard_count, DecodeLimits::STREAM),
            hello: Some(hello_to_wire(&ours)),
            receiver: Receiver::new(limits, ours, now),
        }
    }

    /// The sender, once it has introduced itself.
    #[must_use]
    pub fn peer(&self) -> Option<ReplicaId> {
        self.receiver.peer()
    }

    /// The sender has sent a message; what it has brought.
    ///
    /// # Errors
    ///
    /// When the stream must end. What was taken before the error stays taken.
    pub fn response(
        &mut self,
        now: Time,
        shards: &impl Shards,
        response: &v1::PullResponse,
    ) -> Result<Received, ReceivingError> {
        let hello = response.hello.as_ref().map(hello_from_wire).transpose()?;
        self.receiver.message(now, hello.as_ref())?;
        let held = held_from_wire(&response.held)?;
        let mut received = Received {
            taken: Vec::new(),
            forks: self.receiver.told(shards, &held)?,
        };
        for part in &response.parts {
            let shard = self.decoder.shard_of(part)?;
            let decoder = &mut self.decoder;
            let whole = shards.with(shard, |it| {
                decoder.decode(part, |name| it.replica_mut().counter(name))
            })?;
            let Some((shard, set)) = whole else {
                continue;
            };
            let spans: Vec<_> = set.iter().map(|it| (it.lane, (it.after, it.to))).collect();
            let outcome = self.receiver.set(shards, shard, set)?;
            let forks = outcome.forks.into_iter();
            received.forks.extend(forks.map(|fork| (shard, fork)));
            for ((lane, span), outcome) in spans.into_iter().zip(outcome.intervals) {
                received.taken.push(Taken {
                    shard,
                    lane,
                    span,
                    outcome,
                });
            }
        }
        if response.ends_all {
            self.receiver.ends_all(now);
        }
        Ok(received)
    }

    /// As [`Receiver::caught_up`].
    #[must_use]
    pub fn caught_up(&mut self) -> Option<(ReplicaId, Time)> {
        self.receiver.caught_up()
    }

    /// Rounds are complete up to this one.
    pub fn completed(&mut self, now: Time, round: Round) {
        self.receiver.completed(now, round);
    }

    /// The next thing to do; `has_room` tells whether the last request has been sent.
    pub fn poll(&mut self, now: Time, shards: &impl Shards, has_room: bool) -> Receiving {
        let effect = self.receiver.poll(now, shards, has_room);
        if let ReceiverEffect::Report(held) = effect {
            return Receiving::Request(v1::PullRequest {
                hello: self.hello.take(),
                held: held_to_wire(&held),
            });
        }
        if let Some(hello) = self.hello.take() {
            // Nothing is held yet, and the stream begins all the same.
            return Receiving::Request(v1::PullRequest {
                hello: Some(hello),
                held: Vec::new(),
            });
        }
        match effect {
            ReceiverEffect::AwaitRound(round) => Receiving::AwaitRound(round),
            ReceiverEffect::Close(error) => Receiving::Close(error),
            ReceiverEffect::Read { until } => Receiving::Read(until),
            ReceiverEffect::Report(_) => unreachable!("returned above"),
        }
    }
}
