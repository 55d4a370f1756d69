//! Seals: what an idle log has acknowledged last is as safe from damage as everything before it.

use super::*;

/// A log whose last group, of three frames, was synced.
fn idle() -> Written {
    let mut written = Written::new(1);
    written.group(&payloads(&["a", "bb"]));
    written.group(&payloads(&["ccc", "d", "eeeee"]));
    written
}

/// What opening gives for each flipped bit of the last synced group.
fn flipped(written: &Written) -> Vec<Result<Vec<Payload>, LogError>> {
    let whole = written.image();
    let bits = written.last_group.start * 8..written.last_group.end * 8;
    let flip = |bit: usize| {
        let mut image = whole.clone();
        image.get_mut(&written.active()).expect("there")[bit / 8] ^= 1 << (bit % 8);
        recover(&image)
    };
    bits.map(flip).collect()
}

#[test]
fn any_flipped_bit_of_the_last_synced_group_is_refused_once_it_is_sealed() {
    let mut written = idle();
    // Unsealed, it looks like a torn write: this is what seals are for.
    for found in flipped(&written) {
        let found = found.expect("cut as if torn");
        assert!(
            found.len() < written.synced,
            "an acknowledged frame is lost"
        );
    }
    written.log.seal().expect("written");
    for found in flipped(&written) {
        assert!(matches!(found, Err(LogError::Damaged { .. })), "{found:?}");
    }
    assert_eq!(recover(&written.image()).expect("sound"), written.payloads);
}

#[test]
fn a_seal_that_a_crash_tears_is_cut_and_nothing_else() {
    let mut written = idle();
    let unsealed = written.active_bytes();
    written.log.seal().expect("written");
    let whole = written.image();
    for length in unsealed..written.active_bytes() {
        let mut image = whole.clone();
        let bytes = image.get_mut(&written.active()).expect("there");
        bytes.truncate(length);
        assert_eq!(recover(&image).expect("torn"), written.payloads);
        let mut image = whole.clone();
        image.get_mut(&written.active()).expect("there")[length] ^= 1;
        assert_eq!(recover(&image).expect("torn"), written.payloads);
    }
}

#[test]
fn a_seal_costs_no_sync_and_is_written_once() {
    let mut written = idle();
    let (bytes, status) = (written.active_bytes(), written.log.watcher().status());
    written.log.seal().expect("written");
    let sealed = written.active_bytes();
    assert!(sealed > bytes);
    for _ in 0..3 {
        written.log.seal().expect("nothing to do");
        written.log.sync().expect("nothing to do");
    }
    assert_eq!(written.active_bytes(), sealed);
    assert_eq!(written.log.watcher().status(), status);
}

#[test]
fn nothing_is_sealed_that_is_not_synced_or_that_a_segment_seals() {
    let mut written = Written::new(1);
    let empty = written.active_bytes();
    written.log.seal().expect("nothing to do");
    assert_eq!(written.active_bytes(), empty);
    written.group(&payloads(&["a"]));
    written.unsynced_group(&payloads(&["b"]));
    let bytes = written.active_bytes();
    written.log.seal().expect("nothing to do");
    assert_eq!(written.active_bytes(), bytes);
    written.rotate();
    written.log.seal().expect("nothing to do");
    assert_eq!(written.active_bytes(), empty);
}

#[test]
fn a_sealed_log_goes_on_and_every_frame_is_numbered() {
    let mut written = idle();
    written.log.seal().expect("written");
    written.group(&payloads(&["f"]));
    written.log.seal().expect("written");
    // A segment proves that everything before it is synced, so the seal has to be as well.
    written.rotate();
    let mut random = crate::memory::random::SplitMix::new(1);
    written.disk.lose_power(&mut || random.next());
    assert_eq!(recover(&written.image()).expect("sound"), written.payloads);
}

#[test]
fn a_seal_that_does_not_fit_is_written_with_the_next_group() {
    let mut written = idle();
    written.disk.limit_bytes(Some(0));
    assert!(matches!(written.log.seal(), Err(WriteError::File(_))));
    written.disk.limit_bytes(None);
    written.group(&payloads(&["f"]));
    assert_eq!(recover(&written.image()).expect("sound"), written.payloads);
}
