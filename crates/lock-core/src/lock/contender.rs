//! The side that counts, under a lock: queue the adds, hold the lock, add a batch, release.
//!
//! Adds leave the queue at the moment in which the value is known, and the message that writes
//! their sum leaves in the same step. So an add is either in the queue, where it can be withdrawn
//! or refused without a trace, or in a write that was sent.

use alloc::{collections::VecDeque, vec, vec::Vec};

use super::{Reply, Request, ValueTravels};
use crate::register::{self, FencingToken};
use crate::{Add, AddId, Effect, Outcome, Refusal, UnexpectedReply, Value};

/// Adds its queue of adds, up to `batch_max` in one hold of the lock. See the crate's
/// documentation for a whole driver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contender {
    travels: ValueTravels,
    batch_max: usize,
    queue: VecDeque<Add>,
    phase: Phase,
    /// Batches that travelled with a release, oldest first, until they are confirmed. The next
    /// turn does not wait for that.
    unconfirmed: VecDeque<Batch>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    Idle,
    Acquiring,
    Reading,
    Writing(Batch),
}

/// What becomes of the adds of one hold, once its write is confirmed.
type Batch = Vec<(AddId, Outcome)>;
type Effects = Vec<Effect<Request>>;

impl Contender {
    /// A contender without adds.
    ///
    /// # Panics
    ///
    /// If `batch_max` is 0: no add would ever be counted.
    #[must_use]
    pub fn new(travels: ValueTravels, batch_max: usize) -> Self {
        assert!(batch_max > 0, "a hold must have room for an add");
        let (queue, unconfirmed) = (VecDeque::new(), VecDeque::new());
        Self {
            travels,
            batch_max,
            queue,
            phase: Phase::Idle,
            unconfirmed,
        }
    }

    /// Queues an add, and asks for the lock where that has not been done. The queue has no bound
    /// of its own; the driver knows how many it can answer for.
    pub fn start(&mut self, add: Add) -> Effects {
        self.queue.push_back(add);
        if self.phase == Phase::Idle {
            self.acquire()
        } else {
            Vec::new()
        }
    }

    /// Takes an add back. True: it was still queued and will never count. False: it is under way,
    /// or settled.
    pub fn withdraw(&mut self, add: AddId) -> bool {
        let place = self.queue.iter().position(|waiting| waiting.id == add);
        place.and_then(|place| self.queue.remove(place)).is_some()
    }

    /// The adds that the next hold would take.
    pub fn next_batch(&self) -> impl Iterator<Item = AddId> {
        self.queue.iter().take(self.batch_max).map(|add| add.id)
    }

    /// Takes the server's answer.
    ///
    /// # Errors
    ///
    /// [`UnexpectedReply`] if it answers no question of this contender; nothing has changed.
    pub fn receive(&mut self, reply: Reply) -> Result<Effects, UnexpectedReply<Reply>> {
        match (&mut self.phase, reply) {
            (
                Phase::Acquiring,
                Reply::Granted {
                    carried: Some(value),
                },
            ) => {
                let (carried, batch) = self.take_batch(value);
                let mut effects = Vec::new();
                if carried.is_some() {
                    self.unconfirmed.push_back(batch);
                } else {
                    settle(batch, &mut effects);
                }
                self.release(carried, &mut effects);
                Ok(effects)
            }
            (Phase::Acquiring, Reply::Granted { carried: None }) => {
                self.phase = Phase::Reading;
                Ok(vec![to_register(register::Request::Read {
                    token: FencingToken::UNFENCED,
                })])
            }
            (Phase::Reading, Reply::Register(register::Reply::Value(value))) => {
                let (sum, batch) = self.take_batch(value);
                if let Some(value) = sum {
                    self.phase = Phase::Writing(batch);
                    let token = FencingToken::UNFENCED;
                    return Ok(vec![to_register(register::Request::Write { value, token })]);
                }
                let mut effects = Vec::new();
                settle(batch, &mut effects);
                self.release(None, &mut effects);
                Ok(effects)
            }
            (Phase::Writing(batch), Reply::Register(register::Reply::Written)) => {
                let mut effects = Vec::new();
                settle(core::mem::take(batch), &mut effects);
                self.release(None, &mut effects);
                Ok(effects)
            }
            (_, Reply::Stored) if !self.unconfirmed.is_empty() => {
                let mut effects = Vec::new();
                settle(
                    self.unconfirmed.pop_front().unwrap_or_default(),
                    &mut effects,
                );
                Ok(effects)
            }
            (_, found) => Err(UnexpectedReply {
                awaited: self.awaited(),
                found,
            }),
        }
    }

