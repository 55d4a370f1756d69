//! What operators are told of sessions, and what they can do about it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crdt_core::ReplicaId;
use protocol::{CLOSED_SESSIONS_MAX, SESSIONS_MAX};
use tonic::{Code, Status};
use wire::v1::{AwaitedReplica, ClaimsStatus, DeclareMemberGoneRequest, SessionsStatus};
use wire::{replica_id_from_bytes, replica_id_to_bytes};

use super::status;
use crate::node::{Node, SessionsState};

/// The sessions of a node, which receives from these replicas now.
pub(super) fn status(node: &Node, connected: &BTreeSet<ReplicaId>) -> SessionsStatus {
    let state = node.sessions_state();
    let own = node.identity().replica;
    let is_connected = |replica| replica == own || connected.contains(&replica);
    let remedy = remedy(&state, is_connected);
    let waits_for = state.awaited.iter();
    let claims = state.claims.iter();
    SessionsStatus {
        open: state.open as u64,
        open_max: SESSIONS_MAX as u64,
        closed: state.closed as u64,
        closed_max: CLOSED_SESSIONS_MAX as u64,
        waits_for: waits_for
            .map(|&(replica, sessions)| AwaitedReplica {
                replica_id: replica_id_to_bytes(replica),
                sessions: sessions as u64,
                connected: is_connected(replica),
            })
            .collect(),
        claims: claims
            .map(|(&home, &claims)| ClaimsStatus {
                replica_id: replica_id_to_bytes(home),
                claims,
                connected: is_connected(home),
            })
            .collect(),
        remedy,
    }
}

/// What can be done about replicas that are not there.
fn remedy(state: &SessionsState, is_connected: impl Fn(ReplicaId) -> bool) -> String {
    let mut remedy = String::new();
    let mut say = |sentence: std::fmt::Arguments| {
        let gap = if remedy.is_empty() { "" } else { " " };
        write!(remedy, "{gap}{sentence}").expect("a string takes everything");
    };
    for &(replica, sessions) in &state.awaited {
        if !is_connected(replica) {
            say(format_args!(
                "Closed sessions ({sessions}) wait for replica {replica}, which is not connected: \
                 start it; or, if it never comes back, promise so on every node: tally member gone \
                 {replica}."
            ));
        }
    }
    for (&home, claims) in &state.claims {
        if !is_connected(home) {
            say(format_args!(
                "Moved requests ({claims} claims) wait for replica {home}, the home of their \
                 sessions, which is not connected: start it. They count, once each, also if it never \
                 comes back, and then stay."
            ));
        }
    }
    remedy
}

/// Takes an operator's promise that a replica never comes back, and waits until that is durable.
pub(super) async fn declare_gone(
    node: &Node,
    connected: &BTreeSet<ReplicaId>,
    request: &DeclareMemberGoneRequest,
) -> Result<(), Status> {
    let replica = replica_id_from_bytes(&request.replica_id)
        .map_err(|error| status::member_not_gone(Code::InvalidArgument, &error.to_string()))?;
    if replica == node.identity().replica {
        let message = format!(
            "replica {replica} is the node that was asked; ask the others once it is gone for good"
        );
        return Err(status::member_not_gone(Code::InvalidArgument, &message));
    }
    if connected.contains(&replica) {
        let message = format!(
            "replica {replica} is connected, so it is there; stop it for good first, and remove it \
             from the configuration of the others"
        );
        return Err(status::member_not_gone(Code::FailedPrecondition, &message));
    }
    let forgotten = node.forget_replica(replica);
    let round = forgotten.map_err(|error| status::not_writable(&error))?;
    let Some(round) = round else {
        let message = format!(
            "this node does not know replica {replica}, and waits for nothing of it; its status names \
             those for which it waits"
        );
        return Err(status::member_not_gone(Code::NotFound, &message));
    };
    node.durable(round).await;
    tracing::warn!(%replica, "an operator has declared a replica gone for good");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_remedy_is_told_for_those_that_are_not_connected() {
        let [there, gone] = [1, 2].map(ReplicaId::new);
        let state = SessionsState {
            awaited: vec![(there, 5), (gone, 7)],
            claims: BTreeMap::from([(there, 3), (gone, 4)]),
            ..SessionsState::default()
        };
        let text = remedy(&state, |replica| replica == there);
        assert!(
            text.contains(&format!("tally member gone {gone}")),
            "{text}"
        );
        assert!(
            text.contains("(7)") && text.contains("(4 claims)"),
            "{text}"
        );
        assert!(!text.contains(&there.to_string()), "{text}");
        assert_eq!(remedy(&state, |_| true), "");
    }
}
