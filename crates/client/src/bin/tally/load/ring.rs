//! What is added to: a sample of the popularity distribution, drawn once, and the books over it.
//!
//! Drawing every add from a Zipf distribution costs more than sending it. So a ring of adds is
//! drawn once, and a request takes a run of it from a fresh random place. The load is
//! therefore a *sample* of the distribution (its shares are off by about one in a thousand),
//! with the order of independent draws inside a request.
//!
//! It also makes the books cheap: a request is a place and a length, so counting what was
//! acknowledged is two additions to a difference array, and the adds of each counter are added
//! up once, at the end.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Zipf};
use tally_client::CounterIndex;

/// Adds in the ring, beside the longest request: large enough that popular counters have their
/// share to a thousandth, small enough (4 MiB) to draw in a blink.
const RING_ADDS: usize = 1 << 20;

/// A sample of adds; an index is a counter's rank, 0 the most popular.
pub(crate) struct Ring {
    adds: Vec<CounterIndex>,
}

/// The adds of one request: a run of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    start: usize,
    length: usize,
}

impl Run {
    /// Adds in the request.
    pub(crate) fn adds(self) -> u64 {
        self.length as u64
    }
}

impl Ring {
    /// Draws the ring: `counters` ranks, popularity falling with `rank ^ -exponent`, and runs of
    /// at most `run_length_max`.
    pub(crate) fn draw(
        counters: u32,
        zipf: &Zipf<f64>,
        run_length_max: usize,
        random: &mut impl Rng,
    ) -> Self {
        let draw = |_| {
            // Zipf draws whole numbers from 1 to `counters`, as floats.
            #[expect(clippy::cast_possible_truncation, reason = "at most `counters`, a u32")]
            #[expect(clippy::cast_sign_loss, reason = "at least 1")]
            let rank = zipf.sample(random) as u32 - 1;
            CounterIndex(rank.min(counters - 1))
        };
        let adds = (0..RING_ADDS + run_length_max).map(draw).collect();
        Self { adds }
    }

    /// A run at a random place.
    pub(crate) fn run(&self, length: usize, random: &mut impl Rng) -> Run {
        Run {
            start: random.random_range(0..=self.adds.len() - length),
            length,
        }
    }

    /// The counters added to in a run.
    pub(crate) fn adds(&self, run: Run) -> &[CounterIndex] {
        &self.adds[run.start..run.start + run.length]
    }
}

/// How often each place of a ring was counted, as differences between neighbours.
pub(crate) struct Book {
    differences: Vec<i64>,
}

impl Book {
    pub(crate) fn new(ring: &Ring) -> Self {
        Self {
            differences: vec![0; ring.adds.len() + 1],
        }
    }

    /// Counts every add of a run once.
    pub(crate) fn enter(&mut self, run: Run) {
        self.differences[run.start] += 1;
        self.differences[run.start + run.length] -= 1;
    }

    /// Counts the adds of each counter into `totals`, which is indexed by rank.
    pub(crate) fn add_up(&self, ring: &Ring, totals: &mut [u64]) {
        let mut times = 0;
        for (add, difference) in ring.adds.iter().zip(&self.differences) {
            times += difference;
            totals[add.0 as usize] +=
                u64::try_from(times).expect("a place is left as often as it is entered");
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::SmallRng};

    use super::*;

    fn ring(random: &mut SmallRng) -> Ring {
        let zipf = Zipf::new(1_000.0, 1.0).expect("valid parameters");
        Ring::draw(1_000, &zipf, 100, random)
    }

    #[test]
    fn the_books_hold_what_counting_one_by_one_gives() {
        let mut random = SmallRng::seed_from_u64(7);
        let ring = ring(&mut random);
        let (mut book, mut one_by_one) = (Book::new(&ring), vec![0; 1_000]);
        for length in (1..=100).chain([1, 1, 100]) {
            let run = ring.run(length, &mut random);
            book.enter(run);
            ring.adds(run)
                .iter()
                .for_each(|add| one_by_one[add.0 as usize] += 1);
        }
        let mut totals = vec![0; 1_000];
        book.add_up(&ring, &mut totals);
        assert_eq!(totals, one_by_one);
    }

    #[test]
    fn popularity_falls_with_rank_as_zipf_says() {
        let mut random = SmallRng::seed_from_u64(7);
        let ring = ring(&mut random);
        let share = |rank| {
            let hits = ring.adds.iter().filter(|add| add.0 == rank).count();
            let all = u32::try_from(ring.adds.len()).expect("the ring is small");
            f64::from(u32::try_from(hits).expect("at most all")) / f64::from(all)
        };
        let harmonic: f64 = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [0, 1, 9] {
            let expected = 1.0 / f64::from(rank + 1) / harmonic;
            assert!((share(rank) / expected - 1.0).abs() < 0.03, "rank {rank}");
        }
    }
}
