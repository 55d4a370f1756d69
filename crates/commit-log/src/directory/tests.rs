//! Who may open a data directory, and what a crash during its creation leaves.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::ForkMark;
use crate::identity::CLUSTER_NAME_BYTES_MAX;
use crate::memory::{MemoryDisk, SyncFailure};
use tempfile::TempDir;

fn expected() -> ExpectedIdentity {
    ExpectedIdentity {
        cluster: "likes".to_owned(),
        shard_count: 16,
    }
}

fn created() -> (TempDir, Identity) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let opened = DataDirectory::open_or_create(directory.path(), &expected()).expect("created");
    let identity = opened.identity().clone();
    (directory, identity)
}

fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("listed");
    let paths = entries.map(|entry| entry.expect("listed").path());
    let mut files: Vec<_> = paths
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect();
    files.sort();
    files
}

#[test]
fn a_replica_id_is_128_bits_of_the_random_source() {
    let disk = MemoryDisk::new(64, 9);
    let opened = DataDirectory::open_or_create_in(disk.files(), "/data".as_ref(), &expected());
    let replica = opened.expect("created").identity().replica;
    let mut source = crate::memory::random::SplitMix::new(9);
    let halves = [source.next(), source.next()];
    assert_eq!(
        [replica >> 64, replica & u128::from(u64::MAX)],
        halves.map(u128::from)
    );
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let (directory, _) = created();
    let first = DataDirectory::open_or_create(directory.path(), &expected()).expect("opened");
    let error = DataDirectory::open_or_create(directory.path(), &expected()).unwrap_err();
    assert!(matches!(&error, DirectoryError::InUse { path } if path == directory.path()));
    assert!(
        error
            .to_string()
            .contains(&directory.path().display().to_string())
    );
    drop(first);
    DataDirectory::open_or_create(directory.path(), &expected()).expect("opened");
}

#[test]
fn another_cluster_shard_count_or_format_is_refused_and_nothing_changes() {
    let (directory, identity) = created();
    let path = directory.path();
    let before = contents(path);
    let open = |expected: &ExpectedIdentity| {
        DataDirectory::open_or_create(path, expected).expect_err("refused")
    };

    let error = open(&ExpectedIdentity {
        cluster: "votes".to_owned(),
        ..expected()
    });
    assert!(matches!(&error, DirectoryError::Cluster { .. }));
    let message = error.to_string();
    assert!(
        message.contains("votes") && message.contains("likes"),
        "{message}"
    );

    let error = open(&ExpectedIdentity {
        shard_count: 8,
        ..expected()
    });
    assert!(matches!(
        error,
        DirectoryError::ShardCount {
            expected: 8,
            found: 16,
            ..
        }
    ));
    assert_eq!(contents(path), before);

    let text = identity.render(FORMAT_VERSION + 1);
    fs::write(path.join(IDENTITY_NAME), text).expect("written");
    let before = contents(path);
    let error = open(&expected());
    assert!(matches!(
        error,
        DirectoryError::FormatVersion { found: 4, .. }
    ));
    let message = error.to_string();
    assert!(
        message.contains("version 4") && message.contains("expected 1 to 3"),
        "{message}"
    );
    assert_eq!(contents(path), before);
}

#[test]
fn a_damaged_identity_is_refused_whichever_bit_flipped() {
    let (directory, _) = created();
    let path = directory.path().join(IDENTITY_NAME);
    let bytes = fs::read(&path).expect("read");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).expect("written");
        let result = DataDirectory::open_or_create(directory.path(), &expected());
        assert!(result.is_err(), "bit {bit}");
    }
}

