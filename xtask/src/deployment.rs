//! The deployments that are measured: three data centres on one machine.
//!
//! *Tally*: nodes that all know each other, each directed pair through a [`Link`] of its own.
//! *Baseline*: servers that share one register, each through a link; the register and its lock
//! server stand for the one place where the shared counter lives.
//!
//! Clients are local: they reach the server of their own data centre without delay.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::client::{Client, ClientError, LoadOutcome, LoadPlan, Sample, Values, Waits};
use crate::ports::free_addresses;
use crate::processes::{ProcessError, Programs, RunDir, Server, ServerSpec};
use crate::wan::{Link, LinkError, RoundTrip};

/// How long a server may take to serve. Restarting a node with a million counters is the longest
/// start there is, and should take a few seconds.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// A deployment could not be started or asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeploymentError {
    /// About a process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// About a link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// About a question to a node.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// How the baseline's servers share their counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Read, add one, write.
    Naive,
    /// The lock carries the counter: one round trip an increment.
    Lock,
    /// Acquire, read, write and release, each its own round trip.
    LockSeparate,
    /// The lock carries the counter and is taken for several likes.
    LockBatch,
    /// The register adds by itself, as `UPDATE .. SET counter = counter + 1` does.
    Database,
}

impl Strategy {
    fn argument(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Lock => "lock",
            Self::LockSeparate => "lock-separate",
            Self::LockBatch => "lock-batch",
            Self::Database => "database",
        }
    }
}

/// Where the register keeps the baselines' counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// In memory: a killed register begins again at 0.
    InMemory,
    /// In a file, synced before a write is confirmed.
    OnDisk,
}

/// What the baseline's servers run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Baseline {
    /// How they count.
    pub(crate) strategy: Strategy,
    /// Likes for which [`Strategy::LockBatch`] holds its lock once.
    pub(crate) batch: u32,
    /// What becomes of the counters.
    pub(crate) register: Keeps,
}

/// Where and how large: what every deployment has in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geography<'a> {
    /// The programs.
    pub(crate) programs: &'a Programs,
    /// Where the processes work.
    pub(crate) run_dir: &'a RunDir,
    /// Data centres, one server each.
    pub(crate) sites: usize,
    /// Between any two data centres.
    pub(crate) round_trip: RoundTrip,
}

/// Whether nodes write traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traces {
    Yes,
    No,
}

/// A server at its address.
#[derive(Debug)]
struct Node {
    server: Server,
    address: SocketAddr,
}

/// Running servers and the links between them. Dropping it ends all of them.
#[derive(Debug)]
pub(crate) struct Deployment {
    client: Client,
    nodes: Vec<Node>,
    /// The baselines' register and lock server.
    register: Option<Node>,
    /// Each with the two nodes that it joins; a register is nobody's number.
    links: Vec<(Link, [Option<usize>; 2])>,
    /// What the nodes write of what they do, where they do.
    traces: Vec<PathBuf>,
}

impl Deployment {
    /// Starts Tally nodes, fully meshed, and waits until they serve.
    pub(crate) async fn tally(place: Geography<'_>) -> Result<Self, DeploymentError> {
        Self::start_tally(place, Traces::No).await
    }

    /// The same with nodes that write traces.
    pub(crate) async fn tally_traced(place: Geography<'_>) -> Result<Self, DeploymentError> {
        Self::start_tally(place, Traces::Yes).await
    }

    async fn start_tally(place: Geography<'_>, writes: Traces) -> Result<Self, DeploymentError> {
        let dir = place.run_dir.fresh("tally")?;
        let addresses = free_addresses(place.sites)?;
        let mut links = Vec::new();
        let mut nodes = Vec::new();
        let mut traces = Vec::new();
        for (from, &address) in addresses.iter().enumerate() {
            let mut arguments = tallyd_arguments(&dir.join(format!("node-{from}")), address);
            for (to, &peer) in addresses
                .iter()
                .enumerate()
                .filter(|&(to, _peer)| to != from)
            {
                let link = Link::open(peer, place.round_trip).await?;
                arguments.extend(["--peer".into(), link.address().to_string().into()]);
                links.push((link, [Some(from), Some(to)]));
            }
            if writes == Traces::Yes {
                let trace = dir.join(format!("node-{from}.trace"));
                arguments.extend(["--trace".into(), trace.clone().into()]);
                traces.push(trace);
            }
            let server = Server::start(ServerSpec {
                name: format!("tallyd {from}"),
                program: place.programs.tallyd.clone(),
                arguments,
                log: dir.join(format!("node-{from}.log")),
            })?;
            nodes.push(Node { server, address });
        }
        let client = Client::new(place.programs.tally.clone());
        let mut deployment = Self {
            client,
            nodes,
            register: None,
            links,
            traces,
        };
        deployment.wait_until_ready().await?;
        Ok(deployment)
    }

