//! The cluster of a transcript: its nodes, its network, its time, and its commands.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use commit_log::memory::{Contents, MemoryDisk};
use crdt_core::StartId;
use protocol::{CommitLimits, ReplicationLimits, Time};

use super::command::{Command, Span};
use super::node::{Node, Settings};
use super::output::Output;
use super::process::Dial;
use super::streams::{Links, Streams};

/// A page of the disks: all that a transcript writes fits a few.
const PAGE_BYTES: usize = 4_096;

/// A name of this length is close to the bound: few thousand fill a message.
const NAME_BYTES: usize = 500;

/// A read waits for its token so long, unless it says otherwise.
const TOKEN_WAIT: Duration = Duration::from_secs(10);

/// All there is.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) settings: Settings,
    pub(super) now: Time,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) streams: Streams,
    pub(super) cuts: Links,
    held: Links,
    starts: u64,
    adds: u32,
    tokens: BTreeMap<u32, Vec<u8>>,
    /// When something is due next that was asked to be.
    due: Option<Time>,
    pub(super) output: Rc<Output>,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self {
            settings: Settings {
                shard_count: 1,
                replication: ReplicationLimits::default(),
                commit: CommitLimits::default(),
            },
            now: Time::default(),
            nodes: BTreeMap::new(),
            streams: Streams::new(),
            cuts: Links::new(),
            held: Links::new(),
            starts: 0,
            adds: 0,
            tokens: BTreeMap::new(),
            due: None,
            output: Rc::default(),
        }
    }

    /// Does what a command says, and then all that is due at the nodes now; what the nodes have
    /// done.
    pub(super) fn execute(&mut self, command: &Command) -> Result<String, String> {
        self.obey(command)?;
        self.settle();
        Ok(self.output.take())
    }

    fn obey(&mut self, command: &Command) -> Result<(), String> {
        use Command as C;
        match command {
            C::Cluster(shards, records_max, bytes_min) => {
                self.set(*shards, *records_max, *bytes_min)
            }
            C::Nodes(names) => names.iter().try_for_each(|name| self.add_node(name)),
            C::Peer(name, peer) => self.add_peer(name, peer),
            C::Mesh => self.mesh(),
            C::Add(name, items) => self.add(name, items),
            C::Fill(name, counters) => self.fill(name, *counters),
            C::Read(name, counter, token, wait) => self.read(name, counter, *token, *wait),
            C::Open(name) => self.node(name)?.open_ingest(),
            C::Message(name, sequence, names, entries) => {
                self.node(name)?.message(*sequence, names, entries)
            }
            C::Close(name) => self.node(name)?.close_ingest(),
            C::Step(name) => self.step(name).map(|_| ()),
            C::Commit(name) => self.commit(name),
            C::Piece(name) => self.piece(name),
            C::Deliver(from, to) => self.deliver(from, to),
            C::Run(span) => {
                self.run(span.map_or(Duration::ZERO, |it| it.0));
                Ok(())
            }
            C::Hold(from, to) => self.hold(from, to),
            C::Release(from, to) => self.release(from, to),
            C::Cut(from, to) => self.cut(from, to),
            C::Mend(from, to) => self.mend(from, to),
            C::DialOnly(name) => self.node(name)?.take_no_dials(),
            C::Forge(name, peer, lane, after, to) => {
                self.forge((name, peer), lane, (after.0, to.0))
            }
            C::Stranger(name, lane, mark) => self.stranger(name, lane, mark.0),
            C::Kill(name) => self.node(name)?.kill(),
            C::Power(name, torn) => {
                self.node(name)?.lose_power(*torn);
                Ok(())
            }
            C::KillWithin(name, operations) => self.node(name)?.kill_within(*operations),
            C::Stop(name) => self.stop(name),
            C::Start(name) => self.start(name),
            C::Backup(name) => self.node(name)?.back_up(),
            C::Restore(name) => self.node(name)?.restore(),
            C::Lose(name) => self.node(name)?.replace(&Contents::new()),
            C::Copy(from, to) => self.copy(from, to),
            C::Flip(name, from_end) => self.node(name)?.flip(*from_end),
            C::FailSync(name, how) => self.node(name)?.fail_sync(how),
            C::Full(name, more) => self.node(name)?.limit_room(Some(*more)),
            C::Room(name) => self.node(name)?.limit_room(None),
            C::State(name) => self.node(name)?.say_state(),
            C::Files(name) => self.node(name)?.say_files(),
        }
    }

    pub(super) fn node(&mut self, name: &str) -> Result<&mut Node, String> {
        let node = self.nodes.get_mut(name);
        node.ok_or_else(|| format!("there is no node {name:?}"))
    }

    // Building.

    fn set(
        &mut self,
        shards: Option<u32>,
        piece_records_max: Option<usize>,
        snapshot_log_bytes_min: Option<u64>,
    ) -> Result<(), String> {
        if !self.nodes.is_empty() {
            return Err("the cluster is set before it has nodes".to_owned());
        }
        let Settings {
            shard_count,
            replication,
            commit,
        } = &mut self.settings;
        *shard_count = shards.unwrap_or(*shard_count);
        self.output.has_shards.set(*shard_count > 1);
        if let Some(records_max) = piece_records_max {
            replication.piece_records_max = records_max;
        }
        if let Some(bytes_min) = snapshot_log_bytes_min {
            commit.snapshot_log_bytes_min = bytes_min;
        }
        Ok(())
    }

    fn add_node(&mut self, name: &str) -> Result<(), String> {
        if !name.chars().all(char::is_alphabetic) {
            return Err(format!("{name:?}: a number would name an incarnation"));
        }
        let disk = MemoryDisk::new(PAGE_BYTES, self.nodes.len() as u64 + 1);
        let node = Node::new(name, disk, Rc::clone(&self.output));
        if self.nodes.insert(name.to_owned(), node).is_some() {
            return Err(format!("there is a node {name:?} already"));
        }
        self.start(name)
    }

    fn start(&mut self, name: &str) -> Result<(), String> {
        self.starts += 1;
        let (start, settings, now) = (StartId::new(self.starts), self.settings, self.now);
        let node = self.node(name)?;
        if node.process.is_some() {
            return Err(format!("{name} is up"));
        }
        node.start(settings, start, now);
        Ok(())
    }

    fn add_peer(&mut self, name: &str, peer: &str) -> Result<(), String> {
        self.node(peer)?;
        let now = self.now;
        let node = self.node(name)?;
        node.peers.push(peer.to_owned());
        if let Some(process) = &mut node.process {
            process.dials.insert(peer.to_owned(), Dial::new(now));
        }
        Ok(())
    }

    fn mesh(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in &names {
            for peer in names.iter().filter(|peer| *peer != name) {
                self.add_peer(name, peer)?;
            }
        }
        Ok(())
    }

    // Clients.

    fn add(&mut self, name: &str, items: &[(String, i64)]) -> Result<(), String> {
        self.adds += 1;
        let number = self.adds;
        let token = self.node(name)?.add(number, items)?;
        self.tokens.extend(token.map(|token| (number, token)));
        Ok(())
    }

    fn fill(&mut self, name: &str, counters: u32) -> Result<(), String> {
        let item = |number| (format!("{:.<NAME_BYTES$}", format!("c{number:05}")), 1);
        let items: Vec<_> = (0..counters).map(item).collect();
        self.add(name, &items)
    }

    fn read(
        &mut self,
        name: &str,
        counter: &str,
        token: Option<u32>,
        wait: Option<Span>,
    ) -> Result<(), String> {
        let find = |number| {
            let found = self.tokens.get(&number).cloned();
            found.ok_or_else(|| format!("add {number} has no token"))
        };
        let token = token.map(find).transpose()?;
        let timing = (self.now, wait.map_or(TOKEN_WAIT, |it| it.0));
        self.node(name)?.read(counter, token.as_deref(), timing)
    }

    // The network.

    fn deliver(&mut self, from: &str, to: &str) -> Result<(), String> {
        if self.under_way(from, to) == 0 {
            return Err(format!("nothing is under way from {from} to {to}"));
        }
        self.arrive(from, to);
        Ok(())
    }

    fn link(&mut self, from: &str, to: &str) -> Result<(String, String), String> {
        self.node(from)?;
        self.node(to)?;
        Ok((from.to_owned(), to.to_owned()))
    }

    fn hold(&mut self, from: &str, to: &str) -> Result<(), String> {
        let link = self.link(from, to)?;
        self.held.insert(link);
        Ok(())
    }

    fn release(&mut self, from: &str, to: &str) -> Result<(), String> {
        let link = self.link(from, to)?;
        let was_held = self.held.remove(&link);
        was_held
            .then_some(())
            .ok_or_else(|| "it is not held".to_owned())
    }

    fn cut(&mut self, from: &str, to: &str) -> Result<(), String> {
        let (there, back) = (self.link(from, to)?, self.link(to, from)?);
        self.cuts.extend([there, back]);
        Ok(())
    }

    fn mend(&mut self, from: &str, to: &str) -> Result<(), String> {
        for link in [self.link(from, to)?, self.link(to, from)?] {
            if !self.cuts.remove(&link) {
                return Err("it is not cut".to_owned());
            }
        }
        Ok(())
    }

    // Time.

    fn step(&mut self, name: &str) -> Result<bool, String> {
        let (settings, now) = (self.settings, self.now);
        self.node(name)?.step(settings, now)
    }

    fn commit(&mut self, name: &str) -> Result<(), String> {
        while self.step(name)? {
            // What is acknowledged stands right after its round.
            let now = self.now;
            self.node(name)?.answer(now);
        }
        Ok(())
    }

    fn piece(&mut self, name: &str) -> Result<(), String> {
        let now = self.now;
        let was_there = self.node(name)?.piece(now)?;
        let none = || "no snapshot is under way".to_owned();
        was_there.then_some(()).ok_or_else(none)
    }

    fn stop(&mut self, name: &str) -> Result<(), String> {
        let process = self.node(name)?.process()?;
        process.standing.stop();
        process.rounds.close();
        self.commit(name)
    }

    fn copy(&mut self, from: &str, to: &str) -> Result<(), String> {
        let contents = self.node(from)?.disk.durable();
        self.node(to)?.replace(&contents)
    }

    /// Everything that is due at the nodes now, but for their commits: those are told to happen.
    fn settle(&mut self) {
        let mut due = Vec::new();
        self.sweep_streams();
        self.dial_due();
        let now = self.now;
        for node in self.nodes.values_mut() {
            due.extend(node.answer(now));
        }
        let pairs: Vec<(String, String)> = self.streams.keys().cloned().collect();
        for (dialler, acceptor) in pairs {
            // What is read makes room for what is sent.
            due.extend(self.drive_receiving((&dialler, &acceptor)));
            due.extend(self.drive_sending((&dialler, &acceptor)));
        }
        for process in self.nodes.values().filter_map(|node| node.process.as_ref()) {
            due.extend(process.dials.values().filter_map(|dial| dial.at));
            due.extend(process.rounds_due);
        }
        self.due = due.into_iter().filter(|&at| at > now).min();
    }

    /// Lets everything happen that is due within this time.
    fn run(&mut self, span: Duration) {
        let end = self.now.after(span);
        if !span.is_zero() {
            self.output.stamp.set(Some(self.now));
        }
        loop {
            self.settle();
            if self.advance() {
                continue;
            }
            match self.due.filter(|&due| due <= end) {
                Some(due) => self.now = due,
                None => break,
            }
            self.output.stamp.set(Some(self.now));
        }
        self.now = end;
        self.output.stamp.set(None);
    }

    /// Moves everything on that can move now; whether anything could.
    fn advance(&mut self) -> bool {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        let (settings, now) = (self.settings, self.now);
        let mut has_moved = false;
        for from in &names {
            for to in &names {
                let is_held = self.held.contains(&(from.clone(), to.clone()));
                if !is_held && self.under_way(from, to) > 0 {
                    self.arrive(from, to);
                    self.settle();
                    has_moved = true;
                }
            }
        }
        for name in &names {
            let mut acts = |act: &dyn Fn(&mut Node) -> Result<bool, String>| {
                let node = self.nodes.get_mut(name).expect("it was just listed");
                let has_acted = node.process.is_some() && act(node) == Ok(true);
                if has_acted {
                    self.settle();
                }
                has_acted
            };
            while acts(&|node| node.step(settings, now)) {
                has_moved = true;
            }
            has_moved |= acts(&|node| node.piece(now));
        }
        has_moved
    }
}
