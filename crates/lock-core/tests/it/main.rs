//! Random small worlds over the public methods of this crate: some contenders, one server side,
//! and a network that delivers in any order.
//!
//! The model checker visits *all* orders of smaller worlds; this is the same question asked of
//! larger ones, and quickly enough for every test run.

use std::collections::BTreeSet;

use lock_core::lease::{self, LeaseServer, Millis};
use lock_core::lock::{self, LockServer, ValueTravels};
use lock_core::register::{Fencing, Register};
use lock_core::{Add, AddId, Amount, ContenderId, Effect, Outcome, Value};
use proptest::prelude::*;
use proptest::sample::Index;

/// What is under way, to be delivered in any order.
enum Packet<Request, Reply> {
    ToServer(ContenderId, Request),
    ToContender(ContenderId, Reply),
}

fn index(contender: ContenderId) -> usize {
    usize::try_from(contender.0).expect("ids are indices of a small vector")
}

fn add(id: u64, amount: i64) -> Add {
    Add {
        id: AddId(id),
        amount: Amount::new(amount).expect("the strategy gives no 0"),
    }
}

/// Runs every add to its end under a lock, choosing the packet to deliver by `order`; returns
/// the register's value and the adds that were acknowledged.
fn run_lock(
    travels: ValueTravels,
    batch_max: usize,
    amounts: &[Vec<i64>],
    order: &[Index],
) -> (Value, BTreeSet<AddId>) {
    let mut server = LockServer::default();
    let mut contenders = vec![lock::Contender::new(travels, batch_max); amounts.len()];
    let (mut network, mut counted, mut ids) = (Vec::new(), BTreeSet::new(), 0..);
    for ((who, contender), amounts) in (0..).zip(&mut contenders).zip(amounts) {
        for amount in amounts {
            let add = add(ids.next().expect("endless"), *amount);
            for effect in contender.start(add) {
                let Effect::Send(request) = effect else {
                    panic!("settled before it was sent")
                };
                network.push(Packet::ToServer(ContenderId(who), request));
            }
        }
    }
    let mut order = order.iter().cycle();
    while !network.is_empty() {
        let next = order.next().expect("endless").index(network.len());
        match network.swap_remove(next) {
            Packet::ToServer(from, request) => {
                let replies = server
                    .receive(from, request)
                    .expect("contenders keep the protocol");
                network.extend(
                    replies
                        .into_iter()
                        .map(|(to, it)| Packet::ToContender(to, it)),
                );
            }
            Packet::ToContender(to, reply) => {
                let effects = contenders[index(to)]
                    .receive(reply)
                    .expect("so does the server");
                for effect in effects {
                    match effect {
                        Effect::Send(request) => network.push(Packet::ToServer(to, request)),
                        Effect::Settled { add, outcome } => {
                            assert_eq!(outcome, Outcome::Counted);
                            assert!(counted.insert(add), "{add:?} was settled twice");
                        }
                    }
                }
            }
        }
        let holders = contenders
            .iter()
            .filter(|contender| contender.holds_lock())
            .count();
        assert!(
            holders <= 1,
            "mutual exclusion: {holders} contenders hold the lock"
        );
    }
    assert!(
        contenders.iter().all(lock::Contender::is_idle),
        "somebody is stuck"
    );
    (server.register().value(), counted)
}

/// One event of a lease world.
#[derive(Clone, Debug)]
enum Step {
    Deliver(Index),
    Expire,
}

/// Runs one add of 1 for each contender under a lease that may expire at any time; returns the
/// register's value and how many adds were acknowledged.
fn run_lease(fencing: Fencing, contenders: u64, steps: &[Step]) -> (Value, i64) {
    const LENGTH: Millis = Millis(1);
    let (mut server, mut register) = (LeaseServer::new(LENGTH), Register::new(fencing, Value(0)));
    let mut machines = vec![lease::Contender::default(); usize::try_from(contenders).expect("few")];
    let (mut network, mut counted) = (Vec::new(), 0);
    for (who, machine) in (0..).zip(&mut machines) {
        for effect in machine.start(add(who, 1)) {
            let Effect::Send(request) = effect else {
                panic!("settled before it was sent")
            };
            network.push(Packet::ToServer(ContenderId(who), request));
        }
    }
    for step in steps {
        let packet = match step {
            Step::Expire => server.expire(LENGTH).map(|(to, it)| lease_reply(to, it)),
            Step::Deliver(_) if network.is_empty() => None,
            Step::Deliver(next) => Some(network.swap_remove(next.index(network.len()))),
        };
        match packet {
            None => {}
            Some(Packet::ToServer(from, lease::Request::Lease(request))) => {
                let replies = server
                    .receive(Millis(0), from, request)
                    .expect("asked once");
                network.extend(replies.into_iter().map(|(to, it)| lease_reply(to, it)));
            }
            Some(Packet::ToServer(from, lease::Request::Register(request))) => {
                let reply = lease::Reply::Register(register.receive(request));
                network.push(Packet::ToContender(from, reply));
            }
            Some(Packet::ToContender(to, reply)) => {
                for effect in machines[index(to)].receive(reply).expect("asked for") {
                    match effect {
                        Effect::Send(request) => network.push(Packet::ToServer(to, request)),
                        Effect::Settled {
                            outcome: Outcome::Counted,
                            ..
                        } => counted += 1,
                        Effect::Settled { .. } => {}
                    }
                }
            }
        }
    }
    (register.value(), counted)
}

