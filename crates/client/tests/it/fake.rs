//! A small `CounterService` in memory, which fails when and how a test demands it.
//!
//! It knows nothing of lanes, disks or peers: it is what a client needs to be tested against,
//! and a sink for measuring the load generator (`examples/sink.rs`).

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};
use wire::v1::{
    AddRequest, AddResponse, BatchAddRequest, BatchAddResponse, BatchGetRequest, BatchGetResponse,
    CounterValue, GetRequest, GetResponse, IngestRequest, IngestResponse, LaneAge,
    ListCountersRequest, ListCountersResponse, WatchRequest, WatchResponse,
    counter_service_server::{CounterService, CounterServiceServer},
};

/// What happens to one call, instead of what should.
#[derive(Debug)]
pub enum Fault {
    /// Fails with this status and changes nothing.
    Refuse(Status),
    /// Does what was asked, and answers with this status.
    DoAndFail(Status),
    /// Never answers.
    Hang,
}

/// What happens to ingest streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Every message is applied and acknowledged.
    #[default]
    Answers,
    /// Messages are applied, and acknowledged up to this one.
    SilentAfter(u64),
    /// This message is refused by name.
    RefusesAt(u64),
    /// This message is applied, and the stream then breaks without acknowledging it.
    BreaksAfter(u64),
}

/// How the server breaks the protocol, once it has done what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A read is answered with so many values.
    Values(usize),
    /// Every page of a list names this page as the next one.
    NextPage(&'static str),
    /// A watch reports changes without a value.
    ChangeWithoutValue,
    /// An add is answered with a token of so many bytes.
    TokenBytes(usize),
    /// Ingest messages are acknowledged that were not sent.
    AcknowledgesTooMuch,
    /// An add is answered without the value that was asked for, as by a node of an older version.
    NoValue,
}

/// What the server has taken and will do.
#[derive(Debug, Default)]
pub struct State {
    /// Sums by counter.
    pub values: BTreeMap<String, i64>,
    /// Calls that arrived, streams excluded.
    pub calls: u64,
    /// The tokens that reads have carried, in order; empty for none.
    pub tokens: Vec<Vec<u8>>,
    /// Ingest messages that arrived.
    pub messages: u64,
    /// What happens to the next calls.
    pub faults: VecDeque<Fault>,
    /// What happens to ingest streams.
    pub stream: Stream,
    /// What is wrong with the answers.
    pub flaw: Option<Flaw>,
}

/// A server on a port of its own, until it is dropped.
#[derive(Debug)]
pub struct Fake {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: AbortHandle,
}

impl Fake {
    /// Starts a server.
    pub async fn start() -> Self {
        Self::start_on("127.0.0.1:0").await
    }

    /// Starts a server on an address.
    pub async fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a loopback port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let service = CounterServiceServer::new(Service {
            state: Arc::clone(&state),
        });
        let server = Server::builder()
            .initial_stream_window_size(4 * 1024 * 1024)
            .initial_connection_window_size(16 * 1024 * 1024)
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.expect("the fake server runs") });
        Self {
            address,
            state,
            server: server.abort_handle(),
        }
    }

    /// The address as a client takes it.
    pub fn node(&self) -> String {
        self.address.to_string()
    }

    /// What the server has taken and will do.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the state")
    }

    /// A counter's sum.
    pub fn value(&self, counter: &str) -> i64 {
        self.state().values.get(counter).copied().unwrap_or(0)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The status by which tallyd refuses a call for a reason.
pub fn refused_with(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "tally.v1", []);
    Status::with_error_details(code, "as the test demands", details)
}

