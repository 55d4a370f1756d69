//! A session that a program has to itself: it keeps every request until it is answered, and can be saved.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use tokio::{sync::Mutex as AsyncMutex, task::JoinSet};

use super::{
    book::Book,
    deliver::Delivered,
    home::{Home, HomeSession},
    pool::Pool,
    saved::{Saved, SavedHome, SavedRequest},
};
use crate::{AddItem, Client, Error, Token, adds::Adds, nodes::Tried};

/// A request of a [`Session`] that has its number, so that it counts once however often it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prepared(u64);

/// A session of one's own: what was not answered can be sent again later, or by the process that comes
/// after this one. Cheap to clone; clones are the same session.
///
/// A request is [prepared](Session::prepare), and then sent until it is answered. A program that must
/// know the fate of its adds even after a crash [saves](Session::save) the session in between, and
/// [restores](Client::restore) it when it starts again.
///
/// Where its node fails, a session goes on with others, as the adds of a [`Client`] do. At most 1,024
/// requests may be unanswered at a time; one more waits.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    pool: Pool,
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    prepared: u64,
    unanswered: BTreeMap<Prepared, Arc<Request>>,
}

struct Request {
    session: Arc<HomeSession>,
    number: u64,
    adds: Adds,
    /// Held while it is sent: one at a time.
    sending: AsyncMutex<()>,
}

impl Client {
    /// Opens a session of one's own. Programs that do not keep requests beyond a call have no use for
    /// it: the adds of a client are requests of sessions as well.
    ///
    /// # Errors
    /// No node opened a session by the deadline; see [`Error`]. Nothing has changed then.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use tally_client::AddItem;
    ///
    /// let session = client.session().await?;
    /// let like = session.prepare([AddItem::new("likes/post-1", 1)]).await?;
    /// std::fs::write("session", session.save())?; // first this, and then it may be sent
    /// session.send(like).await?;
    /// session.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn session(&self) -> Result<Session, Error> {
        let pool = Pool::new(self.shared.nodes.all().len());
        let deadline = Instant::now() + self.shared.options.deadline;
        let mut tried = Tried::default();
        self.session_of(&pool, "open a session", deadline, &mut tried)
            .await?;
        Ok(Session::new(self, pool, Requests::default()))
    }

    /// Takes up a session that an earlier process has [saved](Session::save), with the requests that
    /// had no answer by then. [`Session::resend`] finds out what became of them; new requests go into
    /// a new session of the nodes. Nothing is sent before that.
    ///
    /// The nodes of this client must be of the same cluster, and should have those that the session
    /// was used with.
    ///
    /// # Errors
    /// [`Error::is_invalid`] when the bytes are no saved session, were cut or changed, or are of a
    /// newer version.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let session = client.restore(&std::fs::read("session")?)?;
    /// for (request, fate) in session.resend().await {
    ///     println!("{request:?} counts once: {}", fate.is_ok());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore(&self, saved: &[u8]) -> Result<Session, Error> {
        let nodes = self.shared.nodes.all();
        let mut pool = Pool::new(nodes.len());
        let mut requests = Requests::default();
        for home in Saved::from_bytes(saved)?.homes {
            let node = nodes.iter().find(|node| node.address == home.address);
            let node = node.map(|node| Home {
                node: node.index,
                channel: node.channel.clone(),
            });
            let numbers = home.requests.iter().map(|request| request.number);
            let book = Book::restored(home.answered_below, numbers);
            let session = Arc::new(HomeSession::restored(home.session, node, book));
            for SavedRequest { number, adds } in home.requests {
                let items = adds.items.into_iter();
                let items = items.map(|item| AddItem::new(item.counter, item.amount));
                requests.insert(&session, number, Adds::batch(items)?);
            }
            pool.keep(session);
        }
        Ok(Session::new(self, pool, requests))
    }
}

impl Session {
    fn new(client: &Client, pool: Pool, requests: Requests) -> Self {
        Self {
            shared: Arc::new(Shared {
                client: client.clone(),
                pool,
                requests: Mutex::new(requests),
            }),
        }
    }

    /// Numbers a request: 1 to [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX) adds, which count all
    /// together. Nothing is sent yet. It waits, up to the deadline, while 1,024 are unanswered.
    ///
    /// # Errors
    /// See [`Error`]; there is no request then.
    pub async fn prepare(
        &self,
        items: impl IntoIterator<Item = AddItem>,
    ) -> Result<Prepared, Error> {
        let adds = Adds::batch(items)?;
        let Shared { client, pool, .. } = &*self.shared;
        let deadline = Instant::now() + client.shared.options.deadline;
        let mut tried = Tried::default();
        let (session, number) = client
            .numbered(pool, "prepare", deadline, &mut tried)
            .await?;
        // From here on it may be saved, and sent by a process that this one knows nothing of.
        session.book().may_be_sent(number);
        Ok(self.requests().insert(&session, number, adds))
    }

