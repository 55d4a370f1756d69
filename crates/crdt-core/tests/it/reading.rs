//! An interval that is read in pieces, while its lane goes on changing, is an interval like any
//! other: whoever holds what was before it holds, after it, the lane as it is at its end.

use crdt_core::{
    CounterName, Interval, IntervalReader, Mark, Received, Replica, ReplicaId, StartId, Sum, Sums,
};
use proptest::{collection::vec, prelude::*};

const COUNTERS: usize = 12;
const SOURCE: ReplicaId = ReplicaId::new(1);
const OTHER: ReplicaId = ReplicaId::new(2);

#[derive(Clone, Debug)]
enum Step {
    /// The source commits adds to these counters, under one version.
    Change(Vec<usize>),
    /// So does another replica, and the source takes its interval, which may be several versions,
    /// and may begin long before what the source holds.
    Receive {
        changes: Vec<Vec<usize>>,
        after: prop::sample::Index,
    },
    /// The source's process starts again, with what was durable.
    Restart,
    /// Some reader begins, after some mark that the lane has had.
    Begin {
        lane: ReplicaId,
        after: prop::sample::Index,
        records_max: usize,
    },
    /// A reader is given its next piece.
    Read(prop::sample::Index),
}

fn any_change() -> impl Strategy<Value = Vec<usize>> {
    vec(0..COUNTERS, 1..COUNTERS)
}

fn any_step() -> impl Strategy<Value = Step> {
    let lane = prop_oneof![Just(SOURCE), Just(OTHER)];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => any_change().prop_map(Step::Change),
        3 => (vec(any_change(), 1..4), index())
            .prop_map(|(changes, after)| Step::Receive { changes, after }),
        1 => Just(Step::Restart),
        2 => (lane, index(), 1..6usize)
            .prop_map(|(lane, after, records_max)| Step::Begin { lane, after, records_max }),
        8 => index().prop_map(Step::Read),
    ]
}

fn name(counter: usize) -> CounterName {
    format!("counter-{counter}").parse().expect("a valid name")
}

fn change(replica: &mut Replica, counters: &[usize]) {
    for &counter in counters {
        let index = replica.counter(&name(counter));
        let added = replica.add(index, Sum::of(1));
        added.expect("far from any bound");
    }
    settle(replica);
}

fn settle(replica: &mut Replica) {
    if replica.commit().is_some() {
        replica.assert_invariants();
        replica.synced();
    }
    replica.assert_invariants();
}

fn whole(replica: &Replica, lane: ReplicaId, after: Mark) -> Option<Interval<CounterName>> {
    let interval = replica.interval(lane, after).expect("no lane has forked");
    interval.map(|interval| replica.export(&interval))
}

/// A replica that holds of one lane what `source` holds of it, and nothing else.
fn holder(source: &Replica, lane: ReplicaId) -> Replica {
    let mut holder = Replica::new(ReplicaId::new(9), StartId::new(9));
    give(&mut holder, whole(source, lane, Mark::ZERO));
    holder
}

fn give(to: &mut Replica, interval: Option<Interval<CounterName>>) {
    if let Some(interval) = interval {
        let interval = to.import(&interval);
        to.receive(interval).expect("it continues the lane");
        settle(to);
    }
}

/// A reader, and what it was given so far.
struct Reading {
    reader: IntervalReader,
    records_max: usize,
    interval: Interval<CounterName>,
    pieces: usize,
}

impl Reading {
    fn new(lane: ReplicaId, after: Mark, records_max: usize) -> Self {
        Self {
            reader: IntervalReader::new(lane, after),
            records_max,
            interval: Interval {
                lane,
                after,
                to: after,
                starts: Vec::new(),
                sums: Sums::new(),
                records: crdt_core::Records::default(),
                needs: Vec::new(),
            },
            pieces: 0,
        }
    }

    /// Reads a piece; whether there is more.
    fn read(&mut self, source: &Replica) -> bool {
        let piece = source.read(&mut self.reader, self.records_max);
        let Some(piece) = piece.expect("no lane has forked") else {
            assert_eq!(self.pieces, 0, "a reading that has begun has an end");
            assert_eq!(self.interval.after, source.held(self.interval.lane));
            return false;
        };
        let piece = piece.map_counters(|&counter| source.name(counter).clone());
        assert_eq!(piece.is_first, self.pieces == 0);
        assert_eq!(
            (piece.lane, piece.after),
            (self.interval.lane, self.interval.after)
        );
        self.pieces += 1;
        self.interval.sums.extend(piece.sums.into_records());
        let Some(end) = piece.end else { return true };
        self.interval.to = end.to;
        self.interval.starts = end.starts;
        assert_eq!(self.reader.after(), end.to, "the next interval begins here");
        false
    }
}

/// A source, all that its lanes have been, and readers.
struct World {
    source: Replica,
    other: Replica,
    starts: u64,
    /// The source as it was, oldest first.
    past: Vec<Replica>,
    readings: Vec<Reading>,
}

