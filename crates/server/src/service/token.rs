//! The wait of a read for its token.

use std::time::Duration;

use protocol::{NotWritable, ReadEffect, ReadWait, ShardIndex, Token};
use tokio::time::sleep_until;
use tonic::Status;

use super::status;
use crate::node::Node;

/// Waits for so long at most until the node covers the token, in these shards.
pub(super) async fn wait_for_token(
    node: &Node,
    token: &[u8],
    shards: impl IntoIterator<Item = ShardIndex>,
    wait: Duration,
) -> Result<(), Status> {
    if token.is_empty() {
        return Ok(());
    }
    let identity = node.identity();
    let token = Token::parse(token, identity.cluster_hash(), identity.shard_count)
        .map_err(|error| status::token(&error))?;
    let shards = shards.into_iter().collect();
    let clock = node.clock();
    let mut completed = node.completed();
    let stopped = node.stopped();
    tokio::pin!(stopped);
    let mut read = ReadWait::new(token, shards, clock.now(), wait);
    loop {
        match read.poll(clock.now(), node) {
            ReadEffect::Answer => return Ok(()),
            ReadEffect::Fail(error) => return Err(status::read(&error)),
            ReadEffect::Wait { until } => tokio::select! {
                changed = completed.changed() => changed.expect("the node outlives its calls"),
                () = sleep_until(clock.instant(until)) => {}
                () = &mut stopped => return Err(status::not_writable(&NotWritable::Stopping)),
            },
        }
    }
}
