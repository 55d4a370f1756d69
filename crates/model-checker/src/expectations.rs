//! What the checker must find: every search, its verdict, its steps and its states, in one table.
//!
//! `steps` is the length of the shortest counterexample (or of the shortest way to a witness);
//! `states` is how many different states there are, for searches that see them all. A figure that
//! changes is a change of the protocol, of the world or of the checker: look before you pin it.
//!
//! A witness is a state that must be reached, so that a guarantee is known to have been tried on
//! more than nothing.

/// What a search finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The property holds in every state: all were visited.
    Holds,
    /// There is a counterexample.
    Counterexample,
    /// The witness is reached.
    Reached,
    /// The witness is not reached anywhere.
    Unreachable,
    /// An assertion of the code failed on the way; its message has been printed.
    Panicked,
}

impl Verdict {
    /// As the table and `model.json` call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Counterexample => "counterexample",
            Self::Reached => "reached",
            Self::Unreachable => "unreachable",
            Self::Panicked => "panicked",
        }
    }
}

/// One search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The world's name.
    pub world: &'static str,
    /// The property's name.
    pub property: &'static str,
    /// What is found.
    pub verdict: Verdict,
    /// After how many steps; `None` where a search ends without.
    pub steps: Option<usize>,
    /// How many states; `None` where a search stops at what it looks for.
    pub states: Option<usize>,
    /// Whether it is run with `--deep` only.
    pub is_deep: bool,
}

const fn holds(world: &'static str, property: &'static str, states: usize) -> Expectation {
    Expectation {
        world,
        property,
        verdict: Verdict::Holds,
        steps: None,
        states: Some(states),
        is_deep: false,
    }
}

const fn deep(world: &'static str, property: &'static str, states: usize) -> Expectation {
    Expectation {
        is_deep: true,
        ..holds(world, property, states)
    }
}

const fn found(world: &'static str, property: &'static str, steps: usize) -> Expectation {
    Expectation {
        verdict: Verdict::Counterexample,
        steps: Some(steps),
        states: None,
        ..holds(world, property, 0)
    }
}

const fn reached(world: &'static str, property: &'static str, steps: usize) -> Expectation {
    Expectation {
        verdict: Verdict::Reached,
        ..found(world, property, steps)
    }
}

