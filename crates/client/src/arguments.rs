//! What is refused before anything is sent: arguments that every server would refuse.

use prost::Message;

use crate::{BATCH_ITEMS_MAX, COUNTER_NAME_BYTES_MAX, Error, MESSAGE_BYTES_MAX};

pub(crate) fn check_name(counter: &str) -> Result<(), Error> {
    if (1..=COUNTER_NAME_BYTES_MAX).contains(&counter.len()) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "a counter's name has 1 to {COUNTER_NAME_BYTES_MAX} bytes, and this one has {}",
        counter.len()
    )))
}

pub(crate) fn check_amount(counter: &str, amount: i64) -> Result<(), Error> {
    if amount != 0 {
        return Ok(());
    }
    Err(Error::argument(format!(
        "adding 0 to {counter:?} says nothing; give another amount"
    )))
}

pub(crate) fn check_batch(items: usize) -> Result<(), Error> {
    if (1..=BATCH_ITEMS_MAX).contains(&items) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "a batch has 1 to {BATCH_ITEMS_MAX} items, and this one has {items}; split it"
    )))
}

pub(crate) fn check_bytes(message: &impl Message) -> Result<(), Error> {
    let bytes = message.encoded_len();
    if bytes <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    Err(Error::argument(format!(
        "a message has at most {MESSAGE_BYTES_MAX} bytes, and this batch makes {bytes}; split it"
    )))
}
