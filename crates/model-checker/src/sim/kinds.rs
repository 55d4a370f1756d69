//! What happened in a run, by name and number.
//!
//! Two lists. A *fault* is what went wrong: one that never fires proves nothing, so it is counted
//! where it takes effect, not where it is planned. *Coverage* is which
//! paths of the protocol were taken: behind one that never was, the oracles have judged nothing. A
//! campaign in which a fault or a path stayed at 0 fails.

/// Defines an enum of named kinds, and the counts of each.
macro_rules! kinds {
    ($(#[$about:meta])* $kind:ident, $(#[$about_counts:meta])* $counts:ident,
     $($name:ident = $text:literal: $says:literal,)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $kind {
            $(#[doc = $says] $name,)+
        }

        impl $kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in figures and tables.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self {
                    $(Self::$name => $says,)+
                }
            }
        }

        $(#[$about_counts])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $counts([u64; $kind::ALL.len()]);

        impl Default for $counts {
            fn default() -> Self {
                Self([0; $kind::ALL.len()])
            }
        }

        impl $counts {
            /// One more of this kind.
            pub(crate) fn count(&mut self, kind: $kind) {
                self.0[kind as usize] += 1;
            }

            /// Adds the counts of another run.
            pub(crate) fn merge(&mut self, other: &Self) {
                for (mine, theirs) in self.0.iter_mut().zip(other.0) {
                    *mine += theirs;
                }
            }

            /// Each kind with its count.
            pub fn iter(&self) -> impl Iterator<Item = ($kind, u64)> + '_ {
                $kind::ALL.iter().map(|&kind| (kind, self.0[kind as usize]))
            }

            /// The names of what never happened.
            #[must_use]
            pub fn missing(&self) -> Vec<&'static str> {
                self.iter().filter(|&(_, n)| n == 0).map(|(kind, _)| kind.name()).collect()
            }
        }
    };
}

kinds! {
    /// What can go wrong.
    FaultKind,
    /// How often each fault took effect.
    FaultCounts,
    MessageLost = "message_lost": "the network loses a message, and its connection breaks",
    MessageHeldBack = "message_held_back": "a connection stalls",
    StreamReset = "stream_reset": "a replication stream breaks",
    PartitionSplit = "partition_split": "something does not pass between two groups of nodes",
    PartitionOneWay = "partition_one_way": "what one node sends arrives nowhere",
    PartitionPartial = "partition_partial": "something does not pass between two nodes",
    DialOnly = "dial_only": "a node that can dial is not reached by one that dials it",
    NodeSlow = "node_slow": "a message is handled late",
    DiskSlow = "disk_slow": "a write and a sync take long",
    ProcessPaused = "process_paused": "a process stands still while something waits for it",
    ClockForward = "clock_forward": "a node's clock jumps forward",
    ClockBackward = "clock_backward": "a node's clock jumps backward",
    RequestLost = "request_lost": "a client's request does not arrive",
    RequestLate = "request_late": "a client's request arrives long after it was sent",
    RequestDoubled = "request_doubled": "a client's request arrives twice",
    ResponseLost = "response_lost": "the answer to a client does not arrive",
    ResponseLate = "response_late": "the answer to a client arrives long after it was sent",
    IngestCut = "ingest_cut": "a client's ingest stream breaks",
    StrangerReports = "stranger_reports": "a stranger says that it knows more of a node's lane than the node",
    CrashIdle = "crash_idle": "a process dies at any time",
    CrashBeforeWrite = "crash_before_write": "a process dies between commit and write",
    CrashBeforeSync = "crash_before_sync": "a process dies between write and sync",
    CrashBeforeAck = "crash_before_ack": "a process dies between sync and acknowledgement",
    ProcessKilled = "process_killed": "a process dies and the page cache survives",
    PowerLost = "power_lost": "a process dies and the page cache with it",
    PowerLostEverywhere = "power_lost_everywhere": "all nodes lose power at once",
    PagesLost = "pages_lost": "a power loss takes pages back that were written",
    PagesTorn = "pages_torn": "a power loss leaves a part of a page",
    NamesLost = "names_lost": "a power loss takes back creations, renamings or removals",
    SyncFailed = "sync_failed": "a sync fails, and is told once",
    DiskFull = "disk_full": "a write finds no room",
    SnapshotFailed = "snapshot_failed": "a snapshot is not written",
    DiskLost = "disk_lost": "a data directory is gone",
    DiskRolledBack = "disk_rolled_back": "a data directory is set back",
    DiskCopied = "disk_copied": "a data directory is replaced by a copy of another node's",
}

