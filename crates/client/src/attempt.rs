//! One attempt of a call, on one node.

use std::{future::Future, time::Duration};

use tonic::{Response, Status, transport::Channel};
use wire::v1::counter_service_client::CounterServiceClient;

use crate::{
    Error,
    error::{Effect, is_expired},
    nodes::Node,
    options::ANSWER_BYTES_MAX,
};

pub(crate) type Stub = CounterServiceClient<Channel>;

pub(crate) fn stub(node: &Node) -> Stub {
    CounterServiceClient::new(node.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// One attempt of a call, on one node.
pub(crate) async fn attempt<A>(
    node: &Node,
    call: &'static str,
    effect: Effect,
    timeout: Duration,
    answer: impl Future<Output = Result<Response<A>, Status>>,
) -> Result<A, Error> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) if !is_expired(&status) => {
            Err(Error::from_status(&node.address, call, effect, status))
        }
        Ok(Err(_)) | Err(_) => Err(Error::deadline(&node.address, call, effect, timeout)),
    }
}
