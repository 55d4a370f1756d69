//! What an audit says of nodes that are real replicas, one of which may be damaged.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::ToString as _,
    vec,
    vec::Vec,
};
use core::cell::RefCell;

use crdt_core::{CounterName, Interval, NameHash, Replica, StartId, Sum, Sums};
use proptest::{collection::vec as vec_of, prelude::*, sample::Index};

use super::records::RecordEffect;
use super::*;
use crate::{Shard, Shards as _, Time};

const NODES: usize = 3;
const COUNTERS: usize = 6;

fn id(node: usize) -> ReplicaId {
    ReplicaId::new(node as u128 + 1)
}

fn name(counter: usize) -> CounterName {
    alloc::format!("counter-{counter}").parse().expect("a name")
}

fn hash_name(name: &CounterName) -> NameHash {
    let step = |hash: u64, &byte: &u8| hash.wrapping_mul(31) ^ u64::from(byte);
    NameHash::new(name.as_str().as_bytes().iter().fold(7, step))
}

fn complete(replica: &mut Replica) {
    replica.commit();
    replica.synced();
}

fn add(replica: &mut Replica, counter: usize) {
    let counter = replica.counter(&name(counter));
    replica.take(counter, Sum::of(1));
    complete(replica);
}

/// What `to` lacks of a lane that `from` holds; `damage` may change it on the way.
fn send(
    nodes: &mut [Replica],
    (from, to): (usize, usize),
    lane: ReplicaId,
    damage: impl FnOnce(&mut Interval<CounterName>),
) {
    let after = nodes[to].held(lane);
    let interval = nodes[from].interval(lane, after);
    let Some(interval) = interval.expect("no fork") else {
        return;
    };
    let mut interval = nodes[from].export(&interval);
    damage(&mut interval);
    let to = &mut nodes[to];
    let interval = to.import(&interval);
    if to.receive(interval) == Ok(crdt_core::Received::Taken) {
        complete(to);
    }
}

fn followed(count: usize) -> Vec<Replica> {
    let mut nodes = Vec::new();
    for node in 0..count {
        let mut replica = Replica::new(id(node), StartId::new(node as u64 + 1));
        replica.follow(hash_name);
        assert!(replica.walk(1), "there is nothing to read");
        nodes.push(replica);
    }
    nodes
}

fn holds(nodes: &[Replica]) -> Vec<NodeHolds> {
    let holds = |(node, replica): (usize, &Replica)| NodeHolds {
        node,
        replica: replica.id(),
        lanes: replica.fingerprints().expect("it is followed"),
    };
    nodes.iter().enumerate().map(holds).collect()
}

/// The audit of nodes that `answer` their questions.
fn audit(
    nodes: &[NodeHolds],
    answer: impl Fn(&PastQuestion) -> Option<Fingerprint>,
) -> Vec<Compared> {
    let mut audit = ShardAudit::new(nodes);
    for question in audit.questions() {
        let answer = answer(&question).map_or(PastAnswer::Unknown, PastAnswer::Known);
        audit.answer(&question, answer);
    }
    audit.compared().to_vec()
}

fn ask(nodes: &[Replica], question: &PastQuestion) -> Option<Fingerprint> {
    let PastQuestion { node, lane, mark } = *question;
    nodes[node].fingerprint_at(lane, mark).expect("no fork")
}

fn page(
    replica: &Replica,
    lane: ReplicaId,
    after: Option<&CounterName>,
    size: usize,
) -> RecordPage {
    let after = after.map(CounterName::as_str);
    let mut records = Vec::new();
    let mut until = None;
    let mut all = replica.records_after(lane, after);
    for (name, record) in all.by_ref().take(size) {
        until = Some(name.clone());
        if let Some((version, total)) = record {
            records.push((name.clone(), RecordState { version, total }));
        }
    }
    RecordPage {
        mark: replica.held(lane),
        records,
        until: all.next().and(until),
    }
}

