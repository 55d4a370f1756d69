//! Why a request was refused.

use alloc::{boxed::Box, vec::Vec};

use crdt_core::{CLAIMED_ADDS_MAX, ReplicaId, SessionId};
use thiserror::Error;

use super::RequestRefusal;
use crate::{Round, SessionsExhausted, ShardIndex, TakeError};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The client has not given up on the session's home, and this is another node.
    #[error(
        "this node is not the home of the session: that is replica {home}; send the request there, \
         or, if you give up on that node for this request, mark it as moved"
    )]
    NotHome {
        /// The home.
        home: ReplicaId,
    },
    /// A moved request at the session's home.
    #[error(
        "the request is marked as moved, and this node is the home of its session; send a moved \
         request to any other node"
    )]
    MovedToHome,
    /// This node may not claim.
    #[error(
        "replica {home}, the home of the session, does not know this node as far as is known here, \
         so this node cannot take its requests; send it to another node, or try again when the two \
         have met"
    )]
    UnknownToHome {
        /// The home.
        home: ReplicaId,
    },
    /// Nothing more is taken of the session.
    #[error(
        "session {session} is closed; whether this request counts is not known here. Open another \
         session for new requests"
    )]
    Closed {
        /// The session.
        session: SessionId,
    },
    /// The home has refused it before.
    #[error("this request was refused before, and for good; send its adds as a new request")]
    Refused,
    /// Some shards have it, and others cannot take it.
    #[error(
        "some adds of this request count, and the others do not: {}",
        match because {
            Some(because) => because as &dyn core::fmt::Display,
            None => &"they were refused before",
        }
    )]
    InPart {
        /// The shards whose counters' adds count.
        counted: Vec<ShardIndex>,
        /// Why the others do not, where that is not a refusal of before.
        because: Option<Box<TakeError>>,
    },
    /// The request was taken here before, and it was another one.
    #[error(
        "this request was taken before with other adds, which count; a request that is sent again \
         has the same adds, and new ones have a new number"
    )]
    OtherAdds,
    /// As many claims as may be.
    #[error(
        "this node keeps moved requests of at most {CLAIMED_ADDS_MAX} adds a shard until the homes of \
         their sessions have settled them; send it to another node, or bring those homes back"
    )]
    ClaimsExhausted,
    /// The session is not one of those that are open, and no more may be.
    #[error(transparent)]
    SessionsExhausted(#[from] SessionsExhausted),
    /// The adds cannot be taken.
    #[error(transparent)]
    Take(#[from] Box<TakeError>),
}

impl From<TakeError> for RequestError {
    fn from(error: TakeError) -> Self {
        Self::Take(Box::new(error))
    }
}

impl RequestError {
    /// Nothing has to be durable before it is told.
    #[must_use]
    pub fn at_once(self) -> RequestRefusal {
        RequestRefusal {
            error: self,
            round: Round::NONE,
        }
    }
}
