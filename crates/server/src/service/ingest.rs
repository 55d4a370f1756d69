//! The ingest stream: millions of adds a second.
//!
//! Every add is its own entry on the wire; here they meet for the first time. A message's entries
//! are counted into one sum for each counter, the sums are taken by the shards all or none, and
//! the message is acknowledged when their round is complete. Reading goes on meanwhile, so one
//! sync serves many messages; how far it may run ahead is bounded.

use std::collections::VecDeque;
use std::sync::Arc;

use crdt_core::{CounterName, Replica, Sum};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use wire::v1::{IngestRequest, IngestResponse};

use super::counter::parse_name;
use super::refuse;
use crate::node::{AddRefusal, Node, Place, Refusing, Round};

/// Names a stream may introduce.
const DICTIONARY_NAMES_MAX: usize = 1 << 20;

/// Entries of a message; one byte each at least, in messages of at most 4 MiB.
const ENTRIES_MAX: usize = 1_000_000;

/// Messages read but not yet acknowledged: enough to keep a disk busy, few enough that a client
/// that reads no acknowledgements costs little. Beyond it the stream is not read.
const UNACKNOWLEDGED_MAX: usize = 1_024;

/// Acknowledgements that wait for the transport; they are cumulative.
const RESPONSES_QUEUED_MAX: usize = 4;

