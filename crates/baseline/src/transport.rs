//! How the two programs use HTTP/2: one place for its limits, for listening and for stopping.
//!
//! The link between the sites may have a round trip of 50 ms and more. What must be under way at
//! once is that time's worth of messages, so the windows here are far above the defaults of
//! 64 KiB; otherwise they, and not the protocols, would be measured.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Endpoint, Server};

/// The longest name of a counter, as `tally.v1` says.
pub(crate) const COUNTER_NAME_BYTES_MAX: usize = 512;

/// The most counters of one batch or page, as `tally.v1` says.
pub(crate) const COUNTERS_PER_CALL_MAX: usize = 10_000;

/// The longest message: a batch of 10,000 names of 512 bytes is 5.1 MB, and its amounts.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Bytes under way on one stream: at 200 ms of round trip, 20 MB/s, some 200,000 messages.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Bytes under way on one connection: one session stream and a few reads.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Calls under way on one connection. A load generator keeps all of its adds on one.
const STREAMS_MAX: u32 = 16_384;

/// A silent peer is asked for a sign of life after this time, ...
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// ... and given up after this one: together the longest that a cut cable keeps a lock held.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection attempt is given up after this time: ten round trips of the slowest link planned.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// After a signal to stop, calls under way get this long to end.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Why a program cannot be reached, reach another, or stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("cannot listen on {address}: {source}; choose a free address with --listen")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot listen for signals: {0}")]
    Signal(io::Error),
    #[error("{address:?} is not HOST:PORT: {source}; correct --register")]
    Address {
        address: String,
        source: tonic::transport::Error,
    },
    #[error("the server failed: {0}")]
    Serve(tonic::transport::Error),
}

/// A gRPC server with this program's limits.
pub(crate) fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
}

/// The way to the register.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, TransportError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|source| {
        TransportError::Address {
            address: address.to_owned(),
            source,
        }
    })?;
    Ok(endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// Opens the socket, without Nagle's delay: a grant must not wait for more bytes.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpIncoming, TransportError> {
    let failed = |source| TransportError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    tracing::info!(address = %listener.local_addr().map_err(failed)?, "listening");
    Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
}

/// Serves until the process is asked to stop, and then until the calls under way have ended or
/// [`STOP_GRACE`] is over. `stopping` is called in between.
pub(crate) async fn serve(
    router: Router,
    incoming: TcpIncoming,
    stopping: impl AsyncFnOnce(),
) -> Result<(), TransportError> {
    let (drain, drained) = oneshot::channel::<()>();
    let server = router.serve_with_incoming_shutdown(incoming, async {
        // The sender is dropped to say so.
        let _ = drained.await;
    });
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => return result.map_err(TransportError::Serve),
        asked = asked_to_stop() => asked?,
    }
    drop(drain);
    stopping().await;
    let Ok(result) = tokio::time::timeout(STOP_GRACE, server).await else {
        tracing::warn!("calls were still under way after {STOP_GRACE:?}");
        return Ok(());
    };
    result.map_err(TransportError::Serve)
}

/// Ends at SIGTERM or Ctrl-C.
async fn asked_to_stop() -> Result<(), TransportError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(TransportError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(TransportError::Signal)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    Ok(())
}
