//! How the report names and colours an approach.

use crate::loadtest::results::{Row, RowId};

/// The approach in plain words.
pub(super) fn title(id: RowId) -> &'static str {
    match id {
        RowId::Naive => "Shared counter, no lock",
        RowId::Lock => "Distributed lock",
        RowId::LockSeparateRoundTrips => "Lock, separate round trips",
        RowId::LockBatch => "Lock per batch",
        RowId::DatabaseIncrement => "One database, counter + 1",
        RowId::CrdtUnary => "Tally, one call a like",
        RowId::CrdtBatch => "Tally, likes in batches",
        RowId::CrdtIngest => "Tally, streamed likes",
    }
}

/// The class of the page's style sheet, by what the totals say.
pub(super) fn class_of(row: &Row) -> &'static str {
    match (row.is_exact(), is_tally(row.id)) {
        (false, _) => "wrong",
        (true, true) => "ours",
        (true, false) => "other",
    }
}

fn is_tally(id: RowId) -> bool {
    matches!(id, RowId::CrdtUnary | RowId::CrdtBatch | RowId::CrdtIngest)
}
