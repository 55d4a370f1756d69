//! Messages that are requests of sessions: what becomes of them, and how that is told.

use alloc::vec::Vec;

use crdt_core::{SessionId, Sum};

use super::{Entry, IngestMessage, IngestRequest, IngestRequestError, IngestStream};
use crate::{
    ClusterHash, RequestError, RequestHead, RequestReceipt, RequestRefusal, Round, SessionError,
    SessionToken, SessionsExhausted, ShardIndex, Shards,
};

/// What a client is told at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// All messages up to this one are durable, or were refused.
    pub sequence: u64,
    /// Those among them, and not told before, whose requests had been counted before.
    pub counted_before: Vec<u64>,
    /// The last one was refused. There is one at most: what a refusal has to say can be long.
    pub refused: Option<IngestRefusal>,
}

/// A message that was refused, on a stream that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestRefusal {
    /// The message.
    pub sequence: u64,
    /// Why.
    pub error: IngestRequestError,
    /// Where a part of the request counts: the dictionary indices of its counters, ascending.
    pub counted_counters: Vec<u32>,
}

/// What is to be said of a message.
#[derive(Debug)]
pub(super) enum Note {
    CountedBefore,
    Refused(IngestRequestError, Vec<u32>),
}

/// The session of a stream's last request.
#[derive(Debug)]
pub(super) struct StreamSession {
    cluster: ClusterHash,
    last: Option<SessionId>,
}

impl StreamSession {
    pub(super) fn new(cluster: ClusterHash) -> Self {
        Self {
            cluster,
            last: None,
        }
    }

    fn head(&mut self, request: &IngestRequest<'_>) -> Result<RequestHead, IngestRequestError> {
        let session = match (request.session, self.last) {
            ([], Some(last)) => last,
            ([], None) => return Err(SessionError::Length(0).into()),
            (bytes, _) => SessionToken::parse(bytes, self.cluster)?,
        };
        self.last = Some(session);
        let IngestRequest {
            number,
            answered_below,
            is_moved,
            ..
        } = *request;
        Ok(RequestHead::new(session, number, answered_below, is_moved)?)
    }
}

/// A refused request's error, and the round after which it may be told.
type Refused = (IngestRequestError, Round);

impl IngestStream {
    /// Takes a message that is a request; the round after which its answer may be told.
    pub(super) fn take_request(
        &mut self,
        shards: &impl Shards,
        message: &IngestMessage<'_>,
        request: &IngestRequest<'_>,
        admit: impl Fn(SessionId) -> Result<(), SessionsExhausted>,
    ) -> Round {
        match self.try_request(shards, message, request, admit) {
            Ok(receipt) => {
                self.place_touched(shards);
                if receipt.was_counted {
                    self.notes
                        .push_back((message.sequence, Note::CountedBefore));
                }
                receipt.round
            }
            Err((error, round)) => {
                let mut counters = Vec::new();
                if let IngestRequestError::Request(RequestError::InPart { counted, .. }) = &error {
                    counters = self.counters_in(counted);
                }
                let note = Note::Refused(error, counters);
                self.notes.push_back((message.sequence, note));
                round
            }
        }
    }

    fn try_request(
        &mut self,
        shards: &impl Shards,
        message: &IngestMessage<'_>,
        request: &IngestRequest<'_>,
        admit: impl Fn(SessionId) -> Result<(), SessionsExhausted>,
    ) -> Result<RequestReceipt, Refused> {
        let at_once = |error| (error, Round::NONE);
        let head = self.session.head(request).map_err(at_once)?;
        admit(head.id.session).map_err(|error| at_once(RequestError::from(error).into()))?;
        if let Err(index) = self.count(message) {
            for &index in &self.touched {
                self.sums[index as usize] = Sum::default();
            }
            return Err(at_once(IngestRequestError::Overflow { index }));
        }
        self.collect();
        let counters_max = self.limits.shard_counters_max;
        let taken = self.adds.take_request(shards, &head, counters_max);
        taken.map_err(|RequestRefusal { error, round }| (error.into(), round))
    }

    /// The counters of the message at hand that belong to some shards, which ascend.
    fn counters_in(&self, shards: &[ShardIndex]) -> Vec<u32> {
        let is_in = |index: &u32| {
            let shard = match &self.dictionary[*index as usize] {
                Entry::Placed(place) => place.shard,
                Entry::Named(shard, _) => *shard,
            };
            shards.binary_search(&shard).is_ok()
        };
        let mut counters: Vec<u32> = self.touched.iter().copied().filter(is_in).collect();
        counters.sort_unstable();
        counters
    }

    /// What may be told now.
    pub(super) fn acknowledgement(&mut self) -> Option<Acknowledgement> {
        let mut acknowledgement = None;
        while let Some(&(sequence, round)) = self.unacknowledged.front()
            && round <= self.completed
        {
            self.unacknowledged.pop_front();
            let told = acknowledgement.get_or_insert_with(Acknowledgement::default);
            told.sequence = sequence;
            if self.notes.front().is_some_and(|&(of, _)| of == sequence) {
                match self.notes.pop_front() {
                    Some((_, Note::CountedBefore)) => told.counted_before.push(sequence),
                    Some((_, Note::Refused(error, counted_counters))) => {
                        told.refused = Some(IngestRefusal {
                            sequence,
                            error,
                            counted_counters,
                        });
                        break;
                    }
                    None => {}
                }
            }
        }
        acknowledgement
    }
}

#[cfg(test)]
mod tests;
