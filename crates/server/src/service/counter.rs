//! `CounterService`: adds and reads.

use std::sync::Arc;
use std::time::Duration;

use crdt_core::{CounterName, Sum};
use protocol::{Adds, NotWritable, ReadEffect, ReadWait, Receipt, Token};
use tokio::time::sleep_until;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::v1::counter_service_server::CounterService;
use wire::v1::{
    AddRequest, AddResponse, BatchAddRequest, BatchAddResponse, BatchGetRequest, BatchGetResponse,
    GetRequest, GetResponse, IngestRequest, IngestResponse, ListCountersRequest,
    ListCountersResponse, WatchRequest, WatchResponse,
};

use super::deadline::token_wait;
use super::limits::{
    BATCH_ITEMS_MAX, PAGE_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, WATCH_INTERVAL_MS_DEFAULT,
    WATCH_INTERVAL_MS_MAX, WATCH_INTERVAL_MS_MIN,
};
use super::status::{self, Field};
use super::value::{counter_value, value};
use super::{NodeCell, ingest, watch};
use crate::node::Node;

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
        let name = parse_name(&counter, Field::new("counter"))?;
        let amount = parse_amount(amount, Field::new("amount"))?;
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
            let name = parse_name(&item.counter, Field::of_entry("items", at, "counter"))?;
            let amount = parse_amount(item.amount, Field::of_entry("items", at, "amount"))?;
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
        node.ensure_writable()
            .map_err(|error| status::not_writable(&error))?;
        Ok(Response::new(ingest::spawn(node, request.into_inner())))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let node = self.node.get()?;
        let wait = token_wait(request.metadata());
        let GetRequest { counter, token } = request.into_inner();
        let name = parse_name(&counter, Field::new("counter"))?;
        wait_for_token(node, &token, std::slice::from_ref(&name), wait).await?;
        Ok(Response::new(GetResponse {
            counter: Some(value(node, &name)),
        }))
    }

    async fn batch_get(
        &self,
        request: Request<BatchGetRequest>,
    ) -> Result<Response<BatchGetResponse>, Status> {
        let node = self.node.get()?;
        let wait = token_wait(request.metadata());
        let BatchGetRequest { counters, token } = request.into_inner();
        check_count("counters", counters.len())?;
        let names = counters
            .iter()
            .enumerate()
            .map(|(at, counter)| parse_name(counter, Field::entry("counters", at)))
            .collect::<Result<Vec<_>, _>>()?;
        wait_for_token(node, &token, &names, wait).await?;
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
                let bound = PAGE_SIZE_MAX as usize;
                return Err(status::page("page_size", size as usize, bound, "counters"));
            }
        } as usize;
        for (field, text) in [("prefix", &prefix), ("page_token", &page_token)] {
            if text.len() > CounterName::BYTES_MAX {
                let bound = CounterName::BYTES_MAX;
                return Err(status::page(field, text.len(), bound, "bytes"));
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
        let wait = token_wait(request.metadata());
        let WatchRequest {
            counter,
            interval_ms_min,
            token,
        } = request.into_inner();
        let name = parse_name(&counter, Field::new("counter"))?;
        let interval_ms = match interval_ms_min {
            0 => WATCH_INTERVAL_MS_DEFAULT,
            ms @ WATCH_INTERVAL_MS_MIN..=WATCH_INTERVAL_MS_MAX => ms,
            ms => {
                let bounds = (WATCH_INTERVAL_MS_MIN, WATCH_INTERVAL_MS_MAX);
                return Err(status::watch_interval(ms, bounds));
            }
        };
        wait_for_token(&node, &token, std::slice::from_ref(&name), wait).await?;
        let interval = Duration::from_millis(interval_ms.into());
        Ok(Response::new(watch::spawn(node, name, interval)))
    }
}

/// Adds all or none, waits until that is durable, and gives the token.
async fn add_all(node: &Node, adds: &[(CounterName, Sum)]) -> Result<Vec<u8>, Status> {
    let receipt = take_all(node, adds)?;
    node.durable(receipt.round).await;
    Ok(node.token(&receipt).to_bytes())
}

fn take_all(node: &Node, adds: &[(CounterName, Sum)]) -> Result<Receipt, Status> {
    let mut taken = Adds::default();
    for (name, sum) in adds {
        taken.add_named(node.shard_of(name), name.clone(), *sum);
    }
    node.take(&mut taken).map_err(|error| {
        let index = |counter: &CounterName| adds.iter().position(|(name, _)| name == counter);
        status::take(&error, |counter| index(counter).filter(|_| adds.len() > 1))
    })
}

/// Waits for so long at most until the node covers the token, for these counters.
async fn wait_for_token(
    node: &Node,
    token: &[u8],
    names: &[CounterName],
    wait: Duration,
) -> Result<(), Status> {
    if token.is_empty() {
        return Ok(());
    }
    let identity = node.identity();
    let token = Token::parse(token, identity.cluster_hash(), identity.shard_count)
        .map_err(|error| status::token(&error))?;
    let shards = names.iter().map(|name| node.shard_of(name)).collect();
    let clock = node.clock();
    let mut completed = node.completed();
    let stopped = node.stopped();
    tokio::pin!(stopped);
    let mut read = ReadWait::new(token, shards, clock.now(), wait);
    loop {
        match read.poll(clock.now(), node) {
            ReadEffect::Answer => return Ok(()),
            ReadEffect::Fail(error) => return Err(status::read(&error)),
            ReadEffect::Wait { until } => tokio::select! {
                changed = completed.changed() => changed.expect("the node outlives its calls"),
                () = sleep_until(clock.instant(until)) => {}
                () = &mut stopped => return Err(status::not_writable(&NotWritable::Stopping)),
            },
        }
    }
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

fn parse_name(name: &str, at: Field) -> Result<CounterName, Status> {
    CounterName::new(name).map_err(|error| status::name(at, &error))
}

fn parse_amount(amount: i64, at: Field) -> Result<Sum, Status> {
    if amount == 0 {
        Err(status::amount_zero(at))
    } else {
        Ok(Sum::of(amount))
    }
}

fn check_count(field: &'static str, count: usize) -> Result<(), Status> {
    if (1..=BATCH_ITEMS_MAX).contains(&count) {
        Ok(())
    } else {
        Err(status::batch(field, count))
    }
}
