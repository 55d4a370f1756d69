//! Makes a failing schedule small: delta debugging (Zeller, Hildebrandt, "Simplifying and
//! Isolating Failure-Inducing Input", 2002) over its requests, its faults and its network conditions.
//!
//! A smaller schedule draws other latencies, so it need not fail in the same way; it is kept when
//! it violates the same guarantee.

use super::schedule::{Conditions, Request, Schedule};

/// How many smaller schedules are tried: a few seconds' worth.
const TRIES_MAX: u32 = 6_000;

/// A schedule that still fails, from which little can be taken without it failing no more.
pub(super) fn shrink(schedule: &Schedule, fails: impl Fn(&Schedule) -> bool) -> Schedule {
    let mut small = schedule.clone();
    let mut tries = TRIES_MAX;
    loop {
        let before = small.clone();
        small.conditions = better_conditions(&small, &fails);
        let try_faults = |faults: &[_]| {
            fails(&Schedule {
                faults: faults.to_vec(),
                ..small.clone()
            })
        };
        small.faults = fewer(small.faults.clone(), &mut tries, try_faults);
        let try_ops = |ops: &[_]| {
            fails(&Schedule {
                ops: ops.to_vec(),
                ..small.clone()
            })
        };
        small.ops = fewer(small.ops.clone(), &mut tries, try_ops);
        single_adds(&mut small, &fails);
        if small == before || tries == 0 {
            return small;
        }
    }
}

/// The network conditions, without those that are not needed.
fn better_conditions(schedule: &Schedule, fails: &impl Fn(&Schedule) -> bool) -> Conditions {
    let mut conditions = schedule.conditions;
    let parts: [fn(&mut Conditions); 4] = [
        |conditions| conditions.lost = 0,
        |conditions| conditions.held_back = 0,
        |conditions| conditions.unanswered = 0,
        |conditions| conditions.latency_us_max = conditions.latency_us_max.min(1_000),
    ];
    for part in parts {
        let mut better = conditions;
        part(&mut better);
        if fails(&Schedule {
            conditions: better,
            ..schedule.clone()
        }) {
            conditions = better;
        }
    }
    conditions
}

/// Requests with one add where one is enough.
fn single_adds(schedule: &mut Schedule, fails: &impl Fn(&Schedule) -> bool) {
    for op in 0..schedule.ops.len() {
        let Request::Add { client, items } = schedule.ops[op].request.clone() else {
            continue;
        };
        for item in items
            .iter()
            .take(if items.len() > 1 { items.len() } else { 0 })
        {
            let mut smaller = schedule.clone();
            smaller.ops[op].request = Request::Add {
                client,
                items: vec![*item],
            };
            if fails(&smaller) {
                *schedule = smaller;
                break;
            }
        }
    }
}

/// Takes out parts of a list, halves first and single entries last, as long as the rest fails.
fn fewer<T: Clone>(mut items: Vec<T>, tries: &mut u32, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < items.len() && *tries > 0 {
            let mut rest = items.clone();
            rest.drain(from..(from + size).min(items.len()));
            *tries -= 1;
            if fails(&rest) {
                items = rest;
            } else {
                from += size;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::schedule::Bounds;

    #[test]
    fn only_what_is_needed_stays() {
        let mut tries = TRIES_MAX;
        let needed = |rest: &[u32]| rest.contains(&17) && rest.contains(&63);
        assert_eq!(fewer((0..100).collect(), &mut tries, needed), [17, 63]);
    }

    #[test]
    fn a_list_that_need_not_be_there_goes() {
        let mut tries = TRIES_MAX;
        assert!(fewer(vec![1, 2, 3], &mut tries, |_| true).is_empty());
    }

    #[test]
    fn the_number_of_tries_is_bounded() {
        let mut tries = 5;
        fewer((0..1000).collect(), &mut tries, |_: &[u32]| false);
        assert_eq!(tries, 0);
    }

    #[test]
    fn a_schedule_shrinks_to_the_request_that_fails() {
        let schedule = Schedule::draw(
            1,
            Bounds {
                nodes: Some(3),
                ops: 50,
            },
        );
        let negative = |schedule: &Schedule| {
            schedule.ops.iter().any(|op| match &op.request {
                Request::Add { items, .. } => items.iter().any(|&(_, amount)| amount < 0),
                Request::Ingest { .. } | Request::Read { .. } | Request::ReadOwn { .. } => false,
            })
        };
        let small = shrink(&schedule, negative);
        assert!(small.faults.is_empty() && small.ops.len() == 1, "{small:?}");
        assert_eq!(small.conditions.lost + small.conditions.held_back, 0);
        let Request::Add { items, .. } = &small.ops[0].request else {
            panic!("it is no add")
        };
        assert_eq!(items.len(), 1);
    }
}