/// Compares a lane on two nodes; `meanwhile` is called between the pages.
fn compare(
    nodes: &mut [Replica],
    (one, other): (usize, usize),
    lane: ReplicaId,
    records_max: usize,
    mut meanwhile: impl FnMut(&mut [Replica]),
) -> (Vec<RecordDifference>, RecordSummary) {
    let mut comparison = RecordComparison::new(hash_name);
    let mut differences = Vec::new();
    loop {
        match comparison.poll() {
            RecordEffect::Read(side, after) => {
                let node = [one, other][side as usize];
                let page = page(&nodes[node], lane, after.as_ref(), records_max);
                comparison.page(side, page);
                meanwhile(nodes);
            }
            RecordEffect::Differs(difference) => differences.push(difference),
            RecordEffect::End(summary) => return (differences, summary),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize, usize),
    Send(usize, usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    prop_oneof![
        3 => (node(), 0..COUNTERS).prop_map(|(node, counter)| Step::Add(node, counter)),
        4 => (node(), node(), node()).prop_map(|(from, to, lane)| Step::Send(from, to, lane)),
    ]
}

fn run(nodes: &mut [Replica], steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Add(node, counter) => add(&mut nodes[node], counter),
            Step::Send(from, to, lane) => send(nodes, (from, to), id(lane), |_| {}),
        }
    }
}

proptest! {
    /// Wherever the nodes stand, and whichever of them are there.
    #[test]
    fn sound_nodes_never_differ(
        steps in vec_of(any_step(), 1..60), later in vec_of(any_step(), 0..20), away in 0..NODES + 1,
    ) {
        let mut nodes = followed(NODES);
        run(&mut nodes, &steps);
        // They go on between their answers, and before they are asked again.
        let mut told = Vec::new();
        for node in (0..NODES).filter(|&node| node != away) {
            told.push(holds(&nodes).swap_remove(node));
            run(&mut nodes, &later);
        }
        for it in audit(&told, |question| ask(&nodes, question)) {
            let owner_is_there = it.lane != id(away);
            prop_assert!(!it.verdict.is_difference(), "{it:?}");
            let is_held = it.verdict != Verdict::NotHeld;
            prop_assert!(!(is_held && owner_is_there) || it.verdict == Verdict::Equal, "{it:?}");
        }
        for lane in 0..NODES {
            let (differences, _) = compare(&mut nodes, (0, 1), id(lane), 2, |nodes| {
                run(nodes, &later);
            });
            prop_assert_eq!(differences, []);
        }
    }

    /// One record of one lane is changed on its way: the audit names this lane on this node, or on
    /// one that had it from there, and the comparison names the counter.
    #[test]
    fn a_damaged_record_is_named_with_its_lane_and_counter(
        counters in vec_of(0..COUNTERS, 1..20), which: Index, more in 1..5u128, size in 1..4usize,
        later in vec_of(0..COUNTERS, 0..4),
    ) {
        let mut nodes = followed(2);
        for &counter in &counters {
            add(&mut nodes[0], counter);
        }
        let mut damaged = None;
        send(&mut nodes, (0, 1), id(0), |interval| {
            let mut records: Vec<_> = core::mem::take(&mut interval.sums).into_records().collect();
            let record = which.get(&records).counter.clone();
            for it in records.iter_mut().filter(|it| it.counter == record) {
                it.total.incremented += more;
            }
            damaged = Some(record);
            interval.sums = records.into_iter().collect::<Sums<_>>();
        });
        let damaged = damaged.expect("it was sent");
        // The owner moves on, and is asked for what it held then.
        for &counter in &later {
            add(&mut nodes[0], counter);
        }
        let told = holds(&nodes);
        let found = audit(&told, |question| ask(&nodes, question));
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!((found[0].lane, found[0].node), (id(0), 1));
        prop_assert_eq!(found[0].verdict, Verdict::Differs);

        let has_moved = later.iter().any(|&counter| name(counter) == damaged);
        let (differences, summary) = compare(&mut nodes, (1, 0), id(0), size, |_| {});
        let moved: BTreeSet<_> = later.iter().collect();
        prop_assert_eq!(summary.undecided, moved.len() as u64);
        if has_moved {
            prop_assert_eq!(differences, []);
        } else {
            prop_assert_eq!(differences.len(), 1);
            let RecordDifference { counter, one, other } = &differences[0];
            prop_assert_eq!(counter, &damaged);
            prop_assert_eq!(one.version, other.version);
            prop_assert_eq!(one.total.incremented, other.total.incremented + more);
        }
    }
}

fn print(lane: ReplicaId, (version, start): (u64, u64), fingerprint: u64) -> LanePrint {
    LanePrint {
        lane,
        mark: Mark {
            version: crdt_core::Version::new(version),
            start: StartId::new(start),
        },
        fingerprint: Fingerprint::new(fingerprint),
    }
}

fn node(node: usize, lanes: Vec<LanePrint>) -> NodeHolds {
    let replica = id(node);
    NodeHolds {
        node,
        replica,
        lanes,
    }
}

