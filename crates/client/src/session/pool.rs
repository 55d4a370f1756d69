//! The sessions of one client: at most one open for each node, used by all adds there at once.
//!
//! A session whose home was given up is kept until the home is asked for a new one; by then its
//! requests are settled, and it is closed there. What is still open when the client is dropped is closed
//! as far as that goes without waiting; the home closes the rest when it needs the space.

use std::{
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::Mutex,
    task::JoinSet,
    time::{timeout, timeout_at},
};
use tonic::Request;
use wire::v1::{
    CloseSessionRequest, OpenSessionRequest, OpenSessionResponse,
    session_service_client::SessionServiceClient,
};

use super::{
    book::Book,
    home::{Home, HomeSession},
};
use crate::{
    Client, Error, IngestOptions,
    attempt::attempt,
    error::{Effect, Unexpected},
};

/// Sessions of one node that were given up and not closed yet, at most: those beyond it are left to
/// the node, which closes what is idle.
const RETIRED_MAX: usize = 64;

/// How many requests of a session may be unanswered, at least; set by the protocol.
const REQUESTS_WINDOW_MIN: u64 = IngestOptions::IN_FLIGHT_LIMIT as u64;

/// How long closing may take: it is a courtesy to the home, and nobody's adds wait for it.
const CLOSING_DEADLINE: Duration = Duration::from_secs(1);

/// The name of the call, for errors.
const OPEN: &str = "open a session";

/// One slot for each node of the client.
#[derive(Debug)]
pub(crate) struct Pool {
    slots: Vec<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    open: Option<Arc<HomeSession>>,
    retired: Vec<Arc<HomeSession>>,
}

impl Pool {
    pub(crate) fn new(nodes: usize) -> Self {
        let slots = (0..nodes).map(|_| Mutex::default()).collect();
        Self { slots }
    }

    /// The open session of a node; it is opened if there is none. Cancel safe.
    ///
    /// # Errors
    /// Nothing was sent of anybody's adds.
    pub(crate) async fn session(
        &self,
        client: &Client,
        node: usize,
        deadline: Instant,
    ) -> Result<Arc<HomeSession>, Error> {
        let late = || {
            let deadline = client.shared.options.deadline;
            Error::deadline(&client.node(node).address, OPEN, Effect::Reads, deadline)
        };
        let slot = timeout_at(deadline.into(), self.slots[node].lock()).await;
        let mut slot = slot.map_err(|_| late())?;
        if let Some(open) = slot.open.take() {
            if !open.is_given_up() {
                slot.open = Some(Arc::clone(&open));
                return Ok(open);
            }
            if slot.retired.len() < RETIRED_MAX {
                slot.retired.push(open);
            }
        }
        let opened = Arc::new(client.open_session(node, deadline).await?);
        slot.open = Some(Arc::clone(&opened));
        // The home answers, so it can be told what is over.
        for session in slot.take_settled() {
            tokio::spawn(close(session));
        }
        Ok(opened)
    }

    /// Keeps a session that was restored, until it is closed with the others.
    pub(crate) fn keep(&mut self, session: Arc<HomeSession>) {
        if let Some(home) = session.home() {
            self.slots[home.node].get_mut().retired.push(session);
        }
    }

    /// Closes the sessions of which nothing is unanswered, all at the same time. Those whose home does
    /// not answer are left to it.
    pub(crate) async fn close(&self) {
        let mut closings = JoinSet::new();
        for slot in &self.slots {
            let mut slot = slot.lock().await;
            if let Some(open) = slot.open.take() {
                slot.retired.push(open);
            }
            for session in slot.take_settled() {
                closings.spawn(close(session));
            }
        }
        while closings.join_next().await.is_some() {}
    }

    /// Begins to close the sessions. Nobody waits for it; without a runtime nothing is closed.
    pub(crate) fn close_unattended(&self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        for slot in &self.slots {
            if let Ok(mut slot) = slot.try_lock() {
                let Slot { open, retired } = mem::take(&mut *slot);
                for session in retired.into_iter().chain(open) {
                    runtime.spawn(close(session));
                }
            }
        }
    }
}

impl Slot {
    /// Those that were given up, or are to be closed, and of which nothing is unanswered.
    fn take_settled(&mut self) -> Vec<Arc<HomeSession>> {
        let is_settled = |session: &mut Arc<HomeSession>| session.book().is_settled();
        self.retired.extract_if(.., is_settled).collect()
    }
}

impl Client {
    /// Opens a session at a node. It changes nothing there.
    pub(crate) async fn open_session(
        &self,
        node: usize,
        deadline: Instant,
    ) -> Result<HomeSession, Error> {
        let options = &self.shared.options;
        let node = self.node(node);
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = left.min(options.add_attempt_deadline);
        let mut request = Request::new(OpenSessionRequest {});
        request.set_timeout(timeout);
        let mut stub = SessionServiceClient::new(node.channel.clone());
        let answer = stub.open_session(request);
        let answer = attempt(node, OPEN, Effect::Reads, timeout, answer).await?;
        let OpenSessionResponse {
            session,
            requests_window,
            ..
        } = answer;
        if session.is_empty() || u64::from(requests_window) < REQUESTS_WINDOW_MIN {
            let unexpected = Unexpected {
                expected: format!("a session with a window of at least {REQUESTS_WINDOW_MIN}"),
                found: format!(
                    "one of {} bytes with a window of {requests_window}",
                    session.len()
                ),
            };
            let address = &node.address;
            return Err(Error::unexpected(address, OPEN, Effect::Reads, unexpected));
        }
        let home = Home {
            node: node.index,
            channel: node.channel.clone(),
        };
        let book = Book::new(requests_window.into());
        Ok(HomeSession::new(session, Some(home), book))
    }
}

/// Closes a session, if its home answers. Whatever it comes to: a session that stays open is closed by
/// its home when it has been idle for longer than others.
async fn close(session: Arc<HomeSession>) {
    let Some(home) = session.home() else {
        return;
    };
    let all_is_answered = {
        let book = session.book();
        book.is_settled() && !book.is_given_up()
    };
    let mut request = Request::new(CloseSessionRequest {
        session: session.id().to_vec(),
        all_is_answered,
    });
    request.set_timeout(CLOSING_DEADLINE);
    let mut stub = SessionServiceClient::new(home.channel.clone());
    let _ = timeout(CLOSING_DEADLINE, stub.close_session(request)).await;
}
