//! Bugs to plant: each breaks one rule that the driver of a replica must keep.
//!
//! They are mutations of the simulated driver, never of `crdt-core`. An oracle that finds none of
//! them would be no oracle, so a test demands that every one is found.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plant {
    /// A group takes effect when it is committed, and so is served before it is synced.
    SentBeforeDurable,
    /// Adds are acknowledged when their group is written, not when it is synced.
    AckBeforeSync,
    /// An interval is cut in two by version, and the halves travel as intervals of their own.
    PiecemealInterval,
    /// A node serves its own lane only.
    NoRelay,
    /// A restarted process goes on with the start id of the one before.
    VersionWithoutStart,
    /// A restart serves what it reads from its log without syncing the log first.
    RecoveryWithoutSync,
    /// Recovery applies a frame whose end is missing.
    TornFrameKept,
    /// Recovery cuts one frame too many when the last one is torn.
    CutTooFar,
    /// A node acknowledges an add only when another node holds it.
    WaitForPeer,
    /// A sender goes on where it was when a stream is opened anew, whatever the receiver holds.
    CursorKept,
    /// A node whose disk was lost comes back under its old id.
    IdReused,
    /// A node that learns that its own lane has forked goes on as if nothing was.
    ForkIgnored,
    /// A client repeats an unanswered add at another node.
    RetryElsewhere,
    /// A read with a token looks at the version and not at the start that wrote it.
    TokenByVersion,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::SentBeforeDurable,
        Self::AckBeforeSync,
        Self::PiecemealInterval,
        Self::NoRelay,
        Self::VersionWithoutStart,
        Self::RecoveryWithoutSync,
        Self::TornFrameKept,
        Self::CutTooFar,
        Self::WaitForPeer,
        Self::CursorKept,
        Self::IdReused,
        Self::ForkIgnored,
        Self::RetryElsewhere,
        Self::TokenByVersion,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SentBeforeDurable => "sent-before-durable",
            Self::AckBeforeSync => "ack-before-sync",
            Self::PiecemealInterval => "piecemeal-interval",
            Self::NoRelay => "no-relay",
            Self::VersionWithoutStart => "version-without-start",
            Self::RecoveryWithoutSync => "recovery-without-sync",
            Self::TornFrameKept => "torn-frame-kept",
            Self::CutTooFar => "cut-too-far",
            Self::WaitForPeer => "wait-for-peer",
            Self::CursorKept => "cursor-kept",
            Self::IdReused => "id-reused",
            Self::ForkIgnored => "fork-ignored",
            Self::RetryElsewhere => "retry-elsewhere",
            Self::TokenByVersion => "token-by-version",
        }
    }

    /// The plant of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }
}
