//! Crashes: whatever they leave of an unsynced group is cut, and nothing that was synced is lost.

use super::*;
use crate::memory::random::SplitMix;

/// Damages what was not synced: cuts it, and flips and zeroes bytes of what is left.
fn tear(image: &mut Contents, written: &Written, keep: usize, flips: &[(usize, u8)]) {
    let bytes = image
        .get_mut(&written.active())
        .expect("the active segment");
    let synced = written.last_group.end;
    let unsynced = bytes.len() - synced;
    bytes.truncate(synced + keep.min(unsynced));
    let torn = &mut bytes[synced..];
    for (at, mask) in flips {
        if let Some(count) = torn.len().checked_sub(1) {
            // A mask of 0 stands for a page that never reached the disk.
            let byte = &mut torn[at % (count + 1)];
            *byte = if *mask == 0 { 0 } else { *byte ^ mask };
        }
    }
}

fn assert_nothing_synced_is_lost(image: &Contents, written: &Written) {
    let found = recover(image).expect("a crash is no reason to refuse");
    assert!(
        found.len() >= written.synced,
        "{} of {} synced",
        found.len(),
        written.synced
    );
    assert_eq!(found, written.payloads[..found.len()], "a prefix");
}

#[test]
fn a_torn_tail_is_cut_wherever_it_tears() {
    let written = three_segments();
    let whole = written.image();
    let unsynced = whole[&written.active()].len() - written.last_group.end;
    for at in 0..=unsynced {
        let mut image = whole.clone();
        tear(&mut image, &written, at, &[]);
        assert_nothing_synced_is_lost(&image, &written);
        let mut image = whole.clone();
        tear(&mut image, &written, unsynced, &[(at, 0x10)]);
        assert_nothing_synced_is_lost(&image, &written);
    }
}

#[test]
fn a_torn_group_is_cut_even_if_a_later_frame_of_it_reached_the_disk() {
    let written = three_segments();
    let mut image = written.image();
    tear(&mut image, &written, usize::MAX, &[(0, 0xff)]);
    let found = recover(&image).expect("opened");
    assert_eq!(found, written.payloads[..written.synced]);
}

#[test]
fn a_crash_at_any_step_of_a_snapshot_loses_nothing() {
    let mut written = three_segments();
    written.snapshot();
    written.group(&payloads(&["l"]));
    written.rotate();
    let before = written.image();
    written.snapshot();
    let after = written.image();
    let all = |image: &Contents| {
        assert_eq!(recover(image).expect("opened"), written.payloads);
    };
    all(&before);
    all(&after);

    let is_new = |name: &PathBuf| !before.contains_key(name);
    let name = after
        .keys()
        .find(|name| is_new(name))
        .expect("a snapshot")
        .clone();
    assert!(begins(&name, "snapshot-"));
    for length in 0..=after[&name].len() {
        let mut image = before.clone();
        image.insert(
            name.with_extension("snap.tmp"),
            after[&name][..length].to_vec(),
        );
        all(&image);
    }
    // Named, and then what it stands for removed, file by file, in any order.
    let covered: Vec<_> = before
        .keys()
        .filter(|name| !after.contains_key(*name))
        .collect();
    assert_eq!(
        covered.len(),
        2,
        "a segment and the older snapshot: {covered:?}"
    );
    for removed in 0..1 << covered.len() {
        let mut image = before.clone();
        image.insert(name.clone(), after[&name].clone());
        for (bit, covered) in covered.iter().enumerate() {
            if removed & (1 << bit) != 0 {
                image.remove(*covered);
            }
        }
        all(&image);
    }
}

#[test]
fn what_a_crash_left_over_is_removed() {
    let mut written = three_segments();
    let mut left_over = written.image();
    written.snapshot();
    let clean = written.image();
    left_over.extend(clean.clone());
    left_over.insert(segment(99).with_extension("log.tmp"), b"half".to_vec());
    let disk = restore(&left_over);
    drop(open(&disk).expect("opened"));
    assert_eq!(image(&disk), clean);
}

