//! One ingest stream on the wire: what was sent, what was acknowledged, and how it ended.
//!
//! Knows sequence numbers and the deadline, and nothing of names, dictionaries or windows: those
//! are its owner's.
//!
//! Messages wait in a queue until the connection takes them. When the stream ends, the queue is
//! closed and counted, so what never left this process is known not to have counted, and does not
//! stay in memory for as long as a stuck connection lives.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout_at},
};
use tokio_stream::Stream;
use tonic::{Response, Status, Streaming};
use wire::v1::{IngestRequest, IngestResponse};

use super::Outcome;
use crate::{
    Client, Error,
    attempt::stub,
    error::{Changes, Effect, Unexpected},
    nodes::Node,
};

pub(super) struct Link {
    client: Client,
    /// The node's place in the client's list.
    node: usize,
    /// Until then the node is left alone.
    opens_at: Instant,
    messages: mpsc::Sender<IngestRequest>,
    queue: Queue,
    answers: Answers,
    /// When each message without an acknowledgement was sent, oldest first.
    sent_at: VecDeque<Instant>,
    sent: u64,
    end: Option<End>,
}

/// How a stream ended.
#[derive(Clone, Copy)]
struct End {
    /// What became of the messages that the connection took and the node did not acknowledge.
    changes: Changes,
    /// The connection took the messages up to this one.
    taken: u64,
}

type Opening =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<IngestResponse>>, Status>> + Send>>;

/// A server may answer the call only after the first message, so opening is not waited for.
enum Answers {
    Opening(Opening),
    Open(Box<Streaming<IngestResponse>>),
    /// Nothing is read any more; the stream is cancelled.
    Ended,
}

/// Messages that the connection has not taken yet; the connection reads it as a stream.
#[derive(Clone)]
struct Queue(Arc<Mutex<mpsc::Receiver<IngestRequest>>>);

impl Link {
    /// Starts a stream that opens at a moment. At most `in_flight_max` messages may be without an
    /// acknowledgement: the owner sees to it, and so sending never waits.
    pub(super) fn open(
        client: Client,
        node: usize,
        opens_at: Instant,
        in_flight_max: usize,
    ) -> Self {
        let (messages, receiver) = mpsc::channel(in_flight_max);
        let queue = Queue(Arc::new(Mutex::new(receiver)));
        let (mut stub, requests) = (stub(client.node(node)), queue.clone());
        Self {
            client,
            node,
            opens_at,
            messages,
            queue,
            answers: Answers::Opening(Box::pin(async move { stub.ingest(requests).await })),
            sent_at: VecDeque::new(),
            sent: 0,
            end: None,
        }
    }

    pub(super) fn node(&self) -> &Node {
        self.client.node(self.node)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.sent - self.sent_at.len() as u64
    }

    pub(super) fn in_flight(&self) -> usize {
        self.sent_at.len()
    }

    /// See [`super::Ingest::outcome`].
    pub(super) fn outcome(&self, sequence: u64) -> Outcome {
        match self.end {
            _ if sequence <= self.acknowledged() => Outcome::Acknowledged,
            None => Outcome::Pending,
            Some(End { changes, taken }) => match changes {
                Changes::Unknown if sequence <= taken => Outcome::Indeterminate,
                // A node that refuses acknowledges first what it has applied.
                Changes::Unknown | Changes::None => Outcome::Refused,
            },
        }
    }

    /// Waits until the node may be asked and fewer than `in_flight_max` messages are in flight.
    /// Cancel safe.
    pub(super) async fn ready(&mut self, in_flight_max: usize) -> Result<(), Error> {
        if Instant::now() < self.opens_at {
            sleep_until(self.opens_at.into()).await;
        }
        self.take_answers()?;
        while self.in_flight() >= in_flight_max || self.is_overdue() {
            self.wait_for_answer().await?;
        }
        Ok(())
    }

    /// Hands a message to the connection, and returns its sequence number. The owner has waited
    /// with [`Link::ready`].
    pub(super) fn send(&mut self, message: IngestRequest) -> u64 {
        self.messages
            .try_send(message)
            .expect("the queue holds a window, and stays open until the stream ends");
        self.sent_at.push_back(Instant::now());
        self.sent += 1;
        self.sent
    }

    /// Waits for one step of the stream, no longer than the oldest message in flight may stay
    /// without an acknowledgement. Cancel safe.
    pub(super) async fn wait_for_answer(&mut self) -> Result<(), Error> {
        let due = self.due().expect("a message in flight is waited for");
        let answer = timeout_at(due.into(), poll_fn(|context| self.poll_answer(context))).await;
        answer.unwrap_or_else(|_| {
            let node = &self.node().address;
            let error = Error::deadline(node, "ingest", Effect::Adds, self.deadline());
            Err(self.end(error))
        })
    }

    /// Reads the acknowledgements that have arrived, without waiting.
    fn take_answers(&mut self) -> Result<(), Error> {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(answer) = self.poll_answer(&mut context) {
            answer?;
        }
        Ok(())
    }

    fn deadline(&self) -> Duration {
        self.client.shared.options.deadline
    }

    /// When the oldest message in flight must be acknowledged.
    fn due(&self) -> Option<Instant> {
        self.sent_at
            .front()
            .map(|sent_at| *sent_at + self.deadline())
    }

    fn is_overdue(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Takes one step: the stream opens, or an acknowledgement is read.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let answer = match &mut self.answers {
            Answers::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                Ok(stream) => {
                    self.answers = Answers::Open(Box::new(stream.into_inner()));
                    return Poll::Ready(Ok(()));
                }
                Err(status) => Some(Err(status)),
            },
            Answers::Open(stream) => ready!(Pin::new(stream).poll_next(context)),
            Answers::Ended => {
                let End { changes, .. } = self.end.expect("set when the answers end");
                return Poll::Ready(Err(Error::stream_over(&self.node().address, changes)));
            }
        };
        Poll::Ready(match answer {
            Some(Ok(IngestResponse {
                acknowledged_sequence: sequence,
                ..
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
            let node = &self.node().address;
            let error = Error::unexpected(node, "ingest", Effect::Adds, unexpected);
            return Err(self.end(error));
        }
        while self.acknowledged() < sequence {
            self.sent_at.pop_front();
        }
        self.node().succeeded();
        Ok(())
    }

    fn end_with(&mut self, status: Status) -> Error {
        let node = &self.node().address;
        self.end(Error::from_status(node, "ingest", Effect::Adds, status))
    }

    fn end(&mut self, error: Error) -> Error {
        self.client.failed(self.node, &error);
        let taken = self.sent - self.queue.close();
        // With nothing on its way there is nothing to be in doubt of.
        let changes = if taken <= self.acknowledged() {
            Changes::None
        } else {
            error.changes()
        };
        self.end = Some(End { changes, taken });
        self.answers = Answers::Ended;
        error.with_changes(changes)
    }
}

impl Queue {
    /// Ends the stream of messages; how many the connection has not taken, and never will.
    fn close(&self) -> u64 {
        let mut queue = self.lock();
        queue.close();
        let mut messages = 0;
        while queue.try_recv().is_ok() {
            messages += 1;
        }
        messages
    }

    fn lock(&self) -> MutexGuard<'_, mpsc::Receiver<IngestRequest>> {
        self.0
            .lock()
            .expect("nothing panics while it holds a queue")
    }
}

impl Stream for Queue {
    type Item = IngestRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<IngestRequest>> {
        self.lock().poll_recv(context)
    }
}
