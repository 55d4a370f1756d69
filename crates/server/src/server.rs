//! The process: sockets, recovery, replication and an orderly stop, put together.
//!
//! The listener opens first, so that probes get an answer: not SERVING, and RECOVERING for every
//! call, until the log is read. On a stop the node takes no more adds, open streams end with their
//! acknowledgements, and the last round is made durable; while the log is read there is nothing
//! to end in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use commit_log::{DataDirectory, DirectoryError, ExpectedIdentity, WriteError};
use protocol::ReplicationLimits;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tower_layer::{Identity, Stack};
use trace::Trace;
use wire::stream::{REPORT_BYTES_MAX, RESPONSE_BYTES_MAX};
use wire::v1::cluster_service_server::ClusterServiceServer;
use wire::v1::counter_service_server::CounterServiceServer;
use wire::v1::replication_service_server::ReplicationServiceServer;
use wire::v1::session_service_server::SessionServiceServer;

use crate::config::Config;
use crate::connections::calls::CountCalls;
use crate::connections::roster::RosterLimits;
use crate::connections::{Connections, STREAM_WINDOW_BYTES};
use crate::health::{Fitness, Health};
use crate::node::commit::Committer;
use crate::node::recovery::{self, RecoveryError};
use crate::node::{Node, NodeLimits};
use crate::replicate::{pull, serve::ReplicationServer};
use crate::service::NodeCell;
use crate::service::cluster::{ClusterServer, Surroundings};
use crate::service::counter::CounterServer;
use crate::service::session::SessionServer;

/// The largest message sent to a client: a batch of long names is read back in one.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The largest message taken from a client.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Well below the 1,024 files that a process may usually have open: the log needs some too. An
/// answer has arrived within a second, or its client is hardly there any more.
const CONNECTIONS: RosterLimits = RosterLimits {
    connections_max: 768,
    linger: Duration::from_secs(1),
};

/// Calls and streams under way on one connection. tonic's default is no limit.
const CONCURRENT_STREAMS_MAX: u32 = 4_096;

/// Streams that a client may open and reset before they were looked at ("rapid reset"), and
/// resets that its errors may cause. tonic's defaults are no limits.
const RESET_STREAMS_MAX: usize = 64;