impl World {
    fn new() -> Self {
        let source = Replica::new(SOURCE, StartId::new(1));
        Self {
            past: vec![source.clone()],
            source,
            other: Replica::new(OTHER, StartId::new(2)),
            starts: 2,
            readings: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Change(counters) => change(&mut self.source, counters),
            Step::Receive { changes, after } => {
                let after = after.get(&self.past).held(OTHER);
                self.receive(changes, after);
            }
            Step::Restart => self.restart(),
            Step::Begin {
                lane,
                after,
                records_max,
            } => {
                let after = after.get(&self.past).held(*lane);
                self.readings.push(Reading::new(*lane, after, *records_max));
            }
            Step::Read(reading) => {
                if !self.readings.is_empty() {
                    self.read(reading.index(self.readings.len()));
                }
            }
        }
        if self.past.last() != Some(&self.source) {
            self.past.push(self.source.clone());
        }
    }

    fn receive(&mut self, changes: &[Vec<usize>], after: Mark) {
        for counters in changes {
            change(&mut self.other, counters);
        }
        give(&mut self.source, whole(&self.other, OTHER, after));
    }

    fn restart(&mut self) {
        self.starts += 1;
        let mut restarted = Replica::new(SOURCE, StartId::new(self.starts));
        for lane in [SOURCE, OTHER] {
            if let Some(interval) = whole(&self.source, lane, Mark::ZERO) {
                let interval = restarted.import(&interval);
                restarted.recover(&interval).expect("an own log");
                restarted.assert_invariants();
            }
        }
        self.source = restarted;
        // Readers belong to the process that has ended.
        self.readings.clear();
    }

    fn read(&mut self, reading: usize) {
        if !self.readings[reading].read(&self.source) {
            let done = self.readings.swap_remove(reading);
            if done.pieces > 0 {
                self.check(&done.interval);
            }
        }
    }

    /// The interval leads from every state within it to the source's.
    fn check(&self, interval: &Interval<CounterName>) {
        let lane = interval.lane;
        let expected = holder(&self.source, lane);
        assert_eq!(expected.held(lane), interval.to);
        let begins_within = |past: &&Replica| {
            let held = past.held(lane).version;
            interval.after.version <= held && held < interval.to.version
        };
        for past in self.past.iter().filter(begins_within) {
            let mut receiver = holder(past, lane);
            give(&mut receiver, Some(interval.clone()));
            assert_eq!(receiver, expected, "after {}", past.held(lane));
            assert_eq!(holder(&receiver, lane), expected, "one hop further");
            assert_eq!(
                read_at_once(&receiver, lane, interval.after),
                read_at_once(&self.source, lane, interval.after),
            );
        }
        self.check_recovery(interval);
        for counter in 0..COUNTERS {
            let value = |replica: &Replica| {
                let index = replica.find(name(counter).as_str());
                index.map(|index| replica.sum_of(lane, index))
            };
            let found = value(&expected).unwrap_or_default();
            assert_eq!(found, value(&self.source).unwrap_or_default());
        }
    }

    /// The owner's log may hold the interval too, or one that overlaps it.
    fn check_recovery(&self, interval: &Interval<CounterName>) {
        let lane = interval.lane;
        for past in &self.past {
            let held = past.held(lane).version;
            if held < interval.after.version || held > interval.to.version {
                continue;
            }
            let mut owner = Replica::new(lane, StartId::new(99));
            for interval in whole(past, lane, Mark::ZERO).iter().chain([interval]) {
                let interval = owner.import(interval);
                owner.recover(&interval).expect("an own log");
                owner.assert_invariants();
            }
            assert_eq!(owner.held(lane), interval.to);
        }
    }
}

