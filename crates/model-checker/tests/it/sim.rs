//! The simulator finds every mutant of its driver, and nothing in what is deployed.
//!
//! The numbers of schedules are small enough for a debug build; `cargo xtask sim` plays many more.

use std::collections::BTreeSet;

use model_checker::guarantee::{Check, Guarantee, Property};
use model_checker::mutation::Mutation;
use model_checker::sim::{Bounds, Campaign, shrink_failure};

/// A fixed first seed: these are tests of the simulator, and must not fail by chance.
const SEED: u64 = 20_260_101;
/// No mutant may take longer to be found.
const FOUND_WITHIN: u64 = 10_000;
/// Each mutant is looked for from so many first seeds, since it can show in several ways.
const SEARCHES: u64 = 5;

fn campaign(mutation: Option<Mutation>) -> Campaign {
    let bounds = Bounds {
        nodes: None,
        ops: 100,
    };
    Campaign {
        seed: SEED,
        schedules: FOUND_WITHIN,
        bounds,
        mutation,
        twice: false,
        threads: 1,
    }
}

#[test]
fn every_mutant_is_found_and_every_guarantee_can_be_seen_to_break() {
    let mut violated = BTreeSet::new();
    for mutation in Mutation::SIMULATED {
        for start in 0..SEARCHES {
            let seed = SEED + start * FOUND_WITHIN;
            let summary = Campaign {
                seed,
                ..campaign(Some(mutation))
            }
            .run(|_| {});
            let found = summary.failures.first();
            assert!(
                found.is_some(),
                "{mutation} within {FOUND_WITHIN} from {seed}"
            );
            violated.extend(found.map(|failure| failure.violation.violated));
        }
    }
    // The oracles of all guarantees that do not wait for retirement, and what they rest on.
    let guarantees = [
        Guarantee::Conservation,
        Guarantee::Convergence,
        Guarantee::NoPhantom,
        Guarantee::Durability,
        Guarantee::Availability,
        Guarantee::Idempotence,
        Guarantee::ReadYourWrites,
        Guarantee::MonotonicReads,
        Guarantee::IncarnationSafety,
    ]
    .map(Property::from);
    let mut expected = Vec::from(guarantees);
    expected.push(Check::NeedsHeld.into());
    assert_eq!(Vec::from_iter(violated), expected);
}

#[test]
fn nothing_is_found_in_what_is_deployed_and_every_fault_fires() {
    let summary = Campaign {
        schedules: 1_000,
        ..campaign(None)
    }
    .run(|_| {});
    assert!(summary.failures.is_empty(), "{:?}", summary.failures);
    assert_eq!(summary.missing, [""; 0]);
    assert_eq!(summary.schedules, 1_000);
}

#[test]
fn nine_nodes_agree_and_every_run_can_be_repeated() {
    let bounds = Bounds {
        nodes: Some(Bounds::NODES_MAX),
        ops: 60,
    };
    let summary = Campaign {
        schedules: 12,
        bounds,
        twice: true,
        ..campaign(None)
    }
    .run(|_| {});
    assert!(summary.failures.is_empty(), "{:?}", summary.failures);
}

#[test]
fn a_failing_schedule_is_shrunk() {
    let mutant = campaign(Some(Mutation::Piecemeal));
    let summary = mutant.run(|_| {});
    let failure = summary.failures.first().expect("this bug is found");
    let shrunk =
        shrink_failure(failure.seed, mutant.bounds, mutant.mutation).expect("it fails again");
    assert_eq!(shrunk.violation.violated, failure.violation.violated);
    assert!(
        shrunk.ops.0 <= 10 && shrunk.faults.0 <= 3,
        "{:?} {:?}",
        shrunk.ops,
        shrunk.faults
    );
    assert!(shrunk.trace.iter().any(|line| line.contains("takes lane")));
}
