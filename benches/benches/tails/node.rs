//! A node in a process of its own: this program, started again in another role.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tally_client::{Client, NodeStatus, Options};
use tally_server::config::Config;
use tally_server::{server, shutdown};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::Failure;

/// The first argument of the process that is the node.
pub(crate) const ROLE: &str = "node";

/// A node serves within this time, whatever it has to recover.
const SERVES_WITHIN: Duration = Duration::from_mins(1);
/// After one temporary file is gone, the next one is there within this time.
const BETWEEN_FILES: Duration = Duration::from_millis(100);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What the process does that is the node.
pub(crate) fn serve(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // A measurement that is killed leaves nothing behind.
    set_parent_process_death_signal(Some(Signal::KILL)).expect("Linux has this");
    let program = OsString::from("tallyd");
    let arguments: Vec<_> = std::iter::once(program).chain(arguments).collect();
    let config = Config::read(arguments).unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let ended = runtime.block_on(async {
        let (stop, stop_at_once) = shutdown::signals().expect("signals can be caught");
        tokio::select! {
            ended = server::run(config, stop) => ended.map_err(|error| error.to_string()),
            () = stop_at_once => Err("asked twice to stop".to_owned()),
        }
    });
    if let Err(error) = &ended {
        eprintln!("node: {error}");
    }
    // As `tallyd` does it: nothing is waited for.
    std::process::exit(i32::from(ended.is_err()))
}

/// A running node. It is killed when it is dropped.
pub(crate) struct Node {
    /// A client of it.
    pub(crate) client: Client,
    /// Where it listens.
    pub(crate) address: String,
    data: PathBuf,
    process: Child,
}

impl Node {
    /// Starts a node, and waits until it serves.
    pub(crate) async fn start(data: PathBuf, peer: Option<&str>) -> Result<Self, Failure> {
        let address = free_address()?;
        let client = Client::connect([&address], Options::default())?;
        let process = spawn(&data, &address, peer)?;
        let node = Self {
            client,
            address,
            data,
            process,
        };
        node.wait_until_it_serves().await?;
        Ok(node)
    }

    async fn wait_until_it_serves(&self) -> Result<(), Failure> {
        let begin = Instant::now();
        while let Err(error) = self.status().await {
            if begin.elapsed() > SERVES_WITHIN {
                return Err(error);
            }
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// What it tells of itself.
    pub(crate) async fn status(&self) -> Result<NodeStatus, Failure> {
        let (_, status) = self.client.status().await.remove(0);
        Ok(status?)
    }

    /// Whether a snapshot is being written, or what it stands for is being removed: meanwhile there
    /// are files with temporary names.
    pub(crate) fn writes_a_snapshot(&self) -> Result<bool, Failure> {
        for entry in std::fs::read_dir(&self.data)? {
            let path = PathBuf::from(entry?.file_name());
            if path.extension().is_some_and(|it| it == "tmp") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until no snapshot is written any more.
    pub(crate) async fn wait_for_snapshot(&self) -> Result<(), Failure> {
        let mut last = Instant::now();
        while last.elapsed() < BETWEEN_FILES {
            if self.writes_a_snapshot()? {
                last = Instant::now();
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Sends SIGTERM; how long it takes until the process has ended.
    pub(crate) async fn stop(&mut self) -> Result<Duration, Failure> {
        let pid = self.process.id().ok_or("the node has ended by itself")?;
        let begin = Instant::now();
        kill_process(
            Pid::from_raw(pid.cast_signed()).expect("a process"),
            Signal::TERM,
        )?;
        let status = self.process.wait().await?;
        if !status.success() {
            return Err(format!("the node ended with {status}").into());
        }
        Ok(begin.elapsed())
    }

    /// Starts it again after a stop.
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        self.process = spawn(&self.data, &self.address, None)?;
        self.wait_until_it_serves().await
    }

    /// kill -9.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.process.kill().await?)
    }
}

fn spawn(data: &PathBuf, address: &str, peer: Option<&str>) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ROLE).args(["--listen", address]);
    command.arg("--data").arg(data);
    if let Some(peer) = peer {
        command.args(["--peer", peer]);
    }
    Ok(command.kill_on_drop(true).spawn()?)
}

/// Below the ports that the operating system gives to outgoing connections.
fn free_address() -> Result<String, Failure> {
    for port in 12_000..32_000 {
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port from 12000 to 31999 is free on loopback".into())
}
