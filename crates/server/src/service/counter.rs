//! `CounterService`: adds and reads.

use std::sync::Arc;

use crdt_core::{CounterName, Sum};
use protocol::{Adds, Receipt, RequestReceipt, ShardIndex, Shards as _};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::v1::counter_service_server::CounterService;
use wire::v1::{
    AddRequest, AddResponse, BatchAddRequest, BatchAddResponse, BatchGetRequest, BatchGetResponse,
    GetRequest, GetResponse, IngestRequest, IngestResponse, ListCountersRequest,
    ListCountersResponse, RequestHead, WatchRequest, WatchResponse,
};

use super::deadline::token_wait;
use super::list::{self, Page};
use super::parse::{check_count, parse_amount, parse_name, parse_names};
use super::session::parse_request;
use super::status::{self, Field};
use super::token::wait_for_token;
use super::value::{counter_value, lane_ages};
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
        let AddRequest {
            counter,
            amount,
            return_value,
            request,
        } = request.into_inner();
        let name = parse_name(&counter, Field::new("counter"))?;
        let amount = parse_amount(amount, Field::new("amount"))?;
        let adds = [(name, amount)];
        let promise = add_all(node, &adds, request.as_ref()).await?;
        let was_counted = promise.was_counted();
        if !return_value {
            return Ok(Response::new(AddResponse {
                token: promise.token(node),
                counter: None,
                was_counted,
            }));
        }
        let [(name, _)] = adds;
        let (values, reading) = node.read(std::slice::from_ref(&name));
        Ok(Response::new(AddResponse {
            // What was read has the add in it, and so has its token.
            token: node.token_of(&reading).to_bytes(),
            counter: values.first().map(|&value| counter_value(&name, value)),
            was_counted,
        }))
    }

    async fn batch_add(
        &self,
        request: Request<BatchAddRequest>,
    ) -> Result<Response<BatchAddResponse>, Status> {
        let node = self.node.get()?;
        let BatchAddRequest { items, request } = request.into_inner();
        check_count("items", items.len())?;
        let mut adds = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let name = parse_name(&item.counter, Field::of_entry("items", at, "counter"))?;
            let amount = parse_amount(item.amount, Field::of_entry("items", at, "amount"))?;
            adds.push((name, amount));
        }
        let promise = add_all(node, &adds, request.as_ref()).await?;
        Ok(Response::new(BatchAddResponse {
            token: promise.token(node),
            was_counted: promise.was_counted(),
        }))
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
        let GetRequest {
            counter,
            token,
            return_lane_ages,
        } = request.into_inner();
        let name = parse_name(&counter, Field::new("counter"))?;
        wait_for_token(node, &token, [node.shard_of(&name)], wait).await?;
        let (values, reading) = node.read(std::slice::from_ref(&name));
        Ok(Response::new(GetResponse {
            counter: values.first().map(|&value| counter_value(&name, value)),
            token: node.token_of(&reading).to_bytes(),
            lane_ages: lane_ages(node, &reading, return_lane_ages),
        }))
    }

    async fn batch_get(
        &self,
        request: Request<BatchGetRequest>,
    ) -> Result<Response<BatchGetResponse>, Status> {
        let node = self.node.get()?;
        let wait = token_wait(request.metadata());
        let BatchGetRequest {
            counters,
            token,
            return_lane_ages,
        } = request.into_inner();
        let names = parse_names(&counters)?;
        wait_for_token(node, &token, shards_of(node, &names), wait).await?;
        let (values, reading) = node.read(&names);
        let pairs = names.iter().zip(values);
        Ok(Response::new(BatchGetResponse {
            counters: pairs.map(|(name, sum)| counter_value(name, sum)).collect(),
            token: node.token_of(&reading).to_bytes(),
            lane_ages: lane_ages(node, &reading, return_lane_ages),
        }))
    }

    async fn list_counters(
        &self,
        request: Request<ListCountersRequest>,
    ) -> Result<Response<ListCountersResponse>, Status> {
        let node = self.node.get()?;
        let wait = token_wait(request.metadata());
        let request = request.into_inner();
        let page = Page::parse(&request)?;
        // Whichever shard has counters of the page.
        wait_for_token(node, &request.token, node.indices(), wait).await?;
        Ok(Response::new(list::read(node, &page)))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let node = Arc::clone(self.node.get()?);
        let wait = token_wait(request.metadata());
        let request = request.into_inner();
        let served = watch::Served::new(&node, &request)?;
        wait_for_token(&node, &request.token, served.shards(&node), wait).await?;
        Ok(Response::new(served.spawn(node)?))
    }
}

/// What adds have become, which is durable.
enum Promise {
    Adds(Receipt),
    Request(RequestReceipt),
}

impl Promise {
    fn token(&self, node: &Node) -> Vec<u8> {
        match self {
            Self::Adds(receipt) => node.token(receipt),
            Self::Request(receipt) => node.request_token(receipt),
        }
        .to_bytes()
    }

    fn was_counted(&self) -> bool {
        match self {
            Self::Adds(_) => false,
            Self::Request(receipt) => receipt.was_counted,
        }
    }
}

/// Adds all or none, or all as one request, and waits until that is durable.
async fn add_all(
    node: &Node,
    adds: &[(CounterName, Sum)],
    request: Option<&RequestHead>,
) -> Result<Promise, Status> {
    let head = parse_request(node, request)?;
    let mut taken = Adds::default();
    for (name, sum) in adds {
        taken.add_named(node.shard_of(name), name.clone(), *sum);
    }
    let index = |counter: &CounterName| {
        let index = adds.iter().position(|(name, _)| name == counter);
        index.filter(|_| adds.len() > 1)
    };
    let Some(head) = head else {
        let taken = node.take(&mut taken);
        let receipt = taken.map_err(|error| status::take(&error, index))?;
        node.durable(receipt.round).await;
        return Ok(Promise::Adds(receipt));
    };
    let taken = node.take_request(&mut taken, &head);
    let round = match &taken {
        Ok(receipt) => receipt.round,
        Err(refusal) => refusal.round,
    };
    node.durable(round).await;
    let counted = |shards: &[ShardIndex]| {
        let counts = |(name, _): &(CounterName, Sum)| shards.contains(&node.shard_of(name));
        adds.iter().map(counts).collect()
    };
    taken
        .map(Promise::Request)
        .map_err(|refusal| status::request(&refusal.error, node, index, counted))
}

fn shards_of(node: &Node, names: &[CounterName]) -> impl Iterator<Item = ShardIndex> {
    names.iter().map(|name| node.shard_of(name))
}
