//! The link to the register: one stream, opened again and again, and the task that owns it.
//!
//! While there is no stream, adds are refused at once rather than queued: nobody knows for how
//! long it will be away, and a caller can try another server or wait by itself.

use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use wire::baseline_v1::register_service_client::RegisterServiceClient;
use wire::baseline_v1::{SessionRequest, SessionResponse};

use super::contention::{Contention, MESSAGES_UNDER_WAY_MAX, PendingAdd, SessionError};
use super::fault::{Fault, RETRY_PAUSE_MAX};

/// The pause before the first new attempt; it doubles with each that fails, up to
/// [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);

/// An attempt is given up after this time.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the register did not answer within {OPEN_TIMEOUT:?}")]
    Timeout,
    #[error("{0}")]
    Status(#[from] Status),
    #[error("the register ended the session")]
    Ended,
    #[error("{MESSAGES_UNDER_WAY_MAX} messages to the register are not sent; the link is stuck")]
    Stuck,
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// An open stream to the register.
struct Session {
    outbox: Sender<SessionRequest>,
    inbox: Streaming<SessionResponse>,
}

/// Runs for as long as the server does.
pub(super) async fn run(
    register: RegisterServiceClient<Channel>,
    mut contention: Contention,
    mut adds: Receiver<PendingAdd>,
    health: HealthReporter,
) {
    let mut pause = RETRY_PAUSE_MIN;
    loop {
        let error = match refusing(&mut adds, open(register.clone())).await {
            Ok(session) => {
                tracing::info!("connected to the register");
                pause = RETRY_PAUSE_MIN;
                health.set_service_status("", ServingStatus::Serving).await;
                let Err(error) = carry(session, &mut contention, &mut adds).await;
                contention.connection_lost();
                health
                    .set_service_status("", ServingStatus::NotServing)
                    .await;
                error
            }
            Err(error) => error,
        };
        tracing::warn!(%error, ?pause, "no register");
        refusing(&mut adds, tokio::time::sleep(pause)).await;
        pause = RETRY_PAUSE_MAX.min(2 * pause);
    }
}

async fn open(mut register: RegisterServiceClient<Channel>) -> Result<Session, LinkError> {
    let (outbox, messages) = mpsc::channel(MESSAGES_UNDER_WAY_MAX);
    let opened = register.session(ReceiverStream::new(messages));
    let opened = tokio::time::timeout(OPEN_TIMEOUT, opened).await;
    let inbox = opened.map_err(|_| LinkError::Timeout)??.into_inner();
    Ok(Session { outbox, inbox })
}

/// Carries messages both ways until the session fails.
async fn carry(
    mut session: Session,
    contention: &mut Contention,
    adds: &mut Receiver<PendingAdd>,
) -> Result<std::convert::Infallible, LinkError> {
    loop {
        let messages = tokio::select! {
            message = session.inbox.message() => {
                contention.receive(message?.ok_or(LinkError::Ended)?)?
            }
            Some(add) = adds.recv() => contention.add(add),
        };
        for message in messages {
            session
                .outbox
                .try_send(message)
                .map_err(|_| LinkError::Stuck)?;
        }
    }
}

/// Awaits something, and refuses all adds in the meantime.
async fn refusing<T>(adds: &mut Receiver<PendingAdd>, awaited: impl Future<Output = T>) -> T {
    tokio::pin!(awaited);
    loop {
        tokio::select! {
            result = &mut awaited => return result,
            Some(add) = adds.recv() => add.fail(Fault::RegisterUnreachable),
        }
    }
}
