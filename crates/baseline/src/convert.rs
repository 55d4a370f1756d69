//! `lock-core`'s messages as protobuf and back.
//!
//! The only file that knows both. What comes in is parsed into a valid message or refused.
//! Fencing tokens do not travel: no strategy of this program uses a lease, so every request is
//! [`UNFENCED`](FencingToken::UNFENCED).

use lock_core::lock::{self, ValueTravels};
use lock_core::register::{self, FencingToken};
use lock_core::{Amount, Value};
use wire::baseline_v1 as pb;
use wire::baseline_v1::session_request::Request as PbRequest;
use wire::baseline_v1::session_response::Response as PbResponse;

use crate::transport::COUNTER_NAME_BYTES_MAX;

/// A contender's number within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContenderNumber(pub(crate) u32);

/// A message from a contender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FromContender {
    pub(crate) counter: String,
    pub(crate) contender: ContenderNumber,
    pub(crate) request: lock::Request,
}

/// A message to a contender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToContender {
    pub(crate) contender: ContenderNumber,
    pub(crate) answer: Answer,
}

/// What the register process answers: a message of the protocol, or that it has no room for the
/// counter at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Reply(lock::Reply),
    CountersExhausted,
}

/// A message that means nothing. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMessage {
    #[error("the message is empty; both programs must be of the same version")]
    Empty,
    #[error("an increment of 0; expected any other amount")]
    AmountZero,
    #[error("a counter name of {bytes} bytes; expected 1 to {COUNTER_NAME_BYTES_MAX}")]
    CounterName { bytes: usize },
}

impl From<FromContender> for pb::SessionRequest {
    fn from(message: FromContender) -> Self {
        let request = match message.request {
            lock::Request::Acquire { travels } => PbRequest::Acquire(pb::Acquire {
                carry_value: travels == ValueTravels::WithTheLock,
            }),
            lock::Request::Release { carried } => PbRequest::Release(pb::Release {
                value: carried.map(|value| value.0),
            }),
            lock::Request::Register(register::Request::Read { .. }) => PbRequest::Read(pb::Read {}),
            lock::Request::Register(register::Request::Write { value, .. }) => {
                PbRequest::Write(pb::Write { value: value.0 })
            }
            lock::Request::Register(register::Request::Increment { amount }) => {
                PbRequest::Increment(pb::Increment {
                    amount: amount.get(),
                })
            }
        };
        let FromContender {
            counter, contender, ..
        } = message;
        Self {
            counter,
            contender: contender.0,
            request: Some(request),
        }
    }
}

impl TryFrom<pb::SessionRequest> for FromContender {
    type Error = InvalidMessage;

    fn try_from(message: pb::SessionRequest) -> Result<Self, InvalidMessage> {
        let token = FencingToken::UNFENCED;
        let bytes = message.counter.len();
        if bytes == 0 || bytes > COUNTER_NAME_BYTES_MAX {
            return Err(InvalidMessage::CounterName { bytes });
        }
        let request = match message.request.ok_or(InvalidMessage::Empty)? {
            PbRequest::Read(pb::Read {}) => {
                lock::Request::Register(register::Request::Read { token })
            }
            PbRequest::Write(pb::Write { value }) => {
                let value = Value(value);
                lock::Request::Register(register::Request::Write { value, token })
            }
            PbRequest::Increment(pb::Increment { amount }) => {
                let amount = Amount::new(amount).ok_or(InvalidMessage::AmountZero)?;
                lock::Request::Register(register::Request::Increment { amount })
            }
            PbRequest::Acquire(pb::Acquire { carry_value: true }) => lock::Request::Acquire {
                travels: ValueTravels::WithTheLock,
            },
            PbRequest::Acquire(pb::Acquire { carry_value: false }) => lock::Request::Acquire {
                travels: ValueTravels::Separately,
            },
            PbRequest::Release(pb::Release { value }) => lock::Request::Release {
                carried: value.map(Value),
            },
        };
        let contender = ContenderNumber(message.contender);
        Ok(Self {
            counter: message.counter,
            contender,
            request,
        })
    }
}