fn lease_reply(to: ContenderId, reply: lease::LeaseReply) -> Packet<lease::Request, lease::Reply> {
    Packet::ToContender(to, lease::Reply::Lease(reply))
}

fn amounts() -> impl Strategy<Value = Vec<Vec<i64>>> {
    let amount = (-5_i64..=5).prop_filter("not 0", |amount| *amount != 0);
    prop::collection::vec(prop::collection::vec(amount, 0..6), 1..5)
}

fn order() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 64)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![4 => any::<Index>().prop_map(Step::Deliver), 1 => Just(Step::Expire)];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn a_lock_is_exact_and_exclusive_in_every_order_of_messages(
        amounts in amounts(),
        batch_max in 1_usize..4,
        order in order(),
        travels in prop_oneof![Just(ValueTravels::WithTheLock), Just(ValueTravels::Separately)],
    ) {
        let adds: usize = amounts.iter().map(Vec::len).sum();
        let (value, counted) = run_lock(travels, batch_max, &amounts, &order);
        prop_assert_eq!(value, Value(amounts.iter().flatten().sum()));
        prop_assert_eq!(counted.len(), adds);
    }

    #[test]
    fn a_lease_fenced_on_read_and_write_loses_no_acknowledged_add(
        contenders in 2_u64..5,
        steps in steps(),
    ) {
        let (Value(value), counted) = run_lease(Fencing::OnReadAndWrite, contenders, &steps);
        // Besides those acknowledged, an add counts when its confirmation is still under way.
        prop_assert!(counted <= value, "{} acknowledged, the value is {}", counted, value);
    }
}

/// A schedule that loses an add: Ann is granted and reads, her lease expires, Bob is granted and
/// reads, Ann writes, Bob writes.
fn late_writer(fencing: Fencing) -> (Value, i64) {
    let mut server = LeaseServer::new(Millis(1));
    let mut register = Register::new(fencing, Value(0));
    let mut machines = [lease::Contender::default(), lease::Contender::default()];
    let [ann, bob] = [ContenderId(0), ContenderId(1)];
    let mut counted = 0;
    let mut writes = Vec::new();
    for (who, machine) in [ann, bob].into_iter().zip(&mut machines) {
        machine.start(add(who.0, 1));
        let granted = server.receive(Millis(0), who, lease::LeaseRequest::Acquire);
        let grant = granted
            .expect("asked once")
            .pop()
            .or_else(|| server.expire(Millis(1)));
        let (to, reply) = grant.expect("free, or expired");
        assert_eq!(to, who);
        let read = machine
            .receive(lease::Reply::Lease(reply))
            .expect("a grant was awaited");
        let write = machine
            .receive(answer(&mut register, read[0]))
            .expect("a value was awaited");
        writes.push(write[0]);
    }
    for (machine, write) in machines.iter_mut().zip(writes) {
        let effects = machine
            .receive(answer(&mut register, write))
            .expect("an answer was awaited");
        if let Effect::Settled {
            outcome: Outcome::Counted,
            ..
        } = effects[0]
        {
            counted += 1;
        }
    }
    (register.value(), counted)
}

fn answer(register: &mut Register, effect: Effect<lease::Request>) -> lease::Reply {
    let Effect::Send(lease::Request::Register(request)) = effect else {
        panic!("a message to the register was due, not {effect:?}");
    };
    lease::Reply::Register(register.receive(request))
}

#[test]
fn only_fencing_on_read_and_write_stops_a_late_writer() {
    assert_eq!(late_writer(Fencing::None), (Value(1), 2));
    assert_eq!(late_writer(Fencing::OnWrite), (Value(1), 2));
    assert_eq!(late_writer(Fencing::OnReadAndWrite), (Value(1), 1));
}
