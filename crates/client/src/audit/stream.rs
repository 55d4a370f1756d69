//! The stream to one audited node: a question, and its answer.

use std::time::Duration;

use crdt_core::{LanePrint, Mark, ReplicaId};
use protocol::{NodeHolds, PastAnswer, PastQuestion};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use wire::v1::{
    AuditShardRequest, AuditShardResponse, cluster_service_client::ClusterServiceClient,
};

use super::{Cluster, TRIES_MAX, TRY_PAUSE};
use crate::{Client, Error, error::Effect, error::Unexpected, options::ANSWER_BYTES_MAX};

/// How long a node may take to read a shard: a paced walk over ten million counters takes less. A
/// connection that is dead is noticed long before.
const WALK_PATIENCE: Duration = Duration::from_mins(10);

/// Questions that wait for the transport: one at a time is asked.
const REQUESTS_QUEUED_MAX: usize = 1;

/// The reason that a node gives that is being audited.
const UNDER_WAY: &str = "AUDIT_UNDER_WAY";

/// What the calls are named in errors.
const CALL: &str = "audit";

/// A node that follows a shard.
pub(super) struct NodeStream {
    node: usize,
    address: String,
    replica: ReplicaId,
    questions: mpsc::Sender<AuditShardRequest>,
    answers: Streaming<AuditShardResponse>,
    patience: Duration,
    lanes: Vec<LanePrint>,
    failed: Option<Error>,
}

impl Client {
    /// Has all nodes follow the shard, and waits until they do.
    pub(super) async fn open_streams(
        &self,
        cluster: &Cluster,
        shard: u32,
    ) -> Vec<Result<NodeStream, (usize, Error)>> {
        let mut opening = JoinSet::new();
        for &(node, replica) in &cluster.nodes {
            let client = self.clone();
            opening.spawn(async move {
                let opened = client.open_stream_when_free(node, replica, shard).await;
                opened.map_err(|error| (node, error))
            });
        }
        let mut opened = opening.join_all().await;
        opened.sort_by_key(|it| match it {
            Ok(stream) => stream.node,
            Err((node, _)) => *node,
        });
        opened
    }

    /// Waits a little for another auditor, who may be between two shards.
    async fn open_stream_when_free(
        &self,
        node: usize,
        replica: ReplicaId,
        shard: u32,
    ) -> Result<NodeStream, Error> {
        let mut tries = 1;
        loop {
            let opened = self.open_stream(node, replica, shard).await;
            let is_taken = |error: &Error| error.reason().as_deref() == Some(UNDER_WAY);
            match opened {
                Err(error) if is_taken(&error) && tries < TRIES_MAX => {
                    tries += 1;
                    sleep(TRY_PAUSE).await;
                }
                opened => return opened,
            }
        }
    }

    async fn open_stream(
        &self,
        index: usize,
        replica: ReplicaId,
        shard: u32,
    ) -> Result<NodeStream, Error> {
        let node = self.node(index);
        let failed = |status| Error::from_status(&node.address, CALL, Effect::Reads, status);
        let mut stub = ClusterServiceClient::new(node.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        let (questions, requests) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let first = AuditShardRequest {
            shard,
            at: Vec::new(),
        };
        // The channel has a place for it, and its other end is here.
        let _ = questions.send(first).await;
        let opening = stub.audit_shard(ReceiverStream::new(requests));
        let patience = self.shared.options.read_attempt_deadline;
        let late = || Error::deadline(&node.address, CALL, Effect::Reads, patience);
        let answers = timeout(patience, opening).await.map_err(|_| late())?;
        let mut stream = NodeStream {
            node: index,
            address: node.address.clone(),
            replica,
            questions,
            answers: answers.map_err(failed)?.into_inner(),
            patience,
            lanes: Vec::new(),
            failed: None,
        };
        let first = stream.answer(WALK_PATIENCE, 0).await;
        first.map(|_| stream)
    }
}

/// Ends the streams, and waits until the nodes follow no longer.
pub(super) async fn close(streams: Vec<NodeStream>) {
    for mut stream in streams {
        drop(stream.questions);
        // However it ends, nothing more is asked.
        let _ = timeout(stream.patience, stream.answers.message()).await;
    }
}

/// Asks all nodes what they hold by now.
pub(super) async fn ask_again(streams: &mut [NodeStream]) {
    for stream in streams {
        stream.question(Vec::new()).await;
    }
}

impl NodeStream {
    pub(super) fn node(&self) -> usize {
        self.node
    }

    /// What it holds; nothing once it has failed.
    pub(super) fn holds(&self) -> Option<NodeHolds> {
        self.failed.is_none().then(|| NodeHolds {
            node: self.node,
            replica: self.replica,
            lanes: self.lanes.clone(),
        })
    }

    /// Why it has failed.
    pub(super) fn failure(&self) -> Option<(usize, &Error)> {
        self.failed.as_ref().map(|error| (self.node, error))
    }

    /// Asks for past marks of its own lane.
    pub(super) async fn ask(&mut self, at: &[PastQuestion]) -> Vec<(PastQuestion, PastAnswer)> {
        if at.is_empty() || self.failed.is_some() {
            return Vec::new();
        }
        let marks = at.iter().map(|it| (it.lane, it.mark)).collect();
        let answers = self.question(marks).await;
        at.iter().copied().zip(answers).collect()
    }

    /// One question and its answers; none once the stream has failed.
    async fn question(&mut self, at: Vec<(ReplicaId, Mark)>) -> Vec<PastAnswer> {
        if self.failed.is_some() {
            return Vec::new();
        }
        let question = AuditShardRequest {
            shard: 0, // only the first one's counts
            at: wire::audit::marks_to_wire(&at),
        };
        // A stream that has ended says why below.
        let _ = self.questions.send(question).await;
        match self.answer(self.patience, at.len()).await {
            Ok(answers) => answers,
            Err(error) => {
                self.failed = Some(error);
                Vec::new()
            }
        }
    }

    async fn answer(&mut self, patience: Duration, asked: usize) -> Result<Vec<PastAnswer>, Error> {
        let late = || Error::deadline(&self.address, CALL, Effect::Reads, patience);
        let failed =
            |status: Status| Error::from_status(&self.address, CALL, Effect::Reads, status);
        let answer = timeout(patience, self.answers.message()).await;
        let answer = answer.map_err(|_| late())?.map_err(failed)?;
        let unexpected = |expected: &str, found: String| {
            let expected = expected.to_owned();
            let unexpected = Unexpected { expected, found };
            Error::unexpected(&self.address, CALL, Effect::Reads, unexpected)
        };
        let answer = answer.ok_or_else(|| unexpected("an answer", "the end".to_owned()))?;
        let lanes = wire::audit::prints_from_wire(&answer.lanes);
        let lanes = lanes.map_err(|error| unexpected("lanes", error.to_string()))?;
        let past = answer.past.iter().map(wire::audit::past_from_wire);
        let past: Result<Vec<_>, _> = past.collect();
        let past = past.map_err(|error| unexpected("answers", error.to_string()))?;
        if past.len() != asked {
            let expected = format!("{asked} answers");
            return Err(unexpected(&expected, past.len().to_string()));
        }
        self.lanes = lanes;
        Ok(past)
    }
}
