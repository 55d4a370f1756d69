//! Replication streams between nodes: `wire`'s two ends, and the bytes between them.
//!
//! A message is under way until it arrives (`deliver`), and read when its reader is ready for it. A
//! stream ends at both ends at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crdt_core::{Fork, ReplicaId};
use prost::Message as _;
use protocol::{Claim, Outcome, Round, ShardIndex, Time};
use wire::stream::{Received, Receiving, ReceivingEnd, ReceivingError, Sending, SendingEnd};
use wire::v1::{PullRequest, PullResponse};

use super::cluster::Cluster;
use super::output::{self, PartReader};
use super::process::Dial;

/// Messages that a sending end may have under way, as in `tallyd`.
const MESSAGES_QUEUED_MAX: usize = 4;

/// A stream that the first node has opened to the second.
#[derive(Debug)]
pub(super) struct Stream {
    /// The lives of both processes: the stream ends with either.
    lives: (u32, u32),
    receiving: ReceivingEnd,
    sending: Option<SendingEnd>,
    /// The last round that the sending end was told of.
    completed: Round,
    pub(super) requests: VecDeque<Vec<u8>>,
    pub(super) responses: VecDeque<Vec<u8>>,
    /// What has arrived and is not read yet.
    inbox: VecDeque<Vec<u8>>,
    pub(super) parts: PartReader,
}

/// Streams by dialler and acceptor.
pub(super) type Streams = BTreeMap<(String, String), Stream>;

pub(super) type Pair<'a> = (&'a str, &'a str);

pub(super) fn key((dialler, acceptor): Pair<'_>) -> (String, String) {
    (dialler.to_owned(), acceptor.to_owned())
}

impl Cluster {
    // Dialling.

    /// Dials every peer that is due.
    pub(super) fn dial_due(&mut self) {
        let mut due = Vec::new();
        for (name, node) in &self.nodes {
            let dials = node.process.iter().flat_map(|process| &process.dials);
            let is_due = |(_, dial): &(&String, &Dial)| dial.at.is_some_and(|at| at <= self.now);
            due.extend(
                dials
                    .filter(is_due)
                    .map(|(peer, _)| (name.clone(), peer.clone())),
            );
        }
        for (name, peer) in due {
            self.dial((&name, &peer));
        }
    }

    fn dial(&mut self, (name, peer): Pair<'_>) {
        let acceptor = &self.nodes[peer];
        let is_cut = self.cuts.contains(&key((name, peer)));
        let is_reached = acceptor.process.is_some() && !acceptor.is_dial_only && !is_cut;
        let acceptor_life = acceptor.life;
        let (now, limits) = (self.now, self.settings.replication);
        let node = self.nodes.get_mut(name).expect("it dials");
        let process = node.process.as_mut().expect("it dials");
        let dial = process.dials.get_mut(peer).expect("it is a peer");
        dial.dialer.dialled(now);
        dial.at = None;
        if !is_reached {
            return self.dial_again((name, peer), "cannot be reached");
        }
        let stream = Stream {
            lives: (node.life, acceptor_life),
            receiving: ReceivingEnd::new(limits, process.hello.clone(), now),
            sending: None,
            completed: Round::NONE,
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            inbox: VecDeque::new(),
            parts: PartReader::default(),
        };
        self.streams.insert(key((name, peer)), stream);
        self.output.say(format!("{name} dials {peer}"));
    }

    /// Without jitter, so that a transcript shows the waits as they are.
    fn dial_again(&mut self, (name, peer): Pair<'_>, why: &str) {
        let now = self.now;
        let node = self.nodes.get_mut(name).expect("it has dialled");
        let Some(process) = &mut node.process else {
            return;
        };
        let dial = process.dials.get_mut(peer).expect("it is a peer");
        let at = dial.dialer.ended(now, 0);
        dial.at = Some(at);
        let wait_ms = at.since(now).as_millis();
        self.output
            .say(format!("{name}: {peer} {why}; dials again in {wait_ms} ms"));
    }

