//! The end of the last segment: cut where a crash tore it, and made durable.
//!
//! Whether it was torn or damaged is judged before, in `read_back` with `proof`.
//!
//! What is read may be in the page cache only, even if an earlier process tried to sync it and
//! failed: the kernel reports such a failure once, and a later sync succeeds (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020). So the last group, the one whose
//! sync nothing proves, is written again in place before it is synced.

use crate::file_system::{File as _, FileSystem};
use crate::folder::{FileContext as _, FileError, Folder, LogFile};
use crate::proof::{chunks, read};
use crate::read_back::ReadSegment;

/// Cuts a torn tail, and makes the rest of the last segment durable.
pub(crate) fn make_durable<F: FileSystem>(
    folder: &Folder<F>,
    name: LogFile,
    last: &ReadSegment,
) -> Result<(), FileError> {
    let path = &folder.path_of(&name.name());
    let file = folder.open_to_write(&name.name())?;
    if last.end != last.bytes {
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
        read(&file, path, range.clone(), &mut chunk)?;
        file.write_all_at(&chunk, range.start)
            .on("write again", path)?;
    }
    file.sync_all().on("sync", path)
}
