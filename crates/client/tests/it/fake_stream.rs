//! The ingest stream of a fake node.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};
use wire::v1::{ErrorReason, IngestRefusal, IngestRequest, IngestResponse};

use crate::{
    fake::refused_with,
    script::{Flaw, State, Stream},
};

type Answer = Result<IngestResponse, Status>;

/// What a message leads to.
enum Step {
    Answer(Answer),
    Nothing,
}

/// Serves a stream until either side ends it.
pub async fn serve(
    state: Arc<Mutex<State>>,
    mut messages: Streaming<IngestRequest>,
    answers: mpsc::Sender<Answer>,
) {
    let mut names = Vec::new();
    let mut sums = Vec::new();
    let mut expected = 0;
    while let Ok(Some(message)) = messages.message().await {
        expected += 1;
        let step = take(lock(&state), message, expected, &mut names, &mut sums);
        let Step::Answer(answer) = step else {
            continue;
        };
        let is_end = answer.is_err();
        if answers.send(answer).await.is_err() || is_end {
            return;
        }
    }
    // The client is done, or gone. A silent server holds the answers open a little longer.
    tokio::time::sleep(Duration::from_millis(10)).await;
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state
        .lock()
        .expect("nothing panics while it holds the state")
}

fn take(
    mut state: MutexGuard<'_, State>,
    message: IngestRequest,
    expected: u64,
    names: &mut Vec<String>,
    sums: &mut Vec<i64>,
) -> Step {
    let sequence = message.sequence;
    assert_eq!(sequence, expected, "sequence numbers are 1, 2, 3, ...");
    names.extend(message.introduced);
    sums.clear();
    sums.resize(names.len(), 0);
    state.messages += 1;
    let is_new = if state.stream == Stream::RefusesAt(expected) {
        let status = refused_with(Code::ResourceExhausted, "COUNTERS_EXHAUSTED");
        Err((status, ErrorReason::CountersExhausted))
    } else {
        let is_new = state.is_new(message.request.as_ref());
        is_new.map_err(|status| (status, ErrorReason::NodeUnknownToHome))
    };
    let is_new = match is_new {
        Ok(is_new) => is_new,
        Err((status, _)) if message.request.is_none() => return Step::Answer(Err(status)),
        Err((_, reason)) => return Step::Answer(Ok(refusal(expected, reason))),
    };
    if message.amounts.is_empty() {
        let indices = message.counters.iter();
        indices.for_each(|index| sums[*index as usize] += 1);
    } else {
        assert_eq!(message.amounts.len(), message.counters.len());
        let entries = message.counters.iter().zip(&message.amounts);
        entries.for_each(|(index, amount)| sums[*index as usize] += amount);
    }
    let changed = names.iter().zip(sums);
    for (name, sum) in changed.filter(|(_, sum)| is_new && **sum != 0) {
        match state.values.get_mut(name) {
            Some(value) => *value += *sum,
            None => state.add(name.clone(), *sum),
        }
    }
    match state.stream {
        Stream::BreaksAfter(last) if last == expected => {
            Step::Answer(Err(Status::unavailable("as the test demands")))
        }
        Stream::SilentAfter(last) if last < expected => Step::Nothing,
        Stream::Answers
        | Stream::SilentAfter(_)
        | Stream::RefusesAt(_)
        | Stream::BreaksAfter(_) => {
            let too_much = u64::from(state.flaw == Some(Flaw::AcknowledgesTooMuch));
            Step::Answer(Ok(IngestResponse {
                acknowledged_sequence: expected + too_much,
                ..IngestResponse::default()
            }))
        }
    }
}

/// Acknowledges a message as one that was refused.
fn refusal(sequence: u64, reason: ErrorReason) -> IngestResponse {
    let refusal = IngestRefusal {
        sequence,
        reason: reason.into(),
        message: "as the test demands".to_owned(),
        ..IngestRefusal::default()
    };
    IngestResponse {
        acknowledged_sequence: sequence,
        refused: vec![refusal],
        ..IngestResponse::default()
    }
}
