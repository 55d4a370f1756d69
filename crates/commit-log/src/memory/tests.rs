//! What the disk in memory does: everything that its faults may leave is left sometimes, and
//! nothing else ever.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::file_system::{File as _, FileSystem as _};

const PAGE_BYTES: usize = 4;

/// Seeds that each fault is tried with: what has one chance in thirty is seen with all but
/// certainty.
const SEEDS: u64 = 500;

fn path(name: &str) -> PathBuf {
    Path::new("/data").join(name)
}

fn disk() -> MemoryDisk {
    MemoryDisk::new(PAGE_BYTES, 1)
}

/// Creates a file whose name and bytes are durable.
fn synced(disk: &MemoryDisk, name: &str, bytes: &[u8]) -> MemoryFile {
    let files = disk.files();
    let file = files.create(&path(name)).expect("created");
    file.write_all_at(bytes, 0).expect("written");
    file.sync_all().expect("synced");
    files.sync_directory(Path::new("/data")).expect("synced");
    file
}

fn read(disk: &MemoryDisk, name: &str) -> Option<Vec<u8>> {
    disk.cached().remove(&path(name))
}

fn text(disk: &MemoryDisk, name: &str) -> Option<String> {
    read(disk, name).map(|bytes| String::from_utf8(bytes).expect("ASCII"))
}

fn lose_power(disk: &MemoryDisk, seed: u64) {
    let mut random = SplitMix::new(seed);
    disk.lose_power(&mut || random.next());
}

/// Everything that a power loss leaves of what `prepare` did, over many seeds.
fn outcomes<T: Ord>(
    prepare: impl Fn(&MemoryDisk),
    outcome: impl Fn(&MemoryDisk) -> T,
) -> BTreeSet<T> {
    let after = |seed| {
        let disk = disk();
        prepare(&disk);
        lose_power(&disk, seed);
        assert_eq!(disk.cached(), disk.durable(), "nothing else is known");
        outcome(&disk)
    };
    (0..SEEDS).map(after).collect()
}

#[test]
fn pages_that_were_not_synced_are_lost_in_any_order_or_torn() {
    let prepare = |disk: &MemoryDisk| {
        let file = synced(disk, "a", b"ssss1111222233");
        file.write_all_at(b"ABCDEFGHIJ", 4).expect("written");
    };
    let seen = outcomes(prepare, |disk| text(disk, "a").expect("there"));
    for first in ["1111", "ABCD"] {
        for second in ["2222", "EFGH"] {
            for third in ["33", "IJ"] {
                let wanted = format!("ssss{first}{second}{third}");
                assert!(seen.contains(&wanted), "{wanted} was never left");
            }
        }
    }
    let part = |range: std::ops::Range<usize>| -> BTreeSet<&str> {
        seen.iter().map(|left| &left[range.clone()]).collect()
    };
    assert_eq!(part(0..4), ["ssss"].into(), "it was synced");
    assert_eq!(part(4..8), ["1111", "A111", "AB11", "ABC1", "ABCD"].into());
    assert_eq!(part(8..12), ["2222", "E222", "EF22", "EFG2", "EFGH"].into());
    assert_eq!(part(12..14), ["33", "I3", "IJ"].into());
}

#[test]
fn a_file_that_grew_has_any_length_between() {
    let prepare = |disk: &MemoryDisk| {
        let file = synced(disk, "a", b"12");
        file.write_all_at(b"ABCD", 2).expect("written");
    };
    let seen = outcomes(prepare, |disk| read(disk, "a").expect("there"));
    let lengths: BTreeSet<usize> = seen.iter().map(Vec::len).collect();
    assert_eq!(lengths, (2..=6).collect());
    for wanted in [b"12AB\0\0", b"12ABCD", b"12\0\0CD"] {
        assert!(seen.contains(wanted.as_slice()), "{wanted:?}");
    }
    assert!(seen.iter().all(|left| left.starts_with(b"12")));
}

#[test]
fn a_file_that_was_cut_has_the_old_length_or_the_new_one() {
    let prepare = |disk: &MemoryDisk| {
        let file = synced(disk, "a", b"123456");
        file.set_length(3).expect("cut");
    };
    let seen = outcomes(prepare, |disk| text(disk, "a").expect("there"));
    assert_eq!(seen, ["123", "123456"].map(String::from).into());
}

