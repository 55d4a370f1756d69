//! Fingerprints: 64 bits that stand for all that a lane holds, so that two replicas can tell whether
//! they hold the same without reading it to each other.
//!
//! Every record has a hash, of its kind, its counter's *name* (a replica's indices mean nothing to
//! another), its version and its content. Names are hashed by a function that the driver gives
//! ([`HashName`]), the same one on all nodes, and a well-mixed one; the few words that are left are
//! mixed here, one after the other, each by a product of 128 bits whose halves are put together (the
//! step of Wang Yi's wyhash). So each bit of a record reaches each bit of its hash. A lane's fingerprint is the wrapping sum of these hashes.
//! A sum has no order, and can be kept: what replaces a record takes the old form's hash out and
//! puts its own in (Clarke et al., "Incremental Multiset Hash Functions and Their Application to
//! Memory Integrity Checking", 2003). When that is done is the subject of
//! [`Replica::follow`](crate::Replica::follow).
//!
//! **What it finds.** Mistakes of programs, memory and disks: a lost, doubled, altered or misplaced
//! record. Two different lanes have equal fingerprints by chance once in 2^64. It is no protection
//! from somebody who makes up records until they fit.
//!
//! **Further kinds of records** have a [`RecordKind`] each, and what identifies and fills them goes
//! through [`RecordHash::of`]; the sum does not care what it adds up.

use alloc::vec::Vec;

use crate::{
    CounterIndex, CounterName, Numbers, RecordContent, RecordKey, ReplicaId, SessionId, Total,
    Version,
};

/// What a lane holds, in 64 bits. The empty lane has zero.
///
/// Equal lanes have equal fingerprints, on every replica; unequal ones have equal fingerprints by
/// chance, once in 2^64.
///
/// ```
/// use crdt_core::{Fingerprint, NameHash, RecordHash, Sum, Version};
///
/// let [likes, views] = [0x51f0_7b2c, 0x0e83_a1d9].map(NameHash::new);
/// let hash = |name| RecordHash::of_sum(name, Version::new(1), Sum::of(5).into());
/// let (mut a, mut b) = (Fingerprint::default(), Fingerprint::default());
/// a.add(hash(likes));
/// a.add(hash(views));
/// b.add(hash(views));
/// assert_ne!(a, b);
/// b.add(hash(likes));
/// assert_eq!(a, b, "in whatever order");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// A fingerprint from its bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A record more.
    pub fn add(&mut self, record: RecordHash) {
        self.0 = self.0.wrapping_add(record.0);
    }

    /// A record less.
    pub(crate) fn remove(&mut self, record: RecordHash) {
        self.0 = self.0.wrapping_sub(record.0);
    }
}

/// The hash of a counter's name: made once for the records of all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameHash(u64);

impl NameHash {
    /// A hash from its bits.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }
}

/// How names are hashed. Nodes compare what comes of it, so it is the same on all of them, and each
/// bit of a name changes about half of its bits: XXH3 does, in `wire::hash_name`.
pub type HashName = fn(&CounterName) -> NameHash;

/// What kind of record is hashed: two kinds with the same words differ. Nodes compare what comes of
/// these numbers, so none ever changes its meaning.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
enum RecordKind {
    Sum = 1,
    Knows = 2,
    Gone = 3,
    Session = 4,
    Claim = 5,
    Heard = 6,
}

/// The hash of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHash(u64);

impl RecordHash {
    /// Of what a lane says of a counter.
    #[must_use]
    pub fn of_sum(counter: NameHash, version: Version, total: Total) -> Self {
        let [incremented, decremented] = [total.incremented, total.decremented];
        let content = [low(incremented), low(decremented)];
        let wide = [high(incremented), high(decremented)];
        Self::of(RecordKind::Sum, counter.0, version, [content, wide])
    }