/// The lane's newest records after a mark, by name.
fn read_at_once(replica: &Replica, lane: ReplicaId, after: Mark) -> Option<Interval<CounterName>> {
    let mut interval = whole(replica, lane, after)?;
    let mut records: Vec<_> = interval.sums.into_records().collect();
    records.sort_by_key(|record| (record.version, record.counter.clone()));
    interval.sums = records.into_iter().collect();
    Some(interval)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_reading_in_pieces_ends_with_the_lane_as_it_is(steps in vec(any_step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        // However fast the lane changes, the readings end.
        let mut rounds = 0;
        while !world.readings.is_empty() {
            world.read(0);
            world.step(&Step::Change((0..COUNTERS).collect()));
            world.receive(&[(0..COUNTERS).collect()], world.source.held(OTHER));
            rounds += 1;
            prop_assert!(rounds < 40 * 8, "the readings do not end");
        }
    }

    #[test]
    fn a_lane_at_rest_is_read_once_in_pieces_of_the_size_asked_for(
        changes in vec(any_change(), 1..20), after in any::<prop::sample::Index>(),
        records_max in 1..9usize,
    ) {
        let mut source = Replica::new(SOURCE, StartId::new(1));
        let mut marks = vec![Mark::ZERO];
        for counters in &changes {
            change(&mut source, counters);
            marks.push(source.held(SOURCE));
        }
        let after = *after.get(&marks);
        let mut reading = Reading::new(SOURCE, after, records_max);
        let mut given = 0;
        let mut is_more = source.held(SOURCE) != after;
        while is_more {
            is_more = reading.read(&source);
            prop_assert!(reading.pieces < 1_000, "the reading does not end");
            let records = reading.interval.sums.len() - given;
            prop_assert!(records <= records_max, "{records} records");
            given += records;
        }
        // As many pieces again at most, to find the first record.
        prop_assert!(reading.pieces <= 2 * given.div_ceil(records_max));
        let expected = whole(&source, SOURCE, after).map_or_else(Sums::new, |whole| whole.sums);
        prop_assert_eq!(reading.interval.sums, expected);
    }
}

/// Reads on until the end; `between` changes the source after each piece.
fn read_through(
    source: &mut Replica,
    reading: &mut Reading,
    mut between: impl FnMut(&mut Replica, &Reading),
) {
    while reading.read(source) {
        assert!(reading.pieces < 100, "the reading does not end");
        between(source, reading);
    }
}

#[test]
fn a_reading_catches_up_with_a_lane_that_changes_as_fast_as_it_is_read() {
    let mut source = Replica::new(SOURCE, StartId::new(1));
    (0..COUNTERS).for_each(|counter| change(&mut source, &[counter]));
    let mut reading = Reading::new(SOURCE, Mark::ZERO, 2);
    let mut oldest = (0..COUNTERS).cycle();
    read_through(&mut source, &mut reading, |source, reading| {
        // Those that were given two pieces ago: never the ones where the reading stands.
        for counter in oldest.by_ref().take(if reading.pieces > 2 { 2 } else { 0 }) {
            change(source, &[counter]);
        }
    });
}

#[test]
fn a_reading_begins_although_all_newer_records_keep_changing() {
    let mut source = Replica::new(SOURCE, StartId::new(1));
    change(&mut source, &[0, 1, 2]);
    let after = source.held(SOURCE);
    let busy: Vec<usize> = (3..COUNTERS).collect();
    change(&mut source, &busy);
    let mut reading = Reading::new(SOURCE, after, 2);
    read_through(&mut source, &mut reading, |source, _| change(source, &busy));
}

#[test]
fn a_record_that_has_not_changed_is_given_once() {
    let mut source = Replica::new(SOURCE, StartId::new(1));
    change(&mut source, &(0..COUNTERS).collect::<Vec<_>>());
    let mut reading = Reading::new(SOURCE, Mark::ZERO, 3);
    read_through(&mut source, &mut reading, |source, reading| {
        if reading.pieces <= 2 {
            // The place is where the last record was that was given: go on from the one before.
            change(source, &[3 * reading.pieces - 1]);
        }
    });
    let given = |counter| {
        let records = reading.interval.sums.iter();
        records
            .filter(|record| *record.counter == name(counter))
            .count()
    };
    let times: Vec<_> = (0..COUNTERS).map(given).collect();
    assert_eq!(times, [1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_reader_goes_on_after_its_interval() {
    let mut source = Replica::new(SOURCE, StartId::new(1));
    let mut receiver = Replica::new(OTHER, StartId::new(2));
    let mut reader = IntervalReader::new(SOURCE, Mark::ZERO);
    assert_eq!(source.read(&mut reader, 1), Ok(None), "an unwritten lane");
    for counter in 0..3 {
        change(&mut source, &[counter]);
        let piece = source.read(&mut reader, 1).expect("no fork");
        let piece = piece.expect("a change");
        let end = piece.end.clone().expect("one record");
        let interval = source.export(&Interval {
            lane: piece.lane,
            after: piece.after,
            to: end.to,
            starts: end.starts,
            sums: piece.sums,
            records: end.records,
            needs: end.needs,
        });
        let interval = receiver.import(&interval);
        assert_eq!(receiver.receive(interval), Ok(Received::Taken));
        settle(&mut receiver);
        assert_eq!(source.read(&mut reader, 1), Ok(None), "all is read");
    }
    let unknown = &mut IntervalReader::new(OTHER, Mark::ZERO);
    assert_eq!(source.read(unknown, 1), Ok(None), "an unknown lane");
}

#[test]
fn a_reader_from_another_history_is_refused() {
    let mut source = Replica::new(SOURCE, StartId::new(1));
    change(&mut source, &[0]);
    let mark = source.held(SOURCE);
    let elsewhere = Mark {
        start: StartId::new(7),
        ..mark
    };
    let refused = source.read(&mut IntervalReader::new(SOURCE, elsewhere), 1);
    assert_eq!(refused.expect_err("a fork").seen, elsewhere);
    let beyond = Mark {
        version: mark.version.next(),
        ..mark
    };
    let refused = source.read(&mut IntervalReader::new(SOURCE, beyond), 1);
    assert_eq!(refused.expect_err("nobody knows more").seen, beyond);
}
