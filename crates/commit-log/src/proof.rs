//! Torn or damaged? The search for a proof that frames had been synced.
//!
//! A crash leaves the frames of the last, unsynced group in any state, and nothing else. Each frame
//! says which frames had been synced before it was written (`durable_below`). So bytes that are no
//! frame, where frame n should be, are *torn* if they are in the last segment and no frame that
//! follows them, at any byte, says that n was synced; then the file is cut there. Otherwise they
//! are *damage*, and refused.
//!
//! What this leaves out: damage to the last synced group before a crash looks like a torn write
//! until that group is [sealed](crate::Log::seal), as nothing was written after it that could say
//! otherwise; and a last segment that somebody removed leaves no trace. The core finds both out
//! when a peer knows more of this replica's lane than the replica does.
//!
//! **The time it takes.** After bytes that are no frame, the length of what is there says nothing, so a frame may begin at
//! every byte; and payloads are what clients chose, who may fill them with what looks like headers
//! of long frames. Checking each over its payload would take time with the square of the bytes. So
//! the checksum of any range is derived from two *prefix checksums*, of the bytes up to where it
//! begins and up to where it ends: CRCs are linear (the identity behind zlib's `crc32_combine`).
//! Whatever the bytes are, each of them costs at most two reads of [`STEP_BYTES`].

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use crate::file_system::File;
use crate::folder::{FileContext as _, FileError};
use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, Seed, Sequence};

/// Bytes that are looked at, or copied, at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// A prefix checksum is kept every so many bytes: 4 MiB of memory for a segment of 1 GiB.
const STEP_BYTES: usize = 1024;

/// Looks, within some bytes, for a frame which says that frame `bad` was synced before it; returns
/// where it is.
pub(crate) fn proof_of_sync(
    file: &impl File,
    path: &Path,
    seed: Seed,
    within: Range<u64>,
    bad: Sequence,
) -> Result<Option<u64>, FileError> {
    let mut prefixes = None;
    let mut window = Vec::new();
    for range in chunks(within.clone()) {
        // Each window reaches into the next one, so that no header is cut in two.
        let window_end = (range.end + FRAME_HEADER_BYTES as u64).min(within.end);
        read(file, path, range.start..window_end, &mut window)?;
        for (at, bytes) in window.windows(FRAME_HEADER_BYTES).enumerate() {
            let bytes = bytes.try_into().expect("a window is as long as a header");
            let header = FrameHeader::decode(bytes);
            let offset = range.start + at as u64;
            let Some(payload) = plausible_payload(&header, offset, &within, bad) else {
                continue;
            };
            let prefixes = match &mut prefixes {
                Some(prefixes) => prefixes,
                none => none.insert(Prefixes::new(file, path, within.clone())?),
            };
            let before = header.expected_checksum(seed, &[]);
            if header.checksum == prefixes.checksum_after(before, payload)? {
                return Ok(Some(offset));
            }
        }
    }
    Ok(None)
}

/// The payload of what may be a header and, if so, proves what is looked for.
fn plausible_payload(
    header: &FrameHeader,
    offset: u64,
    within: &Range<u64>,
    bad: Sequence,
) -> Option<Range<u64>> {
    let length = header.payload_bytes()? as u64;
    let frames_between_max = (offset - within.start) / FRAME_HEADER_BYTES as u64;
    let payload_at = offset + FRAME_HEADER_BYTES as u64;
    let is_plausible = header.durable_below > bad
        && header.durable_below <= header.sequence
        && header.sequence.get() - bad.get() <= frames_between_max
        && payload_at + length <= within.end;
    is_plausible.then_some(payload_at..payload_at + length)
}

/// The checksums of the bytes up to every [`STEP_BYTES`].
struct Prefixes<'a, F> {
    file: &'a F,
    path: &'a Path,
    start: u64,
    checksums: Vec<u32>,
    bytes: Vec<u8>,
}

