//! The simulator finds every bug that can be planted, and none in what is deployed.
//!
//! The numbers of schedules are small enough for a debug build; `cargo xtask sim` plays many more.

use std::collections::BTreeSet;

use model_checker::sim::{Bounds, Campaign, Plant, shrink_failure};

/// A fixed first seed: these are tests of the simulator, and must not fail by chance.
const SEED: u64 = 20_260_101;
/// No planted bug may take longer to be found.
const FOUND_WITHIN: u64 = 10_000;
/// Each planted bug is looked for from so many first seeds, since it can show in several ways.
const SEARCHES: u64 = 5;

fn campaign(plant: Option<Plant>) -> Campaign {
    let bounds = Bounds {
        nodes: None,
        ops: 100,
    };
    Campaign {
        seed: SEED,
        schedules: FOUND_WITHIN,
        bounds,
        plant,
        twice: false,
        threads: 1,
    }
}

#[test]
fn every_planted_bug_is_found_and_every_guarantee_can_be_seen_to_break() {
    let mut violated = BTreeSet::new();
    for plant in Plant::ALL {
        for start in 0..SEARCHES {
            let seed = SEED + start * FOUND_WITHIN;
            let summary = Campaign {
                seed,
                ..campaign(Some(plant))
            }
            .run(|_| {});
            let found = summary.failures.first();
            assert!(
                found.is_some(),
                "{} within {FOUND_WITHIN} from {seed}",
                plant.name()
            );
            violated.extend(found.map(|failure| failure.violation.guarantee));
        }
    }
    // The oracles of all guarantees that do not wait for request ids or retirement.
    let guarantees = [
        "availability",
        "conservation",
        "convergence",
        "durability",
        "incarnation_safety",
        "monotonic_reads",
        "no_phantom",
        "read_your_writes",
    ];
    assert_eq!(violated.into_iter().collect::<Vec<_>>(), guarantees);
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
    let planted = campaign(Some(Plant::TornFrameKept));
    let summary = planted.run(|_| {});
    let failure = summary.failures.first().expect("this bug is found");
    let shrunk =
        shrink_failure(failure.seed, planted.bounds, planted.plant).expect("it fails again");
    assert_eq!(shrunk.violation.guarantee, failure.violation.guarantee);
    assert!(
        shrunk.ops.0 <= 10 && shrunk.faults.0 <= 3,
        "{:?} {:?}",
        shrunk.ops,
        shrunk.faults
    );
    assert!(
        shrunk
            .trace
            .iter()
            .any(|line| line.contains("from the middle of a frame on"))
    );
}
