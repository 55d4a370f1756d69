//! What clients ask of a node, and what they are told.
//!
//! Adds are numbered over the whole transcript; a read with the token of add 1 says `token=1`.

use std::rc::Rc;
use std::time::Duration;

use crdt_core::{CounterName, Sum};
use prost::Message as _;
use protocol::{
    Acknowledgement, Adds, IngestEffect, IngestEnd, IngestLimits, IngestStream, ReadEffect,
    ReadWait, Round, Shards as _, TakeError, Time, Token,
};
use wire::v1::IngestRequest;

use super::node::Node;
use super::output::{Output, mark};
use super::process::{CLUSTER_HASH, Process};

/// Counters that each shard may have: more than any transcript needs.
const SHARD_COUNTERS_MAX: u64 = 100_000;

/// Requests that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Adds by number, with the round that makes them durable.
    adds: Vec<(u32, Round)>,
    reads: Vec<Read>,
    ingest: Option<IngestStream>,
}

#[derive(Debug)]
struct Read {
    counter: CounterName,
    wait: ReadWait,
    is_waiting: bool,
}

impl Node {
    /// Takes a request with adds, all or none; its token.
    pub(super) fn add(
        &mut self,
        number: u32,
        items: &[(String, i64)],
    ) -> Result<Option<Vec<u8>>, String> {
        let (name, output) = (self.name.clone(), Rc::clone(&self.output));
        let process = self.process()?;
        let mut adds = Adds::default();
        for (counter, amount) in items {
            let counter = CounterName::new(counter).map_err(|error| error.to_string())?;
            let shard = wire::shard_of(&counter, process.hello.shard_count);
            adds.add_named(shard, counter, Sum::of(*amount));
        }
        let writable = process.standing.ensure_writable();
        let taken = writable
            .map_err(TakeError::NotWritable)
            .and_then(|()| adds.take(&process.shards, SHARD_COUNTERS_MAX));
        let receipt = match taken {
            Ok(receipt) => receipt,
            Err(error) => {
                output.say(format!("{name} refuses add {number}: {error}"));
                return Ok(None);
            }
        };
        process.rounds.taken();
        process.clients.adds.push((number, receipt.round));
        let lane = process.hello.replica;
        let marks = receipt.marks.iter();
        let marks = marks.map(|&(shard, at)| format!("{} {}", output.lane(shard, lane), mark(at)));
        let marks: Vec<String> = marks.collect();
        output.say(format!(
            "{name} takes add {number} for round {}: durable with {}",
            receipt.round.get(),
            marks.join(", ")
        ));
        Ok(Some(
            Token::of(CLUSTER_HASH, lane, process.start, &receipt).to_bytes(),
        ))
    }

    /// A read begins, with the token of an add or without.
    pub(super) fn read(
        &mut self,
        counter: &str,
        token: Option<&[u8]>,
        (now, wait_max): (Time, Duration),
    ) -> Result<(), String> {
        let (name, output) = (self.name.clone(), Rc::clone(&self.output));
        let process = self.process()?;
        let counter = CounterName::new(counter).map_err(|error| error.to_string())?;
        let Some(token) = token else {
            let value = process.value(&counter);
            output.say(format!("{name} answers {counter}={value}"));
            return Ok(());
        };
        let shard_count = process.hello.shard_count;
        let shard = wire::shard_of(&counter, shard_count);
        let token = Token::parse(token, CLUSTER_HASH, shard_count);
        let token = token.map_err(|error| error.to_string())?;
        let wait = ReadWait::new(token, vec![shard], now, wait_max);
        process.clients.reads.push(Read {
            counter,
            wait,
            is_waiting: false,
        });
        Ok(())
    }

    pub(super) fn open_ingest(&mut self) -> Result<(), String> {
        let process = self.process()?;
        let limits = IngestLimits::new(SHARD_COUNTERS_MAX);
        let stream = IngestStream::new(limits, &process.dictionaries, CLUSTER_HASH);
        if process.clients.ingest.replace(stream).is_some() {
            return Err("there is an ingest stream already".to_owned());
        }
        Ok(())
    }

