//! The commit round: what is appended, synced and told, in which order, and when a snapshot is due.
//!
//! One round after the other: the next one begins when the last is complete, so under load rounds
//! grow, and idle they are immediate (group commit; `DeWitt` et al., "Implementation Techniques for
//! Main Memory Database Systems", 1984). The driver asks [`CommitRounds::poll`] what to do, does
//! it, and reports; what it is told to do next is never allowed before.
//!
//! | effect | what must be so before |
//! | --- | --- |
//! | [`Append`](CommitEffect::Append) | the round before is complete |
//! | [`Sync`](CommitEffect::Sync) | all of the round is appended |
//! | [`Complete`](CommitEffect::Complete) | the round is durable |
//! | [`BeginSnapshot`](CommitEffect::BeginSnapshot) | everything below its cut is durable, and held |
//!
//! **After a failed append or sync nothing is told any more.** What the disk holds then nobody
//! knows, so the process ends.
//!
//! **A failed snapshot costs nothing but time.** It is tried again after a wait that doubles, from
//! the same cut in the log: the log is not cut again for it.
//!
//! **An idle log is sealed.** Damage to the last group of a log looks like a torn write, as nothing
//! after it says that it was synced. So after a moment without adds a mark is appended that says
//! just that; it need not be synced itself.

use core::time::Duration;

use crate::{Round, Time};

/// The bounds of a [`CommitRounds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitLimits {
    /// Segments may grow to this size before a snapshot, however small the last one was.
    pub snapshot_log_bytes_min: u64,
    /// The wait after the first snapshot that failed; it doubles with each that follows.
    pub snapshot_retry_min: Duration,
    /// The longest wait.
    pub snapshot_retry_max: Duration,
    /// An idle log is sealed after so long.
    pub seal_after: Duration,
}

impl Default for CommitLimits {
    /// A restart reads 16 MiB in about half a second, and at full load they are written in a few
    /// seconds; the snapshot of a small state, which then follows, is written in milliseconds. A
    /// snapshot that fails does so for lack of room or of files, which does not change in less
    /// than seconds. A second without adds is idle; the kernel writes a seal back within half a
    /// minute.
    fn default() -> Self {
        Self {
            snapshot_log_bytes_min: 16 << 20,
            snapshot_retry_min: Duration::from_secs(10),
            snapshot_retry_max: Duration::from_mins(10),
            seal_after: Duration::from_secs(1),
        }
    }
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitEffect {
    /// Collects from every shard what it has taken, and appends that. Answer:
    /// [`appended`](CommitRounds::appended).
    Append {
        /// The round to collect for.
        round: Round,
    },
    /// Makes everything appended durable. Answer: [`synced`](CommitRounds::synced).
    Sync,
    /// The round is durable: every shard that gave something holds it, and those who wait for the
    /// round are told.
    Complete {
        /// The round.
        round: Round,
    },
    /// Lets the next frame begin a new segment. Answer: [`cut`](CommitRounds::cut).
    Cut,
    /// Begins a snapshot, beside the commits, that stands for all frames below this one. Answer,
    /// at any later time: [`snapshot_written`](CommitRounds::snapshot_written) or
    /// [`snapshot_failed`](CommitRounds::snapshot_failed).
    BeginSnapshot {
        /// The first frame that the snapshot does not stand for.
        below: u64,
    },
    /// Appends a mark that says that all before it is synced.
    Seal,
    /// Nothing is due until something is taken, or until then.
    Wait {
        /// When to ask again.
        until: Option<Time>,
    },
    /// The last round is complete, and nothing is taken any more.
    End,
    /// The log has failed. Nothing is durable from here on, so the process must end.
    Failed,
}

/// Where the round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The last round is complete.
    Idle,
    /// The driver appends.
    Appending,
    /// Something was appended: it is to be synced.
    Appended,
    /// The driver syncs.
    Syncing,
    /// The round is durable: it is to be completed.
    Durable,
    /// The driver cuts the log.
    Cutting,
    Failed,
}

/// Where the snapshot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Snapshot {
    /// None is being written.
    None,
    /// The log was cut for one that is to begin at once.
    Cut { below: u64 },
    /// One is being written.
    Running { below: u64 },
    /// One has failed.
    Failed { below: u64, retry_at: Time },
}

/// The commit rounds of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRounds {
    limits: CommitLimits,
    /// The round that is under way, or was completed last.
    round: Round,
    step: Step,
    has_work: bool,
    is_closing: bool,
    /// When the last group was synced, unless the log is sealed after it.
    unsealed_since: Option<Time>,
    /// What a restart would read of segments ...
    segment_bytes: u64,
    /// ... and the size of the last snapshot.
    snapshot_bytes: u64,
    snapshot: Snapshot,
    snapshot_retry: Duration,
}

impl CommitRounds {
    /// Those of a process that has read its log back: so many bytes of segments, and a snapshot of
    /// so many (0 where there is none).
    #[must_use]
    pub fn new(limits: CommitLimits, segment_bytes: u64, snapshot_bytes: u64) -> Self {
        Self {
            limits,
            round: Round::NONE,
            step: Step::Idle,
            has_work: false,
            is_closing: false,
            unsealed_since: None,
            segment_bytes,
            snapshot_bytes,
            snapshot: Snapshot::None,
            snapshot_retry: limits.snapshot_retry_min,
        }
    }

