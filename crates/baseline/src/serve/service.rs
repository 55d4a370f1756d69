//! `tally.v1.CounterService`, as far as a comparison needs it.
//!
//! Each call is checked here and answered by the register: adds through the contenders, reads by
//! a question of their own. Since all reads see the one register, tokens can be empty: every later
//! read sees what was there before. For the same reason there are no lanes whose age could be told.

use lock_core::Amount;
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use wire::baseline_v1 as pb;
use wire::baseline_v1::register_service_client::RegisterServiceClient;
use wire::v1::counter_service_server::CounterService;
use wire::v1::{
    AddRequest, AddResponse, BatchAddRequest, BatchAddResponse, BatchGetRequest, BatchGetResponse,
    CounterValue, GetRequest, GetResponse, IngestRequest, IngestResponse, ListCountersRequest,
    ListCountersResponse, WatchRequest, WatchResponse,
};

use super::contention::PendingAdd;
use super::fault::Fault;
use crate::transport::{COUNTER_NAME_BYTES_MAX, COUNTERS_PER_CALL_MAX};

/// A page where the caller names no size, as `tally.v1` says.
const PAGE_SIZE_DEFAULT: u32 = 1_000;

/// The service.
pub(super) struct Counters {
    register: RegisterServiceClient<Channel>,
    adds: mpsc::Sender<PendingAdd>,
}

impl Counters {
    pub(super) fn new(
        register: RegisterServiceClient<Channel>,
        adds: mpsc::Sender<PendingAdd>,
    ) -> Self {
        Self { register, adds }
    }

    /// Adds, and waits until it is settled. A caller that gives up drops this future, and with it
    /// the receiver by which the contenders notice.
    async fn count(&self, counter: String, amount: Amount) -> Result<(), Fault> {
        let (answer, settled) = oneshot::channel();
        let add = PendingAdd {
            counter,
            amount,
            answer,
        };
        self.adds.send(add).await.map_err(|_| Fault::Stopping)?;
        settled.await.unwrap_or(Err(Fault::OutcomeUnknown))
    }

    async fn read(&self, counters: Vec<String>) -> Result<Vec<CounterValue>, Fault> {
        let request = pb::ReadRequest {
            counters: counters.clone(),
        };
        let read = self
            .register
            .clone()
            .read(request)
            .await
            .map_err(|status| fault(&status))?;
        let values = read.into_inner().values;
        if values.len() != counters.len() {
            let (asked, got) = (counters.len(), values.len());
            return Err(Fault::Register(format!(
                "asked for {asked} values, got {got}"
            )));
        }
        Ok(counters
            .into_iter()
            .zip(values)
            .map(counter_value)
            .collect())
    }
}

#[tonic::async_trait]
impl CounterService for Counters {
    type IngestStream = tokio_stream::Empty<Result<IngestResponse, Status>>;
    type WatchStream = tokio_stream::Empty<Result<WatchResponse, Status>>;

    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddResponse>, Status> {
        let AddRequest {
            counter,
            amount,
            return_value,
            ..
        } = request.into_inner();
        check_name(&counter)?;
        let amount = Amount::new(amount).ok_or(Fault::AmountZero)?;
        self.count(counter.clone(), amount).await?;
        let counter = if return_value {
            self.read(vec![counter]).await?.pop()
        } else {
            None
        };
        Ok(Response::new(AddResponse {
            counter,
            ..Default::default()
        }))
    }