    /// Sends a request until it is answered or the client's deadline has passed. It may have been sent
    /// before. When this is cancelled, or the error is [indeterminate](Error::is_indeterminate), the
    /// request stays unanswered and may be sent again.
    ///
    /// # Errors
    /// As for [`Client::batch_add`]. [`Error::is_invalid`] when it is answered already.
    pub async fn send(&self, prepared: Prepared) -> Result<Token, Error> {
        let answered = || {
            let number = prepared.0;
            Error::argument(format!(
                "request {number} of this session is not unanswered; send each until it is \
                 answered, and no more"
            ))
        };
        let request = self.requests().unanswered.get(&prepared).cloned();
        let request = request.ok_or_else(answered)?;
        let _sending = request.sending.lock().await;
        if !self.requests().unanswered.contains_key(&prepared) {
            return Err(answered());
        }
        let client = &self.shared.client;
        let deadline = Instant::now() + client.shared.options.deadline;
        let Request {
            session,
            number,
            adds,
            ..
        } = &*request;
        let delivered = client.deliver(session, *number, adds, deadline).await;
        if !session.book().may_count(*number) {
            self.requests().unanswered.remove(&prepared); // it was settled
        }
        match delivered {
            Delivered::Answered(answer) => Ok(Token::from_bytes(answer.token)),
            Delivered::Failed(error) => Err(error),
            Delivered::Anew(_) => unreachable!("what is prepared may have been sent"),
        }
    }

    /// Prepares and sends one add.
    ///
    /// # Errors
    /// As for [`Session::send`]. A request without an answer is among the
    /// [unanswered](Session::unanswered) ones.
    pub async fn add(&self, counter: &str, amount: i64) -> Result<Token, Error> {
        self.batch_add([AddItem::new(counter, amount)]).await
    }

    /// Prepares and sends several adds as one request.
    ///
    /// # Errors
    /// As for [`Session::add`].
    pub async fn batch_add(
        &self,
        items: impl IntoIterator<Item = AddItem>,
    ) -> Result<Token, Error> {
        let prepared = self.prepare(items).await?;
        self.send(prepared).await
    }

    /// The requests that were prepared and not answered yet, in the order of their preparation.
    #[must_use]
    pub fn unanswered(&self) -> Vec<Prepared> {
        self.requests().unanswered.keys().copied().collect()
    }

    /// What an unanswered request adds.
    #[must_use]
    pub fn items(&self, prepared: Prepared) -> Option<Vec<AddItem>> {
        let request = self.requests().unanswered.get(&prepared).cloned()?;
        let items = request.adds.to_batch().items.into_iter();
        Some(
            items
                .map(|item| AddItem::new(item.counter, item.amount))
                .collect(),
        )
    }

    /// Sends all that is unanswered, and tells what became of each request. It takes one deadline at
    /// most.
    pub async fn resend(&self) -> Vec<(Prepared, Result<Token, Error>)> {
        let mut sending = JoinSet::new();
        for prepared in self.unanswered() {
            let session = self.clone();
            sending.spawn(async move { (prepared, session.send(prepared).await) });
        }
        let mut fates = sending.join_all().await;
        fates.sort_unstable_by_key(|(prepared, _)| *prepared);
        fates
    }

    /// The session as bytes, for [`Client::restore`]. They have every request that is unanswered now,
    /// with its adds. A request must be prepared and saved *before* it is sent: of one that was sent
    /// and not saved, nobody knows the number after a crash.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let mut homes: BTreeMap<Vec<u8>, SavedHome> = BTreeMap::new();
        for request in self.requests().unanswered.values() {
            let session = &request.session;
            let home = session
                .home()
                .map(|home| self.shared.client.node(home.node));
            let home = || SavedHome {
                session: session.id().to_vec(),
                address: home.map_or_else(String::new, |home| home.address.clone()),
                answered_below: session.book().answered_below(),
                requests: Vec::new(),
            };
            let home = homes.entry(session.id().to_vec()).or_insert_with(home);
            home.requests.push(SavedRequest {
                number: request.number,
                adds: request.adds.to_batch(),
            });
        }
        let homes = homes.into_values().collect();
        Saved { homes }.to_bytes()
    }

    /// Ends the session at its nodes, as far as they answer within a second. A session that is dropped
    /// without this is closed by its node when it has been idle for longer than others.
    ///
    /// # Errors
    /// [`Error::is_invalid`] when a request is unanswered: it could never be found out what became of it.
    pub async fn close(self) -> Result<(), Error> {
        let unanswered = self.requests().unanswered.len();
        if unanswered > 0 {
            return Err(Error::argument(format!(
                "{unanswered} requests of the session are unanswered; resend them before it is \
                 closed, or drop it"
            )));
        }
        self.shared.pool.close().await;
        Ok(())
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.shared
            .requests
            .lock()
            .expect("nothing panics while it holds a session's requests")
    }
}

impl Requests {
    fn insert(&mut self, session: &Arc<HomeSession>, number: u64, adds: Adds) -> Prepared {
        self.prepared += 1;
        let prepared = Prepared(self.prepared);
        let request = Request {
            session: Arc::clone(session),
            number,
            adds,
            sending: AsyncMutex::default(),
        };
        self.unanswered.insert(prepared, Arc::new(request));
        prepared
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("client", &self.shared.client)
            .field("unanswered", &self.requests().unanswered.len())
            .finish_non_exhaustive()
    }
}
