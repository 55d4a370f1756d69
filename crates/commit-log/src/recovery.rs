//! What a data directory holds, read back: the newest snapshot, then every segment after it.
//!
//! Two phases. The first reads and judges, and changes nothing: if it refuses, the directory is as
//! it was found. The second makes the end of the last segment durable and removes leftovers.
//!
//! Whether bytes that are no frame are a torn write or damage is judged in `tail`; errors are in
//! `error`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::directory::DataDirectory;
use crate::error::{LogError, OpenError};
use crate::files::{FileContext, Listing, LogFile, sync_directory};
use crate::frame::{FrameError, FrameHeader, FrameReader, Seed, Sequence, Step};
use crate::header::{FILE_HEADER_BYTES, FileHeader, FileKind, HeaderError};
use crate::segment::Segment;
use crate::snapshot::{FOOTER_BYTES, Footer};
use crate::tail::{make_durable, proof_of_sync};

/// The file that a frame was read from. A decoder with state, such as a dictionary of names,
/// starts anew with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSource {
    /// The snapshot of all frames below this one.
    Snapshot(Sequence),
    /// The segment that begins with this frame.
    Segment(Sequence),
}

/// A log that was read back and can be appended to.
pub(crate) struct Recovered {
    /// The next frame to be written. All below it are durable.
    pub(crate) next: Sequence,
    /// Has no frames: a dictionary starts anew with each start of the process.
    pub(crate) active: Segment,
    /// All segments but the active one, with their bytes.
    pub(crate) segments: BTreeMap<Sequence, u64>,
    /// The snapshot and its bytes.
    pub(crate) snapshot: Option<(Sequence, u64)>,
}

/// Reads everything, hands over each frame, and leaves the directory ready to be appended to.
pub(crate) fn recover<E>(
    directory: &DataDirectory,
    on_frame: &mut impl FnMut(FrameSource, &[u8]) -> Result<(), E>,
) -> Result<Recovered, OpenError<E>> {
    let path = directory.path();
    let listing = Listing::read(path)?;
    let mut snapshot = None;
    if let Some(&below) = listing.snapshots.last() {
        snapshot = Some((below, read_snapshot(directory, below, on_frame)?));
    }
    let start = snapshot.map_or(Sequence::FIRST, |(below, _)| below);

    let mut next = start;
    let mut segments = BTreeMap::new();
    let mut last = None;
    for &first in listing.segments.iter().filter(|first| **first >= start) {
        if first != next {
            return Err(missing(path, next, &format!("frame {first} as the next")).into());
        }
        let is_last = listing.segments.last() == Some(&first);
        let read = read_segment(directory, first, is_last, on_frame)?;
        next = read.next;
        segments.insert(first, read.end);
        last = Some((first, read));
    }
    let Some((last_first, last)) = last else {
        return Err(missing(path, start, "no segment").into());
    };

    make_durable(&last)?;
    for temporary in &listing.temporary {
        fs::remove_file(temporary).on("remove", temporary)?;
    }
    listing.remove_covered(path, start)?;
    sync_directory(path)?;
    let active = if next == last_first {
        segments.remove(&last_first);
        Segment::open_empty(path, last_first, last.seed)?
    } else {
        Segment::create(path, directory.identity().replica, next)?
    };
    Ok(Recovered {
        next,
        active,
        segments,
        snapshot,
    })
}

fn missing(directory: &Path, sequence: Sequence, found: &str) -> LogError {
    let path = LogFile::Segment(sequence).path(directory);
    LogError::SegmentMissing {
        path,
        sequence,
        found: found.to_owned(),
    }
}

/// A file whose header is right.
pub(crate) struct OpenedFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) seed: Seed,
}

impl OpenedFile {
    fn damaged(&self, error: FrameError) -> LogError {
        let FrameError {
            offset,
            expected,
            found,
        } = error;
        LogError::Damaged {
            path: self.path.clone(),
            offset,
            expected,
            found,
        }
    }
}

fn open<E>(
    directory: &DataDirectory,
    kind: FileKind,
    sequence: Sequence,
) -> Result<OpenedFile, OpenError<E>> {
    let name = match kind {
        FileKind::Segment => LogFile::Segment(sequence),
        FileKind::Snapshot => LogFile::Snapshot(sequence),
    };
    let path = name.path(directory.path());
    let mut file = File::open(&path).on("open", &path)?;
    let bytes = file.metadata().on("examine", &path)?.len();
    let damaged = |offset: u64, expected: String, found: String| -> OpenError<E> {
        LogError::Damaged {
            path: path.clone(),
            offset,
            expected,
            found,
        }
        .into()
    };
    if bytes < FILE_HEADER_BYTES as u64 {
        let expected = format!("a header of {FILE_HEADER_BYTES} bytes");
        return Err(damaged(0, expected, format!("a file of {bytes} bytes")));
    }
    let mut header = [0; FILE_HEADER_BYTES];
    file.read_exact(&mut header).on("read", &path)?;
    let header = match FileHeader::decode(kind, &header) {
        Ok(header) => header,
        Err(HeaderError::Magic) => {
            let found = String::from_utf8_lossy(&header[..8]).into_owned();
            return Err(damaged(
                0,
                format!("the start of a {kind:?}"),
                format!("{found:?}"),
            ));
        }
        Err(HeaderError::Version(found)) => {
            return Err(LogError::FormatVersion { path, found }.into());
        }
        Err(HeaderError::Checksum { expected, found }) => {
            let expected = format!("checksum {expected:08x} of the header");
            return Err(damaged(44, expected, format!("{found:08x}")));
        }
    };
    let expected = directory.identity().replica;
    if header.replica != expected {
        return Err(LogError::Replica {
            path,
            expected,
            found: header.replica,
        }
        .into());
    }
    if header.sequence != sequence {
        let expected = format!("sequence {sequence}, as in the file's name");
        return Err(damaged(28, expected, format!("{}", header.sequence)));
    }
    Ok(OpenedFile {
        file,
        path,
        bytes,
        seed: header.seed(),
    })
}

