//! Which adds are taken: those that keep the value, as the replica knows it, in the range of `i64`,
//! or lead it back. What one replica has added to a counter all in all has no bound that matters.

use crdt_core::{
    AddError, CounterName, Interval, Mark, Replica, ReplicaId, StartId, Sum, SumRecord, Total,
    Version,
};
use proptest::{collection::vec, prelude::*};

const REPLICAS: usize = 2;

fn likes() -> CounterName {
    "likes".parse().expect("a valid name")
}

/// Two replicas with one counter, and what was taken by each: durable there, and all.
struct World {
    replicas: Vec<Replica>,
    starts: u64,
    /// By replica, the increments and the decrements that were taken.
    taken: [(u128, u128); REPLICAS],
    /// The same, of what is durable.
    durable: [(u128, u128); REPLICAS],
    /// By holder and owner: of what is durable, what the holder holds.
    held: [[(u128, u128); REPLICAS]; REPLICAS],
}

fn value((incremented, decremented): (u128, u128)) -> i128 {
    let signed = |part: u128| i128::try_from(part).expect("a few amounts");
    signed(incremented) - signed(decremented)
}

impl World {
    fn new() -> Self {
        let replica = |at: usize| {
            let start = StartId::new(1 + at as u64);
            Replica::new(ReplicaId::new(1 + at as u128), start)
        };
        Self {
            replicas: (0..REPLICAS).map(replica).collect(),
            starts: REPLICAS as u64,
            taken: Default::default(),
            durable: Default::default(),
            held: Default::default(),
        }
    }

    /// An add is refused just where it leads out of the range, and says by what.
    fn add(&mut self, at: usize, amount: i64) -> Result<(), AddError> {
        let shown: i128 = self.held[at].iter().map(|&parts| value(parts)).sum();
        let pending = value(self.taken[at]) - value(self.durable[at]);
        let before = shown + pending;
        let would_be = before + i128::from(amount);
        let range = i128::from(i64::MIN)..=i128::from(i64::MAX);
        let moves_out = would_be.signum() == i128::from(amount.signum());
        let leads_out = !range.contains(&would_be) && moves_out;

        let index = self.replicas[at].counter(&likes());
        let before = self.replicas[at].clone();
        let checked = self.replicas[at].check(index, Sum::of(amount));
        assert_eq!(self.replicas[at], before, "a check changes nothing");
        let added = self.replicas[at].add(index, Sum::of(amount)).map(drop);
        assert_eq!(added, checked);
        if leads_out {
            let error = AddError::ValueOutOfRange {
                value: shown,
                pending,
                would_be,
            };
            assert_eq!(added, Err(error));
            assert_eq!(self.replicas[at], before, "a refused add changes nothing");
        } else {
            assert_eq!(added, Ok(()));
            let Sum {
                incremented,
                decremented,
            } = Sum::of(amount);
            self.taken[at].0 += u128::from(incremented);
            self.taken[at].1 += u128::from(decremented);
        }
        added
    }

    fn commit(&mut self, at: usize) {
        if self.replicas[at].commit().is_some() {
            self.replicas[at].synced();
        }
        self.durable[at] = self.taken[at];
        self.held[at][at] = self.durable[at];
    }

    fn send(&mut self, from: usize, to: usize) {
        let (lane, after) = (self.replicas[from].id(), Mark::ZERO);
        let whole = self.replicas[from].interval(lane, after).expect("no fork");
        if let Some(whole) = whole {
            let whole = self.replicas[from].export(&whole);
            let whole = self.replicas[to].import(&whole);
            self.replicas[to].receive(whole).expect("it continues");
            self.commit(to);
            self.held[to][from] = self.durable[from];
        }
    }

    /// The process ends, and starts with what was durable.
    fn restart(&mut self, at: usize) {
        self.starts += 1;
        let old = self.replicas[at].clone();
        let mut new = Replica::new(old.id(), StartId::new(self.starts));
        for (lane, _) in old.digest().iter() {
            let whole = old.interval(lane, Mark::ZERO).expect("no fork");
            let whole = new.import(&old.export(&whole.expect("it is held")));
            new.recover(&whole).expect("an own log");
        }
        self.replicas[at] = new;
        self.taken[at] = self.durable[at];
    }

