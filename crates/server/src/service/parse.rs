//! Fields of requests as valid values, or refused.

use crdt_core::{CounterName, Sum};
use tonic::Status;

use super::limits::BATCH_ITEMS_MAX;
use super::status::{self, Field};

/// 1 to [`BATCH_ITEMS_MAX`] names of a request's field `counters`.
pub(super) fn parse_names(counters: &[String]) -> Result<Vec<CounterName>, Status> {
    check_count("counters", counters.len())?;
    let named = counters.iter().enumerate();
    named
        .map(|(at, counter)| parse_name(counter, Field::entry("counters", at)))
        .collect()
}

/// A counter's name.
pub(super) fn parse_name(name: &str, at: Field) -> Result<CounterName, Status> {
    CounterName::new(name).map_err(|error| status::name(at, &error))
}

/// How much to add.
pub(super) fn parse_amount(amount: i64, at: Field) -> Result<Sum, Status> {
    if amount == 0 {
        Err(status::amount_zero(at))
    } else {
        Ok(Sum::of(amount))
    }
}

/// Whether a batch may have so many.
pub(super) fn check_count(field: &'static str, count: usize) -> Result<(), Status> {
    if (1..=BATCH_ITEMS_MAX).contains(&count) {
        Ok(())
    } else {
        Err(status::batch(field, count))
    }
}
