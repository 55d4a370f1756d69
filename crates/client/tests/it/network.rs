//! Networks that misbehave: a host that cannot be reached or never answers, and a cable that is pulled
//! without a word.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

/// Longer than a connection takes on one machine, busy as it may be.
const A_WHILE: Duration = Duration::from_millis(500);

/// Accepts connections, and never says anything on them.
pub struct BlackHole {
    pub address: SocketAddr,
    server: AbortHandle,
}

impl BlackHole {
    /// Starts one on a port of its own.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let server = tokio::spawn(async move {
            let mut connections = Vec::new();
            loop {
                connections.push(listener.accept().await);
            }
        });
        Self {
            address,
            server: server.abort_handle(),
        }
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers no attempt to connect: its queue of connections is full, and so the system drops them.
pub struct Unreachable {
    pub address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Unreachable {
    /// Finds a port of its own and fills its queue.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let any_port = "127.0.0.1:0".parse().expect("an address");
        socket.bind(any_port).expect("a loopback port");
        let listener = socket.listen(1).expect("a listener");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let mut waiting = Vec::new();
        while let Ok(connection) = timeout(A_WHILE, TcpStream::connect(address)).await {
            waiting.push(connection.expect("the queue has space"));
        }
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

/// Passes connections on to a server, until they are cut.
pub struct Relay {
    pub address: SocketAddr,
    cut: watch::Sender<()>,
    server: AbortHandle,
}

impl Relay {
    /// Starts one on a port of its own.
    pub async fn start(to: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let (cut, cuts) = watch::channel(());
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass_on(client, to, cuts.clone()));
            }
        });
        Self {
            address,
            cut,
            server: server.abort_handle(),
        }
    }

    /// Nothing more arrives on the connections that exist, and neither end learns of it.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(mut client: TcpStream, to: SocketAddr, mut cuts: watch::Receiver<()>) {
    let Ok(mut server) = TcpStream::connect(to).await else {
        return;
    };
    cuts.mark_unchanged();
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cuts.changed() => std::future::pending().await,
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a loopback port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    (listener, address)
}
