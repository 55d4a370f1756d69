//! The judgement at rest: nothing is left to happen, and every node can reach every other.
//!
//! Here the guarantees are complete, for nothing is indeterminate to the simulator: it knows which
//! requests the lanes hold that the nodes have ended with, and adds up their amounts one by one. A
//! request that its client was told counts, counts once; one that nobody has said anything of, at most
//! once.

use crdt_core::{Digest, Mark, ReplicaId};
use protocol::Shards as _;

use super::calls::call::Refusal;
use super::kinds::Coverage;
use super::ledger::{Answer, PartStanding};
use super::lives::replicas_on;
use super::oracle::Violation;
use super::schedule::COUNTERS;
use super::world::World;
use crate::guarantee::{Check, Guarantee, Property};

/// What a peer holds of the lane of a node that hears it.
pub(super) struct Heard {
    /// By number.
    connection: u64,
    peer: usize,
    shard: usize,
    mark: Mark,
}

impl World<'_> {
    /// What every node holds, for telling whether anything still changes.
    pub(super) fn digests(&self) -> Vec<Vec<Digest>> {
        let of = |node: &super::node::Node| {
            let process = node.process.as_ref();
            process.map_or_else(Vec::new, |process| {
                let shards = process.shards.indices().into_iter();
                let digest = |shard| process.shards.with(shard, |it| it.replica().digest());
                shards.map(digest).collect()
            })
        };
        self.nodes.iter().map(of).collect()
    }

    fn held(&self, node: usize, shard: usize, lane: ReplicaId) -> Mark {
        let process = self.nodes[node].process.as_ref();
        process.map_or(Mark::ZERO, |process| process.held(shard, lane))
    }

    /// What peers hold of the lanes of those nodes that hear them.
    pub(super) fn heard(&self) -> Vec<Heard> {
        let mut heard = Vec::new();
        for (&number, connection) in self.connections.iter().filter(|it| it.1.is_heard()) {
            let (node, peer) = (connection.dialler.node, connection.acceptor.node);
            let Some(process) = &self.nodes[node].process else {
                continue;
            };
            let lane = process.hello.replica;
            heard.extend((0..self.schedule.shards).map(|shard| Heard {
                connection: number,
                peer,
                shard,
                mark: self.held(peer, shard, lane),
            }));
        }
        heard
    }

    /// Incarnation safety, while nobody can dial some nodes: a node that has heard for a while a peer
    /// that holds what its own lane never was takes no adds.
    pub(super) fn judge_told(&self, heard: &[Heard]) -> Result<(), Violation> {
        for &Heard {
            connection,
            peer,
            shard,
            mark,
        } in heard
        {
            let connection = self.connections.get(&connection);
            let Some(connection) = connection.filter(|it| it.is_heard()) else {
                continue;
            };
            let node = connection.dialler.node;
            let Some(process) = &self.nodes[node].process else {
                continue;
            };
            let shards = process.shards.borrow();
            let admitted = shards[shard].replica().admits(process.hello.replica, mark);
            if admitted.is_err() && process.standing.ensure_writable().is_ok() {
                let says = format!(
                    "node {peer} holds its lane of shard {shard} at {mark}, which it does not \
                     know, and it takes adds all the same"
                );
                return Err(self.violation(Guarantee::IncarnationSafety, Some(node), says));
            }
        }
        Ok(())
    }

    /// Judges the whole of what the nodes hold.
    pub(super) fn judge_rest(&mut self) -> Result<(), Violation> {
        self.judge_agreement()?;
        let digests = self.digests();
        for node in 0..self.nodes.len() {
            if node == 0 || digests[node] != digests[0] {
                self.judge_values(node)?;
            }
        }
        self.judge_durability()?;
        self.judge_answers()?;
        self.judge_restart()
    }

    /// Convergence: every lane is held equally far everywhere, and equal digests list equal values.
    fn judge_agreement(&mut self) -> Result<(), Violation> {
        let is_down = |node: &super::node::Node| !node.is_up();
        if let Some(node) = self.nodes.iter().position(is_down) {
            return Err(self.violation(Guarantee::Availability, Some(node), "it does not run"));
        }
        for shard in 0..self.schedule.shards {
            for &lane in &self.ledger.ids().to_vec() {
                self.judge_lane(shard, lane)?;
            }
            let replica_of = |node: usize| {
                let process = self.nodes[node].process.as_ref().expect("it runs");
                std::cell::Ref::map(process.shards.borrow(), |it| it[shard].replica())
            };
            let first = replica_of(0);
            for node in 1..self.nodes.len() {
                let replica = replica_of(node);
                let equal = replica.digest() == first.digest();
                if equal && !replica.values_from("").eq(first.values_from("")) {
                    let says = format!("shard {shard} has node 0's digest and other values");
                    return Err(self.violation(Guarantee::Convergence, Some(node), says));
                }
            }
        }
        Ok(())
    }

    /// A lane whose owner takes adds is held by everybody as the owner holds it, but for a stopped
    /// node that runs on another history of it. One whose owner takes none, or is gone, may be held
    /// in two histories, and then somebody has said so.
    fn judge_lane(&mut self, shard: usize, lane: ReplicaId) -> Result<(), Violation> {
        let number = self.ledger.number(lane);
        let marks: Vec<Mark> = (0..self.nodes.len())
            .map(|node| self.held(node, shard, lane))
            .collect();
        if marks.iter().all(|&mark| mark == marks[0]) {
            return Ok(());
        }
        let is_owner = |node: &super::node::Node| node.incarnation == number;
        let takes_adds = |node: &super::node::Node| {
            let process = node.process.as_ref();
            process.is_some_and(|it| it.standing.ensure_writable().is_ok())
        };
        let owner = self
            .nodes
            .iter()
            .position(|it| is_owner(it) && takes_adds(it));
        let known = owner.unwrap_or(0);
        for (node, &mark) in marks.iter().enumerate() {
            if mark == marks[known] || is_owner(&self.nodes[node]) && owner != Some(node) {
                continue;
            }
            let says = format!(
                "lane {} of shard {shard} is held at {mark}, and at node {known} at {}",
                number.0, marks[known]
            );
            let on_one_branch = self.ledger.on_one_branch(shard, number, mark, marks[known]);
            let violated = match owner {
                Some(_) if on_one_branch => Some((Guarantee::Convergence, says)),
                Some(_) => {
                    let says = format!("{says}, where its owner still takes adds");
                    Some((Guarantee::IncarnationSafety, says))
                }
                None if self.ledger.is_reported(shard, number) => None,
                None if on_one_branch => Some((Guarantee::Convergence, says)),
                None => {
                    let says = format!("{says}, and nobody has noticed");
                    Some((Guarantee::IncarnationSafety, says))
                }
            };
            if let Some((violated, says)) = violated {
                return Err(self.violation(violated, Some(node), says));
            }
        }
        self.cover(Coverage::ForkAtRest);
        Ok(())
    }

    /// Idempotence and conservation: each request counts once or not at all, as its client was told,
    /// and each value is the sum of the single requests that count at the node.
    fn judge_values(&mut self, node: usize) -> Result<(), Violation> {
        let held = |shard, lane| self.held(node, shard, lane);
        let standings = self.ledger.standings(&self.shard_of, held);
        let mut sums = [0; COUNTERS];
        for (request, shard, standing) in standings {
            self.judge_request(node, (request, shard), standing)?;
            for &(counter, amount) in &self.ledger.requests[request].items {
                if standing.counts() && self.shard_of[counter] == shard {
                    sums[counter] += i128::from(amount);
                }
            }
        }
        for (counter, sum) in sums.into_iter().enumerate() {
            let value = self.read(node, counter)?;
            if value != sum && !self.ledger.is_uncertain(counter) {
                let name = &self.names[counter];
                let says = format!("{name} is {value}, but the requests that count make {sum}");
                return Err(self.violation(Guarantee::Conservation, Some(node), says));
            }
        }
        Ok(())
    }

    /// How the part of a request stands at a node that hears of everything.
    fn judge_request(
        &mut self,
        node: usize,
        (request, shard): (usize, usize),
        standing: PartStanding,
    ) -> Result<(), Violation> {
        let PartStanding {
            sums,
            claims,
            dropped,
        } = standing;
        if claims > 0 {
            self.cover(Coverage::ClaimAtRest);
        }
        let answer = self.ledger.requests[request].answer;
        if answer == Answer::None && !standing.counts() {
            self.cover(Coverage::UnansweredLost);
        }
        if self.ledger.is_tainted(request) {
            return Ok(());
        }
        let of = &self.ledger.requests[request];
        let home = self.ledger.number(of.id.session.home);
        let is_there = |owner| self.nodes.iter().any(|it| it.incarnation == owner);
        let takers = of.adds.iter().map(|&add| self.ledger.adds[add].taken_by);
        let all_are_there = takers.chain([home]).all(is_there);
        let (violated, what): (Property, &str) = if sums > 1 {
            let what = "is in the sums of more than one lane";
            (Guarantee::Idempotence.into(), what)
        } else if !standing.counts() && dropped > 0 {
            let what = "was dropped where it was claimed, and counts nowhere";
            (Guarantee::Idempotence.into(), what)
        } else if standing.counts() && answer == Answer::Refused {
            let what = "was refused for good, and counts";
            (Guarantee::Idempotence.into(), what)
        } else if claims > 0 && all_are_there {
            let what = "is claimed, though its home and who claims it are there to settle that";
            (Check::Settled.into(), what)
        } else {
            return Ok(());
        };
        let says = format!("request #{request} {what} (shard {shard}; {standing:?})");
        Err(self.violation(violated, Some(node), says))
    }

    /// Availability: whoever has no answer to a request was told why.
    fn judge_answers(&mut self) -> Result<(), Violation> {
        for request in 0..self.clients.sent.len() {
            let sent = &self.clients.sent[request];
            if sent.is_done {
                continue;
            }
            let Some(refused) = sent.refused else {
                let says = format!("request #{request} has no answer, and nobody has refused it");
                return Err(self.violation(Guarantee::Availability, None, says));
            };
            self.cover(match refused {
                Refusal::Closed => Coverage::UnknownClosed,
                Refusal::UnknownToHome => Coverage::UnknownToHome,
                Refusal::OutOfRange | Refusal::CountsInPart => Coverage::UnknownRange,
                // The last of several nodes was a home, or a copy of it.
                Refusal::NotTaken | Refusal::ForGood | Refusal::NotHome | Refusal::MovedToHome => {
                    Coverage::UnknownNotTaken
                }
            });
        }
        Ok(())
    }

    /// Durability: every request that was said to count is held, unless the only disk that had it was
    /// lost. With a forked lane some node holds it; else, since all agree, all do.
    fn judge_durability(&self) -> Result<(), Violation> {
        let nodes = 0..self.nodes.len();
        let held = self.ledger.counted(|shard, lane| {
            let nodes = nodes.clone();
            nodes.map(|node| self.held(node, shard, lane)).collect()
        });
        if let Some(&(request, shard)) = self.ledger.lost(&self.shard_of, &held).first() {
            let says = format!(
                "request #{request} was said to count, and no node holds its part of shard {shard}"
            );
            return Err(self.violation(Guarantee::Durability, None, says));
        }
        Ok(())
    }

    /// Durability, again: what a node shows at rest it shows after a power loss.
    fn judge_restart(&mut self) -> Result<(), Violation> {
        let node = self.random.index(self.nodes.len());
        let shards = self.schedule.shards;
        let read = match replicas_on(&self.nodes[node].disk.durable(), shards) {
            Ok(read) => read,
            Err(error) => return Err(self.violation(Guarantee::Durability, Some(node), error)),
        };
        let process = self.nodes[node].process.as_ref().expect("it runs");
        for (shard, after) in read.iter().enumerate() {
            let shards = process.shards.borrow();
            let before = shards[shard].replica();
            let same = after.digest() == before.digest()
                && after.values_from("").eq(before.values_from(""));
            if !same {
                let says = format!("shard {shard} shows something else after a restart");
                return Err(self.violation(Guarantee::Durability, Some(node), says));
            }
        }
        Ok(())
    }
}
