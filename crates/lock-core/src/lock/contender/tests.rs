//! One contender, told what the server says: holds, batches, and what becomes of each add.

use super::*;
use crate::Amount;

const GRANTED_10: Reply = Reply::Granted {
    carried: Some(Value(10)),
};

fn add(id: u64, amount: i64) -> Add {
    Add {
        id: AddId(id),
        amount: Amount::new(amount).expect("not 0"),
    }
}

fn settled(id: u64, outcome: Outcome) -> Effect<Request> {
    Effect::Settled {
        add: AddId(id),
        outcome,
    }
}

fn release(value: Option<i64>) -> Effect<Request> {
    Effect::Send(Request::Release {
        carried: value.map(Value),
    })
}

fn acquire(travels: ValueTravels) -> Effect<Request> {
    Effect::Send(Request::Acquire { travels })
}

/// A contender with adds 1, 2 and 3 of those amounts, waiting for the lock.
fn waiting(travels: ValueTravels, batch_max: usize) -> Contender {
    let mut contender = Contender::new(travels, batch_max);
    assert_eq!(contender.start(add(1, 1)), [acquire(travels)]);
    assert_eq!(contender.start(add(2, 2)), []);
    assert_eq!(contender.start(add(3, 3)), []);
    contender
}

#[test]
fn a_travelling_hold_is_one_round_trip_and_the_next_one_is_asked_for_with_it() {
    let travels = ValueTravels::WithTheLock;
    let mut contender = waiting(travels, 1);
    assert_eq!(
        contender.receive(GRANTED_10),
        Ok(vec![release(Some(11)), acquire(travels)])
    );
    assert_eq!(
        contender.receive(Reply::Stored),
        Ok(vec![settled(1, Outcome::Counted)])
    );
    assert!(!contender.is_idle());
}

#[test]
fn a_separate_hold_reads_and_writes_and_then_releases() {
    let mut contender = waiting(ValueTravels::Separately, 3);
    contender
        .receive(Reply::Granted { carried: None })
        .expect("a grant was awaited");
    assert!(contender.holds_lock());
    let value = Reply::Register(register::Reply::Value(Value(10)));
    let write = register::Request::Write {
        value: Value(16),
        token: FencingToken::UNFENCED,
    };
    assert_eq!(contender.receive(value), Ok(vec![to_register(write)]));
    let effects = contender.receive(Reply::Register(register::Reply::Written));
    let counted = |id| settled(id, Outcome::Counted);
    assert_eq!(
        effects,
        Ok(vec![counted(1), counted(2), counted(3), release(None)])
    );
    assert!(contender.is_idle());
}

#[test]
fn a_batch_goes_on_after_an_add_that_does_not_fit() {
    let mut contender = waiting(ValueTravels::WithTheLock, 3);
    let near = Reply::Granted {
        carried: Some(Value(i64::MAX - 2)),
    };
    assert_eq!(
        contender.receive(near),
        Ok(vec![release(Some(i64::MAX - 1))])
    );
    let refused = Outcome::Refused(Refusal::OutOfRange);
    let all = vec![
        settled(1, Outcome::Counted),
        settled(2, refused),
        settled(3, refused),
    ];
    assert_eq!(contender.receive(Reply::Stored), Ok(all));
}

#[test]
fn a_withdrawn_add_never_counts_and_the_lock_is_given_back() {
    let mut contender = waiting(ValueTravels::WithTheLock, 1);
    assert!(
        [1, 2, 3]
            .into_iter()
            .all(|id| contender.withdraw(AddId(id)))
    );
    assert!(!contender.withdraw(AddId(1)));
    assert_eq!(contender.receive(GRANTED_10), Ok(vec![release(None)]));
    assert!(contender.is_idle());
}

#[test]
fn a_lost_server_puts_what_was_written_in_doubt_and_refuses_the_rest() {
    for travels in [ValueTravels::WithTheLock, ValueTravels::Separately] {
        let mut contender = waiting(travels, 1);
        match travels {
            ValueTravels::WithTheLock => contender.receive(GRANTED_10).expect("awaited"),
            ValueTravels::Separately => {
                contender
                    .receive(Reply::Granted { carried: None })
                    .expect("awaited");
                let value = Reply::Register(register::Reply::Value(Value(10)));
                contender.receive(value).expect("awaited")
            }
        };
        let refused = Outcome::Refused(Refusal::ServerLost);
        let all = [
            settled(1, Outcome::Indeterminate),
            settled(2, refused),
            settled(3, refused),
        ];
        assert_eq!(contender.connection_lost(), all);
        assert_eq!(contender, Contender::new(travels, 1));
    }
}

#[test]
fn an_unexpected_reply_changes_nothing_and_says_what_was_awaited() {
    let (with, separately) = (ValueTravels::WithTheLock, ValueTravels::Separately);
    let after = |travels, replies: &[Reply]| {
        let mut contender = waiting(travels, 3);
        for &reply in replies {
            contender.receive(reply).expect("it was awaited");
        }
        contender
    };
    let granted = Reply::Granted { carried: None };
    let value = Reply::Register(register::Reply::Value(Value(10)));
    let found = Reply::Register(register::Reply::Incremented);
    for (mut contender, awaited) in [
        (Contender::new(with, 3), "nothing"),
        (after(with, &[]), "granted"),
        (after(with, &[GRANTED_10]), "stored"),
        (after(separately, &[granted]), "a value"),
        (after(separately, &[granted, value]), "written"),
    ] {
        let before = contender.clone();
        let error = contender.receive(found);
        assert_eq!(error, Err(UnexpectedReply { awaited, found }));
        assert_eq!(contender, before);
    }
    let mut contender = after(with, &[]);
    contender.receive(Reply::Stored).expect_err("not awaited");
}

#[test]
fn a_hold_takes_the_first_adds_of_the_queue() {
    let contender = waiting(ValueTravels::WithTheLock, 2);
    assert!(contender.next_batch().eq([1, 2].map(AddId)));
}