    fn check(&self) {
        for (replica, held) in self.replicas.iter().zip(&self.held) {
            replica.assert_invariants();
            let index = replica.find("likes");
            let shown = index.map_or(0, |index| replica.value(index));
            assert_eq!(shown, held.iter().map(|&parts| value(parts)).sum::<i128>());
            for (owner, &parts) in self.replicas.iter().zip(held) {
                let total = index.map(|index| replica.sum_of(owner.id(), index));
                let total = total.unwrap_or_default();
                assert_eq!((total.incremented, total.decremented), parts);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize, i64),
    Commit(usize),
    Send(usize, usize),
    Restart(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let at = || 0..REPLICAS;
    let amount = prop_oneof![Just(i64::MAX), Just(i64::MIN), any::<i64>(), -1..=1i64,];
    prop_oneof![
        8 => (at(), amount).prop_map(|(at, amount)| Step::Add(at, amount)),
        2 => at().prop_map(Step::Commit),
        2 => (at(), at()).prop_map(|(from, to)| Step::Send(from, to)),
        1 => at().prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_add_is_taken_unless_it_leads_out_of_the_range(steps in vec(any_step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            match step {
                // Whether it is refused is checked there.
                Step::Add(at, amount) => drop(world.add(at, amount)),
                Step::Commit(at) => world.commit(at),
                Step::Send(from, to) => world.send(from, to),
                Step::Restart(at) => world.restart(at),
            }
            world.check();
        }
    }

    #[test]
    fn a_counter_that_is_new_takes_what_one_without_adds_takes(
        incremented: u64, decremented: u64,
    ) {
        let mut replica = Replica::new(ReplicaId::new(1), StartId::new(1));
        let sum = Sum { incremented, decremented };
        let new = replica.check_new(sum);
        prop_assert_eq!(new.is_ok(), i64::try_from(sum.value()).is_ok());
        let index = replica.counter(&likes());
        prop_assert_eq!(new, replica.add(index, sum).map(drop));
    }
}

#[test]
fn an_add_past_the_range_is_refused_with_what_is_durable_and_what_is_not() {
    let mut world = World::new();
    world.add(0, i64::MAX - 7).expect("in range");
    world.commit(0);
    world.add(0, 7).expect("just fits");
    let error = world.add(0, 1).expect_err("one more does not fit");
    assert_eq!(
        error.to_string(),
        "the value is 9223372036854775800; 7 is taken and not yet durable, and with this add it \
         would become 9223372036854775808, outside of -9223372036854775808 to \
         9223372036854775807; add less, or continue under another counter"
    );
    world
        .add(0, -1)
        .expect("back into the range is always possible");
}

#[test]
fn an_add_counts_what_is_being_written_towards_the_range() {
    let mut replica = Replica::new(ReplicaId::new(1), StartId::new(1));
    let index = replica.counter(&likes());
    let add = |replica: &mut Replica, amount| replica.add(index, Sum::of(amount));
    add(&mut replica, i64::MAX).expect("just fits");
    add(&mut replica, 1).expect_err("although nothing is visible yet");
    replica.commit().expect("the first add");
    add(&mut replica, 1).expect_err("although the first add is only being written");
}

#[test]
fn a_counter_whose_adds_cancel_out_goes_on_for_ever() {
    let mut world = World::new();
    for _ in 0..10 {
        world.add(0, i64::MAX).expect("in range");
        world.add(0, -i64::MAX).expect("in range");
    }
    world.add(0, 5).expect("the value is 0");
    world.commit(0);
    world.send(0, 1);
    world.restart(0);
    world.add(0, 1).expect("the own total is known again");
    world.commit(0);
    world.check();
}

#[test]
fn concurrent_adds_may_leave_the_range_and_only_the_way_back_is_open() {
    for (end, out) in [(i64::MAX, 1), (i64::MIN, -1)] {
        let mut world = World::new();
        for at in 0..REPLICAS {
            world.add(at, end).expect("each alone fits");
            world.commit(at);
        }
        world.send(1, 0);
        world.add(0, out).expect_err("further out");
        world.add(0, 0).expect("it moves nothing");
        world.add(0, -out).expect("towards the range");
    }
}

#[test]
fn totals_that_a_peer_made_up_do_not_stop_the_process() {
    let start = StartId::new(1);
    let to = Mark {
        version: Version::new(1),
        start,
    };
    let mut replica = Replica::new(ReplicaId::new(1), start);
    let index = replica.counter(&likes());
    for lane in 2..200 {
        let record = SumRecord {
            counter: index,
            version: to.version,
            total: Total {
                incremented: Total::PART_MAX,
                decremented: 0,
            },
        };
        let interval = Interval {
            lane: ReplicaId::new(lane),
            after: Mark::ZERO,
            to,
            starts: vec![(to.version, start)],
            sums: [record].into_iter().collect(),
            records: crdt_core::Records::default(),
            needs: Vec::new(),
        };
        replica.receive(interval).expect("well-formed");
    }
    replica.commit();
    replica.synced();
    // What the value is now means nothing.
    let _ = replica.value(index);
    let _ = replica.add(index, Sum::of(1));
    let _ = replica.add(index, Sum::of(-1));
}
