//! Worlds of sessions, over the deployed state machine, and their mutants.

use super::Row;
use crate::crdt::Grain;
use crate::mutation::Mutation;
use crate::sessions::Bounds;

const fn new(replicas: usize, requests: u64) -> Bounds {
    Bounds::new(replicas, requests)
}

const fn closing(replicas: usize, requests: u64, targets: usize) -> Bounds {
    Bounds {
        targets,
        closes: true,
        ..new(replicas, requests)
    }
}

const fn interleaved(bounds: Bounds) -> Bounds {
    Bounds {
        grain: Grain::Interleaved,
        ..bounds
    }
}

const fn mutant(mutation: &'static [Mutation], bounds: Bounds) -> Bounds {
    Bounds {
        broken: mutation,
        ..bounds
    }
}

const CRASH: Bounds = Bounds {
    crashes: 1,
    ..interleaved(new(2, 1))
};

/// Each with its name, and what it does not show.
#[rustfmt::skip] // Two lines a world.
pub(super) const SESSIONS: &[Row<Bounds>] = &[
    ("session-2x2", new(2, 2),
        "relays; two claims of one request, which take a third node; closing"),
    ("session-2x3", new(2, 3),
        "relays; two claims of one request, which take a third node; closing"),
    ("session-3x1", new(3, 1),
        "two requests that are decided apart; closing"),
    ("session-closing-2x1", closing(2, 1, 1),
        "relays; two claims of one request, which take a third node"),
    ("session-closing-2x2", closing(2, 2, 1),
        "relays; two claims of one request, which take a third node"),
    ("session-closing-3x1", closing(3, 1, 1),
        "two claims of one request: one node gets what is moved"),
    ("session-closing-two-targets-3x1", closing(3, 1, 2),
        "crashes; two requests that are decided apart"),
    ("session-joining-2x1", Bounds { joins: 1, ..closing(2, 1, 1) },
        "a third node that is known all the time"),
    ("session-joining-3x1", Bounds { joins: 1, ..closing(3, 1, 1) },
        "a joiner that gets what the client moves; crashes"),
    ("session-joining-two-targets-3x1", Bounds { joins: 1, ..closing(3, 1, 2) },
        "two that join; crashes"),
    ("session-refusing-2x2", Bounds { refuses: true, ..new(2, 2) },
        "relays; closing; what makes a home refuse: here it may whenever it likes"),
    ("session-crash-2x1", Bounds { crashes: 1, ..interleaved(closing(2, 1, 1)) },
        "relays; torn bytes, which are the log's"),
    ("session-crash-2x2", Bounds { crashes: 1, ..interleaved(new(2, 2)) },
        "relays; closing; torn bytes, which are the log's"),
    ("session-crash-3x1", Bounds { crashes: 1, ..interleaved(Bounds { targets: 1, ..new(3, 1) }) },
        "closing; two claims of one request; torn bytes, which are the log's"),

    ("mutant-needs-ignored", mutant(&[Mutation::NeedsIgnored], new(3, 1)),
        "that `Replica::receive_set` looks at needs: they are taken out before it gets them"),
    ("mutant-relay-omits-needs", mutant(&[Mutation::RelayOmitsNeeds], new(3, 1)),
        "that `IntervalEnd` names the needs: they are taken out behind it"),
    ("mutant-sets-split", mutant(&[Mutation::SetsSplit], new(3, 1)),
        "the streams of tallyd, which collect a set"),
    ("mutant-grant-without-needs", mutant(&[Mutation::GrantWithoutNeeds], new(3, 1)),
        "that `Replica` notes the need: it is taken out of the interval"),
    ("mutant-fold-without-needs", mutant(&[Mutation::FoldWithoutNeeds], new(3, 1)),
        "that `Replica` notes the need: it is taken out of the interval"),
    ("mutant-drop-without-needs", mutant(&[Mutation::DropWithoutNeeds], new(3, 1)),
        "that `Replica` notes the need: it is taken out of the interval"),
    ("mutant-forgetting-without-needs", mutant(&[Mutation::ForgettingWithoutNeeds], closing(3, 1, 1)),
        "that `Replica` notes the need: it is taken out of the interval"),
    ("mutant-granted-taken", mutant(&[Mutation::GrantedTaken], new(2, 1)),
        "that a driver asks `Replica::request` first"),
    ("mutant-taken-granted", mutant(&[Mutation::TakenGranted], new(2, 2)),
        "that `Replica` grants nothing that it has taken: the grant is put into its interval"),
    ("mutant-folded-ungranted", mutant(&[Mutation::FoldedUngranted], new(2, 1)),
        "that `Replica` waits for the grant: the claim is put into the sums of its interval"),
    ("mutant-each-claim-counts", mutant(&[Mutation::EachClaimCounts], new(3, 1)),
        "that `Replica::value` counts each once: another function takes its place"),
    ("mutant-blind-to-grants", mutant(&[Mutation::BlindToGrants], new(3, 1)),
        "that `Replica::value` looks at grants: another function takes its place"),
    ("mutant-answered-after-move", mutant(&[Mutation::AnsweredAfterMove], new(2, 2)),
        "clients that are not ours: what they must not say is documented"),
    ("mutant-answered-to-the-highest", mutant(&[Mutation::AnsweredToTheHighest], new(2, 3)),
        "clients that are not ours: what they must not say is documented"),
    ("mutant-answered-in-another-shard", mutant(&[Mutation::AnsweredInAnotherShard], new(2, 2)),
        "the other shard: it is only known to have answered"),
    ("mutant-answered-before-sync", mutant(&[Mutation::AnsweredBeforeSync], CRASH),
        "which line of a driver answers too early"),
    ("mutant-refusal-forgotten", mutant(&[Mutation::RefusalForgotten], Bounds { refuses: true, ..new(2, 1) }),
        "that a driver calls `Replica::refuse_request`"),
    ("mutant-closed-taken", mutant(&[Mutation::ClosedTaken], closing(2, 1, 1)),
        "that a driver asks `Replica::request` first"),
    ("mutant-closed-claimed", mutant(&[Mutation::ClosedClaimed], closing(2, 1, 1)),
        "that a driver asks `Replica::request` first"),
    ("mutant-claimed-unknown", mutant(&[Mutation::ClaimedUnknown], Bounds { joins: 1, ..closing(2, 1, 1) }),
        "that a driver asks `Replica::request` first"),
    ("mutant-decided-claimed", mutant(&[Mutation::DecidedClaimed], new(2, 1)),
        "that a driver asks `Replica::request` first"),
    ("mutant-forgotten-unheard", mutant(&[Mutation::ForgottenUnheard], closing(2, 1, 1)),
        "that `Replica::close_session` waits where it knows of claims: it is told that there are none"),
];