/// Serves a stream in a task of its own.
pub(super) fn spawn(
    node: Arc<Node>,
    requests: Streaming<IngestRequest>,
) -> ReceiverStream<Result<IngestResponse, Status>> {
    let (responses, stream) = mpsc::channel(RESPONSES_QUEUED_MAX);
    tokio::spawn(async move {
        let end = IngestStream::new(node, responses.clone())
            .run(requests)
            .await;
        if let Err(status) = end {
            // The client may be gone already; either way this is the end.
            let _ = responses.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

struct IngestStream {
    node: Arc<Node>,
    responses: mpsc::Sender<Result<IngestResponse, Status>>,
    dictionary: Vec<Place>,
    /// By dictionary index: the sum of the message at hand. All 0 between messages.
    sums: Vec<Sum>,
    /// Indices whose sum is not 0.
    touched: Vec<u32>,
    /// The sums of the message at hand, by place.
    adds: Vec<(Place, Sum)>,
    sequence: u64,
    /// Messages taken and not yet acknowledged, with the round that makes each durable.
    unacknowledged: VecDeque<(u64, Round)>,
}

impl IngestStream {
    fn new(node: Arc<Node>, responses: mpsc::Sender<Result<IngestResponse, Status>>) -> Self {
        Self {
            node,
            responses,
            dictionary: Vec::new(),
            sums: Vec::new(),
            touched: Vec::new(),
            adds: Vec::new(),
            sequence: 0,
            unacknowledged: VecDeque::new(),
        }
    }

    async fn run(mut self, mut requests: Streaming<IngestRequest>) -> Result<(), Status> {
        let mut completed = self.node.completed();
        let stopped = self.node.stopped();
        tokio::pin!(stopped);
        let end = loop {
            let may_read = self.unacknowledged.len() < UNACKNOWLEDGED_MAX;
            tokio::select! {
                changed = completed.changed(), if !self.unacknowledged.is_empty() => {
                    changed.expect("the node outlives its streams");
                    let completed = *completed.borrow_and_update();
                    self.acknowledge(completed).await?;
                }
                request = requests.message(), if may_read => match request {
                    Ok(Some(request)) => if let Err(status) = self.take(&request) {
                        break Err(status);
                    },
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                },
                () = &mut stopped => {
                    break Err(refuse::refusing(&Refusing::Stopping));
                }
            }
        };
        // All earlier messages were taken: they are acknowledged before the stream ends.
        if let Some(&(_, round)) = self.unacknowledged.back() {
            self.node.durable(round).await;
            self.acknowledge(round).await?;
        }
        end
    }

    /// Acknowledges everything that the round has made durable.
    async fn acknowledge(&mut self, completed: Round) -> Result<(), Status> {
        let mut acknowledged_sequence = None;
        while let Some(&(sequence, round)) = self.unacknowledged.front()
            && round <= completed
        {
            acknowledged_sequence = Some(sequence);
            self.unacknowledged.pop_front();
        }
        let Some(acknowledged_sequence) = acknowledged_sequence else {
            return Ok(());
        };
        self.responses
            .send(Ok(IngestResponse {
                acknowledged_sequence,
            }))
            .await
            .map_err(|_| Status::cancelled("the client closed the stream"))
    }

    /// Takes a message, all of it or nothing.
    fn take(&mut self, request: &IngestRequest) -> Result<(), Status> {
        // All that the message alone can be refused for, before a name gets its place.
        self.check(request)?;
        let names = self.check_names(&request.introduced)?;
        Self::check_indices(&request.counters, self.dictionary.len() + names.len())?;
        self.introduce(&names)?;
        let counted = self.count(request);
        let taken = counted.and_then(|()| self.take_sums());
        self.touched.clear();
        self.adds.clear();
        let round = taken?;
        self.sequence = request.sequence;
        self.unacknowledged.push_back((self.sequence, round));
        Ok(())
    }

    fn check(&self, request: &IngestRequest) -> Result<(), Status> {
        let expected = self.sequence + 1;
        if request.sequence != expected {
            let found = request.sequence;
            let message = format!("message {found} came where {expected} was due");
            return Err(refuse::field("SEQUENCE_INVALID", "sequence", &message));
        }
        let (entries, amounts) = (request.counters.len(), request.amounts.len());
        if entries > ENTRIES_MAX {
            let message = format!("{entries} entries; a message may have {ENTRIES_MAX}");
            return Err(refuse::field("BATCH_TOO_LARGE", "counters", &message));
        }
        if amounts != 0 && amounts != entries {
            let message = format!(
                "{amounts} amounts for {entries} counters; give one for each, or none to add 1"
            );
            return Err(refuse::field("AMOUNTS_MISMATCH", "amounts", &message));
        }
        if let Some(at) = request.amounts.iter().position(|&amount| amount == 0) {
            return Err(refuse::amount_zero(format!("amounts[{at}]")));
        }
        Ok(())
    }

    /// Parses the names that a message introduces.
    fn check_names(&self, introduced: &[String]) -> Result<Vec<CounterName>, Status> {
        if self.dictionary.len() + introduced.len() > DICTIONARY_NAMES_MAX {
            return Err(refuse::dictionary_full(DICTIONARY_NAMES_MAX));
        }
        let parse = |(at, name): (usize, &String)| parse_name(name, || format!("introduced[{at}]"));
        introduced.iter().enumerate().map(parse).collect()
    }

    /// Adds names to the dictionary.
    fn introduce(&mut self, names: &[CounterName]) -> Result<(), Status> {
        for name in names {
            let place = self
                .node
                .place(name)
                .map_err(|refusal| refuse::add(&refusal))?;
            self.dictionary.push(place);
        }
        self.sums.resize(self.dictionary.len(), Sum::default());
        Ok(())
    }

    /// Checks that a dictionary of so many names has all the indices.
    fn check_indices(counters: &[u32], names: usize) -> Result<(), Status> {
        // The common case is one pass without a branch.
        if counters
            .iter()
            .max()
            .is_none_or(|&max| (max as usize) < names)
        {
            return Ok(());
        }
        let outside = |&index: &u32| index as usize >= names;
        let at = counters
            .iter()
            .position(outside)
            .expect("the largest one is outside");
        let message = format!(
            "index {} was not introduced; the stream has introduced {names} names, numbered from 0",
            counters[at]
        );
        Err(refuse::field(
            "DICTIONARY_INDEX",
            format!("counters[{at}]"),
            &message,
        ))
    }

    /// Adds the entries up, by counter, into `adds`.
    fn count(&mut self, request: &IngestRequest) -> Result<(), Status> {
        let Self { sums, touched, .. } = self;
        let mut overflow = None;
        if request.amounts.is_empty() {
            for &index in &request.counters {
                let sum = &mut sums[index as usize];
                if *sum == Sum::default() {
                    touched.push(index);
                }
                // A million ones do not overflow.
                sum.incremented += 1;
            }
        } else {
            for (&index, &amount) in request.counters.iter().zip(&request.amounts) {
                let sum = &mut sums[index as usize];
                if *sum == Sum::default() {
                    touched.push(index);
                }
                match sum.checked_add(Sum::of(amount)) {
                    Some(total) => *sum = total,
                    None => overflow = Some(index),
                }
            }
        }
        for &index in &self.touched {
            let sum = std::mem::take(&mut self.sums[index as usize]);
            self.adds.push((self.dictionary[index as usize], sum));
        }
        let Some(index) = overflow else {
            return Ok(());
        };
        let Place { shard, counter } = self.dictionary[index as usize];
        let name = |replica: &mut Replica| replica.name(counter).clone();
        let counter = self.node.with_shard(shard, name);
        Err(refuse::add(&AddRefusal::BatchOverflow { counter }))
    }

    /// Gives the sums to the shards; the round that makes them durable.
    fn take_sums(&mut self) -> Result<Round, Status> {
        let receipt = self
            .node
            .add_all(&mut self.adds)
            .map_err(|refusal| refuse::add(&refusal))?;
        Ok(receipt.round)
    }
}
