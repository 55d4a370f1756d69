//! Every search of the table that takes a moment, with its verdict, steps and states.
//!
//! `cargo xtask model` makes them all, and shows what it finds; these are here so that
//! `cargo test` notices too. The names say what a reader may want to look up; the figures are in
//! `src/expectations.rs`.

use model_checker::expectations::{EXPECTATIONS, Expectation, Verdict};
use model_checker::search::{find, search};

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
    as_expected("crdt-overflow");
}

#[test]
fn crashes_and_power_losses_lose_nothing_acknowledged() {
    as_expected("crdt-crash");
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

#[test]
fn every_world_of_the_table_exists_and_every_holding_search_is_pinned() {
    for row in EXPECTATIONS {
        assert!(find(row.world).is_ok(), "{row:?}");
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