    /// Of what a lane says about sessions; `name` hashes the counter that an index stands for.
    pub(crate) fn of_session(
        key: RecordKey,
        version: Version,
        content: &RecordContent,
        name: impl Fn(CounterIndex) -> NameHash,
    ) -> Self {
        let mut words = Words::default();
        let kind = match key {
            RecordKey::Knows(replica) => {
                words.replica(replica);
                RecordKind::Knows
            }
            RecordKey::Gone { start, first } => {
                words.0.extend([start.get(), first]);
                RecordKind::Gone
            }
            RecordKey::Session { start, count } => {
                words.0.extend([start.get(), count]);
                RecordKind::Session
            }
            RecordKey::Claim(request) => {
                words.session(request.session);
                words.0.push(request.number);
                RecordKind::Claim
            }
            RecordKey::Heard(session) => {
                words.session(session);
                RecordKind::Heard
            }
        };
        match content {
            RecordContent::Knows | RecordContent::Heard => {}
            RecordContent::Gone { last } => words.0.push(*last),
            RecordContent::Session(mark) => {
                words.0.extend([mark.answered_below, mark.closed.into()]);
                words.numbers(&mark.taken());
                words.numbers(mark.void().unwrap_or(&Numbers::default()));
                for (&number, &to) in mark.grants() {
                    words.0.push(number);
                    words.replica(to);
                }
            }
            RecordContent::Claim(adds) => {
                for &(counter, sum) in adds {
                    words
                        .0
                        .extend([name(counter).0, sum.incremented, sum.decremented]);
                }
            }
        }
        // How many there are is hashed too, so that what is missing at the end is no zero.
        let count = words.0.len() as u64;
        let mut hash = fold(count ^ SECRETS[0], version.get() ^ SECRETS[1]);
        for &word in &words.0 {
            hash = fold(hash ^ word, SECRETS[2]);
        }
        Self(fold(hash ^ SECRETS[3], kind as u64 ^ SECRETS[4]))
    }

    /// Of any record: what it is of, hashed where that is more than a word, and two words of
    /// content at a time.
    fn of<const N: usize>(
        kind: RecordKind,
        key: u64,
        version: Version,
        content: [[u64; 2]; N],
    ) -> Self {
        let mut hash = fold(key ^ SECRETS[0], version.get() ^ SECRETS[1]);
        for [one, other] in content {
            hash = fold(hash ^ one, other ^ SECRETS[2]);
        }
        Self(fold(hash ^ SECRETS[3], kind as u64 ^ SECRETS[4]))
    }
}

/// What is to be hashed, in order.
#[derive(Default)]
struct Words(Vec<u64>);

impl Words {
    fn replica(&mut self, replica: ReplicaId) {
        self.0.extend([low(replica.get()), high(replica.get())]);
    }

    fn session(&mut self, session: SessionId) {
        self.replica(session.home);
        self.0.extend([session.start.get(), session.count]);
    }

    fn numbers(&mut self, numbers: &Numbers) {
        self.0.push(numbers.ranges().len() as u64);
        for &(first, last) in numbers.ranges() {
            self.0.extend([first, last]);
        }
    }
}

/// Words with about as many ones as zeros and no pattern: the first digits of pi after the point.
const SECRETS: [u64; 5] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
];

/// All bits of both words into each bit of one: the two halves of their product, put together (the
/// step of wyhash).
fn fold(one: u64, other: u64) -> u64 {
    // It cannot overflow; saying so spares the check.
    let product = u128::from(one).wrapping_mul(u128::from(other));
    low(product) ^ high(product)
}

#[expect(clippy::cast_possible_truncation, reason = "the half that is meant")]
fn low(word: u128) -> u64 {
    word as u64
}

fn high(word: u128) -> u64 {
    low(word >> 64)
}

#[cfg(test)]
mod tests {
    use alloc::{
        collections::{BTreeMap, BTreeSet},
        vec,
    };

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{RequestId, SessionMark, StartId, Sum};

    fn hash(name: u64, version: u64, incremented: u128, decremented: u128) -> u64 {
        let total = Total {
            incremented,
            decremented,
        };
        RecordHash::of_sum(NameHash(name), Version::new(version), total).0
    }

    proptest! {
        /// What changes one bit of a record changes about half of its hash.
        #[test]
        fn every_bit_of_a_record_counts(
            name: u64, version: u64, incremented in 0..1u128 << 121, decremented in 0..1u128 << 121,
            is_wide: bool, bit in 0..64u32, part in 0..6,
        ) {
            let mask = if is_wide { u128::MAX } else { u64::MAX.into() };
            let (incremented, decremented) = (incremented & mask, decremented & mask);
            let before = hash(name, version, incremented, decremented);
            let flip = 1u64 << bit;
            let wide = u128::from(flip);
            let after = match part {
                0 => hash(name ^ flip, version, incremented, decremented),
                1 => hash(name, version ^ flip, incremented, decremented),
                2 => hash(name, version, incremented ^ wide, decremented),
                3 => hash(name, version, incremented, decremented ^ wide),
                4 => hash(name, version, incremented ^ wide << 64, decremented),
                _ => hash(name, version, incremented, decremented ^ wide << 64),
            };
            let changed = (before ^ after).count_ones();
            prop_assert!((8..=56).contains(&changed), "{changed} bits");
        }

        #[test]
        fn a_sum_has_no_order_and_what_is_taken_out_leaves_no_trace(
            mut records in vec(any::<u64>(), 1..20), more: u64,
        ) {
            let of = |records: &[u64]| {
                let mut sum = Fingerprint::default();
                for &record in records {
                    sum.add(RecordHash(record));
                }
                sum
            };
            let expected = of(&records);
            records.reverse();
            let mut found = of(&records);
            found.add(RecordHash(more));
            prop_assert_eq!(found == expected, more == 0);
            found.remove(RecordHash(more));
            prop_assert_eq!(found, expected);
        }
    }