#[test]
fn what_was_cut_does_not_come_back_in_what_grows_later() {
    let disk = disk();
    let file = synced(&disk, "a", b"12345678");
    file.set_length(2).expect("cut");
    file.write_all_at(b"X", 6).expect("written");
    file.sync_data().expect("synced");
    lose_power(&disk, 0);
    assert_eq!(read(&disk, "a").expect("there"), b"12\0\0\0\0X");
}

#[test]
fn what_was_synced_survives_a_power_loss() {
    let seen = outcomes(
        |disk| drop(synced(disk, "a", b"123456")),
        |disk| text(disk, "a"),
    );
    assert_eq!(seen, [Some("123456".to_owned())].into());
}

#[test]
fn names_that_were_not_synced_are_lost_each_by_itself() {
    let prepare = |disk: &MemoryDisk| {
        synced(disk, "old", b"o");
        let files = disk.files();
        let file = files.create(&path("new.tmp")).expect("created");
        file.write_all_at(b"n", 0).expect("written");
        file.sync_all().expect("synced");
        files.rename(&path("new.tmp"), &path("new")).expect("named");
        files.remove(&path("old")).expect("removed");
    };
    let names = |disk: &MemoryDisk| {
        let left = disk.cached();
        assert_ne!(left.get(&path("new")), Some(&Vec::new()), "it was synced");
        let name = |path: &PathBuf| path.file_name().expect("a name").to_owned();
        left.keys().map(name).collect::<Vec<_>>()
    };
    let seen = outcomes(prepare, names);
    let expected: [&[&str]; 6] = [
        &["old"],
        &["new.tmp", "old"],
        &["new", "old"],
        &["new"],
        // These, because no journal orders the removal after the rest.
        &["new.tmp"],
        &[],
    ];
    let expected = expected.map(|names| names.iter().map(Into::into).collect());
    assert_eq!(seen, expected.into());
}

#[test]
fn a_file_takes_another_ones_name_or_does_not() {
    let prepare = |disk: &MemoryDisk| {
        synced(disk, "a", b"old");
        synced(disk, "b", b"new");
        let files = disk.files();
        files.rename(&path("b"), &path("a")).expect("named");
    };
    let seen = outcomes(prepare, |disk| (text(disk, "a"), text(disk, "b")));
    let [old, new] = ["old", "new"].map(|text| Some(text.to_owned()));
    assert_eq!(seen, [(old, new.clone()), (new, None)].into());
}

/// Writes over a file, and fails to sync it.
fn failed(failure: SyncFailure) -> (MemoryDisk, MemoryFile) {
    let disk = disk();
    let file = synced(&disk, "a", b"12345678");
    file.write_all_at(b"AB", 2).expect("written");
    disk.fail_next_sync(failure);
    file.sync_data().expect_err("it was to fail");
    (disk, file)
}

#[test]
fn a_failed_sync_drops_pages_or_leaves_them_marked_clean_and_is_told_once() {
    let (disk, file) = failed(SyncFailure::Dropped);
    assert_eq!(text(&disk, "a").expect("there"), "12345678");
    file.sync_data().expect("it was told once");

    let (disk, file) = failed(SyncFailure::MarkedClean);
    let cached = text(&disk, "a").expect("there");
    assert_eq!(cached, "12AB5678");
    file.sync_data().expect("it was told once");
    assert_ne!(disk.durable()[&path("a")], cached.as_bytes());
    assert_eq!(disk.effects().failed_syncs, 1);
    lose_power(&disk, 0);
    assert_ne!(text(&disk, "a").expect("there"), cached);
}

#[test]
fn pages_that_are_written_again_after_a_failed_sync_are_synced() {
    let (disk, file) = failed(SyncFailure::MarkedClean);
    file.write_all_at(b"AB", 2).expect("written");
    file.sync_data().expect("synced");
    lose_power(&disk, 0);
    assert_eq!(text(&disk, "a").expect("there"), "12AB5678");
}

