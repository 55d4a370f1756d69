//! A frame: one opaque payload with its number, and a checksum over all of it.
//!
//! The layout is in the essay of the crate. This file encodes one frame; `frame_reader` reads them
//! from a file.

use std::fmt;

/// The largest payload of a frame, in bytes.
///
/// Four times the largest message of gRPC by default (4 MiB), so what came in one message fits in
/// one frame. Recovery holds one frame in memory.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes before a frame's payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// The number of a frame in the log: 1 for the first, then one more with each, over all segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The first frame of a log.
    pub const FIRST: Self = Self(1);

    /// Stands before the first frame.
    pub(crate) const ZERO: Self = Self(0);

    /// The sequence number with this value.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of the next frame.
    pub(crate) fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("2^64 frames take longer than any machine lives"),
        )
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the checksums of a file's frames start: the checksum of its header, which holds a salt.
///
/// So no bytes but those written as a frame of this very file pass for one: neither a frame of
/// another file nor a payload, which clients have a hand in, that was made to look like a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u32);

/// The fields before a frame's payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameHeader {
    pub(crate) length: u32,
    pub(crate) checksum: u32,
    pub(crate) sequence: Sequence,
    /// Every frame below this one had been synced before this frame was written.
    pub(crate) durable_below: Sequence,
}

impl FrameHeader {
    /// # Panics
    ///
    /// If the payload is longer than [`FRAME_BYTES_MAX`]: the caller refuses those.
    pub(crate) fn new(
        seed: Seed,
        sequence: Sequence,
        durable_below: Sequence,
        payload: &[u8],
    ) -> Self {
        assert!(
            payload.len() <= FRAME_BYTES_MAX,
            "a frame is within its bound"
        );
        let length = u32::try_from(payload.len()).expect("FRAME_BYTES_MAX fits in 32 bits");
        let mut header = Self {
            length,
            checksum: 0,
            sequence,
            durable_below,
        };
        header.checksum = header.expected_checksum(seed, payload);
        header
    }

    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.get().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable_below.get().to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; FRAME_HEADER_BYTES]) -> Self {
        let u32_at = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
        };
        let u64_at = |at: usize| {
            u64::from_le_bytes(
                bytes[at..at + 8]
                    .try_into()
                    .expect("eight bytes were taken"),
            )
        };
        Self {
            length: u32_at(0),
            checksum: u32_at(4),
            sequence: Sequence(u64_at(8)),
            durable_below: Sequence(u64_at(16)),
        }
    }

    /// Bytes of the payload, if the length is one that a frame can have.
    pub(crate) fn payload_bytes(&self) -> Option<usize> {
        usize::try_from(self.length)
            .ok()
            .filter(|length| *length <= FRAME_BYTES_MAX)
    }

    pub(crate) fn is_checksum_of(&self, seed: Seed, payload: &[u8]) -> bool {
        self.checksum == self.expected_checksum(seed, payload)
    }

    /// Covers every field but itself, and the payload.
    pub(crate) fn expected_checksum(&self, seed: Seed, payload: &[u8]) -> u32 {
        let bytes = self.encode();
        let checksum = crc32c::crc32c_append(seed.0, &bytes[0..4]);
        let checksum = crc32c::crc32c_append(checksum, &bytes[8..]);
        crc32c::crc32c_append(checksum, payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_frame_are_pinned() {
        let header = FrameHeader::new(Seed(0), Sequence::new(2), Sequence::FIRST, b"likes");
        let fields = [
            b"\x05\x00\x00\x00".as_slice(),
            b"\x13\x8f\xeb\xb4".as_slice(),
            b"\x02\x00\x00\x00\x00\x00\x00\x00".as_slice(),
            b"\x01\x00\x00\x00\x00\x00\x00\x00".as_slice(),
        ];
        assert_eq!(header.encode().as_slice(), fields.concat());
    }

    #[test]
    fn a_sequence_is_shown_as_its_number() {
        assert_eq!(Sequence::FIRST.next().to_string(), "2");
    }

    /// So what came in one message of gRPC fits in one frame, whatever is written around it.
    #[test]
    fn a_frame_may_be_four_times_as_large_as_a_message() {
        const MESSAGE_BYTES_MAX: usize = 4 << 20;
        let payload = vec![7; 4 * MESSAGE_BYTES_MAX];
        let header = FrameHeader::new(Seed(0), Sequence::FIRST, Sequence::FIRST, &payload);
        assert_eq!(header.payload_bytes(), Some(payload.len()));
    }

    #[test]
    fn a_frame_of_another_file_has_another_checksum() {
        let header = FrameHeader::new(Seed(1), Sequence::FIRST, Sequence::FIRST, b"likes");
        assert!(header.is_checksum_of(Seed(1), b"likes"));
        assert!(!header.is_checksum_of(Seed(2), b"likes"));
    }
}