    // What happens.

    /// Something was taken since the last round was collected; or what a shard holds, or has read
    /// back, lets it settle something by itself ([`Shard::synced`](crate::Shard::synced)).
    pub fn taken(&mut self) {
        self.has_work = true;
    }

    /// The process is about to end: one more round is the last. Once is enough.
    pub fn close(&mut self) {
        self.has_work |= !self.is_closing;
        self.is_closing = true;
    }

    /// The round is appended: so many bytes, none where no shard had taken anything.
    ///
    /// # Panics
    ///
    /// When nothing was to be appended.
    pub fn appended(&mut self, bytes: u64) {
        assert_eq!(self.step, Step::Appending, "an append was asked for");
        self.segment_bytes += bytes;
        // Nothing to make durable is durable.
        self.step = if bytes > 0 {
            Step::Appended
        } else {
            Step::Durable
        };
    }

    /// Everything appended is durable.
    ///
    /// # Panics
    ///
    /// When nothing was to be synced.
    pub fn synced(&mut self, now: Time) {
        assert_eq!(self.step, Step::Syncing, "a sync was asked for");
        self.step = Step::Durable;
        self.unsealed_since = Some(now);
    }

    /// An append, a sync or a cut has failed.
    pub fn failed(&mut self) {
        self.step = Step::Failed;
    }

    /// The log was cut: the next frame is this one.
    ///
    /// # Panics
    ///
    /// When the log was not to be cut.
    pub fn cut(&mut self, below: u64) {
        assert_eq!(self.step, Step::Cutting, "a cut was asked for");
        self.step = Step::Idle;
        self.snapshot = Snapshot::Cut { below };
    }

    /// The snapshot is durable and has so many bytes; so many are left of segments.
    pub fn snapshot_written(&mut self, bytes: u64, segment_bytes: u64) {
        self.snapshot = Snapshot::None;
        self.snapshot_retry = self.limits.snapshot_retry_min;
        self.snapshot_bytes = bytes;
        self.segment_bytes = segment_bytes;
    }

    /// The snapshot could not be begun, or not be written.
    pub fn snapshot_failed(&mut self, now: Time) {
        let (Snapshot::Running { below } | Snapshot::Cut { below }) = self.snapshot else {
            return;
        };
        let retry_at = now.after(self.snapshot_retry);
        self.snapshot = Snapshot::Failed { below, retry_at };
        self.snapshot_retry = (self.snapshot_retry * 2).min(self.limits.snapshot_retry_max);
    }

    // What is due.

    /// The next thing to do.
    ///
    /// # Panics
    ///
    /// When the last thing was not reported.
    pub fn poll(&mut self, now: Time) -> CommitEffect {
        match self.step {
            Step::Failed => CommitEffect::Failed,
            Step::Appending | Step::Syncing | Step::Cutting => {
                panic!("the driver reports what it was told to do: {:?}", self.step)
            }
            Step::Appended => {
                self.step = Step::Syncing;
                CommitEffect::Sync
            }
            Step::Durable => {
                self.step = Step::Idle;
                CommitEffect::Complete { round: self.round }
            }
            Step::Idle => self.poll_idle(now),
        }
    }

    fn poll_idle(&mut self, now: Time) -> CommitEffect {
        if let Some(effect) = self.poll_snapshot(now) {
            return effect;
        }
        if core::mem::take(&mut self.has_work) {
            self.step = Step::Appending;
            self.round = self.round.next();
            self.unsealed_since = None;
            return CommitEffect::Append { round: self.round };
        }
        if self.is_closing {
            return CommitEffect::End;
        }
        let seal_at = self
            .unsealed_since
            .map(|since| since.after(self.limits.seal_after));
        if seal_at.is_some_and(|at| at <= now) {
            self.unsealed_since = None;
            return CommitEffect::Seal;
        }
        let retry_at = match self.snapshot {
            Snapshot::Failed { retry_at, .. } => Some(retry_at),
            Snapshot::None | Snapshot::Cut { .. } | Snapshot::Running { .. } => None,
        };
        CommitEffect::Wait {
            until: [seal_at, retry_at].into_iter().flatten().min(),
        }
    }

    /// What a snapshot needs now. None is begun any more by a process that ends.
    fn poll_snapshot(&mut self, now: Time) -> Option<CommitEffect> {
        if self.is_closing {
            return None;
        }
        match self.snapshot {
            Snapshot::None => {
                let due = self.limits.snapshot_log_bytes_min.max(self.snapshot_bytes);
                // A round must be complete, or there is nothing to stand for.
                let is_due = self.segment_bytes >= due && self.round > Round::NONE;
                is_due.then(|| {
                    self.step = Step::Cutting;
                    CommitEffect::Cut
                })
            }
            Snapshot::Failed { below, retry_at } if retry_at <= now => Some(self.begin(below)),
            Snapshot::Cut { below } => Some(self.begin(below)),
            Snapshot::Running { .. } | Snapshot::Failed { .. } => None,
        }
    }

    fn begin(&mut self, below: u64) -> CommitEffect {
        self.snapshot = Snapshot::Running { below };
        CommitEffect::BeginSnapshot { below }
    }
}

#[cfg(test)]
mod tests;