impl From<ToContender> for pb::SessionResponse {
    fn from(message: ToContender) -> Self {
        let response = match message.answer {
            Answer::Reply(lock::Reply::Granted { carried }) => PbResponse::Granted(pb::Granted {
                value: carried.map(|value| value.0),
            }),
            Answer::Reply(lock::Reply::Stored) => PbResponse::Stored(pb::Stored {}),
            Answer::Reply(lock::Reply::Register(reply)) => match reply {
                register::Reply::Value(value) => PbResponse::Value(value.0),
                register::Reply::Written => PbResponse::Written(pb::Written {}),
                register::Reply::Incremented => PbResponse::Incremented(pb::Incremented {}),
                register::Reply::OutOfRange => PbResponse::OutOfRange(pb::OutOfRange {}),
                register::Reply::StaleToken { .. } => {
                    unreachable!("a lock server's register is not fenced")
                }
            },
            Answer::CountersExhausted => PbResponse::CountersExhausted(pb::CountersExhausted {}),
        };
        Self {
            contender: message.contender.0,
            response: Some(response),
        }
    }
}

impl TryFrom<pb::SessionResponse> for ToContender {
    type Error = InvalidMessage;

    fn try_from(message: pb::SessionResponse) -> Result<Self, InvalidMessage> {
        let from_register = |reply| Answer::Reply(lock::Reply::Register(reply));
        let answer = match message.response.ok_or(InvalidMessage::Empty)? {
            PbResponse::Value(value) => from_register(register::Reply::Value(Value(value))),
            PbResponse::Written(_) => from_register(register::Reply::Written),
            PbResponse::Incremented(_) => from_register(register::Reply::Incremented),
            PbResponse::OutOfRange(_) => from_register(register::Reply::OutOfRange),
            PbResponse::Granted(granted) => Answer::Reply(lock::Reply::Granted {
                carried: granted.value.map(Value),
            }),
            PbResponse::Stored(_) => Answer::Reply(lock::Reply::Stored),
            PbResponse::CountersExhausted(_) => Answer::CountersExhausted,
        };
        Ok(Self {
            contender: ContenderNumber(message.contender),
            answer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_survives_the_wire() {
        let token = FencingToken::UNFENCED;
        let requests = [
            lock::Request::Acquire {
                travels: ValueTravels::WithTheLock,
            },
            lock::Request::Acquire {
                travels: ValueTravels::Separately,
            },
            lock::Request::Release { carried: None },
            lock::Request::Release {
                carried: Some(Value(-1)),
            },
            lock::Request::Register(register::Request::Read { token }),
            lock::Request::Register(register::Request::Write {
                value: Value(i64::MIN),
                token,
            }),
            lock::Request::Register(register::Request::Increment {
                amount: Amount::ONE,
            }),
        ];
        for request in requests {
            let contender = ContenderNumber(7);
            let message = FromContender {
                counter: "c".to_owned(),
                contender,
                request,
            };
            let wire = pb::SessionRequest::from(message.clone());
            assert_eq!(FromContender::try_from(wire), Ok(message));
        }
    }

    #[test]
    fn every_answer_survives_the_wire() {
        let answers = [
            Answer::Reply(lock::Reply::Granted { carried: None }),
            Answer::Reply(lock::Reply::Granted {
                carried: Some(Value(0)),
            }),
            Answer::Reply(lock::Reply::Stored),
            Answer::Reply(lock::Reply::Register(register::Reply::Value(Value(
                i64::MAX,
            )))),
            Answer::Reply(lock::Reply::Register(register::Reply::Written)),
            Answer::Reply(lock::Reply::Register(register::Reply::Incremented)),
            Answer::Reply(lock::Reply::Register(register::Reply::OutOfRange)),
            Answer::CountersExhausted,
        ];
        for answer in answers {
            let message = ToContender {
                contender: ContenderNumber(7),
                answer,
            };
            let wire = pb::SessionResponse::from(message.clone());
            assert_eq!(ToContender::try_from(wire), Ok(message));
        }
    }

    #[test]
    fn a_message_that_means_nothing_is_refused() {
        let message = |counter: &str, request| {
            let counter = counter.to_owned();
            FromContender::try_from(pb::SessionRequest {
                counter,
                contender: 0,
                request,
            })
        };
        let increment = |amount| Some(PbRequest::Increment(pb::Increment { amount }));
        assert_eq!(message("c", None), Err(InvalidMessage::Empty));
        assert_eq!(message("c", increment(0)), Err(InvalidMessage::AmountZero));
        assert_eq!(
            message("", increment(1)),
            Err(InvalidMessage::CounterName { bytes: 0 })
        );
        let long = "c".repeat(COUNTER_NAME_BYTES_MAX + 1);
        let refused = InvalidMessage::CounterName { bytes: long.len() };
        assert_eq!(message(&long, increment(1)), Err(refused));
    }
}
