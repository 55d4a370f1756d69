//! A slow link: a TCP proxy that delays all bytes by half a round trip each way, and limits
//! nothing.
//!
//! Each direction is a reader, which stamps what it reads, and a writer, which holds it back until
//! its time has come. The end of a stream is delayed likewise.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Starts a proxy to `target`, for as long as the test runs; returns its address.
pub(crate) async fn delaying(target: &str, round_trip: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let target = target.to_owned();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.expect("the listener lives");
            let Ok(far) = TcpStream::connect(&target).await else {
                continue;
            };
            for stream in [&near, &far] {
                stream.set_nodelay(true).expect("it is a TCP socket");
            }
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::spawn(pump(near_read, far_write, round_trip / 2));
            tokio::spawn(pump(far_read, near_write, round_trip / 2));
        }
    });
    address
}

async fn pump(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) {
    let (stamped, mut due) = mpsc::channel(1_024);
    tokio::spawn(async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            let packet = (Instant::now() + delay, bytes[..read].to_vec());
            if stamped.send(packet).await.is_err() {
                return;
            }
        }
        // The last packet is empty, so that the end is as late as everything else. A writer that
        // is gone needs none.
        let _ = stamped.send((Instant::now() + delay, Vec::new())).await;
    });
    while let Some((at, bytes)) = due.recv().await {
        sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // A peer that is gone has seen the end already.
    let _ = to.shutdown().await;
}
