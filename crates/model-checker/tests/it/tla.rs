//! The TLA+ specifications in `specs/tla`, checked in full at small bounds by a TLA+ checker that
//! shares no code with ours.
//!
//! Three kinds of test, and each needs the others: worlds in which the guarantees hold, with their
//! number of states pinned; states that must be reachable in them, so that nothing holds only
//! because nothing happens; and worlds with one rule broken, in which the checker must find a
//! counterexample of the pinned length.
//!
//! The number of states of `Replication.cfg` is what the Stateright world over the real
//! `crdt_core::Replica` must have as well; `Replication.tla` says how the two correspond.

use std::{path::Path, sync::Arc, thread};

use tla_checker::{
    ast::Value,
    checker::{CheckResult, CheckStats, check},
    load::prepare_from_path,
};

/// The checker evaluates recursively, with large frames in a debug build. On a test thread's 2 MiB
/// it would map and unmap a new stack for almost every expression, which takes most of its time;
/// 256 MiB of address space are never used up at our depths.
const STACK_BYTES: usize = 256 << 20;

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Every reachable state was visited, and all invariants hold in each.
    Holds { states: usize },
    /// The shortest way to a state that breaks an invariant.
    Broken { invariant: String, steps: usize },
}

fn broken(invariant: &str, steps: usize) -> Verdict {
    let invariant = invariant.to_owned();
    Verdict::Broken { invariant, steps }
}

/// One run of the checker.
struct World {
    specification: &'static str,
    configuration: &'static str,
    /// Constants that differ from the configuration, as the checker's values.
    constants: Vec<(&'static str, Value)>,
    /// The invariant to check; all those of the configuration where it is `None`.
    invariant: Option<&'static str>,
    /// Definitions that must be true in some state.
    reached: &'static [&'static str],
}

impl World {
    fn replication(configuration: &'static str) -> Self {
        Self {
            specification: "Replication.tla",
            configuration,
            constants: Vec::new(),
            invariant: None,
            reached: &[],
        }
    }

    fn lock(strategy: &str, invariant: &'static str) -> Self {
        Self {
            specification: "Lock.tla",
            configuration: "Lock.cfg",
            constants: vec![("Strategy", Value::Str(strategy.into()))],
            invariant: Some(invariant),
            reached: &[],
        }
    }

    fn mutant(mut self, mutant: &str) -> Self {
        self.constants.push(("Mutant", Value::Str(mutant.into())));
        self
    }

    fn number(mut self, constant: &'static str, value: i64) -> Self {
        self.constants.push((constant, Value::Int(value)));
        self
    }

    fn servers(mut self, count: u8) -> Self {
        let servers = (1..=count).map(|n| Value::Model(format!("s{n}").into()));
        self.constants
            .push(("Servers", Value::set(servers.collect())));
        self
    }

    fn reaching(mut self, reached: &'static [&'static str]) -> Self {
        self.reached = reached;
        self
    }

    fn check(self) -> Verdict {
        thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || self.check_here())
            .expect("the system gives one more thread")
            .join()
            .expect("the check ends with a verdict")
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever is neither a full search nor a counterexample is no verdict"
    )]
    fn check_here(self) -> Verdict {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/tla");
        let constants: Vec<(Arc<str>, Value)> = self
            .constants
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        let mut prepared = prepare_from_path(
            &directory.join(self.specification),
            Some(&directory.join(self.configuration)),
            &constants,
        )
        .expect("the specification and its configuration parse");
        assert!(prepared.warnings.is_empty(), "{:?}", prepared.warnings);

        let spec = &mut prepared.spec;
        if let Some(only) = self.invariant {
            let at = spec
                .invariant_names
                .iter()
                .position(|name| name.as_deref() == Some(only))
                .expect("the configuration names the invariant");
            spec.invariants = vec![spec.invariants.swap_remove(at)];
            spec.invariant_names = vec![spec.invariant_names.swap_remove(at)];
        }
        prepared.checker_config.count_properties =
            self.reached.iter().map(|&name| name.into()).collect();

        match check(&prepared.spec, &prepared.domains, &prepared.checker_config) {
            CheckResult::Ok(stats) => {
                assert_reached(&stats, self.reached);
                Verdict::Holds {
                    states: stats.states_explored,
                }
            }
            CheckResult::InvariantViolation(found, _) => {
                let name = &prepared.spec.invariant_names[found.violated_invariant];
                broken(
                    name.as_deref().expect("the configuration names it"),
                    found.trace.len() - 1,
                )
            }
            unfinished => panic!("no verdict, but {unfinished:?}"),
        }
    }
}

/// How many states the specification has in a configuration in which every guarantee holds.
pub(crate) fn replication_states(configuration: &'static str) -> usize {
    match World::replication(configuration).check() {
        Verdict::Holds { states } => states,
        broken @ Verdict::Broken { .. } => panic!("{configuration}: {broken:?}"),
    }
}

