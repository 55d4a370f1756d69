//! One `tallyd` process under test, and what a test asks it.
//!
//! Ports are taken from below the range that the operating system gives to outgoing connections,
//! so a node that was killed finds its port free when it comes back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use wire::v1::cluster_service_client::ClusterServiceClient;
use wire::v1::counter_service_client::CounterServiceClient;
use wire::v1::{AddRequest, GetRequest, GetStatusRequest, GetStatusResponse, ListCountersRequest};

/// What has to happen has happened within this time, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at something that is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Ports tried: above those of well-known services, below those of outgoing connections.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Every value by counter, as a node lists them.
pub(crate) type Values = BTreeMap<String, i64>;

/// A node: its directory and address for good, and its process while it runs.
pub(crate) struct Node {
    /// Where it listens, as "host:port".
    pub(crate) address: String,
    /// Its data directory.
    pub(crate) data: PathBuf,
    flags: Vec<String>,
    log: PathBuf,
    channel: Channel,
    process: Option<Child>,
}

impl Node {
    /// A node that is not started, with a directory of its own in `place`.
    pub(crate) fn new(place: &Path, name: &str) -> Self {
        let address = free_address();
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .expect("an address")
            .connect_timeout(PATIENCE)
            .timeout(PATIENCE)
            .connect_lazy();
        Self {
            data: place.join(name),
            log: place.join(format!("{name}.log")),
            flags: vec!["--worker-threads".into(), "2".into()],
            address,
            channel,
            process: None,
        }
    }

    /// Flags for the next start, beside `--data` and `--listen`.
    pub(crate) fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// Where its trace is, if it writes one.
    pub(crate) fn trace_path(&self) -> PathBuf {
        self.data.with_extension("trace")
    }

    /// Peers for the next start.
    pub(crate) fn with_peers(self, peers: &[&str]) -> Self {
        peers
            .iter()
            .fold(self, |node, peer| node.with(&["--peer", peer]))
    }

    /// Starts the process. It goes on to recover by itself.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut log = File::options();
        let log = log.create(true).append(true).open(&self.log);
        let child = Command::new(env!("CARGO_BIN_EXE_tallyd"))
            .arg("--data")
            .arg(&self.data)
            .args(["--listen", &self.address])
            .args(&self.flags)
            .stderr(log.expect("a log file"))
            .spawn();
        self.process = Some(child.expect("the program is built with the test"));
    }

    /// Starts the process, and waits until it serves.
    pub(crate) async fn serve(&mut self) {
        self.start();
        eventually("the node serves", async || {
            self.health().await == Some(ServingStatus::Serving)
        })
        .await;
    }

    /// Starts the process, and waits until it has recovered, whether it takes adds or not.
    pub(crate) async fn recover(&mut self) {
        self.start();
        eventually("the node has recovered", async || {
            let mut client = ClusterServiceClient::new(self.channel.clone());
            client.get_status(GetStatusRequest {}).await.is_ok()
        })
        .await;
    }

    /// Starts the process, which ends by itself: its exit status and what it wrote.
    pub(crate) async fn fail(&mut self) -> (ExitStatus, String) {
        self.start();
        let status = self.ended().await;
        (status, self.written())
    }

    /// What its processes have written.
    pub(crate) fn written(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    /// kill -9, at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
        }
    }

    /// Asks the process to stop, and does not wait.
    pub(crate) fn terminate(&self) {
        let child = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), Signal::TERM).expect("it is our child");
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        let child = self.process.as_mut().expect("it was started");
        child.try_wait().expect("it is our child").is_some()
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = self.process.as_mut().expect("it runs");
        let mut status = None;
        eventually("the process ends", async || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        })
        .await;
        self.process = None;
        status.expect("it was awaited")
    }

    /// Bytes of memory that the process has had at most.
    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        let child = self.process.as_ref().expect("it runs");
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.expect("a size").parse::<u64>().expect("a number") << 10
    }

    /// What the health service says of the node; nothing while nobody listens.
    pub(crate) async fn health(&self) -> Option<ServingStatus> {
        self.health_of("").await
    }

    /// What it says of a service.
    pub(crate) async fn health_of(&self, service: &str) -> Option<ServingStatus> {
        let service = service.to_owned();
        let mut health = HealthClient::new(self.channel.clone());
        let answer = health.check(HealthCheckRequest { service }).await;
        answer.ok().map(|answer| answer.into_inner().status())
    }

    /// The node's address as a channel.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A client of the node's counters.
    pub(crate) fn counters(&self) -> CounterServiceClient<Channel> {
        CounterServiceClient::new(self.channel.clone())
    }

    /// What the node says of itself.
    pub(crate) async fn status(&self) -> GetStatusResponse {
        let mut client = ClusterServiceClient::new(self.channel.clone());
        let answer = client.get_status(GetStatusRequest {}).await;
        answer.expect("the node serves").into_inner()
    }

    /// Adds; the token.
    pub(crate) async fn add(&self, counter: &str, amount: i64) -> Result<Vec<u8>, Status> {
        let answer = self.counters().add(add_request(counter, amount)).await?;
        Ok(answer.into_inner().token)
    }

    /// A counter's value.
    pub(crate) async fn value(&self, counter: &str) -> i64 {
        self.value_after(counter, Vec::new()).await
    }

    /// A counter's value once the node has the add behind the token.
    pub(crate) async fn value_after(&self, counter: &str, token: Vec<u8>) -> i64 {
        let counter = counter.to_owned();
        let request = GetRequest {
            counter,
            token,
            ..Default::default()
        };
        let answer = self.counters().get(request).await.expect("a read");
        answer.into_inner().counter.expect("a value").value
    }

    /// Every counter that the node lists, page by page.
    pub(crate) async fn values(&self) -> Values {
        let mut values = Values::new();
        let mut page_token = String::new();
        loop {
            let request = ListCountersRequest {
                page_size: 5_000,
                page_token: page_token.clone(),
                ..Default::default()
            };
            let answer = self
                .counters()
                .list_counters(request)
                .await
                .expect("a list");
            let page = answer.into_inner();
            values.extend(page.counters.into_iter().map(|c| (c.counter, c.value)));
            let next = page.next_page_token;
            assert!(next.is_empty() || next > page_token, "pages go on");
            page_token = next;
            if page_token.is_empty() {
                return values;
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- {} wrote:\n{log}", self.address);
        }
    }
}

/// A request to add.
pub(crate) fn add_request(counter: &str, amount: i64) -> AddRequest {
    AddRequest {
        counter: counter.to_owned(),
        amount,
        ..Default::default()
    }
}

/// The reason that a refusal gives; empty if it gives none.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    reason.unwrap_or_default()
}

/// Waits until something is so.
///
/// # Panics
///
/// When it is not after [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "not so after {PATIENCE:?}: {what}");
        sleep(LOOK_INTERVAL).await;
    }
}

/// Waits for something that must come.
///
/// # Panics
///
/// When it does not within [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// An address that nobody listens on, and that this process has not given before.
pub(crate) fn free_address() -> String {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Where the search begins differs by process, so that two test runs rarely meet.
    let begin = u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start))
        .expect("less than the number of ports");
    for _ in PORTS {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + begin.wrapping_add(tried) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
    panic!("no port of {PORTS:?} is free");
}

/// A program that is expected to fail before it has a node: its status and what it wrote.
pub(crate) fn run_tallyd(flags: &[&str]) -> (ExitStatus, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tallyd"))
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .expect("the program is built with the test");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status, text)
}