prop_compose! {
    fn group()(group in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..4))
        -> Vec<Payload> { group }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_crash_leaves_is_a_prefix_with_everything_synced(
        groups in prop::collection::vec((group(), 0..4_u8), 0..6),
        unsynced in group(),
        keep in 0..200_usize,
        flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        zeroed in 0..60_usize,
    ) {
        let mut written = Written::new(1);
        for (group, then) in &groups {
            written.group(group);
            match then {
                0 => { written.rotate(); }
                1 => written.snapshot(),
                _ => {}
            }
        }
        written.unsynced_group(&unsynced);
        let mut image = written.image();
        let zeroes = (0..zeroed).map(|at| (at, 0));
        let flips: Vec<_> = flips.into_iter().chain(zeroes).collect();
        tear(&mut image, &written, keep, &flips);
        assert_nothing_synced_is_lost(&image, &written);
    }
}

#[test]
fn a_death_within_the_removal_of_a_long_file_loses_nothing() {
    let mut written = Written::new(1);
    let group: Vec<Payload> = (0..9).map(|fill| vec![fill; 1 << 20]).collect();
    written.group(&group);
    let (image, payloads) = (written.image(), written.payloads);
    let mut cut = 0;
    for operations in 0.. {
        // Of a size that real disks have: small ones are most of the time of a test of megabytes.
        let disk = MemoryDisk::new(4_096, 2);
        disk.restore(&image);
        let (mut log, _) = open(&disk).expect("nobody damaged it");
        let below = log.rotate().expect("rotated");
        let mut snapshot = log.snapshot(below).expect("begun");
        for payload in &payloads {
            snapshot.append(payload).expect("appended");
        }
        // Deaths before this are within a snapshot; another test has them, of small files.
        let is_within = dies_after(operations, &disk, || drop(snapshot.finish()));
        let is_cut = |(path, bytes): (PathBuf, Vec<u8>)| {
            path.extension().is_some_and(|it| it == "tmp")
                && begins(&path, "segment-")
                && bytes.len() > 1 << 20
        };
        cut += disk
            .cached()
            .into_iter()
            .filter_map(|it| is_cut(it).then_some(()))
            .count();
        let mut random = SplitMix::new(operations);
        disk.lose_power(&mut || random.next());
        let (_, found) = open(&disk).expect("nobody damaged it");
        assert_eq!(found, payloads);
        if !is_within {
            break;
        }
    }
    assert!(cut > 2, "it is removed in pieces: {cut}");
}

/// Runs a process that dies within the file operation after so many, if there is one.
fn dies_after(operations: u64, disk: &MemoryDisk, process: impl FnOnce()) -> bool {
    let deaths = disk.effects().deaths_within;
    disk.kill_after(operations);
    process();
    disk.kill();
    disk.effects().deaths_within > deaths
}

#[test]
fn a_death_within_a_snapshot_one_within_recovery_and_a_power_loss_lose_nothing() {
    let mut written = three_segments();
    written.log.sync().expect("synced");
    let (image, payloads) = (written.image(), written.payloads);
    let snapshot = |disk: &MemoryDisk| -> Result<(), Box<dyn std::error::Error>> {
        let (mut log, _) = try_open(disk)?;
        let below = log.rotate()?;
        let mut snapshot = log.snapshot(below)?;
        for payload in &payloads {
            snapshot.append(payload)?;
        }
        Ok(snapshot.finish()?)
    };
    let deaths = |first: u64, second: u64, seed: u64| {
        let disk = restore(&image);
        let first = dies_after(first, &disk, || drop(snapshot(&disk)));
        let second = dies_after(second, &disk, || drop(try_open(&disk)));
        let mut random = SplitMix::new(seed);
        disk.lose_power(&mut || random.next());
        let (_, found) = open(&disk).expect("nobody damaged it");
        assert_eq!(found, payloads);
        (first, second)
    };
    let firsts = (0..).take_while(|first| deaths(*first, 0, 0).0);
    for first in firsts {
        let seconds = (0..).take_while(|second| deaths(first, *second, 0).1);
        for second in seconds {
            for seed in 1..50 {
                deaths(first, second, seed);
            }
        }
    }
}
