//! Audits, over a socket: one shard is followed for as long as the auditor's stream is open. What is
//! read when, and what is answered, is decided by [`Audited`].

use std::sync::Arc;

use crdt_core::{CounterName, LanePrint};
use protocol::{
    Audited, AuditedEffect, AuditedLimits, NotWritable, PastAnswer, RecordPage, RecordState,
    Shards as _, Time, check_shard,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep_until;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use wire::v1::{
    AuditShardRequest, AuditShardResponse, ListLaneRecordsRequest, ListLaneRecordsResponse,
};

use super::status;
use crate::node::Node;

/// Answers that wait for the transport: the auditor asks one question at a time.
const RESPONSES_QUEUED_MAX: usize = 1;

/// Counters for which a shard is held while a page of a lane's records is read: some hundred
/// microseconds' worth, and with the longest names about 600 KB.
const PAGE_COUNTERS_MAX: usize = 1_024;

/// Serves a stream in a task of its own.
pub(super) fn spawn(
    node: Arc<Node>,
    mut requests: Streaming<AuditShardRequest>,
    permit: OwnedSemaphorePermit,
) -> ReceiverStream<Result<AuditShardResponse, Status>> {
    let (responses, stream) = mpsc::channel(RESPONSES_QUEUED_MAX);
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = run(&node, &mut requests, &responses) => ended,
            () = node.stopped() => Err(status::not_writable(&NotWritable::Stopping)),
            // Whoever does not wait for the walk has gone.
            () = responses.closed() => Ok(()),
        };
        drop(permit);
        if let Err(status) = ended {
            // The auditor may be gone already; either way this is the end.
            let _ = responses.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

/// Follows no longer when it is dropped, however the stream has ended.
struct Followed<'a> {
    node: &'a Node,
    audited: Audited,
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.audited.end(self.node);
    }
}

async fn run(
    node: &Node,
    requests: &mut Streaming<AuditShardRequest>,
    responses: &mpsc::Sender<Result<AuditShardResponse, Status>>,
) -> Result<(), Status> {
    let limits = AuditedLimits::default();
    let first = tokio::time::timeout(limits.silence_max, requests.message()).await;
    let Ok(Some(mut question)) = first.unwrap_or_else(|_| Ok(None)) else {
        return Ok(());
    };
    let audited = Audited::begin(node, question.shard, limits, wire::hash_name);
    let audited = audited.map_err(|error| status::audit(&error))?;
    let followed = Followed { node, audited };
    loop {
        let (lanes, until) = told(followed.node, audited).await;
        let at = wire::audit::marks_from_wire(&question.at);
        let at = at.map_err(|error| status::replica_id("at", &error))?;
        let answers = audited.ask(node, &at);
        let answers = answers.map_err(|error| status::audit(&error))?;
        let response = response(&lanes, &answers);
        if responses.send(Ok(response)).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            request = requests.message() => match request? {
                Some(request) => question = request,
                None => return Ok(()),
            },
            () = sleep_until(node.clock().instant(until)) => {
                return Err(status::audit(&audited.silent()));
            }
        }
    }
}

/// Walks, if that is not through yet, and gives what is held.
async fn told(node: &Node, audited: Audited) -> (Vec<LanePrint>, Time) {
    let clock = node.clock();
    loop {
        match audited.poll(node, || clock.now()) {
            AuditedEffect::Rest { until } => sleep_until(clock.instant(until)).await,
            AuditedEffect::Tell(lanes, until) => return (lanes, until),
        }
    }
}

fn response(lanes: &[LanePrint], answers: &[PastAnswer]) -> AuditShardResponse {
    let past = answers.iter().map(|&it| wire::audit::past_to_wire(it));
    AuditShardResponse {
        lanes: wire::audit::prints_to_wire(lanes),
        past: past.collect(),
    }
}

/// A page of a lane's records.
pub(super) fn list_records(
    node: &Node,
    request: &ListLaneRecordsRequest,
) -> Result<ListLaneRecordsResponse, Status> {
    let ListLaneRecordsRequest {
        shard,
        replica_id,
        page_token,
    } = request;
    check_shard(node, *shard).map_err(|error| status::audit(&error))?;
    let lane = wire::replica_id_from_bytes(replica_id);
    let lane = lane.map_err(|error| status::replica_id("replica_id", &error))?;
    let bound = CounterName::BYTES_MAX;
    if page_token.len() > bound {
        let found = page_token.len();
        return Err(status::page("page_token", found, bound, "bytes"));
    }
    let after = (!page_token.is_empty()).then_some(page_token.as_str());
    let page = node.with(*shard, |shard| {
        let replica = shard.replica();
        let mut all = replica.records_after(lane, after);
        let (mut records, mut last) = (Vec::new(), None);
        for (name, record) in all.by_ref().take(PAGE_COUNTERS_MAX) {
            last = Some(name);
            if let Some((version, total)) = record {
                records.push((name.clone(), RecordState { version, total }));
            }
        }
        RecordPage {
            mark: replica.held(lane),
            records,
            until: all.next().and(last).cloned(),
        }
    });
    Ok(wire::audit::records_to_wire(&page))
}