    /// One counter only: all or none over several would need all their locks at once, and
    /// deadlocks with them. Its items are one add of their sum.
    async fn batch_add(
        &self,
        request: Request<BatchAddRequest>,
    ) -> Result<Response<BatchAddResponse>, Status> {
        let items = request.into_inner().items;
        check_count(items.len())?;
        let counter = items[0].counter.clone();
        let mut sum = 0_i128;
        for item in &items {
            check_name(&item.counter)?;
            let amount = Amount::new(item.amount).ok_or(Fault::AmountZero)?;
            if item.counter != counter {
                return Err(Fault::NotOffered("a batch over several counters").into());
            }
            sum += i128::from(amount.get());
        }
        let sum = i64::try_from(sum).map_err(|_| Fault::ValueOutOfRange)?;
        // A sum of 0 changes nothing, and nothing needs to be asked for it.
        if let Some(amount) = Amount::new(sum) {
            self.count(counter, amount).await?;
        }
        Ok(Response::new(BatchAddResponse::default()))
    }

    async fn ingest(
        &self,
        _: Request<Streaming<IngestRequest>>,
    ) -> Result<Response<Self::IngestStream>, Status> {
        Err(Fault::NotOffered("Ingest, since every add here waits for its turn: use Add").into())
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let GetRequest { counter, token, .. } = request.into_inner();
        check_token(&token)?;
        check_name(&counter)?;
        let counter = self.read(vec![counter]).await?.pop();
        Ok(Response::new(GetResponse {
            counter,
            ..Default::default()
        }))
    }

    async fn batch_get(
        &self,
        request: Request<BatchGetRequest>,
    ) -> Result<Response<BatchGetResponse>, Status> {
        let BatchGetRequest {
            counters, token, ..
        } = request.into_inner();
        check_token(&token)?;
        check_count(counters.len())?;
        counters
            .iter()
            .try_for_each(|counter| check_name(counter))?;
        Ok(Response::new(BatchGetResponse {
            counters: self.read(counters).await?,
            ..Default::default()
        }))
    }

    /// The page token is the last name of the page before.
    async fn list_counters(
        &self,
        request: Request<ListCountersRequest>,
    ) -> Result<Response<ListCountersResponse>, Status> {
        let ListCountersRequest {
            prefix,
            page_size,
            page_token,
            token,
            ..
        } = request.into_inner();
        check_token(&token)?;
        let counters_max = if page_size == 0 {
            PAGE_SIZE_DEFAULT
        } else {
            page_size
        };
        let size = usize::try_from(counters_max).unwrap_or(usize::MAX);
        if size > COUNTERS_PER_CALL_MAX {
            return Err(Fault::PageInvalid { page_size }.into());
        }
        let question = pb::ListRequest {
            prefix,
            after: page_token,
            counters_max,
        };
        let listed = self
            .register
            .clone()
            .list(question)
            .await
            .map_err(|status| fault(&status))?;
        let found = listed.into_inner().counters;
        let last = found.last().filter(|_| found.len() == size);
        let next_page_token = last.map(|counter| counter.name.clone()).unwrap_or_default();
        let counters = found
            .into_iter()
            .map(|it| counter_value((it.name, it.value)))
            .collect();
        Ok(Response::new(ListCountersResponse {
            counters,
            next_page_token,
            ..Default::default()
        }))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Fault::NotOffered("Watch, since it measures nothing here: use Get").into())
    }
}

fn counter_value((counter, value): (String, i64)) -> CounterValue {
    CounterValue {
        counter,
        value,
        clamped: false,
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    match name.len() {
        1..=COUNTER_NAME_BYTES_MAX => Ok(()),
        bytes => Err(Fault::CounterNameInvalid { bytes }),
    }
}

fn check_count(items: usize) -> Result<(), Fault> {
    match items {
        1..=COUNTERS_PER_CALL_MAX => Ok(()),
        items => Err(Fault::BatchTooLarge { items }),
    }
}

fn check_token(token: &[u8]) -> Result<(), Fault> {
    if token.is_empty() {
        Ok(())
    } else {
        Err(Fault::TokenInvalid)
    }
}

/// What a failed question to the register means to our caller.
fn fault(status: &Status) -> Fault {
    if status.code() == Code::Unavailable {
        Fault::RegisterUnreachable
    } else {
        Fault::Register(status.to_string())
    }
}
