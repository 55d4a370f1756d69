//! A hash of what lanes hold, which adds up.
//!
//! Each counter contributes its name's hash, times what was added: an element of the integers
//! modulo 2^64. So the hash of two things together is the sum of theirs, and the hash of a lane can
//! be had from the adds one by one, from records of absolute sums (the new one less the old one),
//! or by counting a whole lane.
//!
//! A record of a session contributes the hash of its newest form, and what a lane needs of another
//! one that of its mark; what is replaced, or goes, is taken away again.
//!
//! It is made for finding mistakes, not against forgers. A wrong amount of one counter is always
//! seen, for the factors are odd; several wrong amounts cancel out by chance once in 2^64.

use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::ops::{Add, AddAssign, Sub};

use crdt_core::{CounterName, Mark, RecordContent, RecordKey, ReplicaId, Total};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The hash of some adds, or of all that a lane holds at a mark.
///
/// ```
/// use crdt_core::{CounterName, Sum};
/// use trace::Content;
///
/// let likes: CounterName = "likes".parse()?;
/// let two = Content::of(&likes, Sum::of(2));
/// assert_eq!(two + two, Content::of(&likes, Sum::of(4)));
/// assert_ne!(two, Content::of(&likes, Sum::of(-2)));
/// # Ok::<(), crdt_core::CounterNameError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Content(u64);

impl Content {
    /// The hash of so much of one counter.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves of the hash are wanted, and amounts modulo 2^64"
    )]
    pub fn of(name: &CounterName, total: impl Into<Total>) -> Self {
        let total = total.into();
        let hash = xxh3_128(name.as_str().as_bytes());
        let (up, down) = ((hash >> 64) as u64 | 1, hash as u64 | 1);
        let incremented = up.wrapping_mul(total.incremented as u64);
        Self(incremented.wrapping_add(down.wrapping_mul(total.decremented as u64)))
    }

    /// The hash of a record of a session. All of its form is in it but the version.
    #[must_use]
    pub fn of_record(key: &RecordKey, content: &RecordContent<CounterName>) -> Self {
        let mut hasher = Xxh3::new();
        (key, content).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The hash of what a lane needs of another one; nothing for the mark before all others.
    #[must_use]
    pub fn of_need(lane: ReplicaId, mark: Mark) -> Self {
        if mark == Mark::ZERO {
            return Self::default();
        }
        let mut hasher = Xxh3::new();
        (lane, mark).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The hash with these bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Its last 32 bits, which add up as well, modulo 2^32.
    #[must_use]
    pub const fn low(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

impl Add for Content {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self(self.0.wrapping_add(more.0))
    }
}

impl AddAssign for Content {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl Sub for Content {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self(self.0.wrapping_sub(less.0))
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({self})")
    }
}

#[cfg(test)]
mod tests {
    use crdt_core::Sum;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn content(adds: &[(u8, Sum)]) -> Content {
        let of = |&(counter, sum): &(u8, Sum)| {
            let name = format!("c{counter}").parse().expect("a name");
            Content::of(&name, sum)
        };
        adds.iter().map(of).fold(Content::default(), Add::add)
    }

    fn any_adds() -> impl Strategy<Value = Vec<(u8, Sum)>> {
        let sum = (any::<u32>(), any::<u32>()).prop_map(|(up, down)| Sum {
            incremented: up.into(),
            decremented: down.into(),
        });
        vec((0..4u8, sum), 0..12)
    }

    proptest! {
        #[test]
        fn the_content_of_adds_is_that_of_their_sums(adds in any_adds()) {
            let of = |counter| {
                let of_counter = adds.iter().filter(|&&(it, _)| it == counter);
                let sum = of_counter.fold(Sum::default(), |sum, &(_, more)| {
                    sum.checked_add(more).expect("few and small")
                });
                (counter, sum)
            };
            prop_assert_eq!(content(&[0, 1, 2, 3].map(of)), content(&adds));
        }

        #[test]
        fn a_wrong_amount_is_always_seen(adds in any_adds(), at: prop::sample::Index, by in 1..u64::MAX) {
            prop_assume!(!adds.is_empty());
            let mut wrong = adds.clone();
            let sum = &mut wrong[at.index(adds.len())].1;
            sum.incremented = sum.incremented.wrapping_add(by);
            prop_assert_ne!(content(&wrong), content(&adds));
        }
    }

    #[test]
    fn adds_of_different_counters_differ() {
        let one = |counter| content(&[(counter, Sum::of(1))]);
        assert_ne!(one(0), one(1));
        assert_ne!(
            content(&[(0, Sum::of(1)), (1, Sum::of(-1))]),
            Content::default()
        );
    }
}
