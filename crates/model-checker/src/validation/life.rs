//! One process, from its start to its end: real shards, driven by its lines.

use std::cell::RefCell;

use crdt_core::{CounterName, Digest, Mark, Replica, ReplicaId};
use protocol::{Adds, Receipt, Round, Shard, ShardIndex, Shards as _};
use trace::{Content, Effect, LaneAt, Outcome, Step, Written};

use super::Progress;
use super::error::{Mismatch, ensure, ensure_equal};
use super::ledger::{CONTENT, CONTENT_NAME, Ledger, Shipment, low, stand_in};
use super::recovery::{Copying, Disk, Opening};
use super::rounds::Rounds;

/// A process.
pub(super) struct Life {
    id: ReplicaId,
    shards: RefCell<Vec<Shard>>,
    rounds: Rounds,
    /// By shard: the content of the own lane with everything taken.
    taken: Vec<Content>,
    /// A snapshot that is being written.
    copying: Option<Copying>,
}

impl Life {
    /// A process that has found what it may find.
    pub(super) fn begin(
        opening: Opening,
        ledger: &mut Ledger,
        segment_bytes: u64,
        snapshot_bytes: u64,
    ) -> Self {
        let Opening {
            replica: id,
            start,
            found,
        } = opening;
        let name: CounterName = CONTENT_NAME.parse().expect("it is a name");
        let mut taken = Vec::new();
        let mut shards = Vec::new();
        for (index, found) in (0..).zip(&found) {
            let own = found.mark(id);
            ledger.cut((index, id), own.version);
            let mut replica = Replica::new(id, start);
            assert_eq!(replica.counter(&name), CONTENT, "there is no other counter");
            for (lane, mark) in found.iter() {
                let interval = ledger.interval((index, lane), Mark::ZERO, mark);
                let interval = interval.expect("the mark was found in the ledger");
                replica
                    .recover(&interval)
                    .expect("it is the first of its lane");
            }
            taken.push(ledger.content((index, id), own).expect("it is there"));
            shards.push(Shard::new(replica));
        }
        let shard_count = u32::try_from(shards.len()).expect("as many as were named");
        Self {
            id,
            shards: RefCell::new(shards),
            rounds: Rounds::new(shard_count, segment_bytes, snapshot_bytes),
            taken,
            copying: None,
        }
    }

    pub(super) fn id(&self) -> ReplicaId {
        self.id
    }

    /// The process is gone; what it leaves.
    pub(super) fn end(self) -> Disk {
        let is_durable = self.rounds.is_durable();
        let appended = self.rounds.appended_intervals().filter(|_| !is_durable);
        let appended = appended
            .map(|(shard, written)| (shard, written.lane, written.to))
            .collect();
        if is_durable {
            for shard in self.rounds.not_held() {
                self.shards.with(shard, Shard::synced);
            }
        }
        Disk {
            synced: self.digests(),
            appended,
        }
    }

    /// Replays a line; [`Progress::Blocked`] changes nothing.
    pub(super) fn replay(
        &mut self,
        ledger: &mut Ledger,
        step: &Step,
    ) -> Result<Progress, Mismatch> {
        let id = self.id;
        let replayed = match *step {
            Step::Take {
                shard,
                round,
                mark,
                content,
                ..
            } => self.take(shard, (round, mark), content),
            Step::Receive {
                shard,
                lane,
                after,
                to,
                outcome,
            } => {
                let shipment = Shipment {
                    peer: id,
                    shard,
                    lane,
                    after,
                    to,
                };
                return self.receive(ledger, shipment, outcome);
            }
            Step::Send {
                peer,
                shard,
                lane,
                after,
                to,
            } => self.send(
                ledger,
                Shipment {
                    peer,
                    shard,
                    lane,
                    after,
                    to,
                },
            ),
            Step::Report { shard, lane, mark } => self.ensure_held(ledger, (shard, lane), mark),
            Step::Awaited { round } => self.rounds.awaited(round),
            Step::Counted(ref lane) => self.counted(ledger, lane),
            Step::Commit {
                shard,
                round,
                ref group,
            } => self.commit(ledger, shard, round, group),
            Step::Held { shard, ref lanes } => self.held(ledger, shard, lanes),
            Step::Due { us, effect } => self.due(us, effect),
            Step::Appended { bytes } => self.rounds.appended(bytes),
            Step::Synced { us } => self.rounds.synced(us),
            Step::Complete { round } => self.rounds.complete(round),
            Step::Cut { below } => self.rounds.cut(below),
            Step::Copied { shard, lane, mark } => self.copied(ledger, (shard, lane), mark),
            Step::SnapshotWritten {
                bytes,
                segment_bytes,
            } => self.snapshot_written(bytes, segment_bytes),
            Step::SnapshotFailed { us } => self.snapshot_failed(us),
            Step::Closing => {
                self.rounds.closing();
                Ok(())
            }
            Step::Start { .. } | Step::Recovered(_) | Step::Open { .. } => {
                unreachable!("the node replays how a process begins")
            }
        };
        replayed.map(|()| Progress::Done)
    }

