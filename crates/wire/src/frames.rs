//! What a replica's commits are in the log: each frame is a part of an interval, and the shards'
//! replicas are read back from them.
//!
//! A dictionary of names goes with each file, so the writing end is made anew with each segment
//! and snapshot, and the reading end is told where a file begins.
//!
//! What a group has received is one set, since its intervals may need each other; the own interval
//! before it needs only what was held already. A set is applied once it was read to its end. One
//! that was not written to its end was never synced, and is dropped: nothing follows it in its file.

use crdt_core::{
    CounterIndex, CounterName, Group, IntervalPiece, ReceiveError, Replica, ReplicaId,
};
use prost::Message as _;
use thiserror::Error;

use crate::{DecodeError, DecodeLimits, IntervalDecoder, IntervalEncoder, PartsOf, v1};

/// Why a frame of the log cannot be applied.
#[derive(Debug, PartialEq, Error)]
pub enum FrameError {
    /// It is not a protobuf message.
    #[error("it is no interval: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// It is a message, but not a well-formed one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It does not continue the lane.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

/// The writing end of one file.
#[derive(Debug)]
pub struct FrameEncoder {
    own: ReplicaId,
    encoder: IntervalEncoder,
}

impl FrameEncoder {
    /// For a file without frames, of this replica.
    #[must_use]
    pub fn new(own: ReplicaId, shard_count: u32) -> Self {
        Self {
            own,
            encoder: IntervalEncoder::new(shard_count),
        }
    }

    /// Gives the payload of each frame of a group to `append`, in the order of writing.
    ///
    /// # Errors
    ///
    /// As `append`.
    pub fn group<E>(
        &mut self,
        shard: u32,
        group: &Group,
        name: impl Fn(CounterIndex) -> CounterName,
        mut append: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (index, interval) in group.iter().enumerate() {
            let set_goes_on = interval.lane != self.own && index + 1 < group.len();
            let mut parts = PartsOf::interval(shard, interval).of_set(set_goes_on);
            while let Some(part) = parts.next(&mut self.encoder, &name) {
                append(&part.encode_to_vec())?;
            }
        }
        Ok(())
    }

    /// Gives the payload of each frame of a piece to `append`.
    ///
    /// # Errors
    ///
    /// As `append`.
    pub fn piece<E>(
        &mut self,
        shard: u32,
        piece: &IntervalPiece,
        name: impl Fn(CounterIndex) -> CounterName,
        mut append: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut parts = PartsOf::piece(shard, piece);
        while let Some(part) = parts.next(&mut self.encoder, &name) {
            append(&part.encode_to_vec())?;
        }
        Ok(())
    }
}

/// The reading end: replicas, one a shard, that take back what is durable.
#[derive(Debug)]
pub struct Recovery {
    replicas: Vec<Replica>,
    decoder: IntervalDecoder,
}

impl Recovery {
    /// Nothing is read yet; the replicas are empty.
    ///
    /// # Panics
    ///
    /// With 2^32 shards.
    #[must_use]
    pub fn new(replicas: Vec<Replica>) -> Self {
        Self {
            decoder: decoder(&replicas),
            replicas,
        }
    }

    /// A file begins: a snapshot, or a segment. The file before it may have ended within a set, where
    /// its process died: that is dropped.
    pub fn begin_file(&mut self) {
        self.decoder = decoder(&self.replicas);
    }

    /// Takes back a frame.
    ///
    /// # Errors
    ///
    /// When no replica of this node has written it so.
    pub fn frame(&mut self, payload: &[u8]) -> Result<(), FrameError> {
        let part = v1::IntervalPart::decode(payload)?;
        let shard = self.decoder.shard_of(&part)?;
        let replica = &mut self.replicas[shard as usize];
        let decoded = self.decoder.decode(&part, |name| replica.counter(name))?;
        for interval in decoded.map(|(_, set)| set).unwrap_or_default() {
            replica.recover(&interval)?;
        }
        Ok(())
    }

