//! A bound on open connections.
//!
//! Every connection costs a file descriptor, and the log needs some too: a process that has none
//! left cannot begin a segment, and stops. So a connection is accepted only once there is room for
//! it; until then it waits in the operating system's queue, which has a bound of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// A connection that holds its place until it is closed.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

/// Connections as they are accepted, at most `connections_max` open at a time.
pub fn accept(
    listener: TcpListener,
    connections_max: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(connections_max));
    let listener = Arc::new(listener);
    tokio_stream::iter(std::iter::repeat(())).then(move |()| {
        let (places, listener) = (Arc::clone(&places), Arc::clone(&listener));
        async move {
            let place = places
                .acquire_owned()
                .await
                .expect("nobody closes the semaphore");
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Connection {
                stream,
                _place: place,
            })
        }
    })
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_connection_over_the_bound_waits_until_another_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut accepted = std::pin::pin!(accept(listener, 1));
        let _clients = [
            TcpStream::connect(address).await.expect("a connection"),
            TcpStream::connect(address)
                .await
                .expect("a place in the queue"),
        ];
        let first = accepted.next().await.expect("no end").expect("accepted");
        let early = timeout(Duration::from_millis(50), accepted.next()).await;
        assert!(early.is_err(), "the second one must wait");
        drop(first);
        let second = timeout(Duration::from_secs(5), accepted.next()).await;
        second.expect("in time").expect("no end").expect("accepted");
    }
}