kinds! {
    /// A path that must have been taken.
    Coverage,
    /// How often each path was taken.
    CoverageCounts,
    IntervalRelayed = "interval_relayed": "a node learned of a lane from another one than its owner",
    IntervalKnown = "interval_known": "an interval told nothing new",
    SilenceNoticed = "silence_noticed": "a receiver gave up a silent stream",
    StrangerRefused = "stranger_refused": "a hello was refused",
    StrangerDisbelieved = "stranger_disbelieved": "a stranger's mark of the own lane was not believed",
    AddRefused = "add_refused": "an add was refused because the value would leave its range",
    ForkedRefused = "forked_refused": "an add was refused because the node's lane has forked",
    ForkFound = "fork_found": "a replica reported a forked lane",
    NodeStopped = "node_stopped": "a node learned that its own lane has forked, and takes no adds",
    NodeReplaced = "node_replaced": "an operator gave such a node an empty directory",
    ForkAtRest = "fork_at_rest": "two histories of a lane are left at rest, and reported",
    RequestRetried = "request_retried": "a client sent a request again",
    RequestCountedBefore = "request_counted_before": "a request had been counted before, and was answered so",
    RequestRefused = "request_refused": "a home refused a request for good",
    UnknownClosed = "unknown_closed": "a request has no answer at rest, since its session is closed",
    UnknownToHome = "unknown_to_home": "a request has no answer at rest, since its home is gone and knows no node",
    UnknownRange = "unknown_range": "a request has no answer at rest, since a value would leave its range",
    UnknownNotTaken = "unknown_not_taken": "a request has no answer at rest, since nobody takes it now",
    SessionMoved = "session_moved": "a client gave up on a session's home",
    RequestClaimed = "request_claimed": "a node claimed a request of another one's session",
    ClaimGranted = "claim_granted": "a home granted a request to a node that claims it",
    ClaimFolded = "claim_folded": "a claim became part of its lane's sums",
    ClaimDropped = "claim_dropped": "a claim went, since the request counts elsewhere",
    ClaimAtRest = "claim_at_rest": "a claim is left at rest, since its home is lost or has forked",
    SessionClosed = "session_closed": "a client closed a session",
    SessionClosedIdle = "session_closed_idle": "a home closed the session that was idle longest",
    SessionsExhausted = "sessions_exhausted": "a node opened no session, since too many closed ones wait for others",
    MemberGone = "member_gone": "an operator promised that a lost incarnation never comes back",
    SessionForgotten = "session_forgotten": "a home forgot a session",
    TokenAwaited = "token_awaited": "a read waited for its token",
    TokenCovered = "token_covered": "a read with a token was answered",
    TokenNotCovered = "token_not_covered": "a read gave up waiting for its token",
    IngestClosed = "ingest_closed": "an ingest stream ended as its client wanted",
    IngestRefused = "ingest_refused": "an ingest stream ended with a refused message",
    IngestBroken = "ingest_broken": "an ingest stream broke",
    SnapshotTaken = "snapshot_taken": "a snapshot was written beside commits",
    UnansweredLost = "unanswered_lost": "a request without an answer does not count",
    AddExcused = "add_excused": "a part of a request that was said to count went down with the only disk that had it",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_counts_under_its_own_name_and_what_never_happened_is_missing() {
        let mut counts = FaultCounts::default();
        for &kind in FaultKind::ALL {
            if kind != FaultKind::DiskLost {
                counts.count(kind);
            }
        }
        assert_eq!(counts.missing(), ["disk_lost"]);
        assert!(
            counts
                .iter()
                .all(|(kind, n)| n == u64::from(kind != FaultKind::DiskLost))
        );
    }
}
