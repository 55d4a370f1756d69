//! Bounds of what is read.

/// What a stream may make its reader hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Intervals of one set.
    pub set_intervals_max: usize,
    /// Records of the sums of one set: they are assembled in memory, at 32 bytes each.
    pub set_records_max: usize,
    /// Bytes of the records about sessions and gaps of one set, as they come. In memory they take
    /// up to thirty times as much.
    pub set_record_bytes_max: usize,
    /// Bytes of names that one set introduces.
    pub set_name_bytes_max: usize,
    /// Names that the stream introduces, over all shards: the dictionary remembers each, with
    /// about 20 bytes.
    pub stream_names_max: usize,
    /// Ranges of taken numbers, or of refused ones, of one session.
    pub mark_ranges_max: usize,
    /// Grants of one session.
    pub mark_grants_max: usize,
    /// Adds of one claim.
    pub claim_adds_max: usize,
    /// Lanes that one interval needs.
    pub needs_max: usize,
}

impl DecodeLimits {
    /// For a stream from a peer. A node has room for ten million counters unless its operator asks
    /// for more, and an interval that was read while everything changed names each about three
    /// times; so what a sender gone mad can use up is about a gigabyte. Of sessions a node has tens
    /// of thousands, at tens of bytes each, and of claims as many, with the adds of one request.
    pub const STREAM: Self = Self {
        set_intervals_max: 1 << 13,
        set_records_max: 1 << 25,
        set_record_bytes_max: 1 << 28,
        set_name_bytes_max: 1 << 30,
        stream_names_max: 1 << 25,
        mark_ranges_max: 1 << 16,
        mark_grants_max: 1 << 16,
        claim_adds_max: 1 << 16,
        needs_max: 1 << 13,
    };

    /// For a file that this program has written: what it wrote fitted its memory, and it must be
    /// able to read it, however long it is.
    pub const FILE: Self = Self {
        set_intervals_max: usize::MAX,
        set_records_max: usize::MAX,
        set_record_bytes_max: usize::MAX,
        set_name_bytes_max: usize::MAX,
        stream_names_max: usize::MAX,
        mark_ranges_max: usize::MAX,
        mark_grants_max: usize::MAX,
        claim_adds_max: usize::MAX,
        needs_max: usize::MAX,
    };
}
