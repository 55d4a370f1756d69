//! One open session: its books, for all calls that use it at the same time, and where its home is.

use std::{
    future::Future,
    pin::pin,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use tokio::{
    sync::{Notify, watch},
    time::timeout_at,
};
use tonic::transport::Channel;
use wire::v1::RequestHead;

use super::book::{Book, Head, Numbering};

/// A session as its node gave it.
#[derive(Debug)]
pub(crate) struct HomeSession {
    /// Opaque; goes into every request.
    id: Vec<u8>,
    /// `None` when a restored session's home is not in the client's list.
    home: Option<Home>,
    is_restored: bool,
    book: Mutex<Book>,
    /// A number may be free, for one who waits.
    has_space: Notify,
    given_up: watch::Sender<bool>,
}

/// The node that is a session's home.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// Its place in the client's list.
    pub(crate) node: usize,
    pub(crate) channel: Channel,
}

/// Why a request has no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// Too many are unanswered, until the deadline.
    Full,
    /// The session takes nothing new.
    GivenUp,
}

impl HomeSession {
    /// A session that an earlier process opened.
    pub(crate) fn restored(id: Vec<u8>, home: Option<Home>, book: Book) -> Self {
        Self {
            is_restored: true,
            ..Self::new(id, home, book)
        }
    }

    pub(crate) fn new(id: Vec<u8>, home: Option<Home>, book: Book) -> Self {
        let given_up = watch::Sender::new(book.is_given_up());
        Self {
            id,
            home,
            is_restored: false,
            book: Mutex::new(book),
            has_space: Notify::new(),
            given_up,
        }
    }

    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    pub(crate) fn home(&self) -> Option<&Home> {
        self.home.as_ref()
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .expect("nothing panics while it holds a session's books")
    }

    /// Numbers a request, as soon as the window has space for it. Cancel safe.
    pub(crate) async fn number(&self, deadline: Instant) -> Result<u64, NoNumber> {
        loop {
            let mut space = pin!(self.has_space.notified());
            space.as_mut().enable();
            let numbering = self.book().number();
            match numbering {
                Numbering::Number(number) => {
                    self.has_space.notify_one(); // several may have become free at once
                    return Ok(number);
                }
                Numbering::GivenUp => return Err(NoNumber::GivenUp),
                Numbering::Full => timeout_at(deadline.into(), space)
                    .await
                    .map_err(|_| NoNumber::Full)?,
            }
        }
    }

    /// What a request says that is now sent to a node of the client's list; `None` where it may not go
    /// there, as [`Book::send`] says.
    pub(crate) fn head(&self, number: u64, node: usize) -> Option<RequestHead> {
        let Head {
            number,
            answered_below,
            moved,
        } = self.book().send(number, self.is_home(node))?;
        Some(RequestHead {
            session: self.id.clone(),
            number,
            answered_below,
            moved,
        })
    }

    pub(crate) fn is_home(&self, node: usize) -> bool {
        self.home().is_some_and(|home| home.node == node)
    }

    /// Notes that a request was answered, or will never be sent again.
    pub(crate) fn settle(&self, number: u64) {
        self.book().settle(number);
        self.has_space.notify_one();
    }

    /// Gives up on the home, for all requests.
    pub(crate) fn give_up(&self) {
        self.book().give_up();
        self.given_up.send_replace(true);
        self.has_space.notify_waiters();
    }

    pub(crate) fn is_given_up(&self) -> bool {
        *self.given_up.borrow()
    }

    /// Whether an earlier process opened it: what became of its requests is not known, so its home may
    /// well answer.
    pub(crate) fn is_restored(&self) -> bool {
        self.is_restored
    }

    /// Waits until somebody gives up on the home.
    pub(crate) fn wait_until_given_up(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut given_up = self.given_up.subscribe();
        async move {
            if given_up.wait_for(|given_up| *given_up).await.is_err() {
                std::future::pending::<()>().await; // the session is gone, and nobody will
            }
        }
    }
}
