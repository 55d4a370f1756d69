//! Tokens: "everything this add changed", or "at least what this answer has read", as bytes that
//! are opaque to clients.
//!
//! A token names its cluster and, for each shard touched, marks of lanes: for an add the lane of the
//! node that took it, at the mark at which the add is durable; for a read every lane that was held
//! in the shard when it was read. A replica that holds the lanes that far has the add, and reads at
//! least what was read, whichever node it is (session guarantees; Terry et al., "Session Guarantees
//! for Weakly Consistent Replicated Data", 1994).
//!
//! Format: a version byte 3, the cluster (8 bytes, big-endian), then numbers as in protobuf (base
//! 128, the low digits first): how many *writers* follow, each a lane (16 bytes) and one of its
//! starts (8 bytes), ascending; then for each shard, ascending, its number, how many marks it has,
//! and for each, in the order of lanes, the place of its writer in the list and the version. There
//! is one way to write a token, and other bytes are refused.
//!
//! An answer that touched more than a token of [`TOKEN_BYTES_MAX`] can name is given a token that
//! says just that, and that every read refuses: a token that forgot some lanes would let a read
//! seem to be covered that is not.

use alloc::{collections::BTreeMap, vec::Vec};

use crdt_core::{Fork, Mark, ReplicaId, StartId, Version};
use thiserror::Error;

use crate::{Receipt, RequestReceipt, Shard, ShardIndex};

/// Bytes of a token, at most: room for the lanes of about 20 replicas in each of 256 shards, and in
/// hexadecimal digits half of what a command's argument may have. A token of adds has far less: one
/// lane in 256 shards comes to 3.6 KB.
pub const TOKEN_BYTES_MAX: usize = 32 << 10;

const FORMAT: u8 = 3;
/// In the place of the format: the token would have been too long.
const TOO_LONG: u8 = 0xff;
const HEAD_BYTES: usize = 1 + 8;
const WRITER_BYTES: usize = 16 + 8;

/// A cluster as tokens name it: a hash of its name, which the driver computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterHash(pub u64);

/// A parsed token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    cluster: ClusterHash,
    marks: Marks,
}

/// How far lanes are held, by shard and lane.
pub(crate) type Marks = BTreeMap<(ShardIndex, ReplicaId), Mark>;

/// Why bytes are no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The length fits no token.
    #[error(
        "a token has {HEAD_BYTES} to {TOKEN_BYTES_MAX} bytes, and this one has {0}; give it whole, \
         as it was given"
    )]
    Length(usize),
    /// Another program, or another version of this one, wrote it.
    #[error(
        "the token has format {0}; this version reads format {FORMAT}: read without it, or add again to get a new one"
    )]
    Format(u8),
    /// Another cluster gave it.
    #[error("the token is from another cluster; give it to a node of the cluster it came from")]
    Cluster,
    /// The answer that gave it touched more than a token can name.
    #[error(
        "the answer that gave this token had read {marks} lanes of shards, more than a token of \
         {TOKEN_BYTES_MAX} bytes can name; use the token of a read of fewer counters"
    )]
    TooLong {
        /// Lanes of shards that were read.
        marks: u64,
    },
    /// It names a shard that does not exist here.
    #[error(
        "the token names shard {found}, but the cluster has {shard_count}; it is not from here"
    )]
    Shard {
        /// Shard named.
        found: ShardIndex,
        /// Shards there are.
        shard_count: u32,
    },
    /// No node writes such a token: it was cut or altered.
    #[error("the token of {bytes} bytes is not as it was given; copy it whole")]
    Altered {
        /// Its length.
        bytes: usize,
    },
}

/// Whether a node holds what a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// It does.
    Covered,
    /// Not yet.
    Lacking,
    /// It holds another history of a lane, so it never will.
    Never(Fork),
}

impl Token {
    /// The token of adds that a node took: its lane, and the start of its process.
    #[must_use]
    pub fn of(cluster: ClusterHash, lane: ReplicaId, start: StartId, receipt: &Receipt) -> Self {
        let mark = |&(shard, Mark { version, .. }): &(ShardIndex, Mark)| {
            ((shard, lane), Mark { version, start })
        };
        let marks = receipt.marks.iter().map(mark).collect();
        Self { cluster, marks }
    }

    /// The token of a request, whichever lanes have its parts.
    #[must_use]
    pub fn of_request(cluster: ClusterHash, receipt: &RequestReceipt) -> Self {
        let marks = receipt.marks.iter();
        let marks = marks.map(|&(shard, lane, mark)| ((shard, lane), mark));
        Self {
            cluster,
            marks: marks.collect(),
        }
    }

    /// The token of what was read.
    pub(crate) fn of_marks(cluster: ClusterHash, marks: Marks) -> Self {
        Self { cluster, marks }
    }