    /// Starts a register and baseline servers that share it, and waits until they serve.
    pub(crate) async fn baseline(
        place: Geography<'_>,
        baseline: Baseline,
    ) -> Result<Self, DeploymentError> {
        let dir = place.run_dir.fresh("baseline")?;
        let spec = |name: String, arguments| ServerSpec {
            program: place.programs.baseline.clone(),
            arguments,
            log: dir.join(format!("{name}.log")),
            name: format!("tally-baseline {name}"),
        };
        let mut addresses = free_addresses(place.sites + 1)?;
        let register_address = addresses.pop().expect("one more than there are sites");
        let listen = |address: SocketAddr| ["--listen".into(), address.to_string().into()];
        let mut arguments: Vec<OsString> = vec!["register".into()];
        arguments.extend(listen(register_address));
        if baseline.register == Keeps::OnDisk {
            arguments.extend(["--state".into(), dir.join("register.state").into()]);
        }
        let server = Server::start(spec("register".into(), arguments))?;
        let mut register = Node {
            server,
            address: register_address,
        };
        register
            .server
            .wait_until_ready(READY_PATIENCE, || async {
                TcpStream::connect(register_address).await.is_ok()
            })
            .await?;

        let mut links = Vec::new();
        let mut nodes = Vec::new();
        for (site, &address) in addresses.iter().enumerate() {
            let link = Link::open(register_address, place.round_trip).await?;
            let mut arguments: Vec<OsString> = vec!["serve".into()];
            arguments.extend(listen(address));
            arguments.extend(["--register".into(), link.address().to_string().into()]);
            arguments.extend(["--strategy".into(), baseline.strategy.argument().into()]);
            if baseline.strategy == Strategy::LockBatch {
                arguments.extend(["--batch".into(), baseline.batch.to_string().into()]);
            }
            let server = Server::start(spec(format!("server-{site}"), arguments))?;
            nodes.push(Node { server, address });
            links.push((link, [Some(site), None]));
        }
        let client = Client::new(place.programs.tally.clone());
        let mut deployment = Self {
            client,
            nodes,
            register: Some(register),
            links,
            traces: Vec::new(),
        };
        deployment.wait_until_ready().await?;
        Ok(deployment)
    }

    /// The nodes, in order.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// The command that speaks to the nodes.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Runs a load against all nodes.
    pub(crate) async fn load(
        &self,
        plan: &LoadPlan,
        on_sample: impl FnMut(&Sample),
    ) -> Result<LoadOutcome, DeploymentError> {
        Ok(self.client.load(&self.addresses(), plan, on_sample).await?)
    }

    /// Every counter of every node, asked at once.
    pub(crate) async fn values(&self) -> Result<Vec<Values>, DeploymentError> {
        let asked: Vec<_> = self
            .addresses()
            .into_iter()
            .map(|address| {
                let client = self.client.clone();
                tokio::spawn(async move { client.list(address).await })
            })
            .collect();
        let mut values = Vec::new();
        for answer in asked {
            values.push(answer.await.expect("listing does not panic")?);
        }
        Ok(values)
    }

    /// How long so many reads between each pair of nodes wait for the add before them.
    pub(crate) async fn lag(&self, samples: u32) -> Result<Waits, DeploymentError> {
        Ok(self.client.lag(&self.addresses(), samples).await?)
    }

    /// Kills a node as `kill -9` does.
    pub(crate) async fn kill(&mut self, node: usize) -> Result<(), DeploymentError> {
        Ok(self.nodes[node].server.kill().await?)
    }

    /// Starts a killed node again, and waits until it serves.
    pub(crate) async fn restart(&mut self, node: usize) -> Result<(), DeploymentError> {
        self.nodes[node].server.restart()?;
        wait_for_node(&mut self.nodes[node], &self.client).await
    }

    /// Kills the baselines' register and lock server.
    pub(crate) async fn kill_register(&mut self) -> Result<(), DeploymentError> {
        let register = self.register.as_mut().expect("a baseline has a register");
        Ok(register.server.kill().await?)
    }

    /// Starts the killed register again.
    pub(crate) fn restart_register(&mut self) -> Result<(), DeploymentError> {
        let register = self.register.as_mut().expect("a baseline has a register");
        Ok(register.server.restart()?)
    }

    /// Cuts all links of a node; its local clients still reach it.
    pub(crate) fn isolate(&self, node: usize) {
        self.links_of(node).for_each(Link::cut);
    }

    /// Heals all links of a node.
    pub(crate) fn rejoin(&self, node: usize) {
        self.links_of(node).for_each(Link::heal);
    }

    /// Stops all servers with SIGTERM; the traces that they have written.
    pub(crate) async fn stop(mut self) -> Result<Vec<PathBuf>, DeploymentError> {
        for node in self.nodes.iter_mut().chain(&mut self.register) {
            node.server.stop().await?;
        }
        Ok(self.traces)
    }

    fn links_of(&self, node: usize) -> impl Iterator<Item = &Link> {
        self.links
            .iter()
            .filter(move |(_, ends)| ends.contains(&Some(node)))
            .map(|(link, _)| link)
    }

    async fn wait_until_ready(&mut self) -> Result<(), DeploymentError> {
        for node in &mut self.nodes {
            wait_for_node(node, &self.client).await?;
        }
        Ok(())
    }
}

async fn wait_for_node(node: &mut Node, client: &Client) -> Result<(), DeploymentError> {
    let address = node.address;
    Ok(node
        .server
        .wait_until_ready(READY_PATIENCE, || client.answers(address))
        .await?)
}

fn tallyd_arguments(data: &Path, listen: SocketAddr) -> Vec<OsString> {
    vec![
        "--data".into(),
        data.into(),
        "--listen".into(),
        listen.to_string().into(),
        "--cluster".into(),
        "xtask".into(),
    ]
}
