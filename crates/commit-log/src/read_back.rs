//! The files of a log, read back frame by frame and judged; nothing is changed here.
//!
//! Whether bytes that are no frame are a torn write or damage is judged with `proof`; errors are in
//! `error`.

use std::path::{Path, PathBuf};

use crate::directory::DataDirectory;
use crate::error::{LogError, OpenError};
use crate::file_system::{File as _, FileSystem};
use crate::folder::{FileContext as _, LogFile};
use crate::frame::{FrameHeader, Seed, Sequence};
use crate::frame_reader::{FrameError, FrameReader, Step};
use crate::header::{FILE_HEADER_BYTES, FileHeader, FileKind, HeaderError};
use crate::proof::proof_of_sync;
use crate::snapshot::{FOOTER_BYTES, Footer};

/// The file that a frame was read from. A decoder with state, such as a dictionary of names,
/// starts anew with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSource {
    /// The snapshot of all frames below this one.
    Snapshot(Sequence),
    /// The segment that begins with this frame.
    Segment(Sequence),
}

/// A file whose header is right.
struct OpenedFile<File> {
    file: File,
    path: PathBuf,
    bytes: u64,
    version: u32,
    seed: Seed,
}

impl<File> OpenedFile<File> {
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

fn open<F: FileSystem, E>(
    directory: &DataDirectory<F>,
    kind: FileKind,
    sequence: Sequence,
) -> Result<OpenedFile<F::File>, OpenError<E>> {
    let name = match kind {
        FileKind::Segment => LogFile::Segment(sequence).name(),
        FileKind::Snapshot => LogFile::Snapshot(sequence).name(),
    };
    let path = directory.folder().path_of(&name);
    let file = directory.folder().open(&name)?;
    let bytes = file.length().on("examine", &path)?;
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
    file.read_exact_at(&mut header, 0).on("read", &path)?;
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
        version: header.version,
        seed: header.seed(),
    })
}

/// Hands over the frames of a snapshot; returns its bytes.
pub(crate) fn read_snapshot<F: FileSystem, E>(
    directory: &DataDirectory<F>,
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
    let OpenedFile {
        file, path, seed, ..
    } = &opened;
    let mut reader = FrameReader::new(file, path, *seed, frames_begin, frames_end);
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
    pub(crate) version: u32,
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
pub(crate) fn read_segment<F: FileSystem, E>(
    directory: &DataDirectory<F>,
    first: Sequence,
    is_last: bool,
    on_frame: &mut impl FnMut(FrameSource, &[u8]) -> Result<(), E>,
) -> Result<ReadSegment, OpenError<E>> {
    let opened = open(directory, FileKind::Segment, first)?;
    let begin = FILE_HEADER_BYTES as u64;
    let OpenedFile {
        file, path, seed, ..
    } = &opened;
    let mut reader = FrameReader::new(file, path, *seed, begin, opened.bytes);
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
                let is_seal = payload.is_empty() && opened.version >= 2;
                if !is_seal {
                    on_frame(FrameSource::Segment(first), payload)
                        .map_err(|source| frame_error(&opened.path, offset, source))?;
                }
                next = next.next();
            }
            Step::End => break opened.bytes,
            Step::Invalid(error) if !is_last => return Err(opened.damaged(error).into()),
            Step::Invalid(mut error) => {
                match proof_of_sync(file, path, *seed, error.offset..opened.bytes, next)? {
                    None => break error.offset,
                    Some(proof) => {
                        error.expected += ", since a later frame says that it was synced";
                        error.found =
                            format!("{} (and the later frame at byte {proof})", error.found);
                        return Err(opened.damaged(error).into());
                    }
                }
            }
        }
    };
    Ok(ReadSegment {
        version: opened.version,
        seed: opened.seed,
        next,
        end,
        bytes: opened.bytes,
        last_group,
    })
}
