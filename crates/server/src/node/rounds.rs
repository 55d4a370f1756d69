//! Commit rounds: who took something waits for its round; the commit thread completes rounds.
//!
//! A shard's `round` field, read under the shard's lock, is the round that will collect what the
//! shard takes now. The commit thread moves it on, under the same lock, when it collects.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

use tokio::sync::watch;

/// The number of a commit round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round(u64);

impl Round {
    /// Before the first round.
    pub(super) const NONE: Self = Self(0);
    /// The first round of a process.
    pub(super) const FIRST: Self = Self(1);

    /// The round after this one.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Wakes the commit thread, and tells of completed rounds.
#[derive(Debug)]
pub(super) struct Rounds {
    completed: watch::Sender<Round>,
    /// Whether anything was taken since the commit thread last looked.
    has_work: AtomicBool,
    /// Whether the next round is the last one.
    closing: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self {
            completed: watch::Sender::new(Round::NONE),
            has_work: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// Rounds as they complete.
    pub(super) fn completed(&self) -> watch::Receiver<Round> {
        self.completed.subscribe()
    }

    /// Waits for a round. For ever, when the commit thread has failed: the process is about to
    /// end, and nothing that was not synced may be acknowledged.
    pub(super) async fn wait(&self, round: Round) {
        let mut completed = self.completed.subscribe();
        completed
            .wait_for(|&completed| completed >= round)
            .await
            .expect("the sender lives as long as self");
    }

    /// Something was taken: a round is due.
    pub(super) fn wake(&self) {
        // Only the first one since the last look needs to unpark.
        if !self.has_work.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Makes one more round, with everything taken before this call, the last one.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the round that begins now is the last one.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Parks the calling thread, which is the commit thread, until a round is due.
    pub(super) fn sleep(&self) {
        self.thread.get_or_init(std::thread::current);
        while !self.has_work.swap(false, Ordering::AcqRel) {
            std::thread::park();
        }
    }

    /// Everything taken for this round is durable.
    pub(super) fn complete(&self, round: Round) {
        self.completed.send_replace(round);
    }
}
