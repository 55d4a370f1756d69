//! The end of the last segment: judged, cut, and made durable.
//!
//! **Torn or damaged?** A crash leaves the frames of the last, unsynced group in any state, and
//! nothing else. Each frame says which frames had been synced before it was written
//! (`durable_below`). So bytes that are no frame, where frame n should be, are *torn* if they are
//! in the last segment and no frame that follows them, at any byte, says that n was synced; then
//! the file is cut there. Otherwise they are *damage*, and refused.
//!
//! What this leaves out: damage to the last synced group before a crash looks like a torn write
//! until that group is [sealed](crate::Log::seal), as nothing was written after it that could say
//! otherwise; and a last segment that somebody removed leaves no trace. The core finds both out
//! when a peer knows more of this replica's lane than the replica does.
//!
//! **Synced again.** What is read may be in the page cache only, even if an earlier process tried
//! to sync it and failed: the kernel reports such a failure once, and a later sync succeeds
//! (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So the last
//! group, the one whose sync nothing proves, is written again in place before it is synced.

use std::ops::Range;
use std::path::Path;

use crate::file_system::{File, FileSystem};
use crate::folder::{FileContext as _, FileError, Folder, LogFile};
use crate::frame::{FRAME_HEADER_BYTES, FrameHeader, Seed, Sequence};
use crate::read_back::ReadSegment;

/// Bytes that are looked at, or copied, at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Looks, from a byte on, for a frame which says that frame `bad` was synced before it; returns
/// where it is.
///
/// The length of what is at `from` cannot be trusted, so every byte may be the beginning.
pub(crate) fn proof_of_sync(
    file: &impl File,
    path: &Path,
    seed: Seed,
    within: Range<u64>,
    bad: Sequence,
) -> Result<Option<u64>, FileError> {
    let Range { start: from, end } = within;
    let mut window = Vec::new();
    for range in chunks(within) {
        // Each window reaches into the next one, so that no header is cut in two.
        let window_end = (range.end + FRAME_HEADER_BYTES as u64 - 1).min(end);
        window.resize(usize_of(window_end - range.start), 0);
        file.read_exact_at(&mut window, range.start)
            .on("read", path)?;
        for (at, bytes) in window.windows(FRAME_HEADER_BYTES).enumerate() {
            let bytes = bytes.try_into().expect("a window is as long as a header");
            let header = FrameHeader::decode(bytes);
            let offset = range.start + at as u64;
            let payload_at = offset + FRAME_HEADER_BYTES as u64;
            let Some(length) = header.payload_bytes() else {
                continue;
            };
            // Cheap tests first: they leave next to nothing to the checksum.
            let frames_between_max = (offset - from) / FRAME_HEADER_BYTES as u64;
            let is_plausible = header.durable_below > bad
                && header.durable_below <= header.sequence
                && header.sequence.get() - bad.get() <= frames_between_max
                && payload_at + length as u64 <= end;
            if !is_plausible {
                continue;
            }
            let mut payload = vec![0; length];
            file.read_exact_at(&mut payload, payload_at)
                .on("read", path)?;
            if header.is_checksum_of(seed, &payload) {
                return Ok(Some(offset));
            }
        }
    }
    Ok(None)
}

/// Cuts a torn tail, and makes the rest of the last segment durable.
pub(crate) fn make_durable<F: FileSystem>(
    folder: &Folder<F>,
    name: LogFile,
    last: &ReadSegment,
) -> Result<(), FileError> {
    let path = &folder.path_of(&name.name());
    let file = folder.open_to_write(&name.name())?;
    if last.end < last.bytes {
        tracing::warn!(
            path = %path.display(),
            offset = last.end,
            bytes = last.bytes - last.end,
            "cutting a torn tail: a write that was not synced, and not acknowledged"
        );
        file.set_length(last.end).on("cut the torn tail of", path)?;
    }
    let mut chunk = Vec::new();
    for range in chunks(last.last_group..last.end) {
        chunk.resize(usize_of(range.end - range.start), 0);
        file.read_exact_at(&mut chunk, range.start)
            .on("read", path)?;
        file.write_all_at(&chunk, range.start)
            .on("write again", path)?;
    }
    file.sync_all().on("sync", path)
}

/// A range of bytes, in pieces that fit in memory.
fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range
        .step_by(CHUNK_BYTES)
        .map(move |start| start..end.min(start + CHUNK_BYTES as u64))
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a chunk fits in memory")
}
