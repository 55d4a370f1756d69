//! An emulated wide-area link: a TCP proxy that delays bytes and limits nothing.
//!
//! One [`Link`] is one directed connection of the deployment (node i dials node j through it).
//! Bytes travel half of the round trip in each direction. A link has latency, not a rate: what is
//! read is stamped with the time it is due and queued, and the reader goes on reading while
//! earlier bytes are still on their way, as on a real long line.
//!
//! It works in user space on any machine, without root. Left out: loss and reordering (TCP hides
//! them; they would show as more delay), jitter, and the extra round trip of a TCP handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How many bytes may be under way in one direction of one connection. At a round trip of 200 ms
/// this carries 640 MiB/s, more than loopback work on a few cores produces; beyond it the sender
/// is slowed down by TCP's own flow control.
const UNDER_WAY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The size of one read: as much as a socket buffer usually hands out at once.
const READ_BYTES: usize = 64 * 1024;
/// Connections of one link at a time. gRPC uses one or a few; a hundred means a reconnect loop.
const CONNECTIONS_MAX: usize = 128;

/// A link could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("opening a link to {to}: {source}")]
pub(crate) struct LinkError {
    to: SocketAddr,
    source: io::Error,
}

/// The round trip of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoundTrip(Duration);

impl RoundTrip {
    /// A round trip of so many milliseconds.
    pub(crate) fn from_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// In milliseconds.
    pub(crate) fn as_ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).expect("it was made from_ms")
    }

    fn one_way(self) -> Duration {
        self.0 / 2
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Up,
    Cut,
}

/// An open link. Dropping it closes its connections.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    state: watch::Sender<LinkState>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// Opens a link to `to`; who wants to use it connects to [`Link::address`].
    pub(crate) async fn open(to: SocketAddr, round_trip: RoundTrip) -> Result<Self, LinkError> {
        let failed = |source| LinkError { to, source };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (state, seen) = watch::channel(LinkState::Up);
        let accepting = tokio::spawn(accept(listener, to, round_trip.one_way(), seen));
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// The near end of the link.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, losing what is under way, and refuses new ones.
    pub(crate) fn cut(&self) {
        self.state.send_replace(LinkState::Cut);
    }

    /// Lets connections through again.
    pub(crate) fn heal(&self) {
        self.state.send_replace(LinkState::Up);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    to: SocketAddr,
    one_way: Duration,
    state: watch::Receiver<LinkState>,
) {
    // Owned by this task, so aborting it closes every connection.
    let mut connections = JoinSet::new();
    loop {
        let near = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
        };
        // A failed accept concerns one connection that is gone already.
        let Ok((near, _from)) = near else { continue };
        if *state.borrow() == LinkState::Cut || connections.len() >= CONNECTIONS_MAX {
            continue;
        }
        let mut state = state.clone();
        connections.spawn(async move {
            tokio::select! {
                // How a connection ends is the business of its two ends, which see it close.
                _ended = connect(near, to, one_way) => {}
                _cut = state.wait_for(|state| *state == LinkState::Cut) => {}
            }
        });
    }
}

async fn connect(near: TcpStream, to: SocketAddr, one_way: Duration) -> io::Result<()> {
    let far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = far.into_split();
    tokio::try_join!(
        carry(from_near, to_far, one_way),
        carry(from_far, to_near, one_way)
    )?;
    Ok(())
}

/// Bytes on their way, with their share of [`UNDER_WAY_BYTES_MAX`].
struct Chunk {
    due: Instant,
    bytes: Box<[u8]>,
    _room: OwnedSemaphorePermit,
}

/// Carries one direction until its end.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    one_way: Duration,
) -> io::Result<()> {
    // Bounded by `room`, in bytes.
    let (queue, mut under_way) = mpsc::unbounded_channel::<Chunk>();
    let room = Arc::new(Semaphore::new(UNDER_WAY_BYTES_MAX));
    let read = async move {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = from.read(&mut buffer).await?;
            let due = Instant::now() + one_way;
            let share = u32::try_from(count).expect("a read is at most READ_BYTES");
            let permit = Arc::clone(&room).acquire_many_owned(share).await;
            let permit = permit.expect("the semaphore is never closed");
            let chunk = Chunk {
                due,
                bytes: buffer[..count].into(),
                _room: permit,
            };
            // The end of the stream travels as an empty chunk, as late as the bytes before it.
            if queue.send(chunk).is_err() || count == 0 {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some(chunk) = under_way.recv().await {
            sleep_until(chunk.due).await;
            to.write_all(&chunk.bytes).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _from)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ended = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn link(round_trip_ms: u64) -> Link {
        Link::open(echo().await, RoundTrip::from_ms(round_trip_ms))
            .await
            .expect("loopback")
    }

    #[tokio::test]
    async fn an_answer_takes_the_round_trip() {
        let link = link(60).await;
        let mut stream = TcpStream::connect(link.address())
            .await
            .expect("the link is up");
        for _ in 0..3 {
            let start = Instant::now();
            stream.write_all(b"?").await.expect("sent");
            stream.read_exact(&mut [0]).await.expect("answered");
            assert!(
                start.elapsed() >= Duration::from_millis(60),
                "{:?}",
                start.elapsed()
            );
        }
    }

    #[tokio::test]
    async fn bytes_arrive_complete_in_order_and_unthrottled() {
        const LEN: usize = 32 * 1024 * 1024;
        let link = link(200).await;
        let stream = TcpStream::connect(link.address())
            .await
            .expect("the link is up");
        let (mut from, mut to) = stream.into_split();
        // 251 is prime, so a lost or swapped chunk of any power of two would show.
        let sent: Vec<u8> = (0..=250).cycle().take(LEN).collect();
        let expected = sent.clone();
        let start = Instant::now();
        let sender = tokio::spawn(async move {
            to.write_all(&sent).await.expect("sent");
            to.shutdown().await.expect("closed");
        });
        let mut received = Vec::with_capacity(LEN);
        from.read_to_end(&mut received).await.expect("received");
        sender.await.expect("sent");
        assert!(
            received == expected,
            "{} of {LEN} bytes, or other bytes",
            received.len()
        );
        // A proxy that waits out the delay for each read would need 512 x 100 ms.
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test]
    async fn a_cut_link_closes_and_a_healed_one_serves() {
        let link = link(0).await;
        let mut stream = TcpStream::connect(link.address())
            .await
            .expect("the link is up");
        stream.write_all(b"?").await.expect("sent");
        stream.read_exact(&mut [0]).await.expect("answered");
        link.cut();
        let closed = timeout(Duration::from_secs(10), stream.read(&mut [0])).await;
        assert!(
            matches!(closed, Ok(Ok(0) | Err(_))),
            "the cut closes it: {closed:?}"
        );
        let mut refused = TcpStream::connect(link.address())
            .await
            .expect("accepted, then closed");
        assert!(
            matches!(refused.read(&mut [0]).await, Ok(0) | Err(_)),
            "no way through"
        );
        link.heal();
        let mut healed = TcpStream::connect(link.address())
            .await
            .expect("the link is up");
        healed.write_all(b"?").await.expect("sent");
        healed.read_exact(&mut [0]).await.expect("answered");
    }
}