    // The commit thread, and the snapshot's.

    fn due(&mut self, us: u64, effect: Effect) -> Result<(), Mismatch> {
        self.rounds.due(us, effect)?;
        if let Effect::BeginSnapshot { .. } = effect {
            self.copying = Some(Copying::begin(self.digests()));
        }
        Ok(())
    }

    fn copied(
        &mut self,
        ledger: &Ledger,
        (shard, lane): (ShardIndex, ReplicaId),
        mark: Mark,
    ) -> Result<(), Mismatch> {
        self.ensure_held(ledger, (shard, lane), mark)?;
        let copying = self.copying.as_mut().ok_or_else(no_snapshot)?;
        copying.copied[shard as usize].note(lane, mark);
        Ok(())
    }

    fn snapshot_written(&mut self, bytes: u64, segment_bytes: u64) -> Result<(), Mismatch> {
        let copying = self.copying.take().ok_or_else(no_snapshot)?;
        copying.ensure_whole()?;
        self.rounds.snapshot_written(bytes, segment_bytes);
        Ok(())
    }

    fn snapshot_failed(&mut self, us: u64) -> Result<(), Mismatch> {
        self.copying.take().ok_or_else(no_snapshot)?;
        self.rounds.snapshot_failed(us);
        Ok(())
    }

    // Shards.

    fn take(
        &mut self,
        shard: ShardIndex,
        (round, mark): (u64, Mark),
        content: Content,
    ) -> Result<(), Mismatch> {
        self.ensure_shard(shard)?;
        let receipt = self.take_content(shard, content)?;
        ensure_equal("a take for round", &receipt.round.get(), &round)?;
        ensure_equal("a take that leads to", &receipt.marks[0].1, &mark)
    }

    /// The own lane is given so much more.
    fn take_content(&mut self, shard: ShardIndex, content: Content) -> Result<Receipt, Mismatch> {
        let mut adds = Adds::default();
        adds.add_named(
            shard,
            CONTENT_NAME.parse().expect("it is a name"),
            stand_in(content),
        );
        let receipt = adds.take(&self.shards, u64::MAX);
        let receipt = receipt.map_err(|error| Mismatch::new("adds that can be taken", error))?;
        self.taken[shard as usize] += content;
        Ok(receipt)
    }

    fn send(&self, ledger: &mut Ledger, shipment: Shipment) -> Result<(), Mismatch> {
        let Shipment {
            shard,
            lane,
            after,
            to,
            ..
        } = shipment;
        self.ensure_held(ledger, (shard, lane), to)?;
        ensure(ledger.interval((shard, lane), after, to).is_some(), || {
            Mismatch::new(
                format_args!("an interval of lane {lane} that begins at a mark of it, before {to}"),
                after,
            )
        })?;
        ledger.send(shipment);
        Ok(())
    }

    fn receive(
        &self,
        ledger: &mut Ledger,
        shipment: Shipment,
        found: Outcome,
    ) -> Result<Progress, Mismatch> {
        let Shipment {
            shard,
            lane,
            after,
            to,
            ..
        } = shipment;
        if !ledger.arrives(shipment) {
            return Ok(Progress::Blocked);
        }
        let interval = ledger.interval((shard, lane), after, to);
        let interval = interval.expect("what was sent is in the ledger");
        let outcome = self.shards.with(shard, |it| it.receive(interval));
        let expected = Outcome::of(&outcome);
        ensure(expected == found, || {
            Mismatch::new(
                format_args!("an interval that is {expected:?}"),
                format_args!("one that is {found:?}"),
            )
        })?;
        ensure(outcome.is_ok(), || {
            Mismatch::new(
                "an interval that continues what is held",
                format_args!("{outcome:?}"),
            )
        })?;
        Ok(Progress::Done)
    }