    /// The next message of the ingest stream, as bytes.
    pub(super) fn message(
        &mut self,
        sequence: u64,
        names: &str,
        entries: &str,
    ) -> Result<(), String> {
        let entries = entries.split_whitespace();
        let counters: Result<Vec<u32>, _> = entries.map(str::parse).collect();
        let request = IngestRequest {
            sequence,
            introduced: names.split_whitespace().map(str::to_owned).collect(),
            counters: counters.map_err(|_| "entries are dictionary indices")?,
            ..Default::default()
        };
        let bytes = request.encode_to_vec();
        let request = IngestRequest::decode(bytes.as_slice()).expect("our own bytes");
        let message = wire::stream::ingest_message(&request);
        let process = self.process()?;
        let shard_count = process.hello.shard_count;
        let stream = process.clients.ingest.as_mut();
        let stream = stream.ok_or("there is no ingest stream")?;
        stream.message(
            &process.shards,
            process.standing.ensure_writable(),
            &message,
            |name| wire::shard_of(name, shard_count),
            |_| Ok(()),
        );
        process.rounds.taken();
        Ok(())
    }

    pub(super) fn close_ingest(&mut self) -> Result<(), String> {
        let stream = self.process()?.clients.ingest.as_mut();
        let stream = stream.ok_or("there is no ingest stream")?;
        stream.ended(IngestEnd::Closed);
        Ok(())
    }

    /// Answers what can be answered now; when it is to be asked again.
    pub(super) fn answer(&mut self, now: Time) -> Option<Time> {
        let output = Rc::clone(&self.output);
        let name = self.name.clone();
        let process = self.process.as_mut()?;
        let completed = process.completed;
        process.clients.adds.retain(|&(number, round)| {
            if round <= completed {
                output.say(format!("{name} acknowledges add {number}"));
            }
            round > completed
        });
        process.answer_ingest(&name, &output);
        process.answer_reads(&name, &output, now)
    }
}

impl Process {
    /// The value of durable adds.
    fn value(&self, counter: &CounterName) -> i128 {
        let shard = wire::shard_of(counter, self.hello.shard_count);
        self.shards.with(shard, |it| {
            let replica = it.replica();
            let found = replica.find(counter.as_str());
            found.map_or(0, |counter| replica.value(counter))
        })
    }

    fn answer_reads(&mut self, name: &str, output: &Output, now: Time) -> Option<Time> {
        let mut due = None;
        for mut read in std::mem::take(&mut self.clients.reads) {
            let counter = &read.counter;
            match read.wait.poll(now, &self.shards) {
                ReadEffect::Answer => {
                    output.say(format!("{name} answers {counter}={}", self.value(counter)));
                }
                ReadEffect::Fail(error) => {
                    output.say(format!("{name} fails the read of {counter}: {error}"));
                }
                ReadEffect::Wait { until } => {
                    if !std::mem::replace(&mut read.is_waiting, true) {
                        output.say(format!("{name} waits for the token of a read of {counter}"));
                    }
                    due = [due, Some(until)].into_iter().flatten().min();
                    self.clients.reads.push(read);
                }
            }
        }
        due
    }

    fn answer_ingest(&mut self, name: &str, output: &Output) {
        let Some(mut stream) = self.clients.ingest.take() else {
            return;
        };
        stream.completed(self.completed);
        loop {
            match stream.poll() {
                IngestEffect::Acknowledge(Acknowledgement { sequence, .. }) => {
                    output.say(format!("{name} acknowledges messages up to {sequence}"));
                }
                IngestEffect::Read | IngestEffect::ReadOrAwaitRound | IngestEffect::AwaitRound => {
                    self.clients.ingest = Some(stream);
                    return;
                }
                IngestEffect::End(end) => {
                    let why = match end {
                        IngestEnd::Closed => "the client closed it".to_owned(),
                        IngestEnd::Refused(error) => error.to_string(),
                        IngestEnd::NotWritable(error) => error.to_string(),
                        IngestEnd::Transport => "the transport failed".to_owned(),
                    };
                    output.say(format!("{name} ends the ingest stream: {why}"));
                    return;
                }
            }
        }
    }
}
