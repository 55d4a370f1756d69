//! One message of an ingest stream, and all that it can be refused for by itself.

use alloc::string::String;

use super::IngestError;

/// A message as it came.
#[derive(Clone, Copy, Debug)]
pub struct IngestMessage<'a> {
    /// 1 for the stream's first message, then one more each time.
    pub sequence: u64,
    /// Names new to the stream.
    pub introduced: &'a [String],
    /// One entry an add: the dictionary index of its counter.
    pub counters: &'a [u32],
    /// Empty: every entry adds 1. Otherwise one amount, not 0, for each entry.
    pub amounts: &'a [i64],
    /// Which request of which session it is, if it is one.
    pub request: Option<IngestRequest<'a>>,
}

/// A message's request as it came.
#[derive(Clone, Copy, Debug)]
pub struct IngestRequest<'a> {
    /// The session; empty: that of the request before on this stream.
    pub session: &'a [u8],
    /// Its number in the session.
    pub number: u64,
    /// All requests below were answered; 0 means 1.
    pub answered_below: u64,
    /// Whether the client has given up on the session's home for it.
    pub is_moved: bool,
}

impl IngestMessage<'_> {
    /// Whether it is the message that is due, and well-formed.
    pub(super) fn check(&self, expected: u64, entries_max: usize) -> Result<(), IngestError> {
        let found = self.sequence;
        if found != expected {
            return Err(IngestError::Sequence { found, expected });
        }
        let (entries, amounts) = (self.counters.len(), self.amounts.len());
        if entries > entries_max {
            return Err(IngestError::Entries {
                found: entries,
                entries_max,
            });
        }
        if amounts != 0 && amounts != entries {
            return Err(IngestError::Amounts { amounts, entries });
        }
        match self.amounts.iter().position(|&amount| amount == 0) {
            Some(at) => Err(IngestError::AmountZero { at }),
            None => Ok(()),
        }
    }

    /// Whether a dictionary of so many names has all the indices.
    pub(super) fn check_indices(&self, names: usize) -> Result<(), IngestError> {
        let is_outside = |&index: &u32| index as usize >= names;
        // The common case is one pass without a branch.
        if !self.counters.iter().max().is_some_and(is_outside) {
            return Ok(());
        }
        let at = self.counters.iter().position(is_outside);
        let at = at.expect("the largest one is outside");
        Err(IngestError::Index {
            at,
            index: self.counters[at],
            names,
        })
    }
}
