//! The desk: one thread that owns every counter and every lock, and serves event after event.
//!
//! It takes as many events as are waiting (up to a bound), saves once if a value has changed, and
//! only then sends all the answers: nothing is confirmed before it is as durable as promised.
//!
//! A session that ends takes its contenders with it, so a server that dies frees its locks. That
//! is possible only because the end of the stream is seen here. The protocol itself has no such
//! message: without it the others wait for ever, as the model of `lock-core` shows, and a server
//! that is merely cut off keeps its locks until the keep-alive gives up on it. Its messages cannot
//! come late: a stream that has ended delivers no more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use lock_core::lock::{LockServer, Reply};
use lock_core::{ContenderId, Value};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tonic::Status;
use wire::baseline_v1 as pb;

use super::state_file::{StateError, StateFile};
use crate::convert::{Answer, ContenderNumber, FromContender, ToContender};

/// Counters that the register holds: at 512 bytes a name some 50 MB, and about as much on disk.
const COUNTERS_MAX: usize = 65_536;

/// Sessions at a time, one a server; the sweeps use a dozen.
const SESSIONS_MAX: usize = 256;

/// Events served before their answers are sent: bounds what a sync may delay.
const GROUP_EVENTS_MAX: usize = 1_024;

/// A session, numbered by when it was opened. The register would have to be restarted after four
/// billion of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionNumber(pub(super) u32);

type Outbox = Sender<Result<pb::SessionResponse, Status>>;

/// What happens to the desk.
pub(super) enum Event {
    /// A server has connected.
    Opened {
        session: SessionNumber,
        outbox: Outbox,
    },
    /// One of its contenders says something.
    Message {
        session: SessionNumber,
        message: FromContender,
    },
    /// Its stream has ended, or has to end for this reason.
    Ended {
        session: SessionNumber,
        broken: Option<Status>,
    },
    /// Somebody reads.
    Read {
        counters: Vec<String>,
        answer: oneshot::Sender<Vec<i64>>,
    },
    /// Somebody lists.
    List {
        question: ListQuestion,
        answer: oneshot::Sender<Vec<pb::Counter>>,
    },
    /// The process is to end.
    Stop,
}

/// Which page of the list.
pub(super) struct ListQuestion {
    pub(super) prefix: String,
    pub(super) after: String,
    pub(super) counters_max: usize,
}

/// An answer that waits for the values in it to be durable.
enum Letter {
    Contender {
        to: SessionNumber,
        message: ToContender,
    },
    Values(oneshot::Sender<Vec<i64>>, Vec<i64>),
    List(oneshot::Sender<Vec<pb::Counter>>, Vec<pb::Counter>),
}

/// Everything that the register process holds.
pub(super) struct Desk {
    counters: BTreeMap<String, LockServer>,
    sessions: BTreeMap<SessionNumber, Outbox>,
    file: Option<StateFile>,
    /// A value has changed since the file was written.
    changed: bool,
    letters: Vec<Letter>,
}

impl Desk {
    pub(super) fn new(counters: Vec<(String, Value)>, file: Option<StateFile>) -> Self {
        let counters = counters
            .into_iter()
            .map(|(name, value)| (name, LockServer::new(value)))
            .collect();
        let (sessions, letters) = (BTreeMap::new(), Vec::new());
        Self {
            counters,
            sessions,
            file,
            changed: false,
            letters,
        }
    }

    /// Serves until told to stop. The sessions end with it.
    pub(super) fn run(mut self, mut events: Receiver<Event>) -> Result<(), StateError> {
        while let Some(first) = events.blocking_recv() {
            let mut next = Some(first);
            let mut served = 0;
            while let Some(event) = next {
                if matches!(event, Event::Stop) {
                    return self.send_letters();
                }
                self.serve(event);
                served += 1;
                next = (served < GROUP_EVENTS_MAX)
                    .then(|| events.try_recv().ok())
                    .flatten();
            }
            self.send_letters()?;
        }
        Ok(())
    }

    fn serve(&mut self, event: Event) {
        match event {
            Event::Opened { session, outbox } => self.open(session, outbox),
            Event::Message { session, message } => self.receive(session, message),
            Event::Ended { session, broken } => self.end(session, broken),
            Event::Read { counters, answer } => {
                let value = |name| self.counters.get(name).map_or(0, value_of);
                let values = counters.iter().map(value).collect();
                self.letters.push(Letter::Values(answer, values));
            }
            Event::List { question, answer } => {
                let counters = self.list(&question);
                self.letters.push(Letter::List(answer, counters));
            }
            Event::Stop => unreachable!("the loop ends at it"),
        }
    }

