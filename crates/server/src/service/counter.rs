//! `CounterService`: adds and reads.

use std::sync::Arc;
use std::time::Duration;

use crdt_core::{CounterName, Sum};
use tokio::sync::mpsc;
use tokio::time;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::v1::counter_service_server::CounterService;
use wire::v1::{
    AddRequest, AddResponse, BatchAddRequest, BatchAddResponse, BatchGetRequest, BatchGetResponse,
    CounterValue, GetRequest, GetResponse, IngestRequest, IngestResponse, ListCountersRequest,
    ListCountersResponse, WatchRequest, WatchResponse,
};

use super::{NodeCell, ingest, refuse};
use crate::node::token::Token;
use crate::node::{Node, Place, Receipt, Refusing};

/// Items of a batch: what one lock round over the shards takes well below a millisecond for.
const BATCH_ITEMS_MAX: usize = 10_000;

/// Bytes on a page: clients take messages of 4 MiB unless told otherwise.
const PAGE_BYTES_MAX: usize = 2 << 20;

/// Counters on a page: names of usual length stay within [`PAGE_BYTES_MAX`].
const PAGE_SIZE_MAX: u32 = 10_000;

/// Counters on a page where the request does not say.
const PAGE_SIZE_DEFAULT: u32 = 1_000;

/// How long a read waits for its token where the call has no earlier deadline.
const TOKEN_WAIT_MAX: Duration = Duration::from_secs(10);

/// Fastest, default and slowest pace of a watch.
const WATCH_INTERVAL_MS: (u32, u32, u32) = (10, 100, 60_000);

/// Counts.
#[derive(Clone, Debug)]
pub struct CounterServer {
    node: NodeCell,
}

impl CounterServer {
    /// The service of a node.
    #[must_use]
    pub fn new(node: NodeCell) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl CounterService for CounterServer {
    type IngestStream = ReceiverStream<Result<IngestResponse, Status>>;
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddResponse>, Status> {
        let node = self.node.get()?;
        let AddRequest { counter, amount } = request.into_inner();
        let name = parse_name(&counter, || "counter".into())?;
        let amount = parse_amount(amount, || "amount".into())?;
        let token = add_all(node, &[(name, amount)]).await?;
        Ok(Response::new(AddResponse { token }))
    }

    async fn batch_add(
        &self,
        request: Request<BatchAddRequest>,
    ) -> Result<Response<BatchAddResponse>, Status> {
        let node = self.node.get()?;
        let items = request.into_inner().items;
        check_count("items", items.len())?;
        let mut adds = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let name = parse_name(&item.counter, || format!("items[{at}].counter"))?;
            let amount = parse_amount(item.amount, || format!("items[{at}].amount"))?;
            adds.push((name, amount));
        }
        let token = add_all(node, &adds).await?;
        Ok(Response::new(BatchAddResponse { token }))
    }

    async fn ingest(
        &self,
        request: Request<Streaming<IngestRequest>>,
    ) -> Result<Response<Self::IngestStream>, Status> {
        let node = Arc::clone(self.node.get()?);
        node.refusing()
            .map_err(|refusing| refuse::refusing(&refusing))?;
        Ok(Response::new(ingest::spawn(node, request.into_inner())))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let node = self.node.get()?;
        let GetRequest { counter, token } = request.into_inner();
        let name = parse_name(&counter, || "counter".into())?;
        wait_for_token(node, &token, std::slice::from_ref(&name)).await?;
        Ok(Response::new(GetResponse {
            counter: Some(value(node, &name)),
        }))
    }

    async fn batch_get(
        &self,
        request: Request<BatchGetRequest>,
    ) -> Result<Response<BatchGetResponse>, Status> {
        let node = self.node.get()?;
        let BatchGetRequest { counters, token } = request.into_inner();
        check_count("counters", counters.len())?;
        let names = counters
            .iter()
            .enumerate()
            .map(|(at, counter)| parse_name(counter, || format!("counters[{at}]")))
            .collect::<Result<Vec<_>, _>>()?;
        wait_for_token(node, &token, &names).await?;
        let counters = names.iter().map(|name| value(node, name)).collect();
        Ok(Response::new(BatchGetResponse { counters }))
    }

    async fn list_counters(
        &self,
        request: Request<ListCountersRequest>,
    ) -> Result<Response<ListCountersResponse>, Status> {
        let node = self.node.get()?;
        let ListCountersRequest {
            prefix,
            page_size,
            page_token,
        } = request.into_inner();
        let page_size = match page_size {
            0 => PAGE_SIZE_DEFAULT,
            size @ 1..=PAGE_SIZE_MAX => size,
            size => {
                let bound = format!("a page of {size} counters; at most {PAGE_SIZE_MAX} fit one");
                return Err(refuse::field("PAGE_INVALID", "page_size", &bound));
            }
        } as usize;
        for (field, text) in [("prefix", &prefix), ("page_token", &page_token)] {
            if text.len() > CounterName::BYTES_MAX {
                let bound = format!("{} bytes; at most {}", text.len(), CounterName::BYTES_MAX);
                return Err(refuse::field("PAGE_INVALID", field, &bound));
            }
        }
        let after = (!page_token.is_empty()).then_some(page_token.as_str());
        let mut page = node.list(&prefix, after, page_size);
        let fitting = count_fitting(&page);
        let has_more = page.len() == page_size || fitting < page.len();
        page.truncate(fitting);
        let last = page.last().filter(|_| has_more);
        let last = last.map(|(name, _)| name.as_str().to_owned());
        let counters = page
            .into_iter()
            .map(|(name, value)| counter_value(&name, value))
            .collect();
        let next_page_token = last.unwrap_or_default();
        Ok(Response::new(ListCountersResponse {
            counters,
            next_page_token,
        }))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let node = Arc::clone(self.node.get()?);
        let WatchRequest {
            counter,
            interval_ms_min,
            token,
        } = request.into_inner();
        let name = parse_name(&counter, || "counter".into())?;
        let (fastest, default, slowest) = WATCH_INTERVAL_MS;
        let interval_ms = if interval_ms_min == 0 {
            default
        } else {
            interval_ms_min
        };
        if !(fastest..=slowest).contains(&interval_ms) {
            let bound = format!("{interval_ms} ms; between {fastest} and {slowest} are possible");
            return Err(refuse::field("WATCH_INTERVAL", "interval_ms_min", &bound));
        }
        wait_for_token(&node, &token, std::slice::from_ref(&name)).await?;
        Ok(Response::new(watch(
            node,
            name,
            Duration::from_millis(interval_ms.into()),
        )))
    }
}

