//! The rules that mutants break, one name each.
//!
//! A world or a campaign in which everything holds proves little by itself: what it checks might be
//! vacuous, or its steps too tame. So each rule of the design has mutants that break just that rule,
//! around the real [`Replica`](crdt_core::Replica), and the checker must find them. What a broken
//! rule does is written where it is broken: in the steps of the worlds ([`crate::crdt`], [`crate::sessions`]), and in the
//! simulated driver ([`crate::sim`]). Nothing here is in `crdt-core`.

use crate::names::names;

names! {
    /// One broken rule.
    Mutation,
    /// A received sum is added to the held one instead of replacing it.
    AdditiveMerge = "additive-merge",
    /// What is served comes from memory that no disk holds yet.
    SentBeforeDurable = "sent-before-durable",
    /// A client is told "done" when the group is written, before it is synced.
    AcknowledgedBeforeSync = "acknowledged-before-sync",
    /// A restart replays what it finds in the log and does not sync it before it serves.
    ReplayedNotSynced = "replayed-not-synced",
    /// An interval travels in parts, and the receiver applies each by itself.
    Piecemeal = "piecemeal",
    /// A relay serves only the newest version's records of a foreign lane.
    RelayOmitsRecords = "relay-omits-records",
    /// A node serves its own lane only.
    NoRelay = "no-relay",
    /// A sender forgets what it has sent, received or not, and receivers do not notice the gap
    /// (a delta buffer dropped on send).
    DeltaDroppedOnSend = "delta-dropped-on-send",
    /// A sender goes on where it was when a stream is opened anew, whatever the receiver holds.
    CursorKept = "cursor-kept",
    /// A restart takes its own lane from a peer instead of from its disk.
    RestartFromPeer = "restart-from-peer",
    /// A node whose disk was lost comes back under its old id.
    IdReused = "id-reused",
    /// Every start of a process has the same id, so marks are mere versions.
    StartsEqual = "starts-equal",
    /// A client that got no answer tries its add again at another node, without a request id.
    RetriedElsewhere = "retried-elsewhere",
    /// A node acknowledges an add only when another node holds it.
    WaitForPeer = "wait-for-peer",
    /// A node that learns that its own lane has forked goes on as if nothing was.
    ForkIgnored = "fork-ignored",
    /// A fork of one lane ends the whole stream, with all other lanes.
    ForkEndsStream = "fork-ends-stream",
    /// An interval that leaves a gap is taken for a sign of a fork.
    GapReported = "gap-reported",
    /// A relay leaves out which of the owner's starts wrote what.
    RelayOmitsStarts = "relay-omits-starts",
    /// Nobody sends a node its own lane, so one that has forgotten a part of it is not told.
    OwnLaneWithheld = "own-lane-withheld",
    /// A read with a token looks at the version and not at the start that wrote it.
    TokenByVersion = "token-by-version",
    /// An ingest stream that ends after a message without entries tells nothing of those before.
    HiddenAcknowledgement = "hidden-acknowledgement",
    /// A stranger's mark of a node's own lane is believed.
    StrangerBelieved = "stranger-believed",
    /// A sender does not tell a receiver how far it holds the receiver's lane.
    ReceiverNotTold = "receiver-not-told",
    /// A process does not look whether an earlier one has kept a fork of the own lane.
    ForkForgotten = "fork-forgotten",
    /// A receiver does not look at what an interval needs.
    NeedsIgnored = "needs-ignored",
    /// A relay leaves out what an interval needs.
    RelayOmitsNeeds = "relay-omits-needs",
    /// A set is taken apart: each of its lanes is offered by itself.
    SetsSplit = "sets-split",
    /// A grant does not need the claim that it grants.
    GrantWithoutNeeds = "grant-without-needs",
    /// A claim that is folded does not need the grant.
    FoldWithoutNeeds = "fold-without-needs",
    /// A claim that is dropped does not need what the home has taken.
    DropWithoutNeeds = "drop-without-needs",
    /// A session is forgotten without needing the reports.
    ForgettingWithoutNeeds = "forgetting-without-needs",
    /// A home takes a request that it has granted.
    GrantedTaken = "granted-taken",
    /// A home grants a request that it has taken.
    TakenGranted = "taken-granted",
    /// A claim goes into the sums before it is granted.
    FoldedUngranted = "folded-ungranted",
    /// Each claim of a request counts by itself.
    EachClaimCounts = "each-claim-counts",
    /// The value of a claim does not look at grants.
    BlindToGrants = "blind-to-grants",
    /// A client that has moved goes on to say what was answered.
    AnsweredAfterMove = "answered-after-move",
    /// A client takes the highest answered request for one below which all is answered.
    AnsweredToTheHighest = "answered-to-the-highest",
    /// A client takes a request for answered that one of several shards has answered.
    AnsweredInAnotherShard = "answered-in-another-shard",
    /// A request that was sent again is answered before the first copy is durable.
    AnsweredBeforeSync = "answered-before-sync",
    /// A home tells a refusal that it does not keep.
    RefusalForgotten = "refusal-forgotten",
    /// A home takes requests of a session that it has closed, or forgotten.
    ClosedTaken = "closed-taken",
    /// A node claims requests of a session whose closing it holds.
    ClosedClaimed = "closed-claimed",
    /// A node that the home does not know claims requests.
    ClaimedUnknown = "claimed-unknown",
    /// A node claims a request although the home's lane says where it counts.
    DecidedClaimed = "decided-claimed",
    /// A home forgets a closed session before the others have heard of the closing.
    ForgottenUnheard = "forgotten-unheard",
}

impl Mutation {
    /// Those that the simulated driver can have.
    pub const SIMULATED: [Self; 17] = [
        Self::SentBeforeDurable,
        Self::AcknowledgedBeforeSync,
        Self::ReplayedNotSynced,
        Self::Piecemeal,
        Self::NoRelay,
        Self::CursorKept,
        Self::IdReused,
        Self::StartsEqual,
        Self::RetriedElsewhere,
        Self::WaitForPeer,
        Self::ForkIgnored,
        Self::TokenByVersion,
        Self::ForkEndsStream,
        Self::HiddenAcknowledgement,
        Self::StrangerBelieved,
        Self::ReceiverNotTold,
        Self::ForkForgotten,
    ];
}
