//! All contenders of this server, and the callers that wait for them. No IO: adds and answers of
//! the register go in, messages for it come out.
//!
//! With a lock, each counter has one contender, which queues; otherwise each add has its own, so
//! that they run side by side. A contender exists only while it has something to do.
//!
//! A caller that gives up (its deadline is over, it hung up) drops its end of the answer. Its add
//! is taken back if it is still queued when the lock comes; otherwise it counts, and nobody is
//! told.

use std::collections::BTreeMap;

use lock_core::lock::Reply;
use lock_core::{Add, AddId, Amount, Effect, Outcome, Refusal, UnexpectedReply, lock};
use tokio::sync::oneshot;
use wire::baseline_v1 as pb;

use super::Strategy;
use super::fault::{ADDS_WAITING_MAX, Fault};
use super::machine::Machine;
use crate::convert::{Answer, ContenderNumber, FromContender, InvalidMessage, ToContender};

/// Messages that may wait for the stream: of a contender at most two, a release and the acquire
/// that goes with it, before it has to hear from the register again.
pub(super) const MESSAGES_UNDER_WAY_MAX: usize = 2 * ADDS_WAITING_MAX;

/// An add, and who waits for it.
#[derive(Debug)]
pub(super) struct PendingAdd {
    pub(super) counter: String,
    pub(super) amount: Amount,
    pub(super) answer: oneshot::Sender<Result<(), Fault>>,
}

impl PendingAdd {
    /// Answers that nothing has changed, or that nobody knows.
    pub(super) fn fail(self, fault: Fault) {
        // A caller that has given up needs no answer.
        let _ = self.answer.send(Err(fault));
    }
}

/// The register said something that makes no sense: end the session.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    #[error("an answer for {0:?}, which awaits none; both programs must be of the same version")]
    Unknown(ContenderNumber),
    #[error(transparent)]
    Unexpected(#[from] UnexpectedReply<Reply>),
}

/// The contenders of one server.
#[derive(Debug)]
pub(super) struct Contention {
    strategy: Strategy,
    contenders: BTreeMap<ContenderNumber, Contender>,
    /// With a lock: the one contender of each counter that has one.
    of_counter: BTreeMap<String, ContenderNumber>,
    waiting: BTreeMap<AddId, oneshot::Sender<Result<(), Fault>>>,
    last_contender: ContenderNumber,
    last_add: AddId,
}

#[derive(Debug)]
struct Contender {
    counter: String,
    machine: Machine,
}

type Messages = Vec<pb::SessionRequest>;

impl Contention {
    pub(super) fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            contenders: BTreeMap::new(),
            of_counter: BTreeMap::new(),
            waiting: BTreeMap::new(),
            last_contender: ContenderNumber(0),
            last_add: AddId(0),
        }
    }

    /// Begins an add; returns what to send.
    pub(super) fn add(&mut self, add: PendingAdd) -> Messages {
        if self.waiting.len() >= ADDS_WAITING_MAX {
            add.fail(Fault::QueueFull);
            return Messages::new();
        }
        let PendingAdd {
            counter,
            amount,
            answer,
        } = add;
        self.last_add = AddId(self.last_add.0 + 1);
        self.waiting.insert(self.last_add, answer);
        let number = self.contender_of(counter);
        let contender = self
            .contenders
            .get_mut(&number)
            .expect("it was just found or made");
        let effects = contender.machine.start(Add {
            id: self.last_add,
            amount,
        });
        self.perform(number, effects)
    }

    /// Takes an answer of the register; returns what to send.
    pub(super) fn receive(
        &mut self,
        message: pb::SessionResponse,
    ) -> Result<Messages, SessionError> {
        let ToContender {
            contender: number,
            answer,
        } = message.try_into()?;
        let waiting = &mut self.waiting;
        let contender = self
            .contenders
            .get_mut(&number)
            .ok_or(SessionError::Unknown(number))?;
        match answer {
            Answer::Reply(reply) => {
                let abandoned =
                    |add: AddId| waiting.get(&add).is_some_and(oneshot::Sender::is_closed);
                for add in contender.machine.withdraw_where(abandoned) {
                    waiting.remove(&add);
                }
                let effects = contender.machine.receive(reply)?;
                Ok(self.perform(number, effects))
            }
            Answer::CountersExhausted => {
                // The counter does not exist, so nothing that was sent for it has had an effect.
                for effect in contender.machine.connection_lost() {
                    if let Effect::Settled { add, .. } = effect {
                        answer_caller(waiting.remove(&add), Err(Fault::CountersExhausted));
                    }
                }
                self.remove_if_idle(number);
                Ok(Messages::new())
            }
        }
    }

    /// The session is over, and with it all contenders.
    pub(super) fn connection_lost(&mut self) {
        self.of_counter.clear();
        for (number, mut contender) in std::mem::take(&mut self.contenders) {
            let effects = contender.machine.connection_lost();
            let messages = self.perform(number, effects);
            assert!(
                messages.is_empty(),
                "there is nobody to send {messages:?} to"
            );
        }
        assert!(
            self.waiting.is_empty(),
            "{} adds have no contender",
            self.waiting.len()
        );
    }

    /// The contender that an add to this counter is for.
    fn contender_of(&mut self, counter: String) -> ContenderNumber {
        if let Some(number) = self.of_counter.get(&counter) {
            return *number;
        }
        let number = self.unused_number();
        match self.strategy {
            Strategy::Lock { .. } => {
                self.of_counter.insert(counter.clone(), number);
            }
            Strategy::Naive | Strategy::Database => {}
        }
        let machine = Machine::new(self.strategy);
        self.contenders
            .insert(number, Contender { counter, machine });
        number
    }

    /// Numbers go round; there are many more than contenders at a time.
    fn unused_number(&mut self) -> ContenderNumber {
        loop {
            self.last_contender = ContenderNumber(self.last_contender.0.wrapping_add(1));
            if !self.contenders.contains_key(&self.last_contender) {
                return self.last_contender;
            }
        }
    }

    fn perform(
        &mut self,
        number: ContenderNumber,
        effects: Vec<Effect<lock::Request>>,
    ) -> Messages {
        let mut messages = Messages::new();
        for effect in effects {
            match effect {
                Effect::Send(request) => {
                    let counter = self.contenders[&number].counter.clone();
                    let message = FromContender {
                        counter,
                        contender: number,
                        request,
                    };
                    messages.push(message.into());
                }
                Effect::Settled { add, outcome } => {
                    answer_caller(self.waiting.remove(&add), result(outcome));
                }
            }
        }
        self.remove_if_idle(number);
        messages
    }

    fn remove_if_idle(&mut self, number: ContenderNumber) {
        if self
            .contenders
            .get(&number)
            .is_some_and(|contender| contender.machine.is_idle())
        {
            let contender = self.contenders.remove(&number).expect("it was just seen");
            self.of_counter.remove(&contender.counter);
        }
    }
}