/// Hands over the frames of a snapshot; returns its bytes.
fn read_snapshot<E>(
    directory: &DataDirectory,
    below: Sequence,
    on_frame: &mut impl FnMut(FrameSource, &[u8]) -> Result<(), E>,
) -> Result<u64, OpenError<E>> {
    let opened = open(directory, FileKind::Snapshot, below)?;
    let frames_begin = FILE_HEADER_BYTES as u64;
    let frames_end = opened
        .bytes
        .saturating_sub(FOOTER_BYTES as u64)
        .max(frames_begin);
    let mut bytes = [0; FOOTER_BYTES];
    let mut footer = None;
    if opened.bytes >= frames_end + FOOTER_BYTES as u64 {
        opened
            .file
            .read_exact_at(&mut bytes, frames_end)
            .on("read", &opened.path)?;
        footer = Footer::decode(opened.seed, bytes);
    }
    let Some(footer) = footer else {
        let expected = format!("a footer of {FOOTER_BYTES} bytes at the end of the snapshot");
        let found = "other bytes, or too few".to_owned();
        return Err(opened
            .damaged(FrameError {
                offset: frames_end,
                expected,
                found,
            })
            .into());
    };
    let file = opened.file.try_clone().on("open", &opened.path)?;
    let mut reader = FrameReader::new(file, &opened.path, opened.seed, frames_begin, frames_end)?;
    let mut count = Sequence::ZERO;
    loop {
        match reader.step()? {
            Step::Frame {
                offset,
                header,
                payload,
            } => {
                count = count.next();
                check_sequence(offset, count, &header).map_err(|error| opened.damaged(error))?;
                on_frame(FrameSource::Snapshot(below), payload)
                    .map_err(|source| frame_error(&opened.path, offset, source))?;
            }
            Step::End if count.get() == footer.frame_count => return Ok(opened.bytes),
            Step::End => {
                let expected = format!("{} frames", footer.frame_count);
                let error = FrameError {
                    offset: frames_end,
                    expected,
                    found: count.to_string(),
                };
                return Err(opened.damaged(error).into());
            }
            Step::Invalid(error) => return Err(opened.damaged(error).into()),
        }
    }
}

fn frame_error<E>(path: &Path, offset: u64, source: E) -> OpenError<E> {
    OpenError::Frame {
        path: path.to_owned(),
        offset,
        source,
    }
}

fn check_sequence(offset: u64, expected: Sequence, header: &FrameHeader) -> Result<(), FrameError> {
    if header.sequence == expected {
        return Ok(());
    }
    let (expected, found) = (
        format!("frame {expected}"),
        format!("frame {}", header.sequence),
    );
    Err(FrameError {
        offset,
        expected,
        found,
    })
}

/// What reading a segment found.
pub(crate) struct ReadSegment {
    pub(crate) path: PathBuf,
    pub(crate) seed: Seed,
    /// The frame after its last one.
    pub(crate) next: Sequence,
    /// The end of its last frame.
    pub(crate) end: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
    /// Where its last group begins.
    pub(crate) last_group: u64,
}

/// Hands over the frames of a segment.
fn read_segment<E>(
    directory: &DataDirectory,
    first: Sequence,
    is_last: bool,
    on_frame: &mut impl FnMut(FrameSource, &[u8]) -> Result<(), E>,
) -> Result<ReadSegment, OpenError<E>> {
    let opened = open(directory, FileKind::Segment, first)?;
    let file = opened.file.try_clone().on("open", &opened.path)?;
    let begin = FILE_HEADER_BYTES as u64;
    let mut reader = FrameReader::new(file, &opened.path, opened.seed, begin, opened.bytes)?;
    let mut next = first;
    let mut last_group = begin;
    let end = loop {
        match reader.step()? {
            Step::Frame {
                offset,
                header,
                payload,
            } => {
                check_sequence(offset, next, &header).map_err(|error| opened.damaged(error))?;
                if header.durable_below == next {
                    last_group = offset;
                }
                on_frame(FrameSource::Segment(first), payload)
                    .map_err(|source| frame_error(&opened.path, offset, source))?;
                next = next.next();
            }
            Step::End => break opened.bytes,
            Step::Invalid(error) if !is_last => return Err(opened.damaged(error).into()),
            Step::Invalid(mut error) => match proof_of_sync(&opened, error.offset, next)? {
                None => break error.offset,
                Some(proof) => {
                    error.expected += ", since a later frame says that it was synced";
                    error.found = format!("{} (and the later frame at byte {proof})", error.found);
                    return Err(opened.damaged(error).into());
                }
            },
        }
    };
    let OpenedFile {
        path, bytes, seed, ..
    } = opened;
    Ok(ReadSegment {
        path,
        seed,
        next,
        end,
        bytes,
        last_group,
    })
}