fn assert_reached(run: &CheckStats, reached: &[&str]) {
    for &name in reached {
        let property = run.property_stats.iter().find(|p| *p.name == *name);
        let satisfied = property.map_or(0, |property| property.satisfied);
        assert!(
            satisfied > 0,
            "no state satisfies {name}: the run says little"
        );
    }
}

#[test]
fn three_adds_on_two_replicas_keep_every_guarantee() {
    let world = World::replication("Replication.cfg").reaching(&["AllDelivered"]);
    assert_eq!(world.check(), Verdict::Holds { states: 5_425 });
}

#[test]
fn crashes_keep_every_guarantee() {
    let world =
        World::replication("ReplicationCrash.cfg").reaching(&["AllDelivered", "AHeadWasLost"]);
    assert_eq!(world.check(), Verdict::Holds { states: 3_796 });
}

#[test]
fn relays_and_intervals_of_two_records_keep_every_guarantee() {
    let world =
        World::replication("ReplicationRelay.cfg").reaching(&["AllDelivered", "ARelayIsUseful"]);
    assert_eq!(world.check(), Verdict::Holds { states: 1_075 });
}

#[test]
fn what_is_sent_before_it_is_durable_is_found() {
    let world = World::replication("ReplicationCrash.cfg").mutant("sent_before_durable");
    assert_eq!(world.check(), broken("NothingSentBeforeDurable", 2));
}

#[test]
fn a_merge_that_adds_is_found() {
    let world = World::replication("ReplicationCrash.cfg").mutant("additive_merge");
    assert_eq!(world.check(), broken("HealedExact", 6));
}

#[test]
fn an_interval_applied_piecemeal_is_found() {
    let world = World::replication("ReplicationRelay.cfg").mutant("piecemeal");
    assert_eq!(world.check(), broken("PrefixKnowledge", 5));
}

#[test]
fn an_interval_applied_over_a_gap_is_found() {
    let world = World::replication("ReplicationRelay.cfg").mutant("gap_ignored");
    assert_eq!(world.check(), broken("PrefixKnowledge", 6));
}

#[test]
fn a_relay_that_leaves_records_out_is_found() {
    let world = World::replication("ReplicationRelay.cfg").mutant("relay_omits_records");
    assert_eq!(world.check(), broken("NothingSentBeforeDurable", 7));
}

#[test]
fn without_a_lock_an_update_is_lost_in_four_steps() {
    assert_eq!(World::lock("naive", "Exact").check(), broken("Exact", 4));
    for (servers, states) in [(2, 13), (3, 84)] {
        let world = World::lock("naive", "LivingAreNeverStuck")
            .servers(servers)
            .reaching(&["AllAcknowledged"]);
        assert_eq!(world.check(), Verdict::Holds { states });
    }
}

#[test]
fn a_lock_without_faults_is_exact_and_never_stuck() {
    for (servers, states) in [(2, 17), (3, 61)] {
        for invariant in ["Exact", "LivingAreNeverStuck"] {
            let world = World::lock("lock", invariant)
                .servers(servers)
                .reaching(&["AllAcknowledged"]);
            assert_eq!(world.check(), Verdict::Holds { states });
        }
    }
}

#[test]
fn a_lock_stays_exact_when_its_holder_crashes_and_the_others_are_stuck() {
    for (servers, states) in [(2, 39), (3, 157)] {
        let world = |invariant| {
            World::lock("lock", invariant)
                .servers(servers)
                .number("Crashes", 1)
        };
        assert_eq!(world("Exact").check(), Verdict::Holds { states });
        assert_eq!(
            world("LivingAreNeverStuck").check(),
            broken("LivingAreNeverStuck", 2)
        );
    }
}

#[test]
fn the_lock_server_is_a_single_point_of_failure() {
    for (servers, states) in [(2, 34), (3, 122)] {
        let world = |invariant| {
            World::lock("lock", invariant)
                .servers(servers)
                .number("LockServerCrashes", 1)
        };
        assert_eq!(world("Exact").check(), Verdict::Holds { states });
        assert_eq!(
            world("LivingAreNeverStuck").check(),
            broken("LivingAreNeverStuck", 1)
        );
    }
}

#[test]
fn a_lease_is_exact_only_if_its_token_is_raised_on_reading() {
    for strategy in ["lease", "fenced_write"] {
        assert_eq!(World::lock(strategy, "Exact").check(), broken("Exact", 7));
    }
    let fenced = || World::lock("fenced", "Exact");
    let world = fenced().reaching(&["AllAcknowledged"]);
    assert_eq!(world.check(), Verdict::Holds { states: 81 });
    let world = fenced().number("Crashes", 1);
    assert_eq!(world.check(), Verdict::Holds { states: 207 });
}

#[test]
fn a_lease_outlives_its_holder() {
    for (strategy, states) in [("lease", 109), ("fenced_write", 109), ("fenced", 81)] {
        let world = World::lock(strategy, "LivingAreNeverStuck");
        assert_eq!(world.check(), Verdict::Holds { states });
    }
    let world = World::lock("fenced", "LivingAreNeverStuck").number("Crashes", 1);
    assert_eq!(world.check(), Verdict::Holds { states: 207 });
}