/// The verdicts on lane 0, by node.
fn verdicts(nodes: &[NodeHolds]) -> BTreeMap<usize, (Option<usize>, Verdict)> {
    let compared = audit(nodes, |_| None);
    compared
        .iter()
        .map(|it| (it.node, (it.with, it.verdict)))
        .collect()
}

#[test]
fn nodes_without_the_owner_are_compared_where_they_stand_at_one_mark() {
    let lane = id(0);
    let found = verdicts(&[
        node(1, vec![print(lane, (5, 7), 1)]),
        node(2, vec![print(lane, (4, 7), 9)]),
        node(3, vec![print(lane, (5, 7), 2)]),
        node(4, vec![]),
        node(5, vec![print(lane, (5, 7), 1)]),
    ]);
    let expected = BTreeMap::from([
        (2, (None, Verdict::NoCommonMark)),
        (3, (Some(1), Verdict::Differs)),
        (4, (None, Verdict::NotHeld)),
        (5, (Some(1), Verdict::Equal)),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn a_lane_with_two_histories_is_named() {
    let lane = id(0);
    let found = verdicts(&[
        node(0, vec![print(lane, (5, 7), 1)]),
        node(1, vec![print(lane, (5, 8), 1)]),
    ]);
    assert_eq!(found[&1], (Some(0), Verdict::Forked));
    let forgotten = verdicts(&[node(0, vec![]), node(1, vec![print(lane, (5, 8), 1)])]);
    assert_eq!(forgotten[&1], (Some(0), Verdict::NotKept), "it is asked");
    let mut audit = ShardAudit::new(&[
        node(0, vec![print(lane, (6, 7), 1)]),
        node(1, vec![print(lane, (5, 8), 1)]),
    ]);
    let question = audit.questions()[0];
    audit.answer(&question, PastAnswer::Forked);
    assert_eq!(audit.compared()[0].verdict, Verdict::Forked);
    assert_eq!(audit.questions(), []);
}

#[test]
fn a_page_that_leads_nowhere_ends_the_reading() {
    let mut comparison = RecordComparison::new(hash_name);
    let until = Some(name(0));
    for side in [Side::One, Side::One, Side::Other, Side::Other] {
        assert!(matches!(comparison.poll(), RecordEffect::Read(it, _) if it == side));
        comparison.page(
            side,
            RecordPage {
                mark: Mark::ZERO,
                records: vec![],
                until: until.clone(),
            },
        );
    }
    assert!(matches!(comparison.poll(), RecordEffect::End(_)));
}

#[test]
fn a_walk_rests_in_proportion_and_then_tells() {
    let mut replica = Replica::new(id(0), StartId::new(1));
    (0..COUNTERS).for_each(|counter| add(&mut replica, counter));
    let shards = RefCell::new(vec![Shard::new(replica)]);
    let limits = AuditedLimits {
        counters_at_once_max: COUNTERS - 1,
        rest_ratio: 199,
        questions_max: 1,
        ..AuditedLimits::default()
    };
    let no_shard = Audited::begin(&shards, 1, limits, hash_name).map(|_| ());
    let expected = AuditedError::NoSuchShard {
        found: 1,
        shard_count: 1,
    };
    assert_eq!(no_shard, Err(expected));
    let audited = Audited::begin(&shards, 0, limits, hash_name).expect("there is one");
    // Each look at the clock is 10 us later than the last one.
    let now = RefCell::new(0);
    let clock = || {
        *now.borrow_mut() += 10;
        Time::from_us(*now.borrow())
    };
    let rest = AuditedEffect::Rest {
        until: Time::from_us(20 + 1_990),
    };
    assert_eq!(audited.poll(&shards, clock), rest);
    let AuditedEffect::Tell(prints, until) = audited.poll(&shards, clock) else {
        panic!("everything was read");
    };
    assert_eq!(until, Time::from_us(40).after(limits.silence_max));
    let at = (prints[0].lane, prints[0].mark);
    let known = vec![PastAnswer::Known(prints[0].fingerprint)];
    assert_eq!(audited.ask(&shards, &[at]), Ok(known));
    let too_many = audited.ask(&shards, &[at, at]).expect_err("one too many");
    assert!(too_many.to_string().contains("2 marks"), "{too_many}");
    audited.end(&shards);
    assert!(shards.with(0, |it| it.replica().fingerprints().is_none()));
}
