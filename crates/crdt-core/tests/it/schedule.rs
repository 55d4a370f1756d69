//! The optimised replica equals the reference counter under any schedule.
//!
//! A schedule is a list of steps over three replicas: adds, commits, syncs, crashes with or
//! without the unsynced group, and messages that are lost, doubled, reordered and relayed. Beside
//! every replica lives a reference: for each counter a [`PnCounter`] that is joined where the
//! replica applies. After every step all values must agree.

use std::collections::BTreeMap;

use crdt_core::{
    CounterName, Interval, JoinSemilattice, Mark, ReceiveError, Received, Replica, ReplicaId,
    StartId, Sum, counter::PnCounter,
};
use proptest::{collection::vec, prelude::*};

const REPLICAS: usize = 3;
const COUNTERS: [&str; 3] = ["a", "b", "c"];

/// For each counter, the reference.
type Reference = BTreeMap<&'static str, PnCounter>;

#[derive(Clone, Debug)]
enum Step {
    Add {
        at: usize,
        counter: usize,
        amount: i64,
    },
    Commit {
        at: usize,
    },
    Sync {
        at: usize,
    },
    /// `torn`: the group that was written and not synced is lost; else it happens to survive.
    Crash {
        at: usize,
        torn: bool,
    },
    /// `at` serves a lane after the version that `asker` held `ago` steps before.
    Send {
        at: usize,
        lane: usize,
        asker: usize,
        whole: bool,
    },
    /// Any message ever sent arrives, again or for the first time.
    Deliver {
        message: prop::sample::Index,
        at: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = 0..REPLICAS;
    prop_oneof![
        4 => (at.clone(), 0..COUNTERS.len(), (-50..50i64).prop_filter("no zero", |a| *a != 0))
            .prop_map(|(at, counter, amount)| Step::Add { at, counter, amount }),
        3 => at.clone().prop_map(|at| Step::Commit { at }),
        3 => at.clone().prop_map(|at| Step::Sync { at }),
        1 => (at.clone(), any::<bool>()).prop_map(|(at, torn)| Step::Crash { at, torn }),
        4 => (at.clone(), at.clone(), at.clone(), any::<bool>())
            .prop_map(|(at, lane, asker, whole)| Step::Send { at, lane, asker, whole }),
        6 => (any::<prop::sample::Index>(), at)
            .prop_map(|(message, at)| Step::Deliver { message, at }),
    ]
}

/// A served interval, and what the reference says the lane's content at its end is.
#[derive(Clone)]
struct Message {
    interval: Interval<CounterName>,
    content: Reference,
}

/// A replica, its disk, and its reference.
struct Node {
    id: ReplicaId,
    /// Numbers the starts of all nodes apart.
    start: u64,
    replica: Replica,
    disk: Vec<Interval<CounterName>>,
    /// Visible: what the replica holds.
    held: Reference,
    /// Taken, not yet in a group; then in the group that is being written.
    taken: Vec<Reference>,
    writing: Vec<Reference>,
    /// What the adds were told that are not in a group yet.
    promised: Option<Mark>,
}

impl Node {
    fn new(number: usize) -> Self {
        let id = ReplicaId::new(number as u128 + 1);
        Self {
            id,
            start: 1 + number as u64,
            replica: Replica::new(id, StartId::new(1 + number as u64)),
            disk: Vec::new(),
            held: Reference::new(),
            taken: Vec::new(),
            writing: Vec::new(),
            promised: None,
        }
    }

    /// The reference with everything taken: what the next own delta is computed from.
    fn everything(&self) -> Reference {
        let mut all = self.held.clone();
        for part in self.writing.iter().chain(&self.taken) {
            join(&mut all, part);
        }
        all
    }