    /// Nodes with different programs compare them.
    #[test]
    fn the_hash_of_a_record_does_not_drift() {
        let likes = NameHash(0xf0e8_bd55_a692_bece);
        let of = |incremented, decremented| {
            let total = Total {
                incremented,
                decremented,
            };
            RecordHash::of_sum(likes, Version::new(7), total).0
        };
        let found = [of(5, 0), of(5, 3), of(1 << 64, 0)];
        let expected = [
            0x0c51_ad9c_809e_9b27,
            0xfcc8_3f80_46ec_4ff0,
            0xfd56_b36e_fdbf_51f6,
        ];
        assert_eq!(found, expected, "{found:x?}");
        let mut sum = Fingerprint::new(expected[0]);
        sum.add(RecordHash(expected[1]));
        assert_eq!(sum.get(), expected[0].wrapping_add(expected[1]));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a list of records")]
    fn what_lanes_say_about_sessions_differs_in_every_part() {
        let session = |home, start, count| SessionId {
            home: ReplicaId::new(home),
            start: StartId::new(start),
            count,
        };
        let numbers = |number: u64| Numbers::from_iter([number]);
        let mark = |below, taken, closed| {
            let mut mark = SessionMark::default();
            (mark.answered_below, mark.closed) = (below, closed);
            mark.with_taken(&numbers(taken)).expect("in the window")
        };
        let granted = |number, to| {
            let grants = BTreeMap::from([(number, ReplicaId::new(to))]);
            mark(1, 1, false).with(Numbers::default(), grants)
        };
        let (start, count) = (StartId::new(5), 6);
        let [of, other] =
            [(start, 6), (start, 7)].map(|(start, count)| RecordKey::Session { start, count });
        let claim = |number| {
            RecordKey::Claim(RequestId {
                session: session(1, 2, 3),
                number,
            })
        };
        let adds = |counter, amount| {
            RecordContent::Claim(vec![(CounterIndex::new(counter), Sum::of(amount))])
        };
        let marks = [
            mark(1, 1, false),
            mark(2, 3, false),
            mark(1, 2, false),
            mark(1, 1, true),
            granted(2, 9),
            granted(3, 9),
            granted(2, 8),
            mark(1, 1, false).with(numbers(4), BTreeMap::new()),
        ];
        let mut records: Vec<(RecordKey, RecordContent)> =
            marks.map(|it| (of, RecordContent::Session(it))).into();
        records.extend([
            (other, RecordContent::Session(mark(1, 1, false))),
            (
                RecordKey::Session {
                    start: StartId::new(4),
                    count,
                },
                RecordContent::Session(mark(1, 1, false)),
            ),
            (RecordKey::Knows(ReplicaId::new(1)), RecordContent::Knows),
            (RecordKey::Knows(ReplicaId::new(2)), RecordContent::Knows),
            (
                RecordKey::Gone { start, first: 1 },
                RecordContent::Gone { last: 3 },
            ),
            (
                RecordKey::Gone { start, first: 1 },
                RecordContent::Gone { last: 4 },
            ),
            (
                RecordKey::Gone { start, first: 2 },
                RecordContent::Gone { last: 4 },
            ),
            (claim(1), adds(1, 5)),
            (claim(2), adds(1, 5)),
            (claim(1), adds(2, 5)),
            (claim(1), adds(1, -5)),
            (claim(1), RecordContent::Claim(vec![])),
        ]);
        for session in [
            session(1, 2, 3),
            session(2, 2, 3),
            session(1, 3, 3),
            session(1, 2, 4),
        ] {
            records.push((RecordKey::Heard(session), RecordContent::Heard));
        }
        let name = |counter: CounterIndex| NameHash(counter.get().into());
        let mut seen = BTreeSet::new();
        for (key, content) in &records {
            for version in [1, 2] {
                let hash = RecordHash::of_session(*key, Version::new(version), content, name);
                assert!(seen.insert(hash.0), "{key:?}: {content:?}");
            }
        }
    }

    #[test]
    fn an_amount_that_moves_to_another_record_is_seen() {
        let mut seen = BTreeSet::new();
        for moved in 0..1_000 {
            let mut sum = Fingerprint::default();
            for (name, amount) in (0..).zip([moved, 1_000 - moved]) {
                sum.add(RecordHash(hash(name, 1, amount, 0)));
            }
            assert!(seen.insert(sum), "{moved}");
        }
    }
}