/// Adds all or none, waits until that is durable, and gives the token.
async fn add_all(node: &Node, adds: &[(CounterName, Sum)]) -> Result<Vec<u8>, Status> {
    let receipt = take_all(node, adds)?;
    node.durable(receipt.round).await;
    Ok(Token::of(node, &receipt).to_bytes())
}

fn take_all(node: &Node, adds: &[(CounterName, Sum)]) -> Result<Receipt, Status> {
    // A node that takes no adds gives no places either.
    node.refusing()
        .map_err(|refusing| refuse::refusing(&refusing))?;
    let mut placed: Vec<(Place, Sum)> = Vec::with_capacity(adds.len());
    for (name, sum) in adds {
        let place = node.place(name).map_err(|refusal| refuse::add(&refusal))?;
        placed.push((place, *sum));
    }
    node.add_all(&mut placed)
        .map_err(|refusal| refuse::add(&refusal))
}

/// Streams a counter's value at a pace, until the client or the node goes.
fn watch(
    node: Arc<Node>,
    name: CounterName,
    interval: Duration,
) -> ReceiverStream<Result<WatchResponse, Status>> {
    let (values, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut completed = node.completed();
        let stopped = node.stopped();
        tokio::pin!(stopped);
        let mut last = None;
        loop {
            let current = value(&node, &name);
            if last.as_ref() != Some(&current) {
                last = Some(current.clone());
                if values
                    .send(Ok(WatchResponse {
                        counter: Some(current),
                    }))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            time::sleep(interval).await;
            tokio::select! {
                changed = completed.changed() => changed.expect("the node outlives its streams"),
                () = values.closed() => return,
                () = &mut stopped => {
                    // The client may be gone already; either way this is the end.
                    let _ = values.send(Err(refuse::refusing(&Refusing::Stopping))).await;
                    return;
                }
            }
        }
    });
    ReceiverStream::new(stream)
}

async fn wait_for_token(node: &Node, token: &[u8], names: &[CounterName]) -> Result<(), Status> {
    if token.is_empty() {
        return Ok(());
    }
    let token =
        Token::parse(token, node.identity().shard_count).map_err(|error| refuse::token(&error))?;
    let mut shards: Vec<_> = names.iter().map(|name| node.shard_of(name)).collect();
    shards.sort_unstable();
    shards.dedup();
    time::timeout(TOKEN_WAIT_MAX, node.covered(&token, &shards))
        .await
        .map_err(|_| refuse::token_not_covered(TOKEN_WAIT_MAX))
}

/// How many counters of a page fit one message; at least one does.
fn count_fitting(page: &[(CounterName, i128)]) -> usize {
    /// A value, a flag, and what protobuf puts around them and the name, at most.
    const OVERHEAD_BYTES: usize = 24;
    let mut bytes = 0;
    page.iter()
        .take_while(|(name, _)| {
            bytes += name.as_str().len() + OVERHEAD_BYTES;
            bytes <= PAGE_BYTES_MAX
        })
        .count()
}

fn value(node: &Node, name: &CounterName) -> CounterValue {
    counter_value(name, node.value(name))
}

/// A sum as the API tells it: clamped to 64 bits, and saying so.
fn counter_value(name: &CounterName, sum: i128) -> CounterValue {
    let clamped = sum.clamp(i64::MIN.into(), i64::MAX.into());
    CounterValue {
        counter: name.as_str().to_owned(),
        value: i64::try_from(clamped).expect("clamped to its range"),
        clamped: clamped != sum,
    }
}

pub(super) fn parse_name(
    name: &str,
    field: impl FnOnce() -> String,
) -> Result<CounterName, Status> {
    CounterName::new(name).map_err(|error| refuse::name(field(), &error))
}

fn parse_amount(amount: i64, field: impl FnOnce() -> String) -> Result<Sum, Status> {
    if amount == 0 {
        Err(refuse::amount_zero(field()))
    } else {
        Ok(Sum::of(amount))
    }
}

fn check_count(field: &str, count: usize) -> Result<(), Status> {
    if (1..=BATCH_ITEMS_MAX).contains(&count) {
        return Ok(());
    }
    let bound = format!("a batch of {count}; between 1 and {BATCH_ITEMS_MAX} are possible");
    Err(refuse::field("BATCH_TOO_LARGE", field, &bound))
}
