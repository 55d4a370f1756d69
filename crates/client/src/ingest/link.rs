//! One ingest stream on the wire: what was sent, what was acknowledged, and how it ended.
//!
//! Knows sequence numbers, and nothing of names, dictionaries or windows: those are its owner's.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Poll, ready},
};

use tokio::sync::mpsc;
use tokio_stream::{Stream as _, wrappers::ReceiverStream};
use tonic::{Response, Status, Streaming};
use wire::v1::{IngestRequest, IngestResponse};

use super::Outcome;
use crate::{
    Client, Error,
    call::stub,
    error::{Changes, Effect, Unexpected},
    nodes::Node,
};

pub(super) struct Link {
    client: Client,
    /// The node's place in the client's list.
    node: usize,
    messages: mpsc::Sender<IngestRequest>,
    answers: Answers,
    sent: u64,
    acknowledged: u64,
    ended: Option<Changes>,
}

type Opening =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<IngestResponse>>, Status>> + Send>>;

/// A server may answer the call only after the first message, so opening is not waited for.
enum Answers {
    Opening(Opening),
    Open(Box<Streaming<IngestResponse>>),
}

impl Link {
    /// Starts a stream. At most `in_flight_max` messages may be on their way: the owner sees to
    /// it, and so sending never waits.
    pub(super) fn open(client: Client, node: usize, in_flight_max: usize) -> Self {
        let (messages, receiver) = mpsc::channel(in_flight_max);
        let mut stub = stub(client.node(node));
        let opening = Box::pin(async move { stub.ingest(ReceiverStream::new(receiver)).await });
        Self {
            client,
            node,
            messages,
            answers: Answers::Opening(opening),
            sent: 0,
            acknowledged: 0,
            ended: None,
        }
    }

    pub(super) fn node(&self) -> &Node {
        self.client.node(self.node)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn in_flight(&self) -> usize {
        usize::try_from(self.sent - self.acknowledged).expect("the owner's window is a usize")
    }

    /// See [`super::Ingest::outcome`].
    pub(super) fn outcome(&self, sequence: u64) -> Outcome {
        match self.ended {
            _ if sequence <= self.acknowledged => Outcome::Acknowledged,
            None => Outcome::Pending,
            Some(_) if sequence > self.sent => Outcome::Refused,
            // A node that refuses acknowledges first what it has applied.
            Some(Changes::None) => Outcome::Refused,
            Some(Changes::Unknown) => Outcome::Indeterminate,
        }
    }

    /// Hands a message to the connection, and returns its sequence number. Waits only when the
    /// stream has ended, to learn why and what was acknowledged before.
    pub(super) async fn send(&mut self, message: IngestRequest) -> Result<u64, Error> {
        match self.messages.try_send(message) {
            Ok(()) => {
                self.sent += 1;
                Ok(self.sent)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => loop {
                self.wait_for_answer().await?;
            },
            Err(mpsc::error::TrySendError::Full(_)) => {
                unreachable!("the channel holds a window, and the owner keeps to its window")
            }
        }
    }

    /// Reads the acknowledgements that have arrived, without waiting.
    pub(super) fn take_answers(&mut self) -> Result<(), Error> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(answer) = self.poll_answer(&mut context) {
            answer?;
        }
        Ok(())
    }

    /// Waits for one step of the stream. Cancel safe.
    pub(super) async fn wait_for_answer(&mut self) -> Result<(), Error> {
        poll_fn(|context| self.poll_answer(context)).await
    }

    /// Takes one step: the stream opens, or an acknowledgement is read.
    fn poll_answer(&mut self, context: &mut std::task::Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(changes) = self.ended {
            return Poll::Ready(Err(Error::stream_over(&self.node().address, changes)));
        }
        let answer = match &mut self.answers {
            Answers::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok(stream) => {
                    self.answers = Answers::Open(Box::new(stream.into_inner()));
                    return Poll::Ready(Ok(()));
                }
                Err(status) => Some(Err(status)),
            },
            Answers::Open(stream) => ready!(Pin::new(stream).poll_next(context)),
        };
        Poll::Ready(match answer {
            Some(Ok(IngestResponse {
                acknowledged_sequence: sequence,
            })) => self.acknowledge(sequence),
            Some(Err(status)) => Err(self.end_with(status)),
            None => Err(self.end_with(Status::unavailable("the node ended the stream"))),
        })
    }

    fn acknowledge(&mut self, sequence: u64) -> Result<(), Error> {
        if sequence > self.sent {
            let unexpected = Unexpected {
                expected: format!("an acknowledgement of at most {}", self.sent),
                found: sequence.to_string(),
            };
            let error = Error::unexpected(&self.node().address, "ingest", Effect::Adds, unexpected);
            return Err(self.end(error));
        }
        self.acknowledged = self.acknowledged.max(sequence);
        self.node().succeeded();
        Ok(())
    }

    fn end_with(&mut self, status: Status) -> Error {
        self.end(Error::from_status(
            &self.node().address,
            "ingest",
            Effect::Adds,
            status,
        ))
    }

    fn end(&mut self, error: Error) -> Error {
        self.client.failed(self.node, &error);
        // With nothing on its way there is nothing to be in doubt of.
        let changes = if self.in_flight() == 0 {
            Changes::None
        } else {
            error.changes()
        };
        self.ended = Some(changes);
        error.with_changes(changes)
    }
}