    fn commit(
        &mut self,
        ledger: &mut Ledger,
        shard: ShardIndex,
        round: u64,
        group: &[Written],
    ) -> Result<(), Mismatch> {
        self.ensure_shard(shard)?;
        self.rounds.collected(shard, round, group)?;
        self.settle(shard, group)?;
        let expected = self.shards.with(shard, |it| it.collect(Round::new(round)));
        let expected = expected.as_deref().unwrap_or_default();
        ensure_equal(
            "so many intervals in the group:",
            &expected.len(),
            &group.len(),
        )?;
        for (interval, written) in expected.iter().zip(group) {
            ensure_equal("an interval of lane", &interval.lane, &written.lane)?;
            ensure_equal("an interval after", &interval.after, &written.after)?;
            ensure_equal("an interval up to", &interval.to, &written.to)?;
            let at = (shard, written.lane);
            let content = if written.lane == self.id {
                let record = interval.sums.iter().last().expect("a commit has records");
                let (to, total) = (written.to, record.total);
                ledger.append(at, to, self.taken[shard as usize], total);
                self.taken[shard as usize]
            } else {
                ledger.content(at, written.to).expect("it was received")
            };
            ensure_equal("content", &content, &written.content)?;
        }
        Ok(())
    }

    /// What the owner's commit moves beside what was taken. That it is right is seen by everybody
    /// who receives it.
    fn settle(&mut self, shard: ShardIndex, group: &[Written]) -> Result<(), Mismatch> {
        for written in group {
            let Some(settled) = written.settled else {
                continue;
            };
            ensure_equal("what is settled in lane", &self.id, &written.lane)?;
            self.take_content(shard, settled)?;
        }
        Ok(())
    }

    fn held(
        &mut self,
        ledger: &Ledger,
        shard: ShardIndex,
        lanes: &[LaneAt],
    ) -> Result<(), Mismatch> {
        self.ensure_shard(shard)?;
        self.rounds.held(shard)?;
        let before = self.shards.with(shard, |it| it.replica().digest());
        self.shards.with(shard, Shard::synced);
        let after = self.shards.with(shard, |it| it.replica().digest());
        let moved = after
            .iter()
            .filter(|&(lane, mark)| before.mark(lane) != mark);
        ensure_equal(
            "so many lanes that have moved:",
            &moved.count(),
            &lanes.len(),
        )?;
        lanes.iter().try_for_each(|lane| {
            ensure_equal("a lane of shard", &shard, &lane.shard)?;
            self.counted(ledger, lane)
        })
    }

    /// A lane is held exactly so.
    fn counted(&self, ledger: &Ledger, found: &LaneAt) -> Result<(), Mismatch> {
        let &LaneAt {
            shard,
            lane,
            mark,
            content,
        } = found;
        self.ensure_shard(shard)?;
        let (held, total) = self.shards.with(shard, |it| {
            (it.replica().held(lane), it.replica().sum_of(lane, CONTENT))
        });
        ensure_equal("a lane at", &held, &mark)?;
        let expected = ledger
            .content((shard, lane), held)
            .expect("what is held was appended");
        ensure_equal("content", &expected, &content)?;
        // The machine's own sum, and not what the ledger says of it.
        ensure_equal("content that ends with", &low(&total), &content.low())
    }

    /// A lane is held at least so far, and once was there.
    fn ensure_held(
        &self,
        ledger: &Ledger,
        (shard, lane): (ShardIndex, ReplicaId),
        mark: Mark,
    ) -> Result<(), Mismatch> {
        self.ensure_shard(shard)?;
        let held = self.shards.with(shard, |it| it.replica().held(lane));
        let is_past = mark.version <= held.version && ledger.content((shard, lane), mark).is_some();
        ensure(is_past, || {
            Mismatch::new(
                format_args!("a mark of lane {lane} of shard {shard} up to {held}, which is held"),
                mark,
            )
        })
    }

    fn ensure_shard(&self, shard: ShardIndex) -> Result<(), Mismatch> {
        let count = self.shards.shard_count();
        ensure(shard < count, || {
            Mismatch::new(
                format_args!("one of {count} shards"),
                format_args!("shard {shard}"),
            )
        })
    }

    fn digests(&self) -> Vec<Digest> {
        let indices = self.shards.indices().into_iter();
        let digest = |shard| {
            self.shards
                .with(shard, |it: &mut Shard| it.replica().digest())
        };
        indices.map(digest).collect()
    }
}

fn no_snapshot() -> Mismatch {
    Mismatch::new("no snapshot under way", "a step of one")
}
