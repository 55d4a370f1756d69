//! What no node has sent: messages made by hand, and a stranger who dials.

use std::rc::Rc;

use crdt_core::{Mark, ReplicaId};
use prost::Message as _;
use protocol::{Claim, HeldLane, Hello};
use wire::stream::{Sending, SendingEnd, held_to_wire, hello_to_wire};
use wire::v1::{IntervalPart, IntroducedCounter, LaneStart, PullRequest, PullResponse};

use super::cluster::Cluster;
use super::node::Settings;
use super::output::PartReader;
use super::streams::{Pair, key};

/// Dictionary indices of forged messages: no node gets so far.
const FORGED_INDEX: u32 = 1 << 20;

impl Cluster {
    /// An interval made by hand, as if the peer had sent it.
    pub(super) fn forge(
        &mut self,
        pair: Pair<'_>,
        lane: &str,
        (after, to): (Mark, Mark),
    ) -> Result<(), String> {
        let lane = self.output.find(lane)?;
        let stream = self.streams.get_mut(&key(pair));
        let stream = stream.ok_or_else(|| format!("{} has no stream from {}", pair.0, pair.1))?;
        let (after, to) = (after.into(), to.into());
        let part = IntervalPart {
            replica_id: wire::replica_id_to_bytes(lane),
            after: Some(after),
            to: Some(to),
            starts: starts_between(after, to),
            introduced: vec![IntroducedCounter {
                index: FORGED_INDEX,
                name: "likes".to_owned(),
            }],
            counters: vec![FORGED_INDEX],
            version_offsets: vec![to.version.saturating_sub(after.version)],
            incremented: vec![1_000_000],
            last: true,
            ..IntervalPart::default()
        };
        let message = PullResponse {
            parts: vec![part],
            ..PullResponse::default()
        };
        let text = self.output.response(&mut stream.parts.clone(), &message);
        stream.responses.push_back(message.encode_to_vec());
        self.output
            .say(format!("{} -> {}: {text} (forged)", pair.1, pair.0));
        Ok(())
    }

    /// A stranger dials, says hello, and reports.
    pub(super) fn stranger(&mut self, name: &str, lane: &str, mark: Mark) -> Result<(), String> {
        let lane = self.output.find(lane)?;
        let Settings {
            replication,
            shard_count,
            ..
        } = self.settings;
        let stranger = ReplicaId::new(u128::MAX);
        let (output, now) = (Rc::clone(&self.output), self.now);
        output.introduce(stranger, "stranger");
        let process = self.node(name)?.process()?;
        let hello = Hello {
            replica: stranger,
            shard_count,
            ..process.hello.clone()
        };
        let held = HeldLane {
            shard: 0,
            lane,
            mark,
        };
        let request = PullRequest {
            hello: Some(hello_to_wire(&hello)),
            held: held_to_wire(&[held]),
        };
        output.say(format!("stranger -> {name}: {}", output.request(&request)));
        let bytes = request.encode_to_vec();
        let request = PullRequest::decode(bytes.as_slice()).expect("our own bytes");
        let ours = &process.hello;
        let accepted = SendingEnd::accept(replication, ours, &request, &process.shards, now);
        let mut end = match accepted {
            Ok(end) => end,
            Err(error) => {
                output.say(format!("{name} refuses the stranger: {error}"));
                return Ok(());
            }
        };
        loop {
            let process = self.node(name)?.process()?;
            match end.poll(now, &process.shards) {
                Sending::Message(message) => {
                    let text = output.response(&mut PartReader::default(), &message);
                    output.say(format!("{name} -> stranger: {text}"));
                }
                Sending::LaneForked(shard, fork) => {
                    if self.fork_reported(name, stranger, (shard, &fork)) == Claim::Disbelieved {
                        output.say(format!("{name} ends the stranger's stream"));
                        return Ok(());
                    }
                }
                Sending::Wait(_) => return Ok(()),
            }
        }
    }
}

/// The start of the end, where it is another than that of the beginning.
fn starts_between(after: wire::v1::Mark, to: wire::v1::Mark) -> Vec<LaneStart> {
    let begins = (after.start != to.start).then_some(LaneStart {
        version: after.version + 1,
        start: to.start,
    });
    begins.into_iter().collect()
}
