//! The adds of one call, as they go to a node: one, or a batch; with the head of a request or without.

use tonic::{Request, Response, Status};
use wire::v1::{AddRequest, BatchAddItem, BatchAddRequest, CounterValue, RequestHead};

use crate::{
    Error,
    arguments::{check_amount, check_batch, check_bytes, check_name},
    attempt::Stub,
    error::Unexpected,
};

/// Bytes of a session, at most; set by the protocol.
const SESSION_BYTES_MAX: usize = 64;

/// One add of a batch.
///
/// ```
/// use tally_client::AddItem;
///
/// let item = AddItem::new("likes/post-1", 1);
/// assert_eq!(item.amount, 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddItem {
    /// The counter, 1 to 512 bytes.
    pub counter: String,
    /// How much to add; not 0.
    pub amount: i64,
}

impl AddItem {
    /// An add of `amount` to `counter`.
    #[must_use]
    pub fn new(counter: impl Into<String>, amount: i64) -> Self {
        Self {
            counter: counter.into(),
            amount,
        }
    }
}

/// Adds that were checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Adds {
    One(AddRequest),
    Batch(BatchAddRequest),
}

/// What a node answers when the adds count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) token: Vec<u8>,
    /// Only where it was asked for.
    pub(crate) counter: Option<CounterValue>,
}

impl Adds {
    pub(crate) fn one(counter: &str, amount: i64, return_value: bool) -> Result<Self, Error> {
        check_name(counter)?;
        check_amount(counter, amount)?;
        Ok(Self::One(AddRequest {
            counter: counter.to_owned(),
            amount,
            return_value,
            request: None,
        }))
    }

    pub(crate) fn batch(items: impl IntoIterator<Item = AddItem>) -> Result<Self, Error> {
        let items = items
            .into_iter()
            .map(|AddItem { counter, amount }| {
                check_name(&counter)?;
                check_amount(&counter, amount)?;
                Ok(BatchAddItem { counter, amount })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        check_batch(items.len())?;
        let mut batch = BatchAddRequest {
            items,
            request: Some(longest_head()),
        };
        check_bytes(&batch)?;
        batch.request = None;
        Ok(Self::Batch(batch))
    }

    /// The name of the call, for errors.
    pub(crate) fn call(&self) -> &'static str {
        match self {
            Self::One(_) => "add",
            Self::Batch(_) => "batch add",
        }
    }

    /// Whether an answer has what was asked for.
    pub(crate) fn accept(&self, answer: Answer) -> Result<Answer, Unexpected> {
        let needs_value = matches!(self, Self::One(add) if add.return_value);
        if needs_value && answer.counter.is_none() {
            return Err(Unexpected {
                expected: "the value".to_owned(),
                found: "none".to_owned(),
            });
        }
        Ok(answer)
    }

    /// As one batch: what is saved of them.
    pub(crate) fn to_batch(&self) -> BatchAddRequest {
        match self {
            Self::One(AddRequest {
                counter, amount, ..
            }) => BatchAddRequest {
                items: vec![BatchAddItem {
                    counter: counter.clone(),
                    amount: *amount,
                }],
                request: None,
            },
            Self::Batch(batch) => batch.clone(),
        }
    }

    /// Sends them once, as they are or as a request of a session.
    pub(crate) async fn send(
        mut stub: Stub,
        adds: Request<Self>,
        head: Option<RequestHead>,
    ) -> Result<Response<Answer>, Status> {
        let (metadata, extensions, adds) = adds.into_parts();
        match adds {
            Self::One(mut add) => {
                add.request = head;
                let add = Request::from_parts(metadata, extensions, add);
                let answer = stub.add(add).await?;
                Ok(answer.map(|answer| Answer {
                    token: answer.token,
                    counter: answer.counter,
                }))
            }
            Self::Batch(mut batch) => {
                batch.request = head;
                let batch = Request::from_parts(metadata, extensions, batch);
                let answer = stub.batch_add(batch).await?;
                Ok(answer.map(|answer| Answer {
                    token: answer.token,
                    counter: None,
                }))
            }
        }
    }
}

/// The head that takes the most bytes.
fn longest_head() -> RequestHead {
    RequestHead {
        session: vec![0; SESSION_BYTES_MAX],
        number: u64::MAX,
        answered_below: u64::MAX,
        moved: true,
    }
}