    /// Everything was read; a set that has not ended is dropped.
    #[must_use]
    pub fn finish(self) -> Vec<Replica> {
        self.replicas
    }
}

fn decoder(replicas: &[Replica]) -> IntervalDecoder {
    let shard_count = u32::try_from(replicas.len()).expect("at most 256 shards");
    IntervalDecoder::new(shard_count, DecodeLimits::FILE)
}

#[cfg(test)]
mod tests {
    use crdt_core::{Interval, IntervalReader, Mark, ReplicaId, StartId, Sum};

    use super::*;

    const SHARDS: u32 = 2;
    const OWN: ReplicaId = ReplicaId::new(1);

    fn empty(start: u64) -> Vec<Replica> {
        let replica = |_| Replica::new(OWN, StartId::new(start));
        (0..SHARDS).map(replica).collect()
    }

    /// A counter's name in a shard.
    fn name(shard: u32, number: usize) -> CounterName {
        let name = |more| format!("counter-{number}-{more}").parse();
        let mut names = (0..999).map(|more| name(more).expect("a short name"));
        let name = names.find(|name| crate::shard_of(name, SHARDS) == shard);
        name.expect("half of all names belong there")
    }

    /// Commits adds to so many counters of a shard; the frames of the group.
    fn commit(
        replicas: &mut [Replica],
        shard: u32,
        counters: usize,
        encoder: &mut FrameEncoder,
    ) -> Vec<Vec<u8>> {
        let replica = &mut replicas[shard as usize];
        for number in 0..counters {
            let counter = replica.counter(&name(shard, number));
            replica.add(counter, Sum::of(1)).expect("in range");
        }
        frames_of_commit(replica, shard, encoder)
    }

    /// Commits what was taken; the frames of the group.
    fn frames_of_commit(
        replica: &mut Replica,
        shard: u32,
        encoder: &mut FrameEncoder,
    ) -> Vec<Vec<u8>> {
        let group = replica.commit().expect("something was taken");
        replica.synced();
        let mut frames = Vec::new();
        let written = encoder.group(
            shard,
            &group,
            |counter| replica.name(counter).clone(),
            |frame| {
                frames.push(frame.to_vec());
                Ok::<(), ()>(())
            },
        );
        written.expect("all is taken");
        frames
    }

    fn lanes(replicas: &[Replica]) -> Vec<Option<Interval<CounterName>>> {
        let lane = |replica: &Replica| {
            let whole = replica.interval(OWN, Mark::ZERO).expect("no fork");
            whole.map(|whole| replica.export(&whole))
        };
        replicas.iter().map(lane).collect()
    }

    #[test]
    fn what_was_committed_is_read_back_from_the_frames_of_several_files() {
        let mut replicas = empty(1);
        let mut recovery = Recovery::new(empty(2));
        for counters in 1..3 {
            // Each file introduces its names itself.
            let mut encoder = FrameEncoder::new(OWN, SHARDS);
            recovery.begin_file();
            for shard in (0..SHARDS).rev().chain([0]) {
                for frame in commit(&mut replicas, shard, counters, &mut encoder) {
                    recovery.frame(&frame).expect("it was written so");
                }
            }
        }
        assert_eq!(lanes(&recovery.finish()), lanes(&replicas));
    }

    #[test]
    fn names_of_an_earlier_file_are_forgotten() {
        let mut replicas = empty(1);
        let mut encoder = FrameEncoder::new(OWN, SHARDS);
        let mut recovery = Recovery::new(empty(2));
        for frame in commit(&mut replicas, 0, 1, &mut encoder) {
            recovery.frame(&frame).expect("it introduces its name");
        }
        recovery.begin_file();
        let frames = commit(&mut replicas, 0, 1, &mut encoder);
        let refused = recovery.frame(&frames[0]);
        let expected = DecodeError::NotIntroduced { shard: 0, index: 0 };
        assert_eq!(refused, Err(FrameError::Decode(expected)));
    }

