//! The rules about numbers, one by one and under any order of events.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;

fn numbered(book: &mut Book, count: u64) {
    for _ in 0..count {
        assert!(matches!(book.number(), Numbering::Number(_)));
    }
}

#[test]
fn numbers_begin_at_1_and_the_window_is_above_the_lowest_unanswered() {
    let mut book = Book::new(3);
    for number in 1..=3 {
        assert_eq!(book.number(), Numbering::Number(number));
    }
    assert_eq!(book.number(), Numbering::Full);
    book.settle(2);
    assert_eq!(book.number(), Numbering::Full, "1 is unanswered");
    book.settle(1);
    assert_eq!(book.answered_below(), 3);
    assert_eq!(book.number(), Numbering::Number(4));
    assert_eq!(book.number(), Numbering::Number(5));
    assert_eq!(book.number(), Numbering::Full);
}

#[test]
fn a_request_that_is_sent_again_has_the_same_number() {
    let mut book = Book::new(8);
    numbered(&mut book, 2);
    let first = book.send(2, true).expect("it may go home");
    book.settle(1);
    let again = book.send(2, true).expect("and again");
    assert_eq!((first.number, first.answered_below), (2, 1));
    assert_eq!((again.number, again.answered_below), (2, 2));
    assert!(!first.moved && !again.moved);
}

#[test]
fn a_home_that_was_given_up_gets_nothing_new_and_answered_below_stays() {
    let mut book = Book::new(8);
    numbered(&mut book, 3);
    book.send(1, true);
    book.send(2, true);
    book.give_up();
    assert_eq!(book.number(), Numbering::GivenUp);
    assert_eq!(book.send(3, true), None, "the home never got it");
    assert!(book.send(2, true).is_some(), "the home may have it");
    for number in [1, 2, 3] {
        let head = book.send(number, false).expect("it may be moved");
        assert!(head.moved && head.answered_below == 1, "{head:?}");
        book.settle(number);
    }
    assert_eq!(book.answered_below(), 1);
    assert!(book.is_settled());
}

#[test]
fn nothing_is_moved_before_the_home_is_given_up_or_after_it_was_answered() {
    let mut book = Book::new(8);
    numbered(&mut book, 1);
    assert_eq!(book.send(1, false), None);
    book.give_up();
    book.settle(1);
    assert_eq!(book.send(1, false), None);
}

#[test]
fn where_a_request_may_be_is_known() {
    let mut book = Book::new(8);
    numbered(&mut book, 2);
    assert!(!book.may_count(1));
    book.send(1, true);
    assert!(book.may_count(1) && !book.was_moved(1));
    book.give_up();
    assert!(!book.was_moved(1), "it was not sent anywhere yet");
    book.send(1, false);
    assert!(book.was_moved(1) && !book.may_count(2));
}

#[test]
fn a_restored_session_takes_nothing_new_and_knows_nothing_of_where_its_requests_are() {
    let mut book = Book::restored(4, [5, 9]);
    assert_eq!(book.number(), Numbering::GivenUp);
    assert!(book.may_count(5) && book.was_moved(9));
    let head = book.send(9, true).expect("the home may have it");
    assert_eq!(head.answered_below, 4);
    book.settle(5);
    book.settle(9);
    assert_eq!(book.answered_below(), 4);
}

/// What may happen to a session.
#[derive(Clone, Copy, Debug)]
enum Step {
    Number,
    Send(usize, bool),
    Settle(usize),
    GiveUp,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Number),
        8 => (0..32_usize, any::<bool>()).prop_map(|(which, home)| Step::Send(which, home)),
        4 => (0..32_usize).prop_map(Step::Settle),
        1 => Just(Step::GiveUp),
    ];
    vec(step, 0..120)
}

proptest! {
    /// What a home and other nodes are told keeps the rules, whatever happens.
    #[test]
    fn what_is_sent_keeps_the_rules(steps in steps(), window in 1..12_u64) {
        let mut book = Book::new(window);
        let mut given = BTreeSet::new();
        let mut settled = BTreeSet::new();
        let mut told = 1;
        let mut first_moved: Option<u64> = None;
        let (mut at_home, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Number => match book.number() {
                    Numbering::Number(number) => {
                        prop_assert!(given.insert(number), "{number} was given twice");
                        prop_assert_eq!(given.len() as u64, number, "numbers are 1, 2, 3, ...");
                    }
                    Numbering::Full => {
                        let open = given.len() - settled.len();
                        prop_assert!(open > 0, "a window without requests is not full");
                    }
                    Numbering::GivenUp => prop_assert!(book.is_given_up()),
                },
                Step::Send(which, to_home) => {
                    let numbers: Vec<u64> = book.unanswered().collect();
                    let Some(&number) = numbers.get(which % numbers.len().max(1)) else {
                        continue;
                    };
                    let was_sent = at_home.contains(&number) || elsewhere.contains(&number);
                    let may_go = if to_home {
                        !book.is_given_up() || was_sent
                    } else {
                        book.is_given_up()
                    };
                    let Some(head) = book.send(number, to_home) else {
                        prop_assert!(!may_go);
                        continue;
                    };
                    prop_assert!(may_go);
                    prop_assert_eq!(head.number, number);
                    prop_assert_eq!(head.moved, !to_home);
                    prop_assert!(head.answered_below <= number);
                    prop_assert!(number - head.answered_below < window);
                    let below = (1..head.answered_below).all(|number| settled.contains(&number));
                    prop_assert!(below, "an unanswered request lies below");
                    if to_home {
                        at_home.insert(number);
                        prop_assert!(head.answered_below >= told, "it never falls");
                        told = head.answered_below;
                    } else {
                        elsewhere.insert(number);
                        first_moved.get_or_insert(head.answered_below);
                    }
                    if let Some(stopped) = first_moved {
                        prop_assert_eq!(head.answered_below, stopped, "it rises no more");
                    }
                }
                Step::Settle(which) => {
                    let numbers: Vec<u64> = book.unanswered().collect();
                    if let Some(&number) = numbers.get(which % numbers.len().max(1)) {
                        book.settle(number);
                        settled.insert(number);
                    }
                }
                Step::GiveUp => book.give_up(),
            }
        }
        prop_assert_eq!(book.is_settled(), given == settled);
    }
}