struct Service {
    state: Arc<Mutex<State>>,
}

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the state")
    }

    /// Runs a call, or what was scripted in its place.
    async fn run<A>(&self, call: impl FnOnce(&mut State) -> A) -> Result<Response<A>, Status> {
        let fault = {
            let mut state = self.state();
            state.calls += 1;
            state.faults.pop_front()
        };
        match fault {
            None => Ok(Response::new(call(&mut self.state()))),
            Some(Fault::Refuse(status)) => Err(status),
            Some(Fault::DoAndFail(status)) => {
                call(&mut self.state());
                Err(status)
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }
}

impl State {
    fn add(&mut self, counter: String, amount: i64) {
        *self.values.entry(counter).or_default() += amount;
    }

    /// Notes the token of a read; the token of its answer, which no other answer has, and the ages
    /// that it tells where they are asked for.
    fn reads(&mut self, token: Vec<u8>, is_asked: bool) -> (Vec<u8>, Vec<LaneAge>) {
        self.tokens.push(token);
        let age = LaneAge {
            replica_id: vec![0xab; 16],
            newest_age_ms: Some(7_000),
            newest_age_is_least: false,
            complete_age_ms: Some(20),
        };
        let number = u8::try_from(self.tokens.len()).expect("few reads");
        (vec![4, number], vec![age; usize::from(is_asked)])
    }

    fn read(&self, counter: String) -> CounterValue {
        let value = self.values.get(&counter).copied().unwrap_or(0);
        CounterValue {
            counter,
            value,
            clamped: false,
        }
    }

    /// What a watch tells.
    fn watched(&mut self, request: WatchRequest) -> WatchResponse {
        let (token, lane_ages) = self.reads(request.token, request.return_lane_ages);
        let mut counters = request.counters;
        if let Some(prefix) = request.prefix {
            let names = self.values.keys();
            counters.extend(names.filter(|it| it.starts_with(&prefix)).cloned());
        }
        let is_flawed = self.flaw == Some(Flaw::ChangeWithoutValue);
        let counter = (!is_flawed && counters.is_empty()).then(|| self.read(request.counter));
        let told = counters.into_iter().filter(|_| !is_flawed);
        WatchResponse {
            counter,
            counters: told.map(|name| self.read(name)).collect(),
            token,
            lane_ages,
        }
    }

    /// The values of these counters, or as many as the flaw says.
    fn answers(&self, counters: Vec<String>) -> Vec<CounterValue> {
        let mut values: Vec<_> = counters.into_iter().map(|name| self.read(name)).collect();
        if let Some(Flaw::Values(count)) = self.flaw {
            values.resize(count, CounterValue::default());
        }
        values
    }
}

#[tonic::async_trait]
impl CounterService for Service {
    type IngestStream = ReceiverStream<Result<IngestResponse, Status>>;
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddResponse>, Status> {
        let AddRequest {
            counter,
            amount,
            return_value,
            ..
        } = request.into_inner();
        self.run(|state| {
            state.add(counter.clone(), amount);
            let token = match state.flaw {
                Some(Flaw::TokenBytes(bytes)) => vec![0; bytes],
                _ => vec![1, 2],
            };
            let has_value = return_value && state.flaw != Some(Flaw::NoValue);
            AddResponse {
                token,
                counter: has_value.then(|| state.read(counter)),
                ..Default::default()
            }
        })
        .await
    }

    async fn batch_add(
        &self,
        request: Request<BatchAddRequest>,
    ) -> Result<Response<BatchAddResponse>, Status> {
        let items = request.into_inner().items;
        self.run(|state| {
            for item in items {
                state.add(item.counter, item.amount);
            }
            BatchAddResponse {
                token: vec![3],
                ..Default::default()
            }
        })
        .await
    }

    async fn ingest(
        &self,
        request: Request<Streaming<IngestRequest>>,
    ) -> Result<Response<Self::IngestStream>, Status> {
        let (answers, receiver) = mpsc::channel(64);
        tokio::spawn(serve_ingest(
            Arc::clone(&self.state),
            request.into_inner(),
            answers,
        ));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let request = request.into_inner();
        self.run(|state| {
            let (token, lane_ages) = state.reads(request.token, request.return_lane_ages);
            GetResponse {
                counter: state.answers(vec![request.counter]).pop(),
                token,
                lane_ages,
            }
        })
        .await
    }

    async fn batch_get(
        &self,
        request: Request<BatchGetRequest>,
    ) -> Result<Response<BatchGetResponse>, Status> {
        let request = request.into_inner();
        self.run(|state| {
            let (token, lane_ages) = state.reads(request.token, request.return_lane_ages);
            BatchGetResponse {
                counters: state.answers(request.counters),
                token,
                lane_ages,
            }
        })
        .await
    }

    /// Pages of two, whatever is asked, so that few counters make many pages.
    async fn list_counters(
        &self,
        request: Request<ListCountersRequest>,
    ) -> Result<Response<ListCountersResponse>, Status> {
        let ListCountersRequest {
            prefix,
            page_token,
            token,
            return_lane_ages,
            ..
        } = request.into_inner();
        self.run(|state| {
            let (token, lane_ages) = state.reads(token, return_lane_ages);
            let names = state.values.keys().filter(|name| name.starts_with(&prefix));
            let mut page: Vec<String> = names
                .filter(|name| **name > page_token)
                .take(3)
                .cloned()
                .collect();
            let more = page.len() > 2;
            page.truncate(2);
            let next_page_token = match state.flaw {
                Some(Flaw::NextPage(page)) => page.to_owned(),
                _ if more => page.last().cloned().expect("two names"),
                _ => String::new(),
            };
            let counters = page.into_iter().map(|name| state.read(name)).collect();
            ListCountersResponse {
                counters,
                next_page_token,
                token,
                lane_ages,
            }
        })
        .await
    }

    /// Tells the values three times and ends, as a node that stops.
    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let (messages, receiver) = mpsc::channel(3);
        let response = self.run(|state| state.watched(request)).await?.into_inner();
        for number in 1..=3 {
            let mut response = response.clone();
            response.token.push(number);
            let sent = messages.send(Ok(response)).await;
            sent.expect("there is space for three");
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn serve_ingest(
    state: Arc<Mutex<State>>,
    mut messages: Streaming<IngestRequest>,
    answers: mpsc::Sender<Result<IngestResponse, Status>>,
) {
    let mut names = Vec::new();
    let mut sums = Vec::new();
    let mut expected = 0;
    while let Ok(Some(message)) = messages.message().await {
        expected += 1;
        assert_eq!(
            message.sequence, expected,
            "sequence numbers are 1, 2, 3, ..."
        );
        names.extend(message.introduced);
        sums.clear();
        sums.resize(names.len(), 0);
        let (behaviour, flaw) = {
            let mut state = state
                .lock()
                .expect("nothing panics while it holds the state");
            state.messages += 1;
            (state.stream, state.flaw)
        };
        if behaviour == Stream::RefusesAt(expected) {
            let status = refused_with(Code::ResourceExhausted, "COUNTERS_EXHAUSTED");
            let _ = answers.send(Err(status)).await;
            return;
        }
        if message.amounts.is_empty() {
            message
                .counters
                .iter()
                .for_each(|index| sums[*index as usize] += 1);
        } else {
            assert_eq!(message.amounts.len(), message.counters.len());
            let entries = message.counters.iter().zip(&message.amounts);
            entries.for_each(|(index, amount)| sums[*index as usize] += amount);
        }
        {
            let mut state = state
                .lock()
                .expect("nothing panics while it holds the state");
            for (name, sum) in names.iter().zip(&sums).filter(|(_, sum)| **sum != 0) {
                match state.values.get_mut(name) {
                    Some(value) => *value += sum,
                    None => state.add(name.clone(), *sum),
                }
            }
        }
        match behaviour {
            Stream::BreaksAfter(last) if last == expected => {
                let _ = answers
                    .send(Err(Status::unavailable("as the test demands")))
                    .await;
                return;
            }
            Stream::SilentAfter(last) if last < expected => {}
            Stream::Answers
            | Stream::SilentAfter(_)
            | Stream::RefusesAt(_)
            | Stream::BreaksAfter(_) => {
                let too_much = u64::from(flaw == Some(Flaw::AcknowledgesTooMuch));
                let answer = IngestResponse {
                    acknowledged_sequence: expected + too_much,
                };
                if answers.send(Ok(answer)).await.is_err() {
                    return;
                }
            }
        }
    }
    // The client is done, or gone. A silent server holds the answers open a little longer.
    tokio::time::sleep(Duration::from_millis(10)).await;
}
