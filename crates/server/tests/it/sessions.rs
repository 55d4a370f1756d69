//! Sessions as clients see them: a request counts once.

mod others;
mod refused;

use tonic::Status;
use wire::v1::session_service_client::SessionServiceClient;
use wire::v1::{
    AddRequest, AddResponse, BatchAddItem, BatchAddRequest, CloseSessionRequest, IngestRequest,
    IngestResponse, OpenSessionRequest, OpenSessionResponse, RequestHead,
};

use super::node::{Node, add_request, reason, soon};

async fn open(node: &Node) -> OpenSessionResponse {
    let mut client = SessionServiceClient::new(node.channel());
    let answer = client.open_session(OpenSessionRequest {}).await;
    answer.expect("a session").into_inner()
}

async fn close(node: &Node, session: &[u8], all_is_answered: bool) -> Result<(), Status> {
    let mut client = SessionServiceClient::new(node.channel());
    let session = session.to_vec();
    let request = CloseSessionRequest {
        session,
        all_is_answered,
    };
    client.close_session(request).await.map(|_| ())
}

fn head(session: &[u8], number: u64) -> RequestHead {
    RequestHead {
        session: session.to_vec(),
        number,
        answered_below: 0,
        moved: false,
    }
}

fn moved(head: RequestHead) -> RequestHead {
    RequestHead {
        moved: true,
        ..head
    }
}

async fn add(node: &Node, amount: i64, head: RequestHead) -> Result<AddResponse, Status> {
    let request = AddRequest {
        request: Some(head),
        ..add_request("likes", amount)
    };
    node.counters()
        .add(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn single(place: &tempfile::TempDir) -> Node {
    let mut node = Node::new(place.path(), "a");
    node.serve().await;
    node
}

#[tokio::test]
async fn a_request_counts_once_also_over_a_crash() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = single(&place).await;
    let session = open(&node).await;
    assert_eq!(session.home_replica_id, node.status().await.replica_id);
    assert_eq!(session.home_address, node.address);
    assert_eq!(session.requests_window, 1_024);
    let session = session.session;
    let first = add(&node, 5, head(&session, 1)).await.expect("an add");
    assert!(!first.was_counted);
    assert_eq!(node.value_after("likes", first.token).await, 5);
    let copy = add(&node, 5, head(&session, 1)).await.expect("a copy");
    assert!(copy.was_counted);
    node.kill();
    node.serve().await;
    let copy = add(&node, 5, head(&session, 1)).await.expect("a copy");
    assert!(copy.was_counted);
    assert_eq!(node.value_after("likes", copy.token).await, 5);
    let second = AddRequest {
        return_value: true,
        request: Some(RequestHead {
            answered_below: 2,
            ..head(&session, 2)
        }),
        ..add_request("likes", 1)
    };
    let second = node
        .counters()
        .add(second)
        .await
        .expect("an add")
        .into_inner();
    assert!(!second.was_counted);
    assert_eq!(second.counter.expect("it was asked for").value, 6);
    // It was answered, and a copy that was long on its way changes nothing.
    let late = add(&node, 5, head(&session, 1)).await.expect("a copy");
    assert!(late.was_counted);
    assert_eq!(node.value("likes").await, 6);
    let sessions = node.status().await.sessions.expect("they are told");
    assert_eq!((sessions.open, sessions.closed), (1, 0));
    close(&node, &session, true).await.expect("it is the home");
    close(&node, &session, true).await.expect("again");
    let sessions = node.status().await.sessions.expect("they are told");
    assert_eq!((sessions.open, sessions.closed), (0, 0));
    node.kill();
    node.serve().await;
    let refusal = add(&node, 5, head(&session, 3)).await.expect_err("closed");
    assert_eq!(reason(&refusal), "SESSION_CLOSED");
    assert_eq!(node.value("likes").await, 6);
}

#[tokio::test]
async fn a_batch_counts_once_in_all_its_shards() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let node = single(&place).await;
    let session = open(&node).await.session;
    let batch = || BatchAddRequest {
        items: (0..100)
            .map(|number| BatchAddItem {
                counter: format!("c{}", number % 50),
                amount: 1,
            })
            .collect(),
        request: Some(head(&session, 1)),
    };
    for was_counted in [false, true] {
        let answer = node.counters().batch_add(batch()).await.expect("a batch");
        let answer = answer.into_inner();
        assert_eq!(answer.was_counted, was_counted);
        assert_eq!(node.value_after("c7", answer.token).await, 2);
    }
}

/// Sends messages on a stream of their own; what it answered, and how it ended.
async fn ingest(
    node: &Node,
    messages: Vec<IngestRequest>,
) -> (Vec<IngestResponse>, Result<(), Status>) {
    let answer = node.counters().ingest(tokio_stream::iter(messages)).await;
    let mut answers = answer.expect("a stream").into_inner();
    let mut told = Vec::new();
    loop {
        match soon("an answer", answers.message()).await {
            Ok(Some(answer)) => told.push(answer),
            Ok(None) => return (told, Ok(())),
            Err(status) => return (told, Err(status)),
        }
    }
}

fn message(sequence: u64, request: RequestHead) -> IngestRequest {
    let introduced = match sequence {
        1 => vec!["likes".to_owned()],
        _ => Vec::new(),
    };
    IngestRequest {
        sequence,
        introduced,
        counters: vec![0, 0],
        request: Some(request),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_stream_goes_on_elsewhere_by_the_numbers_of_its_requests() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut node = single(&place).await;
    let session = open(&node).await.session;
    let of_stream = |number| head(&[], number);
    let messages = vec![message(1, head(&session, 1)), message(2, of_stream(2))];
    let (told, end) = ingest(&node, messages).await;
    end.expect("the client ended it");
    assert_eq!(told.last().expect("all").acknowledged_sequence, 2);
    assert!(told.iter().all(|it| it.counted_before_sequences.is_empty()));
    node.kill();
    node.serve().await;
    let messages = vec![
        message(1, head(&session, 1)),
        message(2, of_stream(2)),
        message(3, of_stream(0)),
        message(4, of_stream(3)),
    ];
    let (told, end) = ingest(&node, messages).await;
    end.expect("the client ended it");
    assert_eq!(told.last().expect("all").acknowledged_sequence, 4);
    let counted = told
        .iter()
        .flat_map(|it| it.counted_before_sequences.clone());
    assert_eq!(counted.collect::<Vec<_>>(), [1, 2]);
    let refused: Vec<_> = told.iter().flat_map(|it| it.refused.clone()).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].sequence, 3);
    assert_eq!(
        refused[0].reason().as_str_name(),
        "ERROR_REASON_REQUEST_NUMBER_INVALID"
    );
    assert!(
        refused[0].message.contains("from 1 on"),
        "{}",
        refused[0].message
    );
    assert_eq!(node.value("likes").await, 6);
}
