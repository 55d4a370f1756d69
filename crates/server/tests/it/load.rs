//! Load from writers that know what became of every add, and readers that watch for values that
//! fall.
//!
//! The oracle is Maelstrom's for a counter: at rest, a value is everything acknowledged and some
//! of what ended without an answer (guarantees `conservation`, `no_phantom`, `durability`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tally_client::{Client, Error, Ingest, IngestOptions, Options, Outcome};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::node::{Node, Values, soon};

/// Counters that are added to: few, so that all writers meet in each of them.
const COUNTERS: usize = 8;

/// Entries of a message for each counter.
const ENTRIES: usize = 5;

/// Messages of a stream, after which a new one is opened.
const MESSAGES_MAX: usize = 500;

/// Between two tries of a writer whose node is away, and between two looks of a reader.
const PAUSE: Duration = Duration::from_millis(20);

/// What became of the adds to one counter.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    acknowledged: i64,
    indeterminate: i64,
}

/// What became of all adds, by counter.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<String, Account>);

impl Ledger {
    fn note(&mut self, counter: String, amount: i64, outcome: Outcome) {
        let account = self.0.entry(counter).or_default();
        match outcome {
            Outcome::Acknowledged => account.acknowledged += amount,
            Outcome::Indeterminate => account.indeterminate += amount,
            Outcome::Refused => {}
            Outcome::InPart => panic!("every add of this load is small, so none can be refused"),
            Outcome::Pending => panic!("a stream that has ended leaves nothing open"),
        }
    }

    fn merge(&mut self, other: Self) {
        for (counter, account) in other.0 {
            let total = self.0.entry(counter).or_default();
            total.acknowledged += account.acknowledged;
            total.indeterminate += account.indeterminate;
        }
    }

    /// Checks every value against what became of the adds.
    pub(crate) fn check(&self, values: &Values) {
        assert_eq!(self.0.len(), COUNTERS, "the load reached every counter");
        for (counter, account) in &self.0 {
            let Account {
                acknowledged,
                indeterminate,
            } = *account;
            assert!(acknowledged > 0, "{counter} was never acknowledged");
            let value = values.get(counter).copied().unwrap_or(0);
            assert!(
                (acknowledged..=acknowledged + indeterminate).contains(&value),
                "{counter} is {value}: {account:?}"
            );
        }
        let known = |counter| self.0.contains_key(counter);
        assert!(values.keys().all(known), "a counter that nobody added to");
    }
}

/// A load that is running: on each node a stream, a caller of single adds, and a reader.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Ledger>>,
    readers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts it.
    pub(crate) fn start(nodes: &[Node]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for node in nodes {
            let client = client_of(node);
            writers.push(tokio::spawn(add_one_by_one(client.clone(), stop.clone())));
            writers.push(tokio::spawn(ingest(client.clone(), stop.clone())));
            readers.push(tokio::spawn(values_never_fall(client, stop.clone())));
        }
        Self {
            stop,
            writers,
            readers,
        }
    }

    /// Ends it; what became of all adds.
    pub(crate) async fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::default();
        for writer in self.writers {
            ledger.merge(soon("a writer ends", writer).await.expect("no panic"));
        }
        for reader in self.readers {
            soon("a reader ends", reader).await.expect("no panic");
        }
        ledger
    }
}

/// A client of one node alone, so that what it says of an add is what became of it there.
fn client_of(node: &Node) -> Client {
    let options = Options {
        deadline: Duration::from_secs(5),
        backoff_max: Duration::from_millis(100),
        ..Options::default()
    };
    Client::connect([&node.address], options).expect("a client")
}

fn name(counter: usize) -> String {
    format!("load/{counter}")
}

async fn add_one_by_one(client: Client, stop: Arc<AtomicBool>) -> Ledger {
    let mut ledger = Ledger::default();
    for at in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (counter, amount) = (name(at % COUNTERS), if at % 2 == 0 { 1 } else { 1_000 });
        let outcome = match client.add(&counter, amount).await {
            Ok(_) => Outcome::Acknowledged,
            Err(error) if error.is_indeterminate() => Outcome::Indeterminate,
            Err(_) => Outcome::Refused,
        };
        ledger.note(counter, amount, outcome);
        if outcome != Outcome::Acknowledged {
            sleep(PAUSE).await;
        }
    }
    ledger
}

async fn ingest(client: Client, stop: Arc<AtomicBool>) -> Ledger {
    let mut ledger = Ledger::default();
    while !stop.load(Ordering::Relaxed) {
        let options = IngestOptions::default();
        let mut stream = client.ingest(&options).expect("valid options");
        let mut sent = Vec::new();
        // Why a stream ended does not matter; what became of its messages does.
        let _ = send_messages(&mut stream, &mut sent, &stop).await;
        for sequence in sent {
            for counter in 0..COUNTERS {
                let amount = i64::try_from(ENTRIES).expect("small");
                ledger.note(name(counter), amount, stream.outcome(sequence));
            }
        }
        sleep(PAUSE).await;
    }
    ledger
}

/// Sends messages that all add the same; their numbers go to `sent`.
async fn send_messages(
    stream: &mut Ingest,
    sent: &mut Vec<u64>,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut entries = Vec::new();
    for counter in 0..COUNTERS {
        let index = stream.register(&name(counter))?;
        entries.extend([index; ENTRIES]);
    }
    while !stop.load(Ordering::Relaxed) && sent.len() < MESSAGES_MAX {
        sent.push(stream.send(entries.clone()).await?);
    }
    stream.flush().await
}

/// Reads one node: all amounts are positive, so no value may fall, not even over a crash
/// (guarantee `monotonic_reads`).
async fn values_never_fall(client: Client, stop: Arc<AtomicBool>) {
    let mut last = [0; COUNTERS];
    while !stop.load(Ordering::Relaxed) {
        if let Ok(values) = client.batch_get((0..COUNTERS).map(name)).await {
            for (last, read) in last.iter_mut().zip(values) {
                assert!(read.value >= *last, "{read:?} after {last}");
                *last = read.value;
            }
        }
        sleep(PAUSE).await;
    }
}