impl<'a, F: File> Prefixes<'a, F> {
    fn new(file: &'a F, path: &'a Path, within: Range<u64>) -> Result<Self, FileError> {
        let start = within.start;
        let (mut checksums, mut bytes) = (vec![0], Vec::new());
        let mut checksum = 0;
        for range in chunks(within) {
            read(file, path, range, &mut bytes)?;
            for step in bytes.chunks_exact(STEP_BYTES) {
                checksum = crc32c::crc32c_append(checksum, step);
                checksums.push(checksum);
            }
        }
        Ok(Self {
            file,
            path,
            start,
            checksums,
            bytes,
        })
    }

    /// The checksum of the bytes from the start up to an offset.
    fn up_to(&mut self, offset: u64) -> Result<u32, FileError> {
        let step = usize_of((offset - self.start) / STEP_BYTES as u64);
        let begin = self.start + (step * STEP_BYTES) as u64;
        read(self.file, self.path, begin..offset, &mut self.bytes)?;
        Ok(crc32c::crc32c_append(self.checksums[step], &self.bytes))
    }

    /// A checksum, continued over a range of the file.
    ///
    /// With `shift` for what n bytes do to a checksum, whatever they are: the wanted one is
    /// `shift(checksum) ^ crc(range)`, and the one up to the end is `shift(up to the begin) ^
    /// crc(range)`.
    fn checksum_after(&mut self, checksum: u32, range: Range<u64>) -> Result<u32, FileError> {
        let (begin, end) = (self.up_to(range.start)?, self.up_to(range.end)?);
        Ok(shift(checksum ^ begin, usize_of(range.end - range.start)) ^ end)
    }
}

/// What so many bytes do to a checksum beside their own.
fn shift(checksum: u32, bytes: usize) -> u32 {
    const POWERS: usize = FRAME_BYTES_MAX.ilog2() as usize + 1;
    /// For each power of two of bytes: what becomes of each bit.
    static SHIFTED: OnceLock<[[u32; 32]; POWERS]> = OnceLock::new();
    let shifted = SHIFTED.get_or_init(|| {
        std::array::from_fn(|power| {
            std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, 1 << power))
        })
    });
    let powers = shifted.iter().enumerate();
    powers
        .filter(|(power, _)| bytes >> power & 1 == 1)
        .fold(checksum, |checksum, (_, shifted)| {
            let bits = shifted.iter().enumerate();
            bits.filter(|(bit, _)| checksum >> bit & 1 == 1)
                .fold(0, |sum, (_, bit)| sum ^ bit)
        })
}

/// A range of bytes, in pieces that fit in memory.
pub(crate) fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range
        .step_by(CHUNK_BYTES)
        .map(move |start| start..end.min(start + CHUNK_BYTES as u64))
}

