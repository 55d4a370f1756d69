//! A bound on open connections, and who is closed to keep it.
//!
//! Every connection costs a file descriptor, and the log needs some too: a process that has none
//! left cannot begin a segment, and stops. So there is a bound; and so that connections on which
//! nothing happens shut nobody out, one of them is closed for each new one when it is reached (see
//! [`roster`]).

/// Which calls are under way.
pub mod calls;
/// Who has a place.
pub mod roster;

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use protocol::Time;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Connected;

use crate::clock::Clock;
use roster::{Arrival, ConnectionId, Roster, RosterLimits};

/// What may be under way on one stream before the receiver has read it: at a round trip of 200 ms
/// this lets 20 MB a second through.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// When the operating system gives no connection, for lack of memory or of files, it is asked
/// again after so long.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// How often it is said that connections are refused.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Closes a connection when it is dropped.
type Handle = oneshot::Sender<Infallible>;

/// All connections of a process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    roster: Mutex<Roster<Handle>>,
}

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(limits: RosterLimits) -> Self {
        Self(Arc::new(Shared {
            clock: Clock::start(),
            roster: Mutex::new(Roster::new(limits)),
        }))
    }

    fn now(&self) -> Time {
        self.0.clock.now()
    }

    fn roster(&self) -> MutexGuard<'_, Roster<Handle>> {
        let roster = self.0.roster.lock();
        roster.expect("nobody panics while holding the roster")
    }

    /// Closes the connections on which no call is under way: the process is about to end.
    pub fn close_idle(&self) {
        let idle = self.roster().evict_idle(self.now());
        drop(idle);
    }

    /// Connections as they are accepted, within the limits.
    pub fn accept(
        &self,
        listener: TcpListener,
    ) -> impl Stream<Item = Result<Connection, Infallible>> + use<> {
        let (listener, connections) = (Arc::new(listener), self.clone());
        tokio_stream::iter(std::iter::repeat(())).then(move |()| {
            let (listener, connections) = (Arc::clone(&listener), connections.clone());
            async move { Ok(connections.accept_one(&listener).await) }
        })
    }

    /// The next connection that gets a place.
    async fn accept_one(&self, listener: &TcpListener) -> Connection {
        let mut said_at: Option<Time> = None;
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let (handle, evicted) = oneshot::channel();
            let now = self.now();
            // Dropping a handle closes its connection.
            let arrival = self.roster().arrive(now, handle);
            let (Arrival::Admitted(id) | Arrival::InPlaceOf(id, _)) = arrival else {
                if said_at.is_none_or(|said_at| now.since(said_at) > REFUSAL_LOG_INTERVAL) {
                    tracing::warn!("connections are refused: every one that is open has a call");
                    said_at = Some(now);
                }
                continue;
            };
            // It fails when the client is gone already, which reading will tell.
            let _ = stream.set_nodelay(true);
            let connections = self.clone();
            return Connection {
                stream,
                place: Place { connections, id },
                evicted,
            };
        }
    }
}

/// A connection that has a place until it is closed.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    place: Place,
    evicted: oneshot::Receiver<Infallible>,
}

/// The place of a connection, known to each of its requests.
#[derive(Clone, Debug)]
pub struct Place {
    connections: Connections,
    id: ConnectionId,
}

/// A call under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Call(Place);

impl Place {
    /// A call begins; `None` when another connection has the place by now.
    fn begin_call(&self) -> Option<Call> {
        let begun = self.connections.roster().begin_call(self.id);
        begun.then(|| Call(self.clone()))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Self(Place { connections, id }) = self;
        let now = connections.now();
        connections.roster().end_call(now, *id);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Place { connections, id } = &self.place;
        connections.roster().leave(*id);
    }
}

impl Connection {
    /// Its stream, unless its place was given to another connection: then whatever is done with it
    /// fails, and the transport drops it.
    fn stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        let is_evicted =
            self.evicted.is_terminated() || Pin::new(&mut self.evicted).poll(context).is_ready();
        if is_evicted {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl Connected for Connection {
    type ConnectInfo = Place;

    fn connect_info(&self) -> Place {
        self.place.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream(context)?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream(context)?.poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

    const LIMITS: RosterLimits = RosterLimits {
        connections_max: 2,
        linger: Duration::from_mins(1),
    };

    /// Waits for something that must come soon.
    async fn soon<T>(future: impl Future<Output = T>) -> T {
        let ended = timeout(Duration::from_secs(10), future).await;
        ended.expect("in time")
    }

    #[tokio::test]
    async fn a_connection_over_the_bound_closes_an_idle_one_and_no_busy_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut accepted = std::pin::pin!(Connections::new(LIMITS).accept(listener));
        let connect = async || {
            TcpStream::connect(address)
                .await
                .expect("a place in the queue")
        };
        let mut next = async || {
            let next = soon(accepted.next()).await.expect("no end");
            next.unwrap_or_else(|never| match never {})
        };
        let mut clients = [connect().await, connect().await];
        let (mut first, mut second) = (next().await, next().await);
        let call = first.connect_info().begin_call().expect("it has a place");
        let mut third_client = connect().await;
        let mut third = next().await;
        let error = soon(second.read_u8()).await.expect_err("its place is gone");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(second.connect_info().begin_call().is_none());
        drop(second);
        soon(clients[1].read_u8()).await.expect_err("it is closed");

        let other_call = third.connect_info().begin_call().expect("it has a place");
        let refused = async {
            let mut refused = connect().await;
            soon(refused.read_u8())
                .await
                .expect_err("it is closed at once");
        };
        tokio::select! {
            () = refused => {}
            _ = next() => panic!("both have calls"),
        }
        // Those that were open go on.
        for (server, client) in [
            (&mut first, &mut clients[0]),
            (&mut third, &mut third_client),
        ] {
            client.write_u8(7).await.expect("it is open");
            assert_eq!(soon(server.read_u8()).await.expect("it is open"), 7);
        }
        drop((call, other_call, third));
        let _client = connect().await;
        next().await;
    }
}
