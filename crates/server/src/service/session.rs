//! `SessionService`: sessions are opened and closed.

use tonic::{Request, Response, Status};
use wire::replica_id_to_bytes;
use wire::v1::session_service_server::SessionService;
use wire::v1::{
    CloseSessionRequest, CloseSessionResponse, OpenSessionRequest, OpenSessionResponse, RequestHead,
};

use super::NodeCell;
use super::status::{self, Field};
use crate::node::Node;

/// Opens and closes sessions.
#[derive(Clone, Debug)]
pub struct SessionServer {
    node: NodeCell,
    address: String,
}

impl SessionServer {
    /// The service of a node that listens at this "host:port"; empty where that says nothing to
    /// others.
    #[must_use]
    pub fn new(node: NodeCell, address: String) -> Self {
        Self { node, address }
    }
}

#[tonic::async_trait]
impl SessionService for SessionServer {
    async fn open_session(
        &self,
        _request: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionResponse>, Status> {
        let node = self.node.get()?;
        let token = node
            .open_session()
            .map_err(|error| status::open_session(&error))?;
        Ok(Response::new(OpenSessionResponse {
            session: token.to_bytes(),
            home_replica_id: replica_id_to_bytes(token.session.home),
            home_address: self.address.clone(),
            requests_window: u32::try_from(crdt_core::REQUESTS_WINDOW).expect("1,024"),
        }))
    }

    async fn close_session(
        &self,
        request: Request<CloseSessionRequest>,
    ) -> Result<Response<CloseSessionResponse>, Status> {
        let node = self.node.get()?;
        let CloseSessionRequest {
            session,
            all_is_answered,
        } = request.into_inner();
        let session = node
            .parse_session(&session)
            .map_err(|error| status::session(&error, Field::new("session")))?;
        if session.home != node.identity().replica {
            return Err(status::not_home(session.home, node));
        }
        let round = node
            .close_session(session, all_is_answered)
            .map_err(|error| status::not_writable(&error))?;
        node.durable(round).await;
        Ok(Response::new(CloseSessionResponse {}))
    }
}

/// Which request a call is, if it says so.
pub(super) fn parse_request(
    node: &Node,
    request: Option<&RequestHead>,
) -> Result<Option<protocol::RequestHead>, Status> {
    let Some(request) = request else {
        return Ok(None);
    };
    let session = node
        .parse_session(&request.session)
        .map_err(|error| status::session(&error, Field::new("request.session")))?;
    let RequestHead {
        number,
        answered_below,
        moved,
        ..
    } = *request;
    protocol::RequestHead::new(session, number, answered_below, moved)
        .map(Some)
        .map_err(|error| status::request_number(&error))
}
