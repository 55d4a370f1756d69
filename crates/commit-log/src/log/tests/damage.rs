//! Damage: a disk that changes bytes, an operator who removes or mixes up files. It is refused with
//! the place, wherever something that was written later proves that it is no torn write.

use super::*;
use crate::{frame, snapshot};

/// Whether a byte of a file is in the one place where damage looks like a torn write: the groups
/// that no later group, segment or footer proves to be synced.
fn is_unproven(written: &Written, file: &Path, at: usize) -> bool {
    file == written.active() && at >= written.last_group.start
}

/// Damage at a place must be refused, or, where nothing proves it, cut to what was proven.
fn assert_no_silent_loss(image: &Contents, written: &Written, file: &Path, at: usize) {
    match recover(image) {
        Ok(found) => {
            assert!(
                is_unproven(written, file, at),
                "{} at {at} was not refused",
                file.display()
            );
            assert!(found.len() >= written.synced_before);
            assert_eq!(found, written.payloads[..found.len()], "a prefix");
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("nothing was changed"), "{message}");
        }
    }
}

fn log_files(image: &Contents) -> Vec<PathBuf> {
    let is_log_file = |path: &&PathBuf| **path != self::path("identity");
    image.keys().filter(is_log_file).cloned().collect()
}

/// Segments, a snapshot, and an active segment whose last group was synced.
fn everything_synced() -> Written {
    let mut written = three_segments();
    written.snapshot();
    written.group(&payloads(&["l"]));
    written.rotate();
    written.group(&payloads(&["m", "n"]));
    written.group(&payloads(&["o"]));
    written
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is_proven_to_be_no_torn_write() {
    let written = everything_synced();
    let whole = written.image();
    for name in log_files(&whole) {
        for at in 0..whole[&name].len() {
            let mut image = whole.clone();
            image.get_mut(&name).expect("there")[at] ^= 1 << (at % 8);
            assert_no_silent_loss(&image, &written, &name, at);
        }
    }
}

#[test]
fn a_file_that_lost_its_end_is_refused_wherever_it_is_proven_to_be_no_torn_write() {
    let written = everything_synced();
    let whole = written.image();
    for name in log_files(&whole) {
        for length in 0..whole[&name].len() {
            // A segment that ends with a whole group looks like one that was never longer.
            if name == written.active() && length >= header::FILE_HEADER_BYTES {
                continue;
            }
            let mut image = whole.clone();
            image.get_mut(&name).expect("there").truncate(length);
            assert_no_silent_loss(&image, &written, &name, length);
        }
    }
}

#[test]
fn a_bad_frame_that_a_later_group_proves_to_be_synced_is_refused_with_the_place() {
    let written = three_segments();
    let mut image = written.image();
    // The length of the last synced frame's group: what follows cannot be found by it.
    let at = written.last_group.start;
    image.get_mut(&written.active()).expect("there")[at] ^= 0xff;
    let error = recover(&image).expect_err("an unsynced group follows");
    let LogError::Damaged {
        path,
        offset,
        expected,
        found,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(path, written.active());
    assert_eq!(offset, at as u64);
    assert!(expected.contains("synced") && found.contains("later frame"));
}

#[test]
fn damage_in_a_closed_segment_is_refused_with_the_place() {
    let mut image = three_segments().image();
    image.get_mut(&segment(4)).expect("there")[73] ^= 1;
    let error = recover(&image).expect_err("a segment follows");
    let LogError::Damaged { path, offset, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(path, segment(4));
    assert_eq!(offset, 73);
}

#[test]
fn a_file_that_lost_a_whole_frame_is_refused() {
    // Frames "f" and "g" of the active segment, "l" of a snapshot: 25 bytes each.
    let mut written = three_segments();
    let mut image = written.image();
    image
        .get_mut(&written.active())
        .expect("there")
        .drain(48..48 + 25);
    let error = recover(&image).expect_err("frame 6 is gone");
    assert!(
        matches!(error, LogError::Damaged { offset: 48, .. }),
        "{error}"
    );

    written.group(&payloads(&["l"]));
    written.snapshot();
    let mut image = written.image();
    let name = image
        .keys()
        .find(|name| begins(name, "snapshot-"))
        .expect("there")
        .clone();
    let snapshot = image.get_mut(&name).expect("there");
    let footer = snapshot.len() - snapshot::FOOTER_BYTES;
    snapshot.drain(footer - 25..footer);
    let error = recover(&image).expect_err("the footer counts one more");
    assert!(
        matches!(&error, LogError::Damaged { offset, .. } if *offset == footer as u64 - 25),
        "{error}"
    );
}

#[test]
fn a_proof_is_found_across_the_windows_of_the_search() {
    let mut written = Written::new(1);
    let at = written.active_bytes();
    // The next group's header begins at the last byte of a window, counted from the bad frame.
    let window = 256 * 1024;
    written.group(&[vec![0; window - 1 - frame::FRAME_HEADER_BYTES]]);
    written.group(&payloads(&["proof"]));
    let mut image = written.image();
    image.get_mut(&written.active()).expect("there")[at] ^= 1;
    assert!(matches!(recover(&image), Err(LogError::Damaged { .. })));
}

#[test]
fn a_payload_that_looks_like_a_later_frame_proves_nothing() {
    let mut written = Written::new(1);
    written.group(&payloads(&["a"]));
    let forged = FrameHeader::new(frame::Seed(0), Sequence::new(3), Sequence::new(3), b"");
    let payload = [[0; 64].as_slice(), &forged.encode()].concat();
    written.unsynced_group(&[payload]);
    let mut image = written.image();
    image.get_mut(&written.active()).expect("there")[written.last_group.end] ^= 1;
    assert_eq!(recover(&image).expect("torn"), payloads(&["a"]));
}

#[test]
fn a_missing_segment_is_refused_with_its_name() {
    let whole = three_segments().image();
    for missing in [1, 4] {
        let mut image = whole.clone();
        image.remove(&segment(missing)).expect("there");
        let error = recover(&image).expect_err("a gap");
        let LogError::SegmentMissing { path, sequence, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(path, segment(missing));
        assert_eq!(sequence, Sequence::new(missing));
    }
}

#[test]
fn an_identity_without_any_segment_is_refused() {
    for (mut written, next) in [(Written::new(1), 1), (everything_synced(), 12)] {
        written.log.sync().expect("synced");
        let mut image = written.image();
        image.retain(|name, _| !begins(name, "segment-"));
        let error = recover(&image).expect_err("the log is gone");
        assert!(
            matches!(error, LogError::SegmentMissing { sequence, .. } if sequence.get() == next),
            "{error}"
        );
    }
}

#[test]
fn a_lost_snapshot_is_refused() {
    let mut image = everything_synced().image();
    image.retain(|name, _| !begins(name, "snapshot-"));
    let error = recover(&image).expect_err("its segments are gone");
    assert!(matches!(
        error,
        LogError::SegmentMissing {
            sequence: Sequence::FIRST,
            ..
        }
    ));
}

#[test]
fn a_segment_of_another_replica_is_refused() {
    let mut image = three_segments().image();
    let mut other = Written::new(7);
    other.group(&payloads(&["a", "bb", "ccc"]));
    other.rotate();
    image.insert(segment(4), other.image()[&segment(4)].clone());
    assert!(matches!(recover(&image), Err(LogError::Replica { .. })));
}

#[test]
fn a_segment_under_another_ones_name_is_refused() {
    let mut image = three_segments().image();
    let second = image[&segment(4)].clone();
    image.insert(segment(6), second);
    assert!(matches!(
        recover(&image),
        Err(LogError::Damaged { offset: 28, .. })
    ));
}

#[test]
fn an_unknown_version_is_refused() {
    let mut image = three_segments().image();
    image.get_mut(&segment(4)).expect("there")[8] = 4;
    let error = recover(&image).expect_err("from the future");
    assert!(matches!(error, LogError::FormatVersion { found: 4, .. }));
    let message = error.to_string();
    assert!(
        message.contains("version 4") && message.contains("expected 1 to 3"),
        "{message}"
    );
}

#[test]
fn a_frame_that_the_caller_refuses_is_named_and_nothing_changes() {
    let whole = three_segments().image();
    let disk = restore(&whole);
    let opened = Log::open(open_directory(&disk), |_, payload| {
        if payload == b"eeeee" {
            Err("unknown counter")
        } else {
            Ok(())
        }
    });
    let error = opened.expect_err("refused");
    let OpenError::Frame {
        path,
        offset,
        source,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(path, segment(4));
    assert_eq!((offset, source), (73, "unknown counter"));
    assert_eq!(self::image(&disk), whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_is_refused_or_cut_to_a_prefix_with_everything_proven(
        sizes in prop::collection::vec((prop::collection::vec(1..60_usize, 1..4), 0..4_u8), 1..6),
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        mask in 1..=u8::MAX,
    ) {
        let mut written = Written::new(1);
        for (index, (group, then)) in sizes.iter().enumerate() {
            let fill = u8::try_from(index).expect("few");
            written.group(&group.iter().map(|size| vec![fill; *size]).collect::<Vec<_>>());
            match then {
                0 => { written.rotate(); }
                1 => written.snapshot(),
                _ => {}
            }
        }
        let mut image = written.image();
        let name = file.get(&log_files(&image)).clone();
        let bytes = image.get_mut(&name).expect("there");
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        assert_no_silent_loss(&image, &written, &name, at);
    }
}
