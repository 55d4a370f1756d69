//! Every search of the table that takes a moment, with its verdict, steps and states.
//!
//! `cargo xtask model` makes them all, and shows what it finds; these are here so that
//! `cargo test` notices too. The names say what a reader may want to look up; the figures are in
//! `src/expectations.rs`.

use model_checker::expectations::{EXPECTATIONS, Expectation, Verdict};
use model_checker::guarantee::Property;
use model_checker::search::{Found, find, search};
use model_checker::worlds::{names, shows_not};

/// A search of more states than this is left to `cargo xtask model`.
const STATES_MAX: usize = 60_000;

/// Makes the searches of all worlds whose name begins like this.
fn as_expected(prefix: &str) {
    let is_quick = |it: &&Expectation| !it.is_deep && it.states.is_none_or(|it| it <= STATES_MAX);
    let rows = EXPECTATIONS
        .iter()
        .filter(|it| it.world.starts_with(prefix))
        .filter(is_quick);
    let mut searches = 0;
    for expected in rows {
        let found = search(expected.world, expected.property).expect("a search of the table");
        assert!(found.is_as(expected), "{expected:?}, but found {found:?}");
        searches += 1;
    }
    assert!(searches > 0, "no search of {prefix}");
}

#[test]
fn naive_servers_lose_an_update_in_four_steps() {
    as_expected("naive-");
    let found = search("naive-shared-memory-2", "exact").expect("a search of the table");
    let trace = "server 1 reads 10; server 2 reads 10; server 1 writes 11; server 2 writes 11";
    assert_eq!(found.trace.join("; "), trace);
}

#[test]
fn a_database_increment_is_exact() {
    as_expected("database-");
}

#[test]
fn a_lock_is_exact_and_one_crash_stops_everybody() {
    as_expected("lock-");
}

#[test]
fn a_lease_is_exact_only_when_reads_are_fenced_too() {
    as_expected("lease-");
}

#[test]
fn the_counter_keeps_its_guarantees_over_any_network() {
    as_expected("crdt-2x");
    as_expected("crdt-3x");
    as_expected("crdt-4x");
    as_expected("crdt-interleaved");
    as_expected("crdt-two-counters");
    as_expected("crdt-decrements");
    as_expected("crdt-three-counters");
    as_expected("crdt-overflow");
    as_expected("crdt-one-way");
    as_expected("crdt-undialled");
}

#[test]
fn crashes_and_power_losses_lose_nothing_acknowledged() {
    as_expected("crdt-crash");
    as_expected("crdt-interleaved-crash");
}

#[test]
fn a_request_of_a_session_counts_once_wherever_it_is_sent() {
    as_expected("session-");
}

#[test]
fn a_dead_nodes_adds_are_relayed() {
    as_expected("crdt-relay");
}

#[test]
fn no_lost_rolled_back_or_copied_disk_makes_an_add_vanish_silently() {
    as_expected("crdt-disk-lost");
    as_expected("crdt-id-reused");
    as_expected("crdt-rolled-back");
    as_expected("crdt-disk-copied");
}

#[test]
fn worlds_have_as_many_states_as_the_specification_at_its_bounds() {
    let pairs = [
        ("crdt-2x3", "Replication.cfg"),
        ("crdt-crash-as-specified", "ReplicationCrash.cfg"),
        ("crdt-relay-as-specified", "ReplicationRelay.cfg"),
    ];
    for (world, configuration) in pairs {
        let found = search(world, "conservation").expect("a search of the table");
        let specified = super::tla::replication_states(configuration);
        assert_eq!(found.states, specified, "{world}, {configuration}");
    }
}

#[test]
fn every_mutant_is_found() {
    as_expected("mutant-");
    as_expected("ops-");
}

/// The steps that lead to a witness, as `cargo xtask model --trace WORLD` prints them.
fn trace(world: &'static str, witness: &'static str) -> Vec<String> {
    let Found { verdict, trace, .. } = search(world, witness).expect("a search of the table");
    assert_eq!(verdict, Verdict::Reached, "{world}: {witness}");
    trace
}

/// The first step that reads like this, by its number.
fn position(trace: &[String], step: &str) -> usize {
    let found = trace.iter().position(|it| it.contains(step));
    found.unwrap_or_else(|| panic!("{step:?} is no step of {trace:#?}"))
}