    /// The token as bytes: [`TOKEN_BYTES_MAX`] at most.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(FORMAT);
        // Each mark needs two bytes, whatever else: so this is never much work for nothing.
        if self.marks.len() <= TOKEN_BYTES_MAX / 2 {
            self.write_marks(&mut bytes);
        }
        if self.marks.len() > TOKEN_BYTES_MAX / 2 || bytes.len() > TOKEN_BYTES_MAX {
            bytes = self.head(TOO_LONG);
            write_number(&mut bytes, self.marks.len() as u64);
        }
        bytes
    }

    fn head(&self, format: u8) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(format);
        bytes.extend(self.cluster.0.to_be_bytes());
        bytes
    }

    fn write_marks(&self, bytes: &mut Vec<u8>) {
        let marks = self.marks.iter();
        let mut writers: Vec<_> = marks.map(|(&(_, lane), mark)| (lane, mark.start)).collect();
        writers.sort_unstable();
        writers.dedup();
        write_number(bytes, writers.len() as u64);
        for (lane, start) in &writers {
            bytes.extend(lane.get().to_be_bytes());
            bytes.extend(start.get().to_be_bytes());
        }
        let marks: Vec<_> = self.marks.iter().collect();
        for of_shard in marks.chunk_by(|a, b| a.0.0 == b.0.0) {
            let (shard, _) = of_shard[0].0;
            write_number(bytes, (*shard).into());
            write_number(bytes, of_shard.len() as u64);
            for ((_, lane), mark) in of_shard {
                let writer = writers.binary_search(&(*lane, mark.start));
                let writer = writer.expect("every mark's writer is in the list");
                write_number(bytes, writer as u64);
                write_number(bytes, mark.version.get());
            }
        }
    }

    /// Parses a token for a cluster of `shard_count` shards.
    ///
    /// # Errors
    ///
    /// When the bytes are no token of that cluster, or the token of an answer that touched too much.
    pub fn parse(bytes: &[u8], cluster: ClusterHash, shard_count: u32) -> Result<Self, TokenError> {
        let length = TokenError::Length(bytes.len());
        if let Some(&format) = bytes.first()
            && format != FORMAT
            && format != TOO_LONG
        {
            return Err(TokenError::Format(format));
        }
        if bytes.len() > TOKEN_BYTES_MAX {
            return Err(length);
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(length)?;
        let named = head[1..].try_into().expect("8 bytes were taken");
        if u64::from_be_bytes(named) != cluster.0 {
            return Err(TokenError::Cluster);
        }
        let altered = TokenError::Altered { bytes: bytes.len() };
        let mut rest = Bytes(rest);
        if bytes[0] == TOO_LONG {
            let marks = rest.number().ok_or(altered)?;
            return Err(TokenError::TooLong { marks });
        }
        let marks = rest.marks().ok_or(altered.clone())?;
        if let Some((&(found, _), _)) = marks.last_key_value()
            && found >= shard_count
        {
            return Err(TokenError::Shard { found, shard_count });
        }
        let token = Self { cluster, marks };
        // There is one way to write it.
        if token.to_bytes() == bytes {
            Ok(token)
        } else {
            Err(altered)
        }
    }

    /// Whether it names a shard at all.
    pub(crate) fn names(&self, shard: ShardIndex) -> bool {
        self.of_shard(shard).next().is_some()
    }

    fn of_shard(&self, shard: ShardIndex) -> impl Iterator<Item = (ReplicaId, Mark)> {
        let (first, last) = (ReplicaId::new(0), ReplicaId::new(u128::MAX));
        let marks = self.marks.range((shard, first)..=(shard, last));
        marks.map(|(&(_, lane), &mark)| (lane, mark))
    }

    /// Whether a shard holds what the token stands for, in that shard.
    #[must_use]
    pub fn coverage(&self, index: ShardIndex, shard: &Shard) -> Coverage {
        let replica = shard.replica();
        let mut coverage = Coverage::Covered;
        for (lane, seen) in self.of_shard(index) {
            match replica.admits(lane, seen) {
                Err(fork) => return Coverage::Never(fork),
                Ok(()) if replica.held(lane).version >= seen.version => {}
                Ok(()) => coverage = Coverage::Lacking,
            }
        }
        coverage
    }
}

/// Writes a number in base 128, the low digits first.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let digit = u8::try_from(number & 0x7f).expect("seven bits");
        bytes.push(digit | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}

/// What is left to parse.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for digits in 0..10 {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let digit = u64::from(byte & 0x7f);
            number |= digit
                .checked_shl(7 * digits)
                .filter(|it| it >> (7 * digits) == digit)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn writer(&mut self) -> Option<(ReplicaId, StartId)> {
        let (writer, rest) = self.0.split_first_chunk::<WRITER_BYTES>()?;
        self.0 = rest;
        let lane = writer[..16].try_into().expect("16 bytes");
        let start = writer[16..].try_into().expect("8 bytes");
        Some((
            ReplicaId::new(u128::from_be_bytes(lane)),
            StartId::new(u64::from_be_bytes(start)),
        ))
    }

    /// All marks. What they take is less than the bytes they came in, times a small number.
    fn marks(mut self) -> Option<Marks> {
        let count = usize::try_from(self.number()?).ok()?;
        if count > self.0.len() / WRITER_BYTES {
            return None;
        }
        let writers: Vec<_> = (0..count).map(|_| self.writer()).collect::<Option<_>>()?;
        let mut marks = Marks::new();
        while !self.0.is_empty() {
            let shard = ShardIndex::try_from(self.number()?).ok()?;
            for _ in 0..self.number()? {
                let writer = usize::try_from(self.number()?).ok()?;
                let &(lane, start) = writers.get(writer)?;
                let version = Version::new(self.number()?);
                marks.insert((shard, lane), Mark { version, start });
            }
        }
        Some(marks)
    }
}

#[cfg(test)]
mod tests;
