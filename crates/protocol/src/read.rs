//! The wait of a read for its token.
//!
//! A read with a token is answered once the node holds what the token stands for, in the shards of
//! the counters that are read. It waits until its own deadline, and no longer than a bound; a
//! token that can never be covered here fails at once.

use alloc::vec::Vec;
use core::time::Duration;

use crdt_core::Fork;
use thiserror::Error;

use crate::{Coverage, ShardIndex, Shards, Time, Token};

/// What a read does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadEffect {
    /// Reads: the token is covered.
    Answer,
    /// Asks again when the next round is complete, or then.
    Wait {
        /// When the read gives up.
        until: Time,
    },
    /// Fails.
    Fail(ReadError),
}

/// Why a read with a token failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// What the token stands for has not arrived in time.
    #[error(
        "what the token stands for has not arrived here within {waited_ms} ms; retry, or read at \
         the node that gave the token"
    )]
    NotCovered {
        /// How long the read has waited.
        waited_ms: u128,
    },
    /// The lane that the token names has another history here.
    #[error("the token can never be covered here: {0}")]
    Forked(Fork),
}

/// A read that waits for its token.
#[derive(Clone, Debug)]
pub struct ReadWait {
    token: Token,
    /// Those not yet covered.
    shards: Vec<ShardIndex>,
    since: Time,
    until: Time,
}

impl ReadWait {
    /// A read of counters of these shards that begins now and waits for so long at most. What the
    /// token says of other shards is not waited for.
    #[must_use]
    pub fn new(token: Token, mut shards: Vec<ShardIndex>, now: Time, wait_max: Duration) -> Self {
        shards.retain(|&shard| token.names(shard));
        shards.sort_unstable();
        shards.dedup();
        Self {
            token,
            shards,
            since: now,
            until: now.after(wait_max),
        }
    }

    /// The next thing to do. Once a shard covers the token it always will.
    pub fn poll(&mut self, now: Time, shards: &impl Shards) -> ReadEffect {
        while let Some(&shard) = self.shards.last() {
            match shards.with(shard, |it| self.token.coverage(shard, it)) {
                Coverage::Covered => {
                    self.shards.pop();
                }
                Coverage::Never(fork) => return ReadEffect::Fail(ReadError::Forked(fork)),
                Coverage::Lacking if now >= self.until => {
                    let waited_ms = now.since(self.since).as_millis();
                    return ReadEffect::Fail(ReadError::NotCovered { waited_ms });
                }
                Coverage::Lacking => return ReadEffect::Wait { until: self.until },
            }
        }
        ReadEffect::Answer
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::cell::RefCell;

    use crdt_core::{Mark, Replica, ReplicaId, StartId, Sum};

    use super::*;
    use crate::{Adds, ClusterHash, Round, Shard};

    const SHARDS: u32 = 3;
    const WRITER: ReplicaId = ReplicaId::new(1);
    const WAIT_MAX: Duration = Duration::from_millis(100);

    fn at_ms(ms: u64) -> Time {
        Time::from_us(ms * 1000)
    }

    fn node(id: ReplicaId, start: StartId) -> RefCell<Vec<Shard>> {
        let shard = |_| Shard::new(Replica::new(id, start));
        RefCell::new((0..SHARDS).map(shard).collect())
    }

    /// A node with durable adds in its first two shards, and their token.
    fn writer(start: u64) -> (RefCell<Vec<Shard>>, Token) {
        let start = StartId::new(start);
        let shards = node(WRITER, start);
        let mut adds = Adds::default();
        for (shard, name) in [(1, "likes"), (0, "views")] {
            adds.add_named(shard, name.parse().expect("a name"), Sum::of(1));
        }
        let receipt = adds.take(&shards, 10).expect("they fit");
        (0..2).for_each(|shard| complete(&shards, shard));
        let token = Token::of(ClusterHash(7), WRITER, start, &receipt);
        (shards, token)
    }

    fn reader() -> RefCell<Vec<Shard>> {
        node(ReplicaId::new(2), StartId::new(9))
    }

    fn complete(shards: &impl Shards, shard: ShardIndex) {
        shards.with(shard, |it| {
            it.collect(Round::FIRST).expect("something was taken");
            it.synced();
        });
    }

    /// Brings the writer's lane of a shard to another node.
    fn copy(from: &impl Shards, to: &impl Shards, shard: ShardIndex) {
        let whole = from.with(shard, |it| it.replica().interval(WRITER, Mark::ZERO));
        let whole = whole.expect("no fork").expect("an add");
        to.with(shard, |it| it.receive(whole)).expect("the first");
        complete(to, shard);
    }

    #[test]
    fn a_read_waits_until_all_its_shards_cover_the_token() {
        let (writer, token) = writer(1);
        let reader = reader();
        let mut read = ReadWait::new(token, vec![1, 0, 2, 1], at_ms(5), WAIT_MAX);
        let waits = ReadEffect::Wait { until: at_ms(105) };
        assert_eq!(read.poll(at_ms(5), &reader), waits);
        copy(&writer, &reader, 1);
        assert_eq!(read.poll(at_ms(6), &reader), waits);
        copy(&writer, &reader, 0);
        assert_eq!(read.poll(at_ms(7), &reader), ReadEffect::Answer);
    }

    #[test]
    fn a_read_at_the_writer_or_of_other_shards_does_not_wait() {
        let (writer, token) = writer(1);
        let mut read = ReadWait::new(token.clone(), vec![0, 1], at_ms(5), WAIT_MAX);
        assert_eq!(read.poll(at_ms(5), &writer), ReadEffect::Answer);
        let mut read = ReadWait::new(token, vec![2], at_ms(5), WAIT_MAX);
        assert_eq!(read.poll(at_ms(5), &reader()), ReadEffect::Answer);
    }

    #[test]
    fn a_read_gives_up_at_its_bound() {
        let (_, token) = writer(1);
        let mut read = ReadWait::new(token, vec![0], at_ms(5), WAIT_MAX);
        let waits = ReadEffect::Wait { until: at_ms(105) };
        assert_eq!(read.poll(at_ms(104), &reader()), waits);
        let late = ReadError::NotCovered { waited_ms: 100 };
        let failed = read.poll(at_ms(105), &reader());
        assert_eq!(failed, ReadEffect::Fail(late));
    }

    #[test]
    fn a_token_of_another_history_fails_at_once() {
        let (_, token) = writer(1);
        let (elsewhere, _) = writer(2);
        let mut read = ReadWait::new(token, vec![0], at_ms(5), WAIT_MAX);
        let failed = read.poll(at_ms(5), &elsewhere);
        assert!(
            matches!(failed, ReadEffect::Fail(ReadError::Forked(_))),
            "{failed:?}"
        );
    }
}