    #[test]
    fn a_snapshot_is_read_back_from_the_frames_of_its_pieces() {
        let mut replicas = empty(1);
        commit(&mut replicas, 0, 5, &mut FrameEncoder::new(OWN, SHARDS));
        let mut encoder = FrameEncoder::new(OWN, SHARDS);
        let mut recovery = Recovery::new(empty(2));
        let replica = &replicas[0];
        let mut reader = IntervalReader::new(OWN, Mark::ZERO);
        while let Some(piece) = replica.read(&mut reader, 2).expect("no fork") {
            let name = |counter| replica.name(counter).clone();
            let read = encoder.piece(0, &piece, name, |frame| recovery.frame(frame));
            read.expect("it was written so");
        }
        assert_eq!(lanes(&recovery.finish()), lanes(&replicas));
    }

    /// An interval of another replica's lane, which has counted once.
    fn lane_of(other: u128, replica: &mut Replica) -> Interval {
        let id = ReplicaId::new(other);
        let mut source = Replica::new(id, StartId::new(9));
        let counter = source.counter(&name(0, 1));
        source.add(counter, Sum::of(1)).expect("in range");
        source.commit().expect("an add");
        source.synced();
        let interval = source.interval(id, Mark::ZERO).expect("no fork");
        let interval = source.export(&interval.expect("an add"));
        replica.import(&interval)
    }

    /// An own add, and two lanes of which the first needs the second.
    fn receive_two(replica: &mut Replica) {
        let mut needing = lane_of(2, replica);
        let needed = lane_of(3, replica);
        needing.needs = vec![(needed.lane, needed.to)];
        let counter = replica.counter(&name(0, 0));
        replica.add(counter, Sum::of(1)).expect("in range");
        let taken = replica.receive_set(vec![needing, needed]);
        taken.expect("the need is in the set");
    }

    #[test]
    fn the_half_of_a_set_that_a_crash_has_left_is_dropped_and_later_groups_are_read() {
        let mut replicas = empty(1);
        receive_two(&mut replicas[0]);
        let mut encoder = FrameEncoder::new(OWN, SHARDS);
        let torn = frames_of_commit(&mut replicas[0], 0, &mut encoder);
        assert_eq!(torn.len(), 3);

        let mut recovery = Recovery::new(empty(2));
        for frame in &torn[..2] {
            recovery.frame(frame).expect("it was written so");
        }
        let mut replicas = recovery.finish();
        assert_eq!(replicas[0].held(OWN).version.get(), 1, "the own interval");
        let other = ReplicaId::new(2);
        assert_eq!(replicas[0].held(other), Mark::ZERO, "half of a set");

        // The next process goes on in another file, and takes both lanes after all.
        receive_two(&mut replicas[0]);
        let mut encoder = FrameEncoder::new(OWN, SHARDS);
        let whole = frames_of_commit(&mut replicas[0], 0, &mut encoder);
        let mut recovery = Recovery::new(empty(3));
        recovery.begin_file();
        for frame in &torn[..2] {
            recovery.frame(frame).expect("it was written so");
        }
        recovery.begin_file();
        for frame in &whole {
            recovery.frame(frame).expect("it was written so");
        }
        let recovered = recovery.finish();
        assert_eq!(recovered[0].digest(), replicas[0].digest());
        assert_eq!(recovered[0].digest().iter().count(), 3);
    }

    #[test]
    fn an_error_of_the_file_is_passed_on() {
        let mut replicas = empty(1);
        commit(&mut replicas, 0, 1, &mut FrameEncoder::new(OWN, SHARDS));
        let whole = replicas[0].interval(OWN, Mark::ZERO).expect("no fork");
        let group: Group = [whole.expect("an add")].into();
        let name = |counter| replicas[0].name(counter).clone();
        let written = FrameEncoder::new(OWN, SHARDS).group(0, &group, name, |_| Err("full"));
        assert_eq!(written, Err("full"));
    }
}