/// Bytes of a request's headers; ours are tiny.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// A connection on which nothing came for so long is asked whether it lives, and closed when it
/// does not answer for as long again.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// An orderly stop takes this long at most; what has not ended then is cut.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked meanwhile which connections are idle.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Why the process ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; choose another --listen address, or stop the \
         program that uses it"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The log cannot be read back.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The trace cannot be written.
    #[error("cannot open the trace {}: {source}; name another file with --trace", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The log cannot be written any more.
    #[error("the log failed, so nothing more can be made durable: {0}")]
    Log(#[from] WriteError),
    /// The commit thread ended with a panic: a bug of ours, and nothing is durable any more.
    #[error("the commit thread panicked, so nothing more can be made durable; please report it")]
    CommitThread,
    /// A thread or the reflection service could not be set up.
    #[error("cannot start: {0}")]
    Start(Box<dyn std::error::Error + Send + Sync>),
    /// The gRPC server failed.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Runs a node until `stop` resolves. The caller ends the process then: the node's memory is not
/// given back.
///
/// # Errors
///
/// When it cannot start, or its log fails.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServerError> {
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    let parts = Parts::default();
    let (health, health_service) = Health::new().await;
    let router = router(&parts, address)?.add_service(health_service);
    let (end, ended) = oneshot::channel::<()>();
    let connections = Connections::new(CONNECTIONS);
    let serving = tokio::spawn(router.serve_with_incoming_shutdown(
        connections.accept(listener),
        async {
            // Also when the sender is dropped.
            let _ = ended.await;
        },
    ));
    tokio::pin!(stop);
    let mut running = tokio::select! {
        running = recover(&config, &parts) => running?,
        () = &mut stop => {
            tracing::info!("stopped while recovering");
            return Ok(());
        }
    };
    let identity = running.node.identity();
    tracing::info!(%address, cluster = identity.cluster, replica = %identity.replica, "serving");
    let mut forked = running.node.forked();
    loop {
        let is_forked = *forked.borrow_and_update();
        let fitness = if is_forked {
            Fitness::Forked
        } else {
            Fitness::Serving
        };
        health.tell(fitness).await;
        tokio::select! {
            () = &mut stop => break,
            failed = &mut running.committer.failed => return Err(log_error(failed)),
            changed = forked.changed() => changed.expect("the node is there"),
        }
    }
    tracing::info!("stopping");
    health.end().await;
    let serving = Serving {
        task: serving,
        end,
        connections,
    };
    running.stop(serving).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Why the commit thread has ended by itself.
fn log_error(failed: Result<WriteError, oneshot::error::RecvError>) -> ServerError {
    failed.map_or(ServerError::CommitThread, ServerError::Log)
}

/// The gRPC server.
struct Serving {
    task: JoinHandle<Result<(), tonic::transport::Error>>,
    end: oneshot::Sender<()>,
    connections: Connections,
}

impl Serving {
    /// Accepts no more connections, and waits until those that are open have ended. One on which
    /// no call is under way has no say in when that is.
    async fn stop(mut self) -> Result<(), ServerError> {
        // The receiver is gone when serving has already ended.
        let _ = self.end.send(());
        let mut looks = time::interval(IDLE_LOOK_INTERVAL);
        let ended = loop {
            tokio::select! {
                ended = &mut self.task => break ended,
                _ = looks.tick() => self.connections.close_idle(),
            }
        };
        match ended {
            Ok(served) => served?,
            Err(panic) => tracing::error!(%panic, "the gRPC server panicked"),
        }
        Ok(())
    }
}

/// A node that has recovered.
struct Running {
    node: Arc<Node>,
    committer: Committer,
    pulls: Vec<JoinHandle<()>>,
}

impl Running {
    /// Takes no more adds, lets streams end with their acknowledgements, and makes the last round
    /// durable.
    async fn stop(self, serving: Serving) -> Result<(), ServerError> {
        let Self {
            node,
            mut committer,
            pulls,
        } = self;
        node.stop();
        let drained = time::timeout(STOP_TIMEOUT, async {
            for pull in pulls {
                // A task that panicked has ended.
                let _ = pull.await;
            }
            serving.stop().await
        });
        let drained = tokio::select! {
            drained = drained => drained,
            // Nothing that is waited for becomes durable any more.
            failed = &mut committer.failed => return Err(log_error(failed)),
        };
        if let Ok(ended) = drained {
            ended?;
        } else {
            tracing::warn!(after = ?STOP_TIMEOUT, "some connections had to be cut");
        }
        let last = Arc::clone(&node);
        let closed = tokio::task::spawn_blocking(move || {
            committer.close(&last);
            last.end_trace();
        });
        let closed = closed.await;
        // The process ends now, and need not tear down millions of counters one by one.
        std::mem::forget(node);
        closed.map_err(|_| ServerError::CommitThread)
    }
}

/// What the services share and recovery fills in.
#[derive(Default)]
struct Parts {
    node: NodeCell,
    surroundings: Arc<OnceLock<Surroundings>>,
}

/// Reads the data directory back, and starts committing and pulling.
async fn recover(config: &Config, parts: &Parts) -> Result<Running, ServerError> {
    let expected = ExpectedIdentity {
        cluster: config.cluster.clone(),
        shard_count: config.shards,
    };
    let limits = NodeLimits {
        counters_max: config.counters_max,
        replication: ReplicationLimits {
            pace: Duration::from_millis(config.pace_ms),
            ..ReplicationLimits::default()
        },
    };
    let path = config.data.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let directory = DataDirectory::open_or_create(&path, &expected)?;
        Ok::<_, ServerError>(recovery::open(directory, limits)?)
    });
    let began = time::Instant::now();
    let (node, log) = opening
        .await
        .map_err(|panic| ServerError::Start(panic.into()))??;
    tracing::info!(counters = node.counters(), took = ?began.elapsed(), "recovered");
    let watcher = log.watcher();
    let node = match &config.trace {
        Some(path) => node.traced(open_trace(path)?, &watcher.status()),
        None => node,
    };
    let node = Arc::new(node);
    let committer = Committer::spawn(Arc::clone(&node), log)
        .map_err(|error| ServerError::Start(error.into()))?;
    let (peers, pulls) = config
        .peer
        .iter()
        .map(|peer| pull::spawn(Arc::clone(&node), peer.clone()))
        .unzip();
    let surroundings = Surroundings {
        peers,
        log: watcher,
    };
    assert!(
        parts.surroundings.set(surroundings).is_ok(),
        "a process recovers once"
    );
    parts.node.set(Arc::clone(&node));
    Ok(Running {
        node,
        committer,
        pulls,
    })
}

fn open_trace(path: &Path) -> Result<Trace, ServerError> {
    Trace::append_to(path).map_err(|source| {
        let path = path.to_owned();
        ServerError::Trace { path, source }
    })
}

/// Where others find a node that listens so; empty where it listens on every address of its host.
fn told_address(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        String::new()
    } else {
        address.to_string()
    }
}

fn router(
    parts: &Parts,
    address: SocketAddr,
) -> Result<Router<Stack<CountCalls, Identity>>, ServerError> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| ServerError::Start(error.into()))?;
    let counters = CounterServiceServer::new(CounterServer::new(parts.node.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let cluster = ClusterServer::new(parts.node.clone(), Arc::clone(&parts.surroundings));
    let sessions = SessionServer::new(parts.node.clone(), told_address(address));
    let replication = ReplicationServer::new(parts.node.clone());
    let replication = ReplicationServiceServer::new(replication)
        .max_decoding_message_size(REPORT_BYTES_MAX)
        .max_encoding_message_size(RESPONSE_BYTES_MAX);
    Ok(Server::builder()
        .layer(CountCalls)
        .max_concurrent_streams(CONCURRENT_STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(RESET_STREAMS_MAX))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(4 * STREAM_WINDOW_BYTES)
        .add_service(counters)
        .add_service(SessionServiceServer::new(sessions))
        .add_service(ClusterServiceServer::new(cluster))
        .add_service(replication)
        .add_service(reflection))
}