fn result(outcome: Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Counted => Ok(()),
        Outcome::Indeterminate => Err(Fault::OutcomeUnknown),
        Outcome::Refused(Refusal::OutOfRange) => Err(Fault::ValueOutOfRange),
        Outcome::Refused(Refusal::ServerLost) => Err(Fault::RegisterUnreachable),
        Outcome::Refused(Refusal::LeaseLost) => unreachable!("no strategy here uses a lease"),
    }
}

fn answer_caller(caller: Option<oneshot::Sender<Result<(), Fault>>>, result: Result<(), Fault>) {
    let caller = caller.expect("each add is settled once, and has a caller until then");
    // A caller that has given up needs no answer.
    let _ = caller.send(result);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use lock_core::Value;
    use lock_core::lock::ValueTravels;
    use tokio::sync::oneshot::Receiver;

    use super::*;

    fn locking(batch_max: usize) -> Contention {
        let batch_max = NonZeroUsize::new(batch_max).expect("not 0");
        Contention::new(Strategy::Lock {
            travels: ValueTravels::WithTheLock,
            batch_max,
        })
    }

    fn add(contention: &mut Contention) -> (Messages, Receiver<Result<(), Fault>>) {
        let (answer, settled) = oneshot::channel();
        let add = PendingAdd {
            counter: "like".to_owned(),
            amount: Amount::ONE,
            answer,
        };
        (contention.add(add), settled)
    }

    fn granted(value: i64) -> pb::SessionResponse {
        let reply = Reply::Granted {
            carried: Some(Value(value)),
        };
        ToContender {
            contender: ContenderNumber(1),
            answer: Answer::Reply(reply),
        }
        .into()
    }

    fn requests(messages: Messages) -> Vec<lock::Request> {
        let parse = |message| {
            FromContender::try_from(message)
                .expect("we wrote it")
                .request
        };
        messages.into_iter().map(parse).collect()
    }

    #[test]
    fn an_add_past_the_bound_is_refused_and_the_others_go_on() {
        let mut contention = locking(1);
        let mut waiting: Vec<_> = (0..ADDS_WAITING_MAX)
            .map(|_| add(&mut contention).1)
            .collect();
        let (messages, mut refused) = add(&mut contention);
        assert_eq!(messages, []);
        assert_eq!(refused.try_recv(), Ok(Err(Fault::QueueFull)));
        contention.connection_lost();
        assert_eq!(waiting[0].try_recv(), Ok(Err(Fault::RegisterUnreachable)));
    }

    #[test]
    fn an_abandoned_add_is_taken_back_when_the_lock_comes() {
        let mut contention = locking(2);
        let (_, kept) = add(&mut contention);
        let (_, abandoned) = add(&mut contention);
        let (_, kept_too) = add(&mut contention);
        drop(abandoned);
        let messages = contention
            .receive(granted(10))
            .expect("a grant was awaited");
        assert_eq!(
            requests(messages),
            [lock::Request::Release {
                carried: Some(Value(12))
            }]
        );
        drop((kept, kept_too));
    }

    #[test]
    fn an_add_that_is_abandoned_under_way_is_settled_without_a_listener() {
        let mut contention = locking(1);
        let (_, abandoned) = add(&mut contention);
        contention
            .receive(granted(10))
            .expect("a grant was awaited");
        drop(abandoned);
        let answer = Answer::Reply(Reply::Stored);
        let stored = ToContender {
            contender: ContenderNumber(1),
            answer,
        };
        contention.receive(stored.into()).expect("it was awaited");
        assert!(contention.contenders.is_empty() && contention.waiting.is_empty());
    }

    #[test]
    fn a_counter_without_room_refuses_all_its_adds() {
        let mut contention = locking(1);
        let (_, mut first) = add(&mut contention);
        let (_, mut second) = add(&mut contention);
        let contender = ContenderNumber(1);
        let exhausted = ToContender {
            contender,
            answer: Answer::CountersExhausted,
        };
        contention
            .receive(exhausted.into())
            .expect("a refusal is always possible");
        assert_eq!(first.try_recv(), Ok(Err(Fault::CountersExhausted)));
        assert_eq!(second.try_recv(), Ok(Err(Fault::CountersExhausted)));
        assert!(contention.contenders.is_empty());
    }
}
