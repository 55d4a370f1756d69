//! What is refused before anything is sent: arguments that every server would refuse.

use std::time::Duration;

use prost::Message;

use crate::{
    BATCH_ITEMS_MAX, COUNTER_NAME_BYTES_MAX, Error, MESSAGE_BYTES_MAX, TOKEN_BYTES_MAX, Token,
    WATCH_INTERVAL_MAX, WATCH_INTERVAL_MIN,
};

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

pub(crate) fn check_token(token: &Token) -> Result<(), Error> {
    let bytes = token.as_bytes().len();
    if bytes <= TOKEN_BYTES_MAX {
        return Ok(());
    }
    Err(Error::argument(format!(
        "a token has at most {TOKEN_BYTES_MAX} bytes, and this one has {bytes}; give it as the \
         add or the read returned it"
    )))
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), Error> {
    let bytes = prefix.len();
    if bytes <= COUNTER_NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Error::argument(format!(
        "a prefix has at most {COUNTER_NAME_BYTES_MAX} bytes, as a name has, and this one has \
         {bytes}; shorten it"
    )))
}

/// Zero lets the node choose.
pub(crate) fn check_interval(interval_min: Duration) -> Result<(), Error> {
    let possible = WATCH_INTERVAL_MIN..=WATCH_INTERVAL_MAX;
    if interval_min.is_zero() || possible.contains(&interval_min) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "a watch's interval is {} to {} ms, or 0 for the node's default, and {interval_min:?} was \
         given",
        WATCH_INTERVAL_MIN.as_millis(),
        WATCH_INTERVAL_MAX.as_millis()
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