    /// The server is gone, and no answer will come: what was written is in doubt, what is queued
    /// is refused.
    pub fn connection_lost(&mut self) -> Effects {
        let mut effects = Vec::new();
        let mut batches = core::mem::take(&mut self.unconfirmed);
        if let Phase::Writing(batch) = core::mem::replace(&mut self.phase, Phase::Idle) {
            batches.push_back(batch);
        }
        for (add, outcome) in batches.into_iter().flatten() {
            let in_doubt = outcome == Outcome::Counted;
            let outcome = if in_doubt {
                Outcome::Indeterminate
            } else {
                outcome
            };
            effects.push(Effect::Settled { add, outcome });
        }
        let refused = Outcome::Refused(Refusal::ServerLost);
        effects.extend(self.queue.drain(..).map(|add| Effect::Settled {
            add: add.id,
            outcome: refused,
        }));
        effects
    }

    /// Whether it has no add to work on, to wait for, or to confirm.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle && self.unconfirmed.is_empty()
    }

    /// Whether it holds the lock and has not released it. Where the value travels with the lock,
    /// a hold begins and ends within one `receive`.
    #[must_use]
    pub fn holds_lock(&self) -> bool {
        matches!(self.phase, Phase::Reading | Phase::Writing(_))
    }

    /// Adds up the first adds of the queue: the new value, if there is one to write, and what
    /// becomes of each add.
    fn take_batch(&mut self, value: Value) -> (Option<Value>, Batch) {
        let (mut sum, mut batch, mut changed) = (value, Batch::new(), false);
        for add in self.queue.drain(..self.queue.len().min(self.batch_max)) {
            let outcome = match sum.plus(add.amount) {
                Some(more) => {
                    (sum, changed) = (more, true);
                    Outcome::Counted
                }
                None => Outcome::Refused(Refusal::OutOfRange),
            };
            batch.push((add.id, outcome));
        }
        (changed.then_some(sum), batch)
    }

    fn acquire(&mut self) -> Effects {
        self.phase = Phase::Acquiring;
        vec![Effect::Send(Request::Acquire {
            travels: self.travels,
        })]
    }

    /// Releases the lock and, with adds left, asks for it again at once: the two travel
    /// together, so that a turn is not missed for want of a round trip.
    fn release(&mut self, carried: Option<Value>, effects: &mut Effects) {
        effects.push(Effect::Send(Request::Release { carried }));
        self.phase = Phase::Idle;
        if !self.queue.is_empty() {
            effects.extend(self.acquire());
        }
    }

    fn awaited(&self) -> &'static str {
        match self.phase {
            Phase::Idle if self.unconfirmed.is_empty() => "nothing",
            Phase::Idle => "stored",
            Phase::Acquiring => "granted",
            Phase::Reading => "a value",
            Phase::Writing(_) => "written",
        }
    }
}

fn to_register(request: register::Request) -> Effect<Request> {
    Effect::Send(Request::Register(request))
}

fn settle(batch: Batch, effects: &mut Effects) {
    effects.extend(
        batch
            .into_iter()
            .map(|(add, outcome)| Effect::Settled { add, outcome }),
    );
}

#[cfg(test)]
mod tests;
