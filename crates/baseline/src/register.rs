//! `tally-baseline register`: the one process that holds the numbers and the locks.
//!
//! All counters are behind one **desk**, a thread that serves one event after the other; this
//! file is its service. By default everything is in memory and a restart begins at 0.

mod desk;
mod state_file;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::baseline_v1 as pb;
use wire::baseline_v1::register_service_server::{RegisterService, RegisterServiceServer};

use self::desk::{Desk, Event, ListQuestion, SessionNumber};
pub(crate) use self::state_file::StateError;
use self::state_file::StateFile;
use crate::Failure;
use crate::convert::FromContender;
use crate::transport::{self, COUNTER_NAME_BYTES_MAX, COUNTERS_PER_CALL_MAX, MESSAGE_BYTES_MAX};

/// Events that wait for the desk. When it is full, the sessions' streams are read no further, and
/// HTTP/2 slows their senders down.
const EVENTS_WAITING_MAX: usize = 16_384;

/// Messages that wait for one session's stream. A contender has at most two answers coming, and
/// a server at most 16,384 contenders; who lets more pile up does not read them.
const OUTBOX_MESSAGES_MAX: usize = 32_768;

/// The shared register and the lock server beside it, in one small process: the single point of
/// failure.
///
/// Durability: memory. Everything is lost when the process ends, unless --state is given.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where the servers find the register.
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Keep the counters in this file: durability "fsync". The whole file is written, synced and
    /// renamed before a write is confirmed, once for all the writes that came in meanwhile. That
    /// costs one sync (some milliseconds on most disks) for each write that is alone, and time in
    /// proportion to the number of counters. Locks and queues are not kept.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Runs the register until it is asked to stop.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let (file, counters) = match options.state {
        Some(path) => StateFile::open(path).map(|(file, counters)| (Some(file), counters))?,
        None => (None, Vec::new()),
    };
    let durability = if file.is_some() { "fsync" } else { "memory" };
    tracing::info!(durability, counters = counters.len(), "the desk opens");
    let desk = Desk::new(counters, file);
    let incoming = transport::listen(options.listen).await?;
    let (events, waiting) = mpsc::channel(EVENTS_WAITING_MAX);
    let (ended, desk_ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("desk".to_owned())
        .spawn(move || ended.send(desk.run(waiting)))
        .map_err(Failure::Thread)?;

    let service = Registers {
        events: events.clone(),
        sessions: Arc::default(),
    };
    let registers = RegisterServiceServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    let router = transport::server()
        .add_service(health_service)
        .add_service(registers);
    let stopping = async || {
        // The desk that has ended already is what is wanted.
        let _ = events.send(Event::Stop).await;
    };
    let served = transport::serve(router, incoming, stopping);
    tokio::pin!(served);
    tokio::select! {
        served = &mut served => Ok(served?),
        ended = desk_ended => {
            ended.expect("the desk tells how it ended")?;
            Ok(served.await?)
        }
    }
}

/// The gRPC side: turns calls into events for the desk.
struct Registers {
    events: mpsc::Sender<Event>,
    sessions: Arc<AtomicU32>,
}

impl Registers {
    async fn ask<T>(&self, event: Event, answer: oneshot::Receiver<T>) -> Result<T, Status> {
        self.events.send(event).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

#[tonic::async_trait]
impl RegisterService for Registers {
    type SessionStream = ReceiverStream<Result<pb::SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<pb::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let session = SessionNumber(self.sessions.fetch_add(1, Ordering::Relaxed));
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES_MAX);
        let opened = Event::Opened { session, outbox };
        self.events.send(opened).await.map_err(|_| stopping())?;
        tokio::spawn(read_session(
            session,
            request.into_inner(),
            self.events.clone(),
        ));
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn read(
        &self,
        request: Request<pb::ReadRequest>,
    ) -> Result<Response<pb::ReadResponse>, Status> {
        let counters = request.into_inner().counters;
        if counters.is_empty() || counters.len() > COUNTERS_PER_CALL_MAX {
            return Err(Status::invalid_argument(format!(
                "{} counters; expected 1 to {COUNTERS_PER_CALL_MAX}",
                counters.len()
            )));
        }
        if let Some(name) = counters
            .iter()
            .find(|name| name.is_empty() || name.len() > COUNTER_NAME_BYTES_MAX)
        {
            return Err(Status::invalid_argument(format!(
                "a counter name of {} bytes; expected 1 to {COUNTER_NAME_BYTES_MAX}",
                name.len()
            )));
        }
        let (answer, values) = oneshot::channel();
        let values = self.ask(Event::Read { counters, answer }, values).await?;
        Ok(Response::new(pb::ReadResponse { values }))
    }

    async fn list(
        &self,
        request: Request<pb::ListRequest>,
    ) -> Result<Response<pb::ListResponse>, Status> {
        let pb::ListRequest {
            prefix,
            after,
            counters_max,
        } = request.into_inner();
        let counters_max = usize::try_from(counters_max).unwrap_or(usize::MAX);
        if counters_max == 0 || counters_max > COUNTERS_PER_CALL_MAX {
            return Err(Status::invalid_argument(format!(
                "counters_max is {counters_max}; expected 1 to {COUNTERS_PER_CALL_MAX}"
            )));
        }
        let (answer, counters) = oneshot::channel();
        let question = ListQuestion {
            prefix,
            after,
            counters_max,
        };
        let counters = self.ask(Event::List { question, answer }, counters).await?;
        Ok(Response::new(pb::ListResponse { counters }))
    }
}

/// Carries a session's messages to the desk, in order, and its end last of all.
async fn read_session(
    session: SessionNumber,
    mut stream: Streaming<pb::SessionRequest>,
    events: mpsc::Sender<Event>,
) {
    let broken = loop {
        let event = match stream.message().await {
            Ok(Some(message)) => match FromContender::try_from(message) {
                Ok(message) => Event::Message { session, message },
                Err(invalid) => break Some(Status::invalid_argument(invalid.to_string())),
            },
            Ok(None) => break None,
            Err(status) => {
                tracing::debug!(?session, %status, "the session was lost");
                break None;
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    };
    // A desk that has ended holds no session.
    let _ = events.send(Event::Ended { session, broken }).await;
}

fn stopping() -> Status {
    Status::unavailable("the register is stopping; retry when it is back")
}
