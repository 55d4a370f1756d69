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
        RowId::CrdtUnarySession => "Tally, one call a like, with sessions",
        RowId::CrdtIngestSession => "Tally, streamed likes, with sessions",
    }
}

/// The class of the page's style sheet, by what the totals say.
pub(super) fn class_of(row: &Row) -> &'static str {
    match (row.is_exact(), row.id.is_tally()) {
        (false, _) => "wrong",
        (true, true) => "ours",
        (true, false) => "other",
    }
}
