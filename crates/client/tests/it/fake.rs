//! A small `CounterService` in memory, which fails when and how a test demands it.
//!
//! It knows nothing of lanes, disks or peers, and of sessions the rules that a client keeps: it is what
//! a client needs to be tested against,
//! and a sink for measuring the load generator (`examples/sink.rs`).

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};
use wire::v1::{
    AddRequest, AddResponse, BatchAddRequest, BatchAddResponse, BatchGetRequest, BatchGetResponse,
    CloseSessionRequest, CloseSessionResponse, GetRequest, GetResponse, IngestRequest,
    IngestResponse, ListCountersRequest, ListCountersResponse, OpenSessionRequest,
    OpenSessionResponse, WatchRequest, WatchResponse,
    counter_service_server::{CounterService, CounterServiceServer},
    session_service_server::{SessionService, SessionServiceServer},
};

pub use crate::script::{Counted, Fault, Flaw, State};

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

    /// Starts servers that count each request once, wherever it comes.
    pub async fn cluster<const N: usize>() -> [Self; N] {
        let counted = Counted::default();
        let mut nodes = Vec::new();
        for _ in 0..N {
            let node = Self::start().await;
            node.state().counted = Arc::clone(&counted);
            nodes.push(node);
        }
        nodes.try_into().expect("as many as were started")
    }

    /// Starts a server on an address.
    pub async fn start_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a loopback port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State {
            address: address.to_string(),
            ..State::default()
        }));
        let service = Service {
            state: Arc::clone(&state),
        };
        let (counters, sessions) = (service.clone(), service);
        let server = Server::builder()
            .initial_stream_window_size(4 * 1024 * 1024)
            .initial_connection_window_size(16 * 1024 * 1024)
            .add_service(CounterServiceServer::new(counters))
            .add_service(SessionServiceServer::new(sessions))
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

#[derive(Clone)]
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
        self.try_run(|state| Ok(call(state))).await
    }

    /// The same with a call that may be refused.
    async fn try_run<A>(
        &self,
        call: impl FnOnce(&mut State) -> Result<A, Status>,
    ) -> Result<Response<A>, Status> {
        let fault = {
            let mut state = self.state();
            state.calls += 1;
            state.faults.pop_front()
        };
        match fault {
            None => call(&mut self.state()).map(Response::new),
            Some(Fault::Refuse(status)) => Err(status),
            Some(Fault::DoAndFail(status)) => {
                call(&mut self.state())?;
                Err(status)
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
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
            request,
        } = request.into_inner();
        self.try_run(|state| {
            let is_new = state.is_new(request.as_ref())?;
            if is_new {
                state.add(counter.clone(), amount);
            }
            let token = match state.flaw {
                Some(Flaw::TokenBytes(bytes)) => vec![0; bytes],
                _ => vec![1, 2],
            };
            let has_value = return_value && state.flaw != Some(Flaw::NoValue);
            Ok(AddResponse {
                token,
                counter: has_value.then(|| state.read(counter)),
                was_counted: !is_new,
            })
        })
        .await
    }

    async fn batch_add(
        &self,
        request: Request<BatchAddRequest>,
    ) -> Result<Response<BatchAddResponse>, Status> {
        let BatchAddRequest { items, request } = request.into_inner();
        self.try_run(|state| {
            let is_new = state.is_new(request.as_ref())?;
            for item in items.into_iter().filter(|_| is_new) {
                state.add(item.counter, item.amount);
            }
            Ok(BatchAddResponse {
                token: vec![3],
                was_counted: !is_new,
            })
        })
        .await
    }

    async fn ingest(
        &self,
        request: Request<Streaming<IngestRequest>>,
    ) -> Result<Response<Self::IngestStream>, Status> {
        let (answers, receiver) = mpsc::channel(64);
        tokio::spawn(crate::fake_stream::serve(
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

#[tonic::async_trait]
impl SessionService for Service {
    async fn open_session(
        &self,
        _request: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionResponse>, Status> {
        let mut state = self.state();
        if state.flaw == Some(Flaw::NoSessions) {
            return Err(Status::unimplemented("an older version"));
        }
        Ok(Response::new(OpenSessionResponse {
            session: state.open(),
            home_replica_id: vec![7; 16],
            home_address: String::new(),
            requests_window: 1_024,
        }))
    }

    async fn close_session(
        &self,
        request: Request<CloseSessionRequest>,
    ) -> Result<Response<CloseSessionResponse>, Status> {
        let CloseSessionRequest {
            session,
            all_is_answered,
        } = request.into_inner();
        self.state().closed.push((session, all_is_answered));
        Ok(Response::new(CloseSessionResponse {}))
    }
}
