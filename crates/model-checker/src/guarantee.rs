//! What is checked, by name: the guarantees, and what stands beside them.
//!
//! A *guarantee* is a promise to users, and has the same name here, in `specs/guarantees.md`, in the
//! worlds, in the simulator and in the tests on real processes. A *check* is no promise: it is a rule
//! that guarantees rest on, or one of a protocol that Tally replaces. A *witness* must be reached
//! rather than hold, so that a search is known to have visited what its guarantee speaks of. What
//! each of them means in a state is for the worlds and the simulator to say.

use std::fmt;

use crate::names::names;

names! {
    /// A promise to users; `specs/guarantees.md` states each exactly.
    Guarantee,
    /// At rest, the value is the sum of the acknowledged adds; an unacknowledged add counts once or
    /// not at all.
    Conservation = "conservation",
    /// The same lanes read the same values.
    Convergence = "convergence",
    /// No value holds an add that nobody made.
    NoPhantom = "no_phantom",
    /// An acknowledged add survives kill -9 and power loss of every process at once.
    Durability = "durability",
    /// A node that reaches no other takes adds and answers reads.
    Availability = "availability",
    /// A request of a session counts once, wherever and however often it is sent.
    Idempotence = "idempotence",
    /// A read with a token sees the add that gave it.
    ReadYourWrites = "read_your_writes",
    /// On one node, a counter that is only incremented never goes down.
    MonotonicReads = "monotonic_reads",
    /// No lost, copied or rolled-back disk makes an add vanish silently.
    IncarnationSafety = "incarnation_safety",
    /// A member's leaving changes no value.
    RetirementExactness = "retirement_exactness",
}

names! {
    /// What must hold and is no promise by itself.
    Check,
    /// No lane is held anywhere further than its owner's disk holds it.
    DurableBeforeSeen = "durable_before_seen",
    /// An empty node that takes every lane whole from one node reads what that one reads.
    Bootstrap = "bootstrap",
    /// An add is refused just when it would take what the node reads out of 64 bits, and then
    /// changes nothing.
    Range = "range",
    /// At rest, with everybody alive, no claim and no closed session is left.
    NothingLeft = "nothing_left",
    /// The shared number of a lock protocol is what was acknowledged.
    Exact = "exact",
    /// Without further faults, every server of a lock protocol gets an answer.
    NeverStuck = "never_stuck",
    /// No assertion of the code fails.
    NoPanic = "no_panic",
    /// Two runs of one schedule leave one trace.
    Determinism = "determinism",
}

names! {
    /// What some state must be.
    Witness,
    /// All adds are taken, by more than one node, and everybody holds everything.
    AllDelivered = "all delivered",
    /// Every server of a lock protocol was acknowledged its add.
    AllCounted = "all counted",
    /// A fork is reported.
    AForkIsReported = "a fork is reported",
    /// A disk was lost or rolled back, and adds with it that nobody else had heard of: they are
    /// gone, and nobody can know.
    ALossWithoutAlarm = "a loss without alarm",
    /// A living node has learnt an add from another one than its owner, who was dead, or cut off
    /// from it.
    ARelayWorked = "a relay worked",
    /// A fork is reported of a lane that has come to somebody by a relay.
    ARelayedForkIsReported = "a relayed fork is reported",
    /// A fork is reported of a lane that no living node owns: its holders find it by themselves.
    AnOrphansForkIsReported = "an orphan's fork is reported",
    /// A value lies outside of 64 bits, so a read of it is clamped.
    AReadIsClamped = "a read is clamped",
    /// One node holds two claims of one request.
    ARequestIsClaimedTwice = "a request is claimed twice",
    /// A request that was claimed has been folded into the sums of the node that claimed it.
    AClaimIsFolded = "a claim is folded",
    /// A session is forgotten of which a request was claimed and folded.
    AMovedSessionIsForgotten = "a moved session is forgotten",
    /// A request counts that its home had refused, since its client had moved it before it heard.
    ARefusedRequestCounts = "a refused request counts",
    /// A node that the home has met after the session was opened has a claim.
    AJoinerClaims = "a joiner claims",
}

/// Anything that a search or a run checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Property {
    /// A promise to users.
    Guarantee(Guarantee),
    /// A rule beside the promises.
    Check(Check),
    /// A state to be reached.
    Witness(Witness),
}

impl Property {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guarantee(it) => it.name(),
            Self::Check(it) => it.name(),
            Self::Witness(it) => it.name(),
        }
    }

    /// The property of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let guarantees = Guarantee::ALL.iter().map(|&it| Self::from(it));
        let checks = Check::ALL.iter().map(|&it| Self::from(it));
        let witnesses = Witness::ALL.iter().map(|&it| Self::from(it));
        guarantees
            .chain(checks)
            .chain(witnesses)
            .find(|it| it.name() == name)
    }
}

impl From<Guarantee> for Property {
    fn from(it: Guarantee) -> Self {
        Self::Guarantee(it)
    }
}

impl From<Check> for Property {
    fn from(it: Check) -> Self {
        Self::Check(it)
    }
}

impl From<Witness> for Property {
    fn from(it: Witness) -> Self {
        Self::Witness(it)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guarantees_are_those_of_the_specification() {
        let text = include_str!("../../../specs/guarantees.md");
        let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
        let promised: Vec<&str> = headings.filter(|it| *it == it.to_lowercase()).collect();
        let mut names: Vec<&str> = Guarantee::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), promised.len(), "{promised:?}");
        names.retain(|it| !promised.contains(it));
        assert_eq!(names, [""; 0]);
    }

    #[test]
    fn a_name_is_of_one_property() {
        let names = Guarantee::ALL.iter().map(|it| it.name());
        let names = names.chain(Check::ALL.iter().map(|it| it.name()));
        let mut names: Vec<&str> = names
            .chain(Witness::ALL.iter().map(|it| it.name()))
            .collect();
        for &name in &names {
            assert_eq!(Property::named(name).map(Property::name), Some(name));
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