    fn add(&mut self, counter: &'static str, amount: i64) {
        let index = self
            .replica
            .counter(&counter.parse().expect("a valid name"));
        let mark = self
            .replica
            .add(index, Sum::of(amount))
            .expect("small amounts stay in range");
        assert_eq!(*self.promised.get_or_insert(mark), mark);
        let mut all = self.everything();
        let delta = all.entry(counter).or_default().add(self.id, amount);
        self.taken.push(Reference::from([(counter, delta)]));
    }

    fn commit(&mut self) {
        if self.replica.commit().is_some() {
            self.writing = std::mem::take(&mut self.taken);
        }
    }

    fn sync(&mut self, group: Option<Vec<Interval<CounterName>>>) {
        let Some(group) = group else { return };
        self.disk.extend(group);
        self.replica.synced();
        for part in std::mem::take(&mut self.writing) {
            join(&mut self.held, &part);
        }
    }

    fn crash(&mut self, surviving: Option<Vec<Interval<CounterName>>>) {
        if let Some(group) = surviving {
            self.disk.extend(group);
            for part in std::mem::take(&mut self.writing) {
                join(&mut self.held, &part);
            }
        }
        self.writing.clear();
        self.taken.clear();
        self.promised = None;
        self.start += REPLICAS as u64;
        self.replica = Replica::new(self.id, StartId::new(self.start));
        for interval in &self.disk {
            let interval = self.replica.import(interval);
            self.replica
                .recover(&interval)
                .expect("an own log recovers");
        }
    }

    fn deliver(&mut self, message: &Message) {
        let interval = self.replica.import(&message.interval);
        match self.replica.receive(interval) {
            Ok(Received::Taken) => self.taken.push(message.content.clone()),
            Ok(Received::Known) | Err(ReceiveError::Gap { .. }) => {}
            Err(error) => panic!("no lane has forked here: {error}"),
        }
    }

    fn check(&self) {
        self.replica.assert_invariants();
        for counter in COUNTERS {
            let expected = self.held.get(counter).map_or(0, PnCounter::value);
            let found = self
                .replica
                .find(counter)
                .map_or(0, |index| self.replica.value(index));
            assert_eq!(found, expected, "{counter} at {}", self.id);
        }
    }
}

fn join(into: &mut Reference, from: &Reference) {
    for (&counter, delta) in from {
        into.entry(counter).or_default().join(delta);
    }
}

/// The whole world: nodes, groups being written, and everything ever sent.
struct World {
    nodes: Vec<Node>,
    written: Vec<Option<Vec<Interval<CounterName>>>>,
    sent: Vec<Message>,
    /// What each lane's owner held at each version: the content of messages, by the reference.
    lanes: BTreeMap<(ReplicaId, Mark), Reference>,
}

impl World {
    fn new() -> Self {
        Self {
            nodes: (0..REPLICAS).map(Node::new).collect(),
            written: vec![None; REPLICAS],
            sent: Vec::new(),
            lanes: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Add {
                at,
                counter,
                amount,
            } => self.nodes[at].add(COUNTERS[counter], amount),
            Step::Commit { at } => self.commit(at),
            Step::Sync { at } => {
                let group = self.written[at].take();
                self.nodes[at].sync(group);
            }
            Step::Crash { at, torn } => {
                let group = self.written[at].take();
                self.nodes[at].crash(group.filter(|_| !torn));
            }
            Step::Send {
                at,
                lane,
                asker,
                whole,
            } => self.send(at, lane, asker, whole),
            Step::Deliver { message, at } => {
                if !self.sent.is_empty() {
                    let message = message.get(&self.sent).clone();
                    self.nodes[at].deliver(&message);
                }
            }
        }
        self.nodes.iter().for_each(Node::check);
    }

    fn commit(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let before = self.written[at].is_some();
        let group = node.replica.commit();
        let Some(group) = group else { return };
        assert!(!before, "one group at a time");
        let own = group.iter().find(|interval| interval.lane == node.id);
        assert_eq!(own.map(|own| own.to), node.promised.take());
        node.writing = std::mem::take(&mut node.taken);
        for interval in group.iter().filter(|interval| interval.lane == node.id) {
            // The own lane at this version is what the owner has counted by itself.
            let own = own_part(&node.everything(), node.id);
            self.lanes.insert((node.id, interval.to), own);
        }
        self.written[at] = Some(group.iter().map(|i| node.replica.export(i)).collect());
    }

