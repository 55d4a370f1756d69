//! What is refused before anything is sent: arguments that every server would refuse.

use crate::{BATCH_ITEMS_MAX, COUNTER_NAME_BYTES_MAX, Error};

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
