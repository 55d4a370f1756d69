//! What a fake node has taken, what it answers, and what a test has written for it to do wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use std::sync::{Arc, Mutex};

use tonic::{Code, Status};
use wire::v1::{CounterValue, LaneAge, RequestHead, WatchRequest, WatchResponse};

/// What counts of sessions' requests, on all fakes that share it.
pub type Counted = Arc<Mutex<BTreeSet<(Vec<u8>, u64)>>>;

/// What happens to one call, instead of what should.
#[derive(Debug)]
pub enum Fault {
    /// Fails with this status and changes nothing.
    Refuse(Status),
    /// Does what was asked, and answers with this status.
    DoAndFail(Status),
    /// Never answers.
    Hang,
}

/// What happens to ingest streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Every message is applied and acknowledged.
    #[default]
    Answers,
    /// Messages are applied, and acknowledged up to this one.
    SilentAfter(u64),
    /// This message is refused by name.
    RefusesAt(u64),
    /// This message is applied, and the stream then breaks without acknowledging it.
    BreaksAfter(u64),
}

/// How the server breaks the protocol, once it has done what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A read is answered with so many values.
    Values(usize),
    /// Every page of a list names this page as the next one.
    NextPage(&'static str),
    /// A watch reports changes without a value.
    ChangeWithoutValue,
    /// An add is answered with a token of so many bytes.
    TokenBytes(usize),
    /// Ingest messages are acknowledged that were not sent.
    AcknowledgesTooMuch,
    /// Sessions are not known, as by a node of an older version.
    NoSessions,
    /// An add is answered without the value that was asked for, as by a node of an older version.
    NoValue,
}

/// What the server has taken and will do.
#[derive(Debug, Default)]
pub struct State {
    /// Sums by counter.
    pub values: BTreeMap<String, i64>,
    /// Calls that arrived, streams excluded.
    pub calls: u64,
    /// The tokens that reads have carried, in order; empty for none.
    pub tokens: Vec<Vec<u8>>,
    /// Ingest messages that arrived.
    pub messages: u64,
    /// What happens to the next calls.
    pub faults: VecDeque<Fault>,
    /// What happens to ingest streams.
    pub stream: Stream,
    /// What is wrong with the answers.
    pub flaw: Option<Flaw>,
    /// The address: sessions that were opened here begin with it.
    pub address: String,
    /// The homes of other sessions do not know this node.
    pub stranger: bool,
    /// Sessions that were opened.
    pub opened: u64,
    /// Sessions that were closed, and whether all of them was answered.
    pub closed: Vec<(Vec<u8>, bool)>,
    /// The heads of requests that arrived, whatever became of them, in order.
    pub heads: Vec<RequestHead>,
    /// What counts.
    pub counted: Counted,
}

impl State {
    /// Opens a session.
    pub fn open(&mut self) -> Vec<u8> {
        self.opened += 1;
        format!("{}/{}", self.address, self.opened).into_bytes()
    }

    /// Whether a request counts from now on, or did before; or why it is refused.
    pub fn is_new(&mut self, head: Option<&RequestHead>) -> Result<bool, Status> {
        let Some(head) = head else {
            return Ok(true); // an add without a session counts whenever it comes
        };
        self.heads.push(head.clone());
        let home = format!("{}/", self.address);
        let is_home = head.session.starts_with(home.as_bytes());
        let reason = match (is_home, head.moved) {
            (true, true) => Some((Code::InvalidArgument, "MOVED_TO_HOME")),
            (false, false) => Some((Code::FailedPrecondition, "NOT_SESSIONS_HOME")),
            (false, true) if self.stranger => {
                Some((Code::FailedPrecondition, "NODE_UNKNOWN_TO_HOME"))
            }
            _ if self
                .closed
                .iter()
                .any(|(closed, _)| *closed == head.session) =>
            {
                Some((Code::FailedPrecondition, "SESSION_CLOSED"))
            }
            _ if !(head.answered_below..head.answered_below + 1_024).contains(&head.number) => {
                Some((Code::InvalidArgument, "REQUEST_NUMBER_INVALID"))
            }
            _ => None,
        };
        if let Some((code, reason)) = reason {
            return Err(crate::fake::refused_with(code, reason));
        }
        let mut counted = self.counted.lock().expect("nothing panics");
        Ok(counted.insert((head.session.clone(), head.number)))
    }

    /// Adds.
    pub fn add(&mut self, counter: String, amount: i64) {
        *self.values.entry(counter).or_default() += amount;
    }

    /// Notes the token of a read; the token of its answer, which no other answer has, and the ages
    /// that it tells where they are asked for.
    pub fn reads(&mut self, token: Vec<u8>, is_asked: bool) -> (Vec<u8>, Vec<LaneAge>) {
        self.tokens.push(token);
        let age = LaneAge {
            replica_id: vec![0xab; 16],
            newest_age_ms: Some(7_000),
            newest_age_is_least: false,
            complete_age_ms: Some(20),
        };
        let number = u8::try_from(self.tokens.len() % 256).expect("below 256");
        (vec![4, number], vec![age; usize::from(is_asked)])
    }

    /// A counter's value.
    pub fn read(&self, counter: String) -> CounterValue {
        let value = self.values.get(&counter).copied().unwrap_or(0);
        CounterValue {
            counter,
            value,
            clamped: false,
        }
    }

    /// What a watch tells.
    pub fn watched(&mut self, request: WatchRequest) -> WatchResponse {
        let (token, lane_ages) = self.reads(request.token, request.return_lane_ages);
        let mut counters = request.counters;
        if let Some(prefix) = request.prefix {
            let names = self.values.keys();
            counters.extend(names.filter(|it| it.starts_with(&prefix)).cloned());
        }
        let is_flawed = self.flaw == Some(Flaw::ChangeWithoutValue);
        let counter = (!is_flawed && counters.is_empty()).then(|| self.read(request.counter));
        let told = counters.into_iter().filter(|_| !is_flawed);
        WatchResponse {
            counter,
            counters: told.map(|name| self.read(name)).collect(),
            token,
            lane_ages,
        }
    }

    /// The values of these counters, or as many as the flaw says.
    pub fn answers(&self, counters: Vec<String>) -> Vec<CounterValue> {
        let mut values: Vec<_> = counters.into_iter().map(|name| self.read(name)).collect();
        if let Some(Flaw::Values(count)) = self.flaw {
            values.resize(count, CounterValue::default());
        }
        values
    }
}