    fn open(&mut self, session: SessionNumber, outbox: Outbox) {
        if self.sessions.len() < SESSIONS_MAX {
            tracing::info!(?session, "opened");
            self.sessions.insert(session, outbox);
        } else {
            let refused = format!("{SESSIONS_MAX} servers are connected, which is the most");
            // The new outbox has room for this one message.
            let _ = outbox.try_send(Err(Status::resource_exhausted(refused)));
        }
    }

    fn receive(&mut self, session: SessionNumber, message: FromContender) {
        if !self.sessions.contains_key(&session) {
            return; // Ended here, while the message was on its way.
        }
        let FromContender {
            counter,
            contender,
            request,
        } = message;
        if self.counters.len() >= COUNTERS_MAX && !self.counters.contains_key(&counter) {
            let message = ToContender {
                contender,
                answer: Answer::CountersExhausted,
            };
            self.letters.push(Letter::Contender {
                to: session,
                message,
            });
            return;
        }
        let lock_server = self.counters.entry(counter).or_default();
        let before = lock_server.register().value();
        match lock_server.receive(contender_id(session, contender), request) {
            Ok(replies) => {
                self.changed |= lock_server.register().value() != before;
                self.letters.extend(replies.into_iter().map(letter));
            }
            Err(error) => {
                self.end(
                    session,
                    Some(Status::failed_precondition(error.to_string())),
                );
            }
        }
    }

    /// Ends a session and forgets its contenders.
    fn end(&mut self, session: SessionNumber, broken: Option<Status>) {
        let Some(outbox) = self.sessions.remove(&session) else {
            return;
        };
        tracing::info!(?session, ?broken, "ended");
        if let Some(status) = broken {
            // Without room for the reason, the end of the stream has to do.
            let _ = outbox.try_send(Err(status));
        }
        for lock_server in self.counters.values_mut() {
            let gone: Vec<_> = lock_server
                .contenders()
                .filter(|id| session_of(*id).0 == session)
                .collect();
            for contender in gone {
                self.letters
                    .extend(lock_server.forget(contender).into_iter().map(letter));
            }
        }
    }

    fn list(&self, question: &ListQuestion) -> Vec<pb::Counter> {
        let ListQuestion {
            prefix,
            after,
            counters_max,
        } = question;
        let start = if after < prefix {
            Bound::Included(prefix)
        } else {
            Bound::Excluded(after)
        };
        self.counters
            .range::<String, _>((start, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .take(*counters_max)
            .map(|(name, counter)| pb::Counter {
                name: name.clone(),
                value: value_of(counter),
            })
            .collect()
    }

    /// Makes the values durable where that is promised, and then sends what tells of them.
    fn send_letters(&mut self) -> Result<(), StateError> {
        if let (true, Some(file)) = (self.changed, &self.file) {
            let counters = self.counters.iter();
            file.save(counters.map(|(name, counter)| (&**name, counter.register().value())))?;
        }
        self.changed = false;
        // Ending a session that does not read its answers frees its locks, which is more to tell.
        while !self.letters.is_empty() {
            for session in self.deliver() {
                self.end(session, None);
            }
        }
        Ok(())
    }

    /// Sends all letters; returns the sessions that leave theirs unread.
    fn deliver(&mut self) -> BTreeSet<SessionNumber> {
        let mut unread = BTreeSet::new();
        for letter in self.letters.drain(..) {
            match letter {
                // Who asked and went away needs no answer.
                Letter::Values(answer, values) => drop(answer.send(values)),
                Letter::List(answer, counters) => drop(answer.send(counters)),
                Letter::Contender { to, message } => {
                    let Some(outbox) = self.sessions.get(&to) else {
                        continue;
                    };
                    if outbox.try_send(Ok(message.into())).is_err() {
                        unread.insert(to);
                    }
                }
            }
        }
        unread
    }
}

fn value_of(counter: &LockServer) -> i64 {
    counter.register().value().0
}

/// A contender's name among those of all sessions.
fn contender_id(session: SessionNumber, contender: ContenderNumber) -> ContenderId {
    ContenderId(u64::from(session.0) << 32 | u64::from(contender.0))
}

/// The two halves of [`contender_id`].
fn session_of(ContenderId(id): ContenderId) -> (SessionNumber, ContenderNumber) {
    let half = |half: u64| u32::try_from(half).expect("32 of 64 bits");
    (
        SessionNumber(half(id >> 32)),
        ContenderNumber(half(id & u64::from(u32::MAX))),
    )
}

fn letter((to, reply): (ContenderId, Reply)) -> Letter {
    let (to, contender) = session_of(to);
    Letter::Contender {
        to,
        message: ToContender {
            contender,
            answer: Answer::Reply(reply),
        },
    }
}
