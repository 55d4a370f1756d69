//! The order of a round, and what follows a failure.

use super::*;

const LIMITS: CommitLimits = CommitLimits {
    snapshot_log_bytes_min: 100,
    snapshot_retry_min: Duration::from_secs(1),
    snapshot_retry_max: Duration::from_secs(3),
    seal_after: Duration::from_millis(500),
};

fn at_ms(ms: u64) -> Time {
    Time::from_us(ms * 1000)
}

fn new() -> CommitRounds {
    CommitRounds::new(LIMITS, 0, 0)
}

/// Plays one round of so many bytes, from the append to its completion.
fn play_round(rounds: &mut CommitRounds, now: Time, bytes: u64) -> Round {
    rounds.taken();
    let CommitEffect::Append { round } = rounds.poll(now) else {
        panic!("a round is due")
    };
    rounds.appended(bytes);
    if bytes > 0 {
        assert_eq!(rounds.poll(now), CommitEffect::Sync);
        rounds.synced(now);
    }
    assert_eq!(rounds.poll(now), CommitEffect::Complete { round });
    round
}

#[test]
fn a_round_is_appended_synced_and_only_then_complete() {
    let mut rounds = new();
    let idle = CommitEffect::Wait { until: None };
    assert_eq!(rounds.poll(at_ms(0)), idle);
    assert_eq!(play_round(&mut rounds, at_ms(0), 10), Round::FIRST);
    assert_eq!(play_round(&mut rounds, at_ms(1), 10), Round::new(2));
}

#[test]
fn what_is_taken_during_a_round_gets_the_next_one() {
    let mut rounds = new();
    rounds.taken();
    let first = CommitEffect::Append {
        round: Round::FIRST,
    };
    assert_eq!(rounds.poll(at_ms(0)), first);
    rounds.taken();
    rounds.appended(10);
    assert_eq!(rounds.poll(at_ms(0)), CommitEffect::Sync);
    rounds.synced(at_ms(0));
    assert!(matches!(
        rounds.poll(at_ms(0)),
        CommitEffect::Complete { .. }
    ));
    let second = CommitEffect::Append {
        round: Round::new(2),
    };
    assert_eq!(rounds.poll(at_ms(0)), second);
}

#[test]
fn a_round_without_anything_needs_no_sync() {
    let mut rounds = new();
    assert_eq!(play_round(&mut rounds, at_ms(0), 0), Round::FIRST);
    assert_eq!(rounds.poll(at_ms(600)), CommitEffect::Wait { until: None });
}

#[test]
fn after_a_failure_nothing_is_complete_any_more() {
    let mut rounds = new();
    rounds.taken();
    rounds.poll(at_ms(0));
    rounds.appended(10);
    assert_eq!(rounds.poll(at_ms(0)), CommitEffect::Sync);
    rounds.failed();
    rounds.taken();
    rounds.close();
    for ms in 0..5_000 {
        assert_eq!(rounds.poll(at_ms(ms)), CommitEffect::Failed);
    }
}

#[test]
fn the_last_round_has_everything_taken_before_the_close() {
    let mut rounds = new();
    rounds.close();
    let last = CommitEffect::Append {
        round: Round::FIRST,
    };
    assert_eq!(rounds.poll(at_ms(0)), last);
    rounds.appended(1_000);
    rounds.poll(at_ms(0));
    rounds.synced(at_ms(0));
    rounds.poll(at_ms(0));
    assert_eq!(rounds.poll(at_ms(0)), CommitEffect::End, "and no snapshot");
    rounds.close();
    assert_eq!(rounds.poll(at_ms(0)), CommitEffect::End, "once is enough");
}

#[test]
fn an_idle_log_is_sealed_once() {
    let mut rounds = new();
    play_round(&mut rounds, at_ms(100), 10);
    let until = Some(at_ms(600));
    assert_eq!(rounds.poll(at_ms(100)), CommitEffect::Wait { until });
    assert_eq!(rounds.poll(at_ms(600)), CommitEffect::Seal);
    assert_eq!(rounds.poll(at_ms(601)), CommitEffect::Wait { until: None });
    play_round(&mut rounds, at_ms(700), 10);
    assert_eq!(rounds.poll(at_ms(1_200)), CommitEffect::Seal);
}

#[test]
fn a_log_that_has_outgrown_its_snapshot_gets_another() {
    let mut rounds = CommitRounds::new(LIMITS, 0, 150);
    play_round(&mut rounds, at_ms(0), 140);
    assert!(matches!(rounds.poll(at_ms(0)), CommitEffect::Wait { .. }));
    play_round(&mut rounds, at_ms(0), 10);
    assert_eq!(rounds.poll(at_ms(0)), CommitEffect::Cut);
    rounds.cut(77);
    let begin = CommitEffect::BeginSnapshot { below: 77 };
    assert_eq!(rounds.poll(at_ms(0)), begin);
    // Rounds go on beside it, and no other one begins.
    play_round(&mut rounds, at_ms(1), 500);
    assert!(matches!(rounds.poll(at_ms(1)), CommitEffect::Wait { .. }));
    rounds.snapshot_written(600, 500);
    assert!(matches!(rounds.poll(at_ms(1)), CommitEffect::Wait { .. }));
    play_round(&mut rounds, at_ms(2), 100);
    assert_eq!(rounds.poll(at_ms(2)), CommitEffect::Cut);
}

#[test]
fn a_long_log_that_was_read_back_gets_a_snapshot_with_the_first_round() {
    let mut rounds = CommitRounds::new(LIMITS, 100, 99);
    let idle = CommitEffect::Wait { until: None };
    assert_eq!(rounds.poll(at_ms(0)), idle, "no round to stand for");
    play_round(&mut rounds, at_ms(0), 0);
    assert_eq!(rounds.poll(at_ms(0)), CommitEffect::Cut);
}

#[test]
fn a_failed_snapshot_is_tried_again_later_and_from_the_same_cut() {
    let mut rounds = new();
    play_round(&mut rounds, at_ms(0), 200);
    assert_eq!(rounds.poll(at_ms(0)), CommitEffect::Cut);
    rounds.cut(5);
    let begin = CommitEffect::BeginSnapshot { below: 5 };
    assert_eq!(rounds.poll(at_ms(0)), begin);
    let mut now_ms = 0;
    for wait_ms in [1_000, 2_000, 3_000, 3_000] {
        rounds.snapshot_failed(at_ms(now_ms));
        play_round(&mut rounds, at_ms(now_ms), 200);
        assert!(matches!(
            rounds.poll(at_ms(now_ms + wait_ms - 1)),
            CommitEffect::Wait { .. } | CommitEffect::Seal
        ));
        now_ms += wait_ms;
        assert_eq!(rounds.poll(at_ms(now_ms)), begin, "{wait_ms}");
    }
    rounds.snapshot_written(10, 0);
    assert!(matches!(
        rounds.poll(at_ms(now_ms)),
        CommitEffect::Wait { .. } | CommitEffect::Seal
    ));
}

#[test]
#[should_panic(expected = "the driver reports")]
fn a_driver_that_reports_nothing_is_told_nothing() {
    let mut rounds = new();
    rounds.taken();
    rounds.poll(at_ms(0));
    rounds.poll(at_ms(0));
}
