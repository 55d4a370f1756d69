//! One ingest stream on the wire: what was sent, what was acknowledged, and how it ended.
//!
//! Knows the stream's own sequence numbers and how long an acknowledgement may take, and nothing of names,
//! windows, sessions or other streams: those are its owner's.
//!
//! Messages wait in a queue until the connection takes them. When the stream ends, the queue is
//! closed and counted, so what never left this process is known not to have counted, and does not
//! stay in memory for as long as a stuck connection lives.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout_at};
use tokio_stream::Stream;
use tonic::{Response, Status, Streaming};
use wire::v1::{IngestRefusal, IngestRequest, IngestResponse};

use crate::{
    Error,
    attempt::stub,
    error::{Effect, Unexpected},
    nodes::Node,
};

pub(super) struct Link {
    node: String,
    messages: mpsc::UnboundedSender<IngestRequest>,
    queue: Queue,
    answers: Answers,
    /// How long a message may stay without an acknowledgement.
    patience: Duration,
    /// When each message without an acknowledgement was sent, oldest first.
    sent_at: VecDeque<Instant>,
    sent: u64,
    /// Refused messages that the owner has not taken note of.
    refused: Vec<IngestRefusal>,
}

/// A stream that has ended.
pub(super) struct Ended {
    /// The connection took the messages up to this one.
    taken: u64,
}

type Opening =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<IngestResponse>>, Status>> + Send>>;

/// A server may answer the call only after the first message, so opening is not waited for.
enum Answers {
    Opening(Opening),
    Open(Box<Streaming<IngestResponse>>),
}

/// Messages that the connection has not taken yet; the connection reads it as a stream.
#[derive(Clone)]
struct Queue(Arc<Mutex<mpsc::UnboundedReceiver<IngestRequest>>>);

impl Link {
    /// Starts a stream. How many messages may be without an acknowledgement is for the owner to see to:
    /// sending never waits.
    pub(super) fn open(node: &Node, patience: Duration) -> Self {
        let (messages, receiver) = mpsc::unbounded_channel();
        let queue = Queue(Arc::new(Mutex::new(receiver)));
        let (mut stub, requests) = (stub(node), queue.clone());
        Self {
            node: node.address.clone(),
            messages,
            queue,
            answers: Answers::Opening(Box::pin(async move { stub.ingest(requests).await })),
            patience,
            sent_at: VecDeque::new(),
            sent: 0,
            refused: Vec::new(),
        }
    }

    /// Messages up to this one were acknowledged, those that were refused among them.
    pub(super) fn acknowledged(&self) -> u64 {
        self.sent - self.sent_at.len() as u64
    }

    /// The refusals that came since this was asked last.
    pub(super) fn take_refused(&mut self) -> Vec<IngestRefusal> {
        mem::take(&mut self.refused)
    }

    /// Hands a message to the connection; its sequence number in this stream.
    pub(super) fn send(&mut self, mut message: IngestRequest) -> u64 {
        self.sent += 1;
        message.sequence = self.sent;
        self.messages
            .send(message)
            .expect("the queue stays open until the stream ends");
        self.sent_at.push_back(Instant::now());
        self.sent
    }

    /// When the oldest message in flight must be acknowledged.
    pub(super) fn due(&self) -> Option<Instant> {
        self.sent_at.front().map(|sent_at| *sent_at + self.patience)
    }

    /// Waits for one step of the stream: it opens, or acknowledges. Cancel safe.
    ///
    /// # Errors
    /// The stream is over.
    pub(super) async fn wait_for_answer(&mut self) -> Result<(), Error> {
        let due = self.due().expect("a message in flight is waited for");
        let answer = timeout_at(due.into(), poll_fn(|context| self.poll_answer(context))).await;
        answer.unwrap_or_else(|_| Err(self.late()))
    }

    /// The error of a message that was not acknowledged in time.
    pub(super) fn late(&self) -> Error {
        Error::deadline(&self.node, "ingest", Effect::Adds, self.patience)
    }

    /// Reads the acknowledgements that have arrived, without waiting.
    ///
    /// # Errors
    /// The stream is over.
    pub(super) fn take_answers(&mut self) -> Result<(), Error> {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(answer) = self.poll_answer(&mut context) {
            answer?;
        }
        Ok(())
    }

    /// Ends the stream: nothing more of it leaves this process.
    pub(super) fn end(self) -> Ended {
        let taken = self.sent - self.queue.close();
        Ended { taken }
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
        };
        Poll::Ready(match answer {
            Some(Ok(answer)) => self.acknowledge(answer),
            Some(Err(status)) => Err(self.failed(status)),
            None => Err(self.failed(Status::unavailable("the node ended the stream"))),
        })
    }

    fn acknowledge(&mut self, answer: IngestResponse) -> Result<(), Error> {
        let sequence = answer.acknowledged_sequence;
        let refused = answer.refused.iter().map(|refused| refused.sequence);
        let highest = refused.max().unwrap_or(0).max(sequence);
        if highest > self.sent {
            let unexpected = Unexpected {
                expected: format!("an acknowledgement of at most {}", self.sent),
                found: highest.to_string(),
            };
            let node = &self.node;
            return Err(Error::unexpected(node, "ingest", Effect::Adds, unexpected));
        }
        while self.acknowledged() < sequence {
            self.sent_at.pop_front();
        }
        self.refused.extend(answer.refused);
        Ok(())
    }

    fn failed(&self, status: Status) -> Error {
        Error::from_status(&self.node, "ingest", Effect::Adds, status)
    }
}

impl Ended {
    /// Whether a message may have left this process.
    pub(super) fn took(&self, sequence: u64) -> bool {
        sequence <= self.taken
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

    fn lock(&self) -> MutexGuard<'_, mpsc::UnboundedReceiver<IngestRequest>> {
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