/// Replaces `bytes` by a range of a file.
pub(crate) fn read(
    file: &impl File,
    path: &Path,
    range: Range<u64>,
    bytes: &mut Vec<u8>,
) -> Result<(), FileError> {
    bytes.resize(usize_of(range.end - range.start), 0);
    file.read_exact_at(bytes, range.start).on("read", path)
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("it fits in memory")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    /// Bytes that count how many of them are read.
    #[derive(Debug)]
    struct Counted {
        bytes: Vec<u8>,
        read: AtomicU64,
    }

    impl Counted {
        fn new(bytes: Vec<u8>) -> Self {
            let read = AtomicU64::new(0);
            Self { bytes, read }
        }

        fn proof(&self, from: usize, bad: u64) -> Option<u64> {
            let (seed, bad) = (Seed(1), Sequence::new(bad));
            let within = from as u64..self.bytes.len() as u64;
            proof_of_sync(self, Path::new("x"), seed, within, bad).expect("readable")
        }
    }

    impl File for Counted {
        fn length(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let start = usize_of(offset);
            bytes.copy_from_slice(&self.bytes[start..start + bytes.len()]);
            Ok(())
        }

        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn set_length(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync_data(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync_all(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn bytes_that_seem_to_be_headers_of_long_frames_cost_no_more_than_their_number() {
        // At every eighth byte a header begins, of a frame of 12 KiB that would be a proof.
        let value = 3_u64 << 12;
        let hostile = value.to_le_bytes().repeat(8 * 1024);
        let length = hostile.len() as u64;
        let file = Counted::new(hostile);
        assert_eq!(file.proof(0, value - 1), None);
        let headers = length / 8;
        let read = file.read.into_inner();
        assert!(
            read > headers * STEP_BYTES as u64 / 2,
            "they were plausible"
        );
        assert!(
            read < 3 * length + headers * 2 * STEP_BYTES as u64,
            "{read}"
        );
    }

    #[test]
    fn bytes_without_headers_are_read_once() {
        let file = Counted::new(vec![0; 3 * CHUNK_BYTES]);
        assert_eq!(file.proof(0, 7), None);
        let (read, length) = (file.read.into_inner(), file.bytes.len() as u64);
        assert!((length..length + length / 100).contains(&read), "{read}");
    }

    #[test]
    fn a_proof_fits_where_it_is_and_what_it_says_is_possible() {
        // Between byte 1000, where frame 7 should be, and byte 1048 there is room for two frames.
        let (offset, within, bad) = (1_048, 1_000..2_000, Sequence::new(7));
        let payload = |length, sequence, durable_below| {
            let header = FrameHeader {
                length,
                checksum: 0,
                sequence: Sequence::new(sequence),
                durable_below: Sequence::new(durable_below),
            };
            plausible_payload(&header, offset, &within, bad)
        };
        assert_eq!(payload(10, 9, 8), Some(1_072..1_082));
        assert_eq!(payload(928, 9, 9), Some(1_072..2_000));
        assert_eq!(payload(929, 9, 9), None, "it is cut off");
        assert_eq!(payload(10, 10, 8), None, "too many frames before it");
        assert_eq!(payload(10, 9, 7), None, "it says nothing of frame 7");
        assert_eq!(payload(10, 8, 9), None, "it says that it is synced itself");
        assert_eq!(payload(u32::MAX, 9, 8), None, "no frame is that long");
    }

    proptest! {
        #[test]
        fn a_proof_is_found_wherever_it_is(
            skipped in prop::collection::vec(any::<u8>(), 0..6_000),
            before in prop::collection::vec(any::<u8>(), 24..6_000),
            payload in prop::collection::vec(any::<u8>(), 0..6_000),
            after in prop::collection::vec(any::<u8>(), 0..3_000),
        ) {
            let (bad, next) = (Sequence::new(7), Sequence::new(8));
            let header = FrameHeader::new(Seed(1), next, next, &payload);
            let header_bytes = header.encode();
            let mut bytes = [&skipped, &before, &header_bytes[..], &payload, &after].concat();
            let from = skipped.len();
            let offset = from + before.len();
            let file = Counted::new(bytes.clone());
            prop_assert_eq!(file.proof(from, bad.get()), Some(offset as u64));
            // Any change to it, and it proves nothing.
            let at = offset + after.len() % (FRAME_HEADER_BYTES + payload.len());
            bytes[at] ^= 0x40;
            prop_assert_eq!(Counted::new(bytes).proof(from, bad.get()), None);
        }

        #[test]
        fn a_checksum_is_shifted_as_bytes_do(
            first in prop::collection::vec(any::<u8>(), 0..100),
            second in prop::collection::vec(any::<u8>(), 0..5_000),
        ) {
            let whole = crc32c::crc32c(&[first.clone(), second.clone()].concat());
            let derived = shift(crc32c::crc32c(&first), second.len()) ^ crc32c::crc32c(&second);
            prop_assert_eq!(derived, whole);
        }
    }

    #[test]
    fn a_checksum_is_shifted_by_the_longest_payload() {
        let zeros = vec![0; FRAME_BYTES_MAX];
        let shifted = shift(7, FRAME_BYTES_MAX) ^ crc32c::crc32c(&zeros);
        assert_eq!(shifted, crc32c::crc32c_append(7, &zeros));
    }
}