    fn send(&mut self, at: usize, lane: usize, asker: usize, whole: bool) {
        let lane = self.nodes[lane].id;
        let after = if whole {
            Mark::ZERO
        } else {
            self.nodes[asker].replica.held(lane)
        };
        let sender = &self.nodes[at].replica;
        let interval = sender.interval(lane, after).expect("no lane has forked");
        if let Some(interval) = interval {
            let interval = sender.export(&interval);
            let content = self.lanes[&(lane, interval.to)].clone();
            self.sent.push(Message { interval, content });
        }
    }

    /// Everybody restarts, and then asks everybody until nobody learns anything.
    fn heal(&mut self) {
        for at in 0..REPLICAS {
            let group = self.written[at].take();
            self.nodes[at].sync(group);
            self.commit(at);
            let group = self.written[at].take();
            self.nodes[at].sync(group);
        }
        for (at, lane, asker) in all_triples().chain(all_triples()) {
            self.sent.clear();
            self.send(at, lane, asker, false);
            if let Some(message) = self.sent.pop() {
                self.nodes[asker].deliver(&message);
                self.commit(asker);
                let group = self.written[asker].take();
                self.nodes[asker].sync(group);
            }
        }
        self.nodes.iter().for_each(Node::check);
    }
}

fn all_triples() -> impl Iterator<Item = (usize, usize, usize)> {
    let all = 0..REPLICAS;
    all.clone().flat_map(move |a| {
        let all = 0..REPLICAS;
        all.clone()
            .flat_map(move |b| (0..REPLICAS).map(move |c| (a, b, c)))
    })
}

/// What `owner` itself has counted.
fn own_part(reference: &Reference, owner: ReplicaId) -> Reference {
    reference
        .iter()
        .map(|(&counter, all)| (counter, all.of(owner)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_replica_equals_the_reference_under_any_schedule(steps in vec(any_step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.heal();
        let first = &world.nodes[0];
        for node in &world.nodes[1..] {
            prop_assert_eq!(node.replica.digest(), first.replica.digest());
            prop_assert_eq!(&node.held, &first.held);
        }
    }

    #[test]
    fn an_interval_is_the_join_of_its_parts(
        amounts in vec((0..COUNTERS.len(), 1..50i64), 1..20), cut in any::<prop::sample::Index>(),
    ) {
        // Delta decomposition: (0, v] then (v, w] gives the same lane as (0, w].
        let mut source = Node::new(0);
        let mut parts = Vec::new();
        for (step, &(counter, amount)) in amounts.iter().enumerate() {
            source.add(COUNTERS[counter], amount);
            source.commit();
            source.promised = None;
            source.replica.synced();
            if step == cut.index(amounts.len()) {
                let part = source.replica.interval(source.id, Mark::ZERO).expect("one history");
                parts.push(source.replica.export(&part.expect("something was added")));
            }
        }
        let reached = parts[0].to;
        let rest = source.replica.interval(source.id, reached).expect("one history");
        parts.extend(rest.map(|rest| source.replica.export(&rest)));
        let whole = source.replica.interval(source.id, Mark::ZERO).expect("one history");
        let whole = source.replica.export(&whole.expect("something was added"));

        let receive = |intervals: &[Interval<CounterName>]| {
            let mut replica = Replica::new(ReplicaId::new(9), StartId::new(9));
            for interval in intervals {
                let interval = replica.import(interval);
                replica.receive(interval).expect("it continues");
            }
            replica.commit();
            replica.synced();
            replica
        };
        prop_assert_eq!(receive(&parts), receive(&[whole]));
    }
}