    fn end_stream(&mut self, pair: Pair<'_>, why: &str) {
        self.streams.remove(&key(pair));
        self.dial_again(pair, why);
    }

    /// Ends the streams whose link is cut, or whose process at either end is no more.
    pub(super) fn sweep_streams(&mut self) {
        let lives: BTreeMap<&String, u32> = self
            .nodes
            .iter()
            .map(|(name, node)| (name, node.life))
            .collect();
        let is_over = |((dialler, acceptor), stream): &(&(String, String), &Stream)| {
            stream.lives != (lives[dialler], lives[acceptor])
                || self.cuts.contains(&(dialler.clone(), acceptor.clone()))
        };
        let over: Vec<_> = self
            .streams
            .iter()
            .filter(is_over)
            .map(|it| it.0.clone())
            .collect();
        for (dialler, acceptor) in over {
            self.end_stream((&dialler, &acceptor), "is gone");
        }
    }

    // What is under way.

    /// How many messages are under way from the first to the second.
    pub(super) fn under_way(&self, from: &str, to: &str) -> usize {
        let requests = self.streams.get(&key((from, to)));
        let responses = self.streams.get(&key((to, from)));
        requests.map_or(0, |it| it.requests.len()) + responses.map_or(0, |it| it.responses.len())
    }

    /// All that is under way from the first to the second arrives.
    pub(super) fn arrive(&mut self, from: &str, to: &str) {
        if let Some(stream) = self.streams.get_mut(&key((to, from))) {
            let Stream {
                inbox, responses, ..
            } = stream;
            inbox.append(responses);
        }
        while let Some(bytes) = self
            .streams
            .get_mut(&key((from, to)))
            .and_then(|it| it.requests.pop_front())
        {
            self.requested((from, to), &bytes);
        }
    }

    // The sending end.

    fn requested(&mut self, pair: Pair<'_>, bytes: &[u8]) {
        let request = PullRequest::decode(bytes).expect("our own bytes");
        let (now, limits) = (self.now, self.settings.replication);
        let node = self.nodes.get_mut(pair.1).expect("it has accepted");
        let process = node.process.as_mut().expect("the stream ends with it");
        let stream = self.streams.get_mut(&key(pair)).expect("it is open");
        let judged = if let Some(end) = &mut stream.sending {
            end.request(&process.shards, &request)
        } else {
            stream.completed = process.completed;
            SendingEnd::accept(limits, &process.hello, &request, &process.shards, now)
                .map(|end| stream.sending = Some(end))
        };
        if let Err(error) = judged {
            self.output
                .say(format!("{} refuses {}: {error}", pair.1, pair.0));
            self.end_stream(pair, "has refused");
        }
    }

    /// Lets the sending end do what is due, while there is room; when it is to be asked again.
    pub(super) fn drive_sending(&mut self, pair: Pair<'_>) -> Option<Time> {
        loop {
            let stream = self.streams.get_mut(&key(pair))?;
            let process = self.nodes.get_mut(pair.1)?.process.as_mut()?;
            let end = stream.sending.as_mut()?;
            if stream.completed != process.completed {
                stream.completed = process.completed;
                end.completed();
            }
            if stream.responses.len() + stream.inbox.len() >= MESSAGES_QUEUED_MAX {
                return None;
            }
            match end.poll(self.now, &process.shards) {
                Sending::Message(message) => {
                    let text = self.output.response(&mut stream.parts, &message);
                    stream.responses.push_back(message.encode_to_vec());
                    self.output.say(format!("{} -> {}: {text}", pair.1, pair.0));
                }
                Sending::LaneForked(shard, fork) => {
                    let peer = end.peer();
                    if self.fork_reported(pair.1, peer, (shard, &fork)) == Claim::Disbelieved {
                        self.end_stream(pair, "has refused");
                    }
                }
                Sending::Wait(until) => return Some(until),
            }
        }
    }

