//! The commit thread of one process: a real [`CommitRounds`], which must say what is due as the
//! lines do, and may be told nothing out of turn.

use std::fmt;

use protocol::{CommitLimits, CommitRounds, ShardIndex, Time};
use trace::{Effect, Written};

use super::error::{Mismatch, ensure, ensure_equal};

/// What the thread does, or what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To be told what is due.
    Idle,
    Appending,
    /// All is appended, and a sync is due.
    Appended,
    Syncing,
    /// The round is synced, or has nothing to sync.
    Durable,
    Completing,
    Cutting,
}

/// The commit rounds of one process.
pub(super) struct Rounds {
    machine: CommitRounds,
    phase: Phase,
    shard_count: u32,
    round: u64,
    completed: u64,
    /// What each shard gave to the round, by shard.
    groups: Vec<Vec<Written>>,
    /// Shards that hold their group of the round.
    held: Vec<ShardIndex>,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "something that is due",
            Self::Appending => "shards to be collected and appended",
            Self::Appended => "a sync to be due",
            Self::Syncing => "the end of a sync",
            Self::Durable => "what follows a sync",
            Self::Completing => "shards to hold their groups, and the end of the round",
            Self::Cutting => "the end of a cut",
        })
    }
}

impl Rounds {
    /// Those of a process that has read so much back.
    pub(super) fn new(shard_count: u32, segment_bytes: u64, snapshot_bytes: u64) -> Self {
        let limits = CommitLimits::default();
        Self {
            machine: CommitRounds::new(limits, segment_bytes, snapshot_bytes),
            phase: Phase::Idle,
            shard_count,
            round: 0,
            completed: 0,
            groups: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Somebody who has waited for a round goes on.
    pub(super) fn awaited(&self, round: u64) -> Result<(), Mismatch> {
        let completed = self.completed;
        ensure(round <= completed, || {
            Mismatch::new(
                format_args!("an awaited round up to {completed}, which is complete"),
                format_args!("round {round}"),
            )
        })
    }

    /// Whether what was appended last is synced.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self.phase, Phase::Durable | Phase::Completing)
    }

    /// What was appended of the round, in order.
    pub(super) fn appended_intervals(&self) -> impl Iterator<Item = (ShardIndex, &Written)> {
        let is_open = self.phase != Phase::Idle && self.phase != Phase::Cutting;
        let groups = (0..).zip(&self.groups).filter(move |_| is_open);
        groups.flat_map(|(shard, group)| group.iter().map(move |written| (shard, written)))
    }

    /// The shards with a group that they do not hold yet.
    pub(super) fn not_held(&self) -> impl Iterator<Item = ShardIndex> {
        (0..)
            .zip(&self.groups)
            .filter(|(shard, group)| !group.is_empty() && !self.held.contains(shard))
            .map(|(shard, _)| shard)
    }

    fn ensure_phase(&self, phase: Phase, found: &str) -> Result<(), Mismatch> {
        ensure(self.phase == phase, || Mismatch::new(self.phase, found))
    }

    pub(super) fn due(&mut self, us: u64, effect: Effect) -> Result<(), Mismatch> {
        let may_ask = [Phase::Idle, Phase::Appended, Phase::Durable].contains(&self.phase);
        ensure(may_ask, || {
            Mismatch::new(self.phase, format_args!("what is due: {effect:?}"))
        })?;
        if let Effect::Append { .. } = effect {
            // That something was taken is not in the trace; a round may turn out to be empty.
            self.machine.taken();
        }
        let polled = self.machine.poll(Time::from_us(us));
        ensure(Effect::of(polled) == Some(effect), || {
            Mismatch::new(
                format_args!("what is due: {polled:?}"),
                format_args!("what is due: {effect:?}"),
            )
        })?;
        match effect {
            Effect::Append { round } => {
                self.phase = Phase::Appending;
                self.round = round;
                self.groups.clear();
                self.held.clear();
            }
            Effect::Sync => self.phase = Phase::Syncing,
            Effect::Complete { .. } => self.phase = Phase::Completing,
            Effect::Cut => self.phase = Phase::Cutting,
            Effect::BeginSnapshot { .. } | Effect::Seal | Effect::End | Effect::Failed => {}
        }
        Ok(())
    }

    pub(super) fn collected(
        &mut self,
        shard: ShardIndex,
        round: u64,
        group: &[Written],
    ) -> Result<(), Mismatch> {
        self.ensure_phase(Phase::Appending, "a shard that is collected")?;
        ensure_equal("a commit of round", &self.round, &round)?;
        ensure_equal("a commit of shard", &self.groups.len(), &(shard as usize))?;
        self.groups.push(group.to_vec());
        Ok(())
    }

    pub(super) fn appended(&mut self, bytes: u64) -> Result<(), Mismatch> {
        self.ensure_phase(Phase::Appending, "the end of an append")?;
        ensure_equal(
            "appended once so many shards are collected:",
            &(self.shard_count as usize),
            &self.groups.len(),
        )?;
        let is_empty = self.groups.iter().all(Vec::is_empty);
        ensure(is_empty == (bytes == 0), || {
            let expected = if is_empty { "nothing" } else { "the groups" };
            Mismatch::new(
                format_args!("{expected} appended"),
                format_args!("{bytes} bytes"),
            )
        })?;
        self.machine.appended(bytes);
        self.phase = if is_empty {
            Phase::Durable
        } else {
            Phase::Appended
        };
        Ok(())
    }

    pub(super) fn synced(&mut self, us: u64) -> Result<(), Mismatch> {
        self.ensure_phase(Phase::Syncing, "the end of a sync")?;
        self.machine.synced(Time::from_us(us));
        self.phase = Phase::Durable;
        Ok(())
    }

    pub(super) fn held(&mut self, shard: ShardIndex) -> Result<(), Mismatch> {
        self.ensure_phase(Phase::Completing, "a shard that holds its group")?;
        let next = self.not_held().next();
        ensure(next == Some(shard), || {
            Mismatch::new(
                format_args!("the next shard that holds its group: {next:?}"),
                format_args!("shard {shard}"),
            )
        })?;
        self.held.push(shard);
        Ok(())
    }

    /// Those who wait are told.
    pub(super) fn complete(&mut self, round: u64) -> Result<(), Mismatch> {
        self.ensure_phase(Phase::Completing, "the end of a round")?;
        ensure_equal("the end of round", &self.round, &round)?;
        let lacking = self.not_held().next();
        ensure(lacking.is_none(), || {
            Mismatch::new(
                format_args!("shard {lacking:?} to hold its group before"),
                format_args!("the end of round {round}"),
            )
        })?;
        self.completed = round;
        self.phase = Phase::Idle;
        Ok(())
    }

    pub(super) fn cut(&mut self, below: u64) -> Result<(), Mismatch> {
        self.ensure_phase(Phase::Cutting, "a cut of the log")?;
        self.machine.cut(below);
        self.phase = Phase::Idle;
        Ok(())
    }

    pub(super) fn snapshot_written(&mut self, bytes: u64, segment_bytes: u64) {
        self.machine.snapshot_written(bytes, segment_bytes);
    }

    pub(super) fn snapshot_failed(&mut self, us: u64) {
        self.machine.snapshot_failed(Time::from_us(us));
    }

    pub(super) fn closing(&mut self) {
        self.machine.close();
    }
}
