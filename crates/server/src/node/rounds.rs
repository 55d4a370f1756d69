//! Wakes the commit thread, and tells of completed rounds.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Instant;

use protocol::Round;
use tokio::sync::watch;

/// What the commit thread shares with all others.
#[derive(Debug)]
pub(super) struct Rounds {
    completed: watch::Sender<Round>,
    /// Whether anything was taken since the commit thread last asked.
    has_work: AtomicBool,
    /// Whether there is anything else to look at.
    is_interrupted: AtomicBool,
    /// Whether the next round is the last one.
    closing: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Rounds {
    pub(super) fn new() -> Self {
        Self {
            completed: watch::Sender::new(Round::NONE),
            has_work: AtomicBool::new(false),
            is_interrupted: AtomicBool::new(false),
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

    /// Something was taken.
    pub(super) fn wake(&self) {
        // Only the first one since the last look needs to unpark.
        if !self.has_work.swap(true, Ordering::AcqRel) {
            self.unpark();
        }
    }

    /// Something else has happened that the commit thread wants to know.
    pub(super) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Release);
        self.unpark();
    }

    /// Makes one more round, with everything taken before this call, the last one.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.interrupt();
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether the round that begins now is the last one.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether anything was taken since this was last asked.
    pub(super) fn had_work(&self) -> bool {
        self.has_work.swap(false, Ordering::AcqRel)
    }

    /// Parks the calling thread, which is the commit thread, until something happens, or then.
    pub(super) fn sleep(&self, until: Option<Instant>) {
        self.thread.get_or_init(std::thread::current);
        while !self.has_work.load(Ordering::Acquire)
            && !self.is_interrupted.swap(false, Ordering::AcqRel)
        {
            match until {
                None => std::thread::park(),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    std::thread::park_timeout(left);
                }
            }
        }
    }

    /// Everything taken for this round is durable.
    pub(super) fn complete(&self, round: Round) {
        self.completed.send_replace(round);
    }
}