/// All searches, in the order of the table.
#[rustfmt::skip] // One line a search.
pub const EXPECTATIONS: &[Expectation] = &[
    // What it replaces: locks and their absence.
    found("naive-shared-memory-2", "exact", 4),
    found("naive-shared-memory-3", "exact", 4),
    found("naive-shared-memory-4", "exact", 4),
    found("naive-shared-memory-5", "exact", 4),
    found("naive-remote-2", "exact", 9),
    found("naive-remote-3", "exact", 9),
    found("naive-remote-4", "exact", 9),
    holds("database-3", "exact", 64),
    reached("database-3", "all counted", 9),
    holds("lock-2", "exact", 36),
    holds("lock-3", "exact", 220),
    holds("lock-2", "never_stuck", 36),
    holds("lock-3", "never_stuck", 220),
    reached("lock-3", "all counted", 15),
    holds("lock-separate-2", "exact", 57),
    holds("lock-separate-3", "exact", 333),
    holds("lock-separate-3", "never_stuck", 333),
    holds("lock-holder-crash-2", "exact", 195),
    holds("lock-holder-crash-3", "exact", 1_485),
    found("lock-holder-crash-2", "never_stuck", 2),
    found("lock-holder-crash-3", "never_stuck", 2),
    holds("lock-server-crash-2", "exact", 72),
    found("lock-server-crash-2", "never_stuck", 1),
    found("lock-server-crash-3", "never_stuck", 1),
    found("lease-no-fencing-2", "exact", 14),
    found("lease-no-fencing-3", "exact", 14),
    found("lease-fenced-on-write-2", "exact", 14),
    found("lease-fenced-on-write-3", "exact", 14),
    holds("lease-fenced-on-read-and-write-2", "exact", 355),
    holds("lease-fenced-on-read-and-write-3", "exact", 12_234),
    reached("lease-fenced-on-read-and-write-2", "all counted", 15),
    holds("lease-holder-crash-2", "exact", 1_319),
    holds("lease-holder-crash-2", "never_stuck", 1_319),
    holds("lease-holder-crash-3", "never_stuck", 61_719),

    // The counter, over a network that does its worst.
    holds("crdt-2x3", "conservation", 5_425),
    holds("crdt-2x3", "no_phantom", 5_425),
    holds("crdt-2x3", "convergence", 5_425),
    holds("crdt-2x3", "read_your_writes", 5_425),
    holds("crdt-2x3", "monotonic_reads", 5_425),
    holds("crdt-2x3", "availability", 5_425),
    holds("crdt-2x3", "bootstrap", 5_425),
    holds("crdt-2x3", "durability", 5_425),
    holds("crdt-2x3", "durable_before_seen", 5_425),
    reached("crdt-2x3", "all delivered", 8),
    holds("crdt-2x4", "conservation", 185_597),
    holds("crdt-2x4", "read_your_writes", 185_597),
    holds("crdt-3x1", "conservation", 37),
    holds("crdt-3x2", "conservation", 1_075),
    holds("crdt-3x2", "convergence", 1_075),
    reached("crdt-3x2", "all delivered", 9),
    holds("crdt-relay-as-specified", "conservation", 1_075),
    holds("crdt-interleaved-2x3", "conservation", 32_478),
    holds("crdt-interleaved-2x3", "durability", 32_478),
    holds("crdt-interleaved-2x3", "availability", 32_478),
    holds("crdt-interleaved-3x2", "conservation", 3_148),
    holds("crdt-interleaved-3x2", "durability", 3_148),
    holds("crdt-two-counters-2x3", "conservation", 41_543),
    holds("crdt-two-counters-2x3", "convergence", 41_543),
    holds("crdt-two-counters-2x3", "read_your_writes", 41_543),
    holds("crdt-three-counters-2x2", "conservation", 131_628),
    holds("crdt-three-counters-3x1", "conservation", 2_948),
    holds("crdt-three-counters-3x1", "convergence", 2_948),
    holds("crdt-three-counters-3x1", "read_your_writes", 2_948),
    reached("crdt-three-counters-2x2", "all delivered", 6),
    holds("crdt-decrements-2x3", "conservation", 5_481),
    holds("crdt-decrements-2x3", "no_phantom", 5_481),
    holds("crdt-overflow-2x3", "conservation", 8_673),
    holds("crdt-overflow-2x3", "range", 8_673),
    reached("crdt-overflow-2x3", "all delivered", 8),
    reached("crdt-overflow-2x3", "a read is clamped", 5),
    holds("crdt-overflow-ends-2x3", "conservation", 1_803),
    holds("crdt-overflow-ends-2x3", "range", 1_803),
    reached("crdt-overflow-ends-2x3", "a read is clamped", 5),
    holds("crdt-one-way-3x2", "conservation", 1_400),
    reached("crdt-one-way-3x2", "a relay worked", 6),
    holds("crdt-undialled-3x2", "conservation", 1_132),
    holds("crdt-3x3", "conservation", 34_189),
    holds("crdt-4x3", "conservation", 29_937),
    holds("crdt-2x5", "conservation", 412_681),
    holds("crdt-3x4", "conservation", 100_465),
    deep("crdt-interleaved-3x3", "conservation", 259_444),
    deep("crdt-3x5", "conservation", 3_707_143),
    deep("crdt-4x4", "conservation", 887_129),

    // Crashes and power losses.
    holds("crdt-crash-2x2", "conservation", 3_757),
    holds("crdt-crash-2x2x2-scylladb-2169", "conservation", 10_800),
    holds("crdt-crash-2x2x2-scylladb-2169", "durability", 10_800),
    holds("crdt-crash-2x2x2-scylladb-2169", "durable_before_seen", 10_800),
    holds("crdt-crash-2x2x2-scylladb-2169", "no_phantom", 10_800),
    holds("crdt-crash-2x2x2-scylladb-2169", "monotonic_reads", 10_800),
    holds("crdt-crash-2x2x2-scylladb-2169", "read_your_writes", 10_800),
    holds("crdt-crash-2x2x2-scylladb-2169", "availability", 10_800),
    reached("crdt-crash-2x2x2-scylladb-2169", "all delivered", 12),
    holds("crdt-crash-as-specified", "conservation", 3_796),
    holds("crdt-crash-3x2", "conservation", 6_430),
    holds("crdt-interleaved-crash-3x2", "conservation", 18_652),
    holds("crdt-two-counters-crash-2x2", "conservation", 3_757),
    holds("crdt-two-counters-crash-2x2", "durability", 3_757),
    holds("crdt-two-counters-crash-2x2", "read_your_writes", 3_757),
    holds("crdt-overflow-crash-2x2", "conservation", 6_342),
    holds("crdt-overflow-crash-2x2", "range", 6_342),
    reached("crdt-overflow-crash-2x2", "a read is clamped", 8),
    deep("crdt-crash-2x3x2", "conservation", 653_936),
    deep("crdt-crash-2x3x2", "durability", 653_936),

    // Disks that are lost, rolled back or copied; nodes that die.
    holds("crdt-disk-lost-2x2", "conservation", 1_807),
    holds("crdt-disk-lost-2x3", "conservation", 48_819),
    holds("crdt-disk-lost-2x3", "no_phantom", 48_819),
    reached("crdt-disk-lost-2x3", "a loss without alarm", 3),
    holds("crdt-disk-lost-twice-2x2", "conservation", 6_732),
    holds("crdt-disk-lost-3x2", "conservation", 2_578),
    holds("crdt-id-reused-2x3-riak-kv-679", "incarnation_safety", 44_987),
    reached("crdt-id-reused-2x3-riak-kv-679", "a fork is reported", 5),
    holds("crdt-rolled-back-2x3", "incarnation_safety", 104_735),
    holds("crdt-rolled-back-2x3", "convergence", 104_735),
    holds("crdt-rolled-back-2x3", "read_your_writes", 104_735),
    reached("crdt-rolled-back-2x3", "a fork is reported", 5),
    reached("crdt-rolled-back-2x3", "a loss without alarm", 4),
    holds("crdt-rolled-back-2x4", "incarnation_safety", 505_997),
    holds("crdt-rolled-back-crash-2x3", "incarnation_safety", 78_766),
    holds("crdt-disk-copied-2x3", "incarnation_safety", 80_243),
    holds("crdt-disk-copied-2x3", "convergence", 80_243),
    reached("crdt-disk-copied-2x3", "a fork is reported", 2),
    holds("crdt-relay-3x2", "conservation", 9_019),
    reached("crdt-relay-3x2", "a relay worked", 7),
    holds("crdt-rolled-back-3x2", "incarnation_safety", 4_066),
    holds("crdt-disk-copied-3x2", "incarnation_safety", 6_625),
    holds("crdt-rolled-back-twice-2x3", "incarnation_safety", 52_660),
    holds("crdt-two-counters-disk-lost-2x2", "conservation", 1_801),
    holds("crdt-two-counters-rolled-back-2x3", "incarnation_safety", 102_835),
    holds("crdt-two-counters-rolled-back-2x3", "read_your_writes", 102_835),
    holds("crdt-two-counters-disk-copied-2x3", "incarnation_safety", 80_143),
    holds("crdt-disk-copied-3x2", "read_your_writes", 6_625),
    holds("crdt-two-counters-relay-3x2", "conservation", 35_632),
    reached("crdt-two-counters-relay-3x2", "a relay worked", 7),
    holds("crdt-rolled-back-death-3x2", "incarnation_safety", 16_264),
    reached("crdt-rolled-back-death-3x2", "an orphan's fork is reported", 6),
    holds("crdt-rolled-back-relay-3x2", "incarnation_safety", 27_959),
    reached("crdt-rolled-back-relay-3x2", "a relayed fork is reported", 7),
    holds("crdt-rolled-back-undialled-2x3", "incarnation_safety", 40_755),
    reached("crdt-rolled-back-undialled-2x3", "a fork is reported", 5),
    deep("crdt-rolled-back-3x3", "incarnation_safety", 279_095),
    deep("crdt-rolled-back-interleaved-2x3", "incarnation_safety", 368_201),

    // Sessions, whose requests count once, over the same network.
    holds("session-2x2", "idempotence", 9_254),
    holds("session-2x2", "conservation", 9_254),
    holds("session-2x2", "convergence", 9_254),
    holds("session-2x2", "monotonic_reads", 9_254),
    holds("session-2x2", "availability", 9_254),
    holds("session-2x2", "nothing_left", 9_254),
    reached("session-2x2", "a claim is folded", 6),
    holds("session-3x1", "idempotence", 7_314),
    holds("session-3x1", "conservation", 7_314),
    holds("session-3x1", "convergence", 7_314),
    holds("session-3x1", "monotonic_reads", 7_314),
    holds("session-3x1", "availability", 7_314),
    holds("session-3x1", "nothing_left", 7_314),
    reached("session-3x1", "a request is claimed twice", 4),
    holds("session-closing-2x1", "idempotence", 886),
    holds("session-closing-2x1", "conservation", 886),
    holds("session-closing-2x1", "convergence", 886),
    holds("session-closing-2x1", "monotonic_reads", 886),
    holds("session-closing-2x1", "availability", 886),
    holds("session-closing-2x1", "nothing_left", 886),
    reached("session-closing-2x1", "a moved session is forgotten", 8),
    holds("session-closing-2x2", "idempotence", 61_304),
    holds("session-closing-2x2", "conservation", 61_304),
    holds("session-closing-2x2", "nothing_left", 61_304),
    holds("session-closing-3x1", "idempotence", 28_434),
    holds("session-closing-3x1", "conservation", 28_434),
    holds("session-closing-3x1", "monotonic_reads", 28_434),
    holds("session-closing-3x1", "nothing_left", 28_434),
    holds("session-closing-two-targets-3x1", "idempotence", 177_840),
    deep("session-closing-two-targets-3x1", "nothing_left", 177_840),
    holds("session-joining-2x1", "idempotence", 1_238),
    holds("session-joining-2x1", "conservation", 1_238),
    holds("session-joining-2x1", "monotonic_reads", 1_238),
    holds("session-joining-2x1", "nothing_left", 1_238),
    reached("session-joining-2x1", "a joiner claims", 4),
    holds("session-refusing-2x2", "idempotence", 45_490),
    holds("session-refusing-2x2", "conservation", 45_490),
    holds("session-refusing-2x2", "monotonic_reads", 45_490),
    reached("session-refusing-2x2", "a refused request counts", 4),
    holds("session-crash-2x1", "idempotence", 32_708),
    holds("session-crash-2x1", "conservation", 32_708),
    holds("session-crash-2x1", "convergence", 32_708),
    holds("session-crash-2x1", "monotonic_reads", 32_708),
    holds("session-crash-2x1", "availability", 32_708),
    holds("session-crash-2x1", "nothing_left", 32_708),
    holds("session-crash-3x1", "idempotence", 59_314),
    holds("session-joining-3x1", "idempotence", 169_225),
    holds("session-joining-3x1", "nothing_left", 169_225),
    deep("session-joining-two-targets-3x1", "idempotence", 329_013),
    deep("session-joining-two-targets-3x1", "nothing_left", 329_013),
    deep("session-crash-2x2", "idempotence", 841_300),
    deep("session-2x3", "idempotence", 1_493_992),

    // Mutants: the same code with one rule broken. Each must be found.
    found("mutant-additive-merge", "no_phantom", 8),
    found("mutant-sent-before-durable", "conservation", 3),
    found("mutant-sent-before-durable", "read_your_writes", 3),
    found("mutant-acknowledged-before-sync", "conservation", 3),
    found("mutant-replayed-not-synced", "durability", 3),
    found("mutant-replayed-not-synced", "monotonic_reads", 4),
    found("mutant-piecemeal", "conservation", 5),
    found("mutant-piecemeal", "convergence", 5),
    found("mutant-relay-omits-records", "conservation", 8),
    found("mutant-delta-dropped-on-send", "conservation", 6),
    found("mutant-restart-from-peer", "conservation", 3),
    found("mutant-disk-lost-starts-equal", "incarnation_safety", 6),
    found("mutant-rolled-back-starts-equal", "incarnation_safety", 6),
    found("mutant-fork-ends-stream", "incarnation_safety", 6),
    found("mutant-gap-reported", "incarnation_safety", 6),
    found("mutant-relay-omits-starts", "incarnation_safety", 6),
    found("mutant-own-lane-withheld", "incarnation_safety", 6),
    found("mutant-needs-ignored", "idempotence", 5),
    found("mutant-needs-ignored", "monotonic_reads", 6),
    found("mutant-relay-omits-needs", "idempotence", 6),
    found("mutant-sets-split", "conservation", 5),
    found("mutant-sets-split", "nothing_left", 5),
    found("mutant-grant-without-needs", "idempotence", 5),
    found("mutant-fold-without-needs", "idempotence", 8),
    found("mutant-drop-without-needs", "monotonic_reads", 7),
    found("mutant-forgetting-without-needs", "idempotence", 11),
    found("mutant-granted-taken", "idempotence", 6),
    found("mutant-taken-granted", "idempotence", 5),
    found("mutant-taken-granted", "convergence", 5),
    found("mutant-folded-ungranted", "idempotence", 4),
    found("mutant-each-claim-counts", "idempotence", 3),
    found("mutant-blind-to-grants", "idempotence", 4),
    found("mutant-answered-after-move", "conservation", 4),
    found("mutant-answered-to-the-highest", "conservation", 4),
    found("mutant-answered-in-another-shard", "idempotence", 2),
    found("mutant-answered-before-sync", "conservation", 3),
    found("mutant-refusal-forgotten", "idempotence", 3),
    found("mutant-closed-taken", "conservation", 4),
    found("mutant-closed-claimed", "idempotence", 6),
    found("mutant-claimed-unknown", "conservation", 4),
    found("mutant-decided-claimed", "idempotence", 7),
    found("mutant-forgotten-unheard", "conservation", 4),
    found("mutant-forgotten-unheard", "monotonic_reads", 4),
    holds("ops-every-number-remembered", "conservation", 321),
    reached("ops-every-number-remembered", "all delivered", 6),
    found("mutant-ops-without-dedupe", "no_phantom", 3),
    found("mutant-ops-highest-number", "conservation", 4),
];