#[test]
fn a_failed_sync_of_names_may_be_tried_again() {
    let disk = disk();
    let files = disk.files();
    files.create(&path("a")).expect("created");
    disk.fail_next_sync(SyncFailure::Dropped);
    let sync = || files.sync_directory(Path::new("/data"));
    sync().expect_err("it was to fail");
    assert!(disk.durable().is_empty());
    sync().expect("synced");
    assert_eq!(disk.durable().len(), 1);
}

#[test]
fn a_sync_with_nothing_to_write_does_not_fail() {
    let disk = disk();
    let file = synced(&disk, "a", b"1");
    disk.fail_sync_after(1, SyncFailure::Dropped);
    file.sync_data().expect("nothing to write");
    file.write_all_at(b"2", 0).expect("written");
    file.sync_data().expect("one more succeeds");
    file.sync_data().expect("nothing to write");
    assert_eq!(disk.effects().failed_syncs, 0);
    file.write_all_at(b"3", 0).expect("written");
    file.sync_data().expect_err("it was to fail");
}

#[test]
fn a_dead_process_leaves_what_it_wrote_and_does_nothing_more() {
    let disk = disk();
    let files = disk.files();
    let lock = files.lock(&path("lock")).expect("locked");
    let error = files.lock(&path("lock")).expect_err("locked already");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let file = files.create(&path("a")).expect("created");
    file.write_all_at(b"1", 0).expect("written");
    disk.kill();

    file.write_all_at(b"2", 0).expect_err("dead");
    file.sync_data().expect_err("dead");
    files.remove(&path("a")).expect_err("dead");
    files.open(&path("a")).expect_err("dead");
    assert_eq!(text(&disk, "a").expect("there"), "1");
    let again = disk.files().lock(&path("lock")).expect("free again");
    drop(lock);
    disk.files()
        .lock(&path("lock"))
        .expect_err("the dead one's lock is not this one");
    drop(again);
    disk.files().lock(&path("lock")).expect("free again");
}

#[test]
fn a_process_dies_within_an_operation_which_may_be_half_done() {
    let after = |seed| {
        let disk = MemoryDisk::new(PAGE_BYTES, seed);
        let file = disk.files().create(&path("a")).expect("created");
        disk.kill_after(1);
        file.write_all_at(b"1", 0).expect("alive");
        file.length().expect("reading is free");
        file.write_all_at(b"234", 1).expect_err("dead");
        assert_eq!(disk.effects().deaths_within, 1);
        disk.files().open(&path("a")).expect("another lives");
        text(&disk, "a").expect("there")
    };
    let seen: BTreeSet<String> = (0..SEEDS).map(after).collect();
    assert_eq!(seen, ["1", "12", "123", "1234"].map(String::from).into());
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = disk();
    let file = synced(&disk, "a", b"12");
    disk.limit_bytes(Some(4));
    let error = file.write_all_at(b"345", 2).expect_err("full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(text(&disk, "a").expect("there"), "1234");
    file.write_all_at(b"ABCD", 0).expect("in place");
    disk.files().create(&path("b")).expect_err("full");
    assert_eq!(disk.effects().failed_writes, 2);
    disk.limit_bytes(None);
    file.write_all_at(b"E", 4).expect("room again");
}

#[test]
fn a_backup_holds_what_is_durable_and_another_disk_takes_it() {
    let disk = disk();
    let file = synced(&disk, "a", b"12");
    file.write_all_at(b"34", 2).expect("written");
    disk.files().create(&path("b")).expect("created");
    let backup = disk.durable();
    let other = MemoryDisk::new(PAGE_BYTES, 2);
    let files = other.files();
    other.restore(&backup);
    files.list(Path::new("/data")).expect_err("dead");
    assert_eq!(other.cached(), [(path("a"), b"12".to_vec())].into());
    lose_power(&other, 0);
    assert_eq!(other.durable(), backup);
}

#[test]
fn the_same_numbers_leave_the_same() {
    let run = |seed| {
        let disk = disk();
        let files = disk.files();
        for name in ["a", "b", "c", "d"] {
            let file = files.create(&path(name)).expect("created");
            file.write_all_at(&[7; 30], 0).expect("written");
        }
        lose_power(&disk, seed);
        let salt = disk.files().random().expect("never fails");
        (disk.cached(), salt, disk.effects())
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}
