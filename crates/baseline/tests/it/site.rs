//! The processes under test, on free loopback ports, and their clients. Each is killed when its
//! handle is dropped, by its own id.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;
use wire::v1::counter_service_client::CounterServiceClient;
use wire::v1::{AddRequest, BatchAddItem, GetRequest};

/// What has to happen has happened within this time, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A running program.
struct Process {
    child: Child,
}

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_tally-baseline"))
            .args(arguments)
            .stderr(Stdio::null())
            .spawn()
            .expect("the program is built with the test");
        Self { child }
    }

    /// As kill -9 does, at once.
    fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that was killed before is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A register process.
pub(crate) struct Register {
    pub(crate) address: String,
    process: Process,
}

impl Register {
    pub(crate) async fn start(options: &[&str]) -> Self {
        let address = free_address();
        let process = Self::process(&address, options);
        wait_for_health(&channel(&address), true).await;
        Self { address, process }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, at the same address.
    pub(crate) async fn restart(&mut self, options: &[&str]) {
        self.process = Self::process(&self.address, options);
        wait_for_health(&channel(&self.address), true).await;
    }

    fn process(address: &str, options: &[&str]) -> Process {
        Process::start(&[&["register", "--listen", address], options].concat())
    }
}

/// A server process.
pub(crate) struct Server {
    channel: Channel,
    process: Process,
}

impl Server {
    /// `strategy` is its name and, where it has one, its option.
    pub(crate) async fn start(register: &str, strategy: &[&str]) -> Self {
        let address = free_address();
        let arguments = [
            "serve",
            "--listen",
            &address,
            "--register",
            register,
            "--strategy",
        ];
        let process = Process::start(&[&arguments, strategy].concat());
        let channel = channel(&address);
        wait_for_health(&channel, true).await;
        Self { channel, process }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) fn client(&self) -> CounterServiceClient<Channel> {
        CounterServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn get(&self, counter: &str) -> Result<i64, Status> {
        let request = GetRequest {
            counter: counter.to_owned(),
            ..Default::default()
        };
        let response = self.client().get(request).await?.into_inner();
        Ok(response.counter.expect("an answer has a value").value)
    }

    pub(crate) async fn wait_for_health(&self, serving: bool) {
        wait_for_health(&self.channel, serving).await;
    }
}

pub(crate) async fn add(
    mut client: CounterServiceClient<Channel>,
    counter: &str,
    amount: i64,
) -> Result<(), Status> {
    client.add(add_request(counter, amount)).await.map(|_| ())
}

pub(crate) fn add_request(counter: &str, amount: i64) -> AddRequest {
    AddRequest {
        counter: counter.to_owned(),
        amount,
        ..Default::default()
    }
}

pub(crate) fn batch_item(counter: &str, amount: i64) -> BatchAddItem {
    BatchAddItem {
        counter: counter.to_owned(),
        amount,
    }
}

/// The reason that a refusal gives; empty if it gives none.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// An address that nobody listens on, and that this process has not given before. A port that the
/// system picks could be taken again for an outgoing connection before a server listens on it.
fn free_address() -> String {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() % 20_000).expect("below 20,000");
    loop {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        assert!(tried < 20_000, "no port from 12,000 to 32,000 is free");
        let address = format!("127.0.0.1:{}", 12_000 + (begin + tried) % 20_000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

fn channel(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .expect("an address")
        .connect_lazy()
}

async fn wait_for_health(channel: &Channel, serving: bool) {
    let end = Instant::now() + PATIENCE;
    let mut health = HealthClient::new(channel.clone());
    loop {
        let answer = health.check(HealthCheckRequest::default()).await;
        let is_serving =
            answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving);
        if is_serving == serving {
            return;
        }
        assert!(
            Instant::now() < end,
            "serving is not {serving} after {PATIENCE:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}