#[test]
fn the_relay_of_the_witness_is_one() {
    // Node 1 has died, or is cut off, when node 2 learns its add from node 3.
    for (world, death) in [("crdt-relay-3x2", true), ("crdt-one-way-3x2", false)] {
        let trace = trace(world, "a relay worked");
        let relayed = trace.last().expect("a step");
        let is_relay = |&(owner, reader, relay): &(u8, u8, u8)| {
            let what = format!("node {reader} receives node {owner}'s lane");
            relayed.starts_with(&what)
                && relayed.contains(&format!("sent by node {relay} (it now reads"))
        };
        let mut roles = (1..=3).flat_map(|owner| {
            let others = move |it: &u8| *it != owner;
            (1..=3)
                .filter(others)
                .map(move |reader| (owner, reader, 6 - owner - reader))
        });
        let roles = roles.find(is_relay);
        let (owner, reader, relay) = roles.unwrap_or_else(|| panic!("no relay: {trace:#?}"));
        if death {
            position(&trace, &format!("node {owner} dies for ever"));
        } else {
            assert_eq!((owner, reader), (1, 2), "{trace:#?}");
        }
        let of_lane = format!("receives node {owner}'s lane");
        let learnt = format!("node {relay} {of_lane}");
        assert!(trace[position(&trace, &learnt)].contains(&format!("sent by node {owner}")));
        let direct = |it: &&String| it.starts_with(&format!("node {reader} receives"));
        assert_eq!(trace.iter().filter(direct).count(), 1, "{trace:#?}");
    }
}

#[test]
fn forks_of_the_witnesses_come_about_as_they_say() {
    let orphan = trace("crdt-rolled-back-death-3x2", "an orphan's fork is reported");
    position(&orphan, "node 1's disk is rolled back");
    position(&orphan, "node 1 dies for ever");
    let relayed = trace("crdt-rolled-back-relay-3x2", "a relayed fork is reported");
    position(&relayed, "node 1's disk is rolled back");
    position(
        &relayed,
        "node 3 receives node 1's lane from 0 to 1, sent by node 2",
    );
    let undialled = trace("crdt-rolled-back-undialled-2x3", "a fork is reported");
    position(&undialled, "disk is rolled back");
}

#[test]
fn the_clamped_read_of_the_witness_is_one() {
    for world in [
        "crdt-overflow-2x3",
        "crdt-overflow-ends-2x3",
        "crdt-overflow-crash-2x2",
    ] {
        let trace = trace(world, "a read is clamped");
        let last = trace.last().expect("a step");
        let value = last
            .rsplit_once("reads ")
            .expect("it reads")
            .1
            .trim_end_matches(')');
        let value: i128 = value.parse().expect("a number");
        assert!(i64::try_from(value).is_err(), "{trace:#?}");
    }
}

#[test]
fn every_world_is_searched_and_says_what_it_does_not_show() {
    let mut seen = Vec::new();
    for name in names() {
        assert!(!seen.contains(&name), "{name} stands twice");
        seen.push(name);
        assert!(
            EXPECTATIONS.iter().any(|it| it.world == name),
            "nobody searches {name}"
        );
        let line = shows_not(name).unwrap_or_default();
        assert!(!line.is_empty() && !line.contains('\n'), "{name}: {line:?}");
    }
}

#[test]
fn every_world_of_the_table_exists_and_every_holding_search_is_pinned() {
    for row in EXPECTATIONS {
        assert!(find(row.world).is_ok(), "{row:?}");
        assert!(Property::named(row.property).is_some(), "{row:?}");
        assert_eq!(
            row.verdict == Verdict::Holds,
            row.states.is_some(),
            "{row:?}"
        );
        assert_ne!(row.states, Some(0), "{row:?} is not pinned yet");
        assert_ne!(row.steps, Some(0), "{row:?} is not pinned yet");
    }
}

#[test]
fn every_witness_stands_beside_a_guarantee_of_its_world() {
    for row in EXPECTATIONS
        .iter()
        .filter(|it| it.verdict == Verdict::Reached)
    {
        let is_paired = |it: &&Expectation| it.world == row.world && it.verdict == Verdict::Holds;
        assert!(
            EXPECTATIONS.iter().any(|it| is_paired(&it)),
            "{row:?} is a witness of nothing"
        );
    }
}
