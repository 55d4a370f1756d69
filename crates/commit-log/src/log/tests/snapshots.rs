//! Snapshots that fail: the log goes on, nothing is left of them, and another try needs no rotation.

use super::*;
use crate::memory::SyncFailure;

/// Payloads of the first segment.
const BELOW: usize = 2;

/// A log of two segments, and where a snapshot of the first one ends.
fn rotated() -> (Written, Sequence) {
    let mut written = Written::new(1);
    written.group(&payloads(&["a", "bb"]));
    let below = written.rotate();
    written.group(&payloads(&["ccc"]));
    (written, below)
}

fn write(written: &Written, below: Sequence) -> Result<(), WriteError> {
    let mut snapshot = written.log.snapshot(below)?;
    for payload in &written.payloads[..BELOW] {
        snapshot.append(payload)?;
    }
    snapshot.finish()
}

/// What must hold after a failure.
fn assert_it_goes_on(mut written: Written, below: Sequence) {
    let is_temporary = |path: &PathBuf| path.extension() == Some("tmp".as_ref());
    assert!(!written.image().keys().any(is_temporary));
    assert!(!written.log.watcher().status().snapshot_is_running);
    assert_eq!(recover(&written.image()).expect("sound"), written.payloads);

    written.group(&payloads(&["after"]));
    let segments = written.log.watcher().status().segment_count;
    write(&written, below).expect("another try");
    let status = written.log.watcher().status();
    assert_eq!(status.segment_count, segments - 1, "the first segment went");
    assert!(status.snapshot_bytes > 0);
    assert_eq!(recover(&written.image()).expect("sound"), written.payloads);
}

#[test]
fn a_snapshot_that_does_not_fit_fails_wherever_the_disk_ends() {
    let used: usize = rotated().0.image().values().map(Vec::len).sum();
    for room in 0.. {
        let (written, below) = rotated();
        written.disk.limit_bytes(Some(used + room));
        let result = write(&written, below);
        written.disk.limit_bytes(None);
        if result.is_ok() {
            assert!(room > 100, "a snapshot of two frames takes more");
            return;
        }
        assert!(matches!(result, Err(WriteError::File(_))), "{result:?}");
        assert_it_goes_on(written, below);
    }
}

#[test]
fn a_snapshot_that_cannot_be_synced_fails_and_the_log_goes_on() {
    for failure in [SyncFailure::Dropped, SyncFailure::MarkedClean] {
        // Of its bytes, and of its name.
        for syncs in 0..2 {
            let (written, below) = rotated();
            written.disk.fail_sync_after(syncs, failure);
            write(&written, below).expect_err("not synced");
            assert_it_goes_on(written, below);
        }
    }
}

#[test]
fn a_snapshot_that_is_dropped_leaves_nothing() {
    let (written, below) = rotated();
    let mut snapshot = written.log.snapshot(below).expect("created");
    snapshot.append(b"half").expect("buffered");
    drop(snapshot);
    assert_it_goes_on(written, below);
}

#[test]
fn a_rotation_of_an_empty_segment_changes_nothing() {
    let (mut written, _) = rotated();
    let below = written.rotate();
    let before = written.image();
    assert_eq!(written.rotate(), below);
    assert_eq!(written.log.active_segment(), below);
    assert_eq!(written.image(), before);
}

#[test]
fn a_snapshot_can_end_where_the_active_segment_begins() {
    let (written, below) = rotated();
    assert_eq!(written.log.active_segment(), below);
    write(&written, written.log.active_segment()).expect("no rotation is needed");
    let status = written.log.watcher().status();
    assert_eq!(status.segment_count, 1);
    assert_eq!(recover(&written.image()).expect("sound"), written.payloads);
}