#[test]
fn log_files_without_an_identity_are_refused() {
    let (directory, _) = created();
    fs::remove_file(directory.path().join(IDENTITY_NAME)).expect("removed");
    let segment = directory
        .path()
        .join(LogFile::Segment(Sequence::FIRST).name());
    let mut file = OpenOptions::new()
        .append(true)
        .open(&segment)
        .expect("opened");
    file.write_all(b"frames").expect("written");
    let before = contents(directory.path());
    let error = DataDirectory::open_or_create(directory.path(), &expected()).unwrap_err();
    assert!(matches!(error, DirectoryError::IdentityMissing { found, .. } if found == segment));
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn a_half_created_directory_is_created_again() {
    let steps: [&[&str]; 4] = [
        &[],
        &["lock"],
        &["lock", "segment-00000000000000000001.log"],
        &["lock", "segment-00000000000000000001.log", "identity.tmp"],
    ];
    for left in steps {
        let (directory, before) = created();
        let identity = directory.path().join(IDENTITY_NAME);
        fs::rename(&identity, directory.path().join("identity.tmp")).expect("renamed");
        for (path, _) in contents(directory.path()) {
            if !left.iter().any(|name| path.ends_with(name)) {
                fs::remove_file(path).expect("removed");
            }
        }
        let again = DataDirectory::open_or_create(directory.path(), &expected());
        let after = again.expect("created").identity().clone();
        assert_ne!(after.replica, before.replica);
        assert!(!directory.path().join("identity.tmp").exists());
    }
}

#[test]
fn a_name_that_cannot_be_written_down_is_no_cluster_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in [
        "",
        "a\"b",
        "a\\b",
        "a\nb",
        &"a".repeat(CLUSTER_NAME_BYTES_MAX + 1),
    ] {
        let expected = ExpectedIdentity {
            cluster: name.to_owned(),
            shard_count: 1,
        };
        let result = DataDirectory::open_or_create(&directory.path().join("x"), &expected);
        assert!(
            matches!(result, Err(DirectoryError::ClusterName { .. })),
            "{name}"
        );
    }
    assert!(!directory.path().join("x").exists());
}

const NOTE: ForkNote = ForkNote {
    lane: 7,
    held: ForkMark {
        version: 12,
        start: 1,
    },
    seen: ForkMark {
        version: 14,
        start: 2,
    },
};

#[test]
fn a_note_of_a_fork_is_durable_and_the_first_stays() {
    let (disk, path) = (MemoryDisk::new(64, 1), Path::new("/data"));
    let open = || DataDirectory::open_or_create_in(disk.files(), path, &expected());
    let directory = open().expect("created");
    assert_eq!(directory.forked(), None);
    directory.note_fork(NOTE).expect("written");
    assert_eq!(directory.forked(), Some(NOTE));
    // Loses every name that was not synced.
    disk.lose_power(&mut || 3);
    for _ in 0..2 {
        let directory = open().expect("opened");
        assert_eq!(directory.forked(), Some(NOTE));
        let other = ForkNote { lane: 8, ..NOTE };
        directory.note_fork(other).expect("nothing to do");
        assert_eq!(directory.forked(), Some(NOTE));
    }
}

#[test]
fn a_note_that_could_not_be_written_is_not_there_and_may_be_tried_again() {
    let (disk, path) = (MemoryDisk::new(64, 1), Path::new("/data"));
    let open = || DataDirectory::open_or_create_in(disk.files(), path, &expected());
    let directory = open().expect("created");
    disk.fail_next_sync(SyncFailure::Dropped);
    directory.note_fork(NOTE).expect_err("not synced");
    assert_eq!(directory.forked(), None);
    directory.note_fork(NOTE).expect("written");
    disk.kill();
    assert_eq!(open().expect("opened").forked(), Some(NOTE));
}

#[test]
fn a_damaged_note_of_a_fork_is_refused_whichever_byte_changed() {
    let (disk, path) = (MemoryDisk::new(64, 1), Path::new("/data"));
    let open = || DataDirectory::open_or_create_in(disk.files(), path, &expected());
    open().expect("created").note_fork(NOTE).expect("written");
    let (whole, note) = (disk.durable(), path.join("forked"));
    for at in 0..whole[&note].len() {
        let mut damaged = whole.clone();
        damaged.get_mut(&note).expect("there")[at] ^= 1;
        disk.restore(&damaged);
        let error = open().expect_err("damaged");
        assert!(matches!(error, DirectoryError::ForkNoteDamaged { .. }));
        let message = error.to_string();
        assert!(message.contains("/data/forked is damaged"), "{message}");
    }
    let mut damaged = whole.clone();
    damaged.insert(note, Vec::new());
    disk.restore(&damaged);
    let error = open().expect_err("empty");
    assert!(matches!(error, DirectoryError::ForkNoteDamaged { .. }));
}
