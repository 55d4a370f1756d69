//! Reads the frames of one file, one after the other, through a buffer.
//!
//! Whether a crash explains bytes that are no frame is judged in `read_back`.

use std::io::{self, BufReader, Read, Take};
use std::path::Path;

use crate::file_system::File;
use crate::folder::{FileContext as _, FileError};
use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, Seed};

/// Read buffer of recovery, in bytes: large enough that system calls do not show in its time.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// What a reader finds at its position.
pub(crate) enum Step<'a> {
    /// A frame that is as it was written.
    Frame {
        /// Where the frame begins.
        offset: u64,
        header: FrameHeader,
        payload: &'a [u8],
    },
    /// The end of the frames.
    End,
    /// No frame; the reader stays before it.
    Invalid(FrameError),
}

/// Bytes that are no frame.
#[derive(Debug)]
pub(crate) struct FrameError {
    pub(crate) offset: u64,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Reads the frames of one file, from after its header to a given end.
pub(crate) struct FrameReader<'a, File> {
    file: BufReader<Take<Bytes<'a, File>>>,
    path: &'a Path,
    seed: Seed,
    offset: u64,
    end: u64,
    payload: Vec<u8>,
}

impl<'a, F: File> FrameReader<'a, F> {
    /// Reads the bytes `offset..end` of the file.
    pub(crate) fn new(file: &'a F, path: &'a Path, seed: Seed, offset: u64, end: u64) -> Self {
        let left = end - offset;
        // A small file needs no large buffer.
        let capacity =
            usize::try_from(left).map_or(READ_BUFFER_BYTES, |left| left.min(READ_BUFFER_BYTES));
        Self {
            file: BufReader::with_capacity(capacity, Bytes { file, offset }.take(left)),
            path,
            seed,
            offset,
            end,
            payload: Vec::new(),
        }
    }

    /// The next frame. After [`Step::End`] or [`Step::Invalid`] the reader is used up.
    pub(crate) fn step(&mut self) -> Result<Step<'_>, FileError> {
        let offset = self.offset;
        let left = self.end - offset;
        let bad = |expected: String, found: String| {
            Ok(Step::Invalid(FrameError {
                offset,
                expected,
                found,
            }))
        };
        if left == 0 {
            return Ok(Step::End);
        }
        if left < FRAME_HEADER_BYTES as u64 {
            return bad(
                format!("a frame header of {FRAME_HEADER_BYTES} bytes"),
                format!("{left} bytes before the end"),
            );
        }
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.file.read_exact(&mut bytes).on("read", self.path)?;
        let header = FrameHeader::decode(&bytes);
        let Some(length) = header.payload_bytes() else {
            let found = format!("{} bytes", header.length);
            return bad(format!("a frame of at most {FRAME_BYTES_MAX} bytes"), found);
        };
        let left = left - FRAME_HEADER_BYTES as u64;
        if (length as u64) > left {
            let expected = format!("a frame payload of {length} bytes");
            return bad(expected, format!("{left} bytes before the end"));
        }
        self.payload.resize(length, 0);
        self.file
            .read_exact(&mut self.payload)
            .on("read", self.path)?;
        if !header.is_checksum_of(self.seed, &self.payload) {
            let computed = header.expected_checksum(self.seed, &self.payload);
            return bad(
                format!("checksum {computed:08x} of this frame's bytes"),
                format!("checksum {:08x}", header.checksum),
            );
        }
        self.offset += (FRAME_HEADER_BYTES + length) as u64;
        Ok(Step::Frame {
            offset,
            header,
            payload: &self.payload,
        })
    }
}

/// The bytes of a file from an offset on, as a stream: as many as are asked for must be there.
struct Bytes<'a, F> {
    file: &'a F,
    offset: u64,
}

impl<F: File> Read for Bytes<'_, F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.file.read_exact_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }
}