    /// Whoever has dialled this node shows that a lane has forked.
    pub(super) fn fork_reported(
        &mut self,
        name: &str,
        reporter: ReplicaId,
        (shard, fork): (ShardIndex, &Fork),
    ) -> Claim {
        self.say_fork(name, shard, fork);
        let node = self.nodes.get_mut(name).expect("it serves");
        let process = node.process.as_mut().expect("it serves");
        let standing = &mut process.standing;
        let claim = standing.forked_by_reporter(&process.shards, reporter, fork.clone());
        node.note_claim(claim, fork);
        claim
    }

    fn say_fork(&self, name: &str, shard: ShardIndex, fork: &Fork) {
        let lane = self.output.lane(shard, fork.lane);
        self.output
            .say(format!("{name}: {}", output::fork(&lane, fork)));
    }

    // The receiving end.

    /// Lets the receiving end do what is due; when it is to be asked again.
    pub(super) fn drive_receiving(&mut self, pair: Pair<'_>) -> Option<Time> {
        loop {
            let stream = self.streams.get_mut(&key(pair))?;
            let process = self.nodes.get_mut(pair.0)?.process.as_mut()?;
            let end = &mut stream.receiving;
            end.completed(self.now, process.completed);
            match end.poll(self.now, &process.shards, stream.requests.is_empty()) {
                Receiving::Request(request) => {
                    let text = self.output.request(&request);
                    stream.requests.push_back(request.encode_to_vec());
                    self.output.say(format!("{} -> {}: {text}", pair.0, pair.1));
                }
                Receiving::AwaitRound(_) => return None,
                Receiving::Close(error) => {
                    self.close_receiving(pair, &error.into());
                    return None;
                }
                Receiving::Read(until) => {
                    let Some(bytes) = stream.inbox.pop_front() else {
                        return Some(until);
                    };
                    self.read_response(pair, &bytes);
                }
            }
        }
    }

    fn close_receiving(&mut self, pair: Pair<'_>, error: &ReceivingError) {
        self.output.say(format!(
            "{} ends the stream from {}: {error}",
            pair.0, pair.1
        ));
        self.end_stream(pair, "is left");
    }

    fn read_response(&mut self, pair: Pair<'_>, bytes: &[u8]) {
        let response = PullResponse::decode(bytes).expect("our own bytes");
        let stream = self.streams.get_mut(&key(pair)).expect("it is open");
        let node = self.nodes.get_mut(pair.0).expect("it reads");
        let process = node.process.as_mut().expect("it reads");
        let was_known = stream.receiving.peer().is_some();
        let received = stream
            .receiving
            .response(self.now, &process.shards, &response);
        if let (false, Some(peer)) = (was_known, stream.receiving.peer()) {
            process.standing.meet(peer);
        }
        // What was taken before an error stays taken.
        if received.as_ref().map_or(true, Received::is_news) {
            process.rounds.taken();
        }
        match received {
            Ok(received) => self.received(pair.0, &received),
            Err(error) => self.close_receiving(pair, &error),
        }
    }

    fn received(&mut self, name: &str, received: &Received) {
        for taken in &received.taken {
            let span = self.output.span(taken.shard, taken.lane, taken.span);
            let line = match &taken.outcome {
                Outcome::Taken(round) => format!("takes {span} for round {}", round.get()),
                Outcome::Known => format!("knows {span}"),
                Outcome::LaneForked => format!("does not take {span}"),
                Outcome::LeftAlone => format!("leaves {span} alone"),
            };
            self.output.say(format!("{name} {line}"));
        }
        for (shard, fork) in &received.forks {
            self.say_fork(name, *shard, fork);
            let node = self.nodes.get_mut(name).expect("it reads");
            let process = node.process.as_mut().expect("it reads");
            let claim = process.standing.forked_by_dialled(fork.clone());
            node.note_claim(claim, fork);
        }
    }
}

/// Links that are cut, or stand still, by their two ends.
pub(super) type Links = BTreeSet<(String, String)>;
