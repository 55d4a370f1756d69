//! What a data directory holds, read back: the newest snapshot, then every segment after it.
//!
//! Two phases. The first reads and judges (`read_back`), and changes nothing: if it refuses, the
//! directory is as it was found. The second converts a directory of an older format, makes the end
//! of the last segment durable (`tail`), and removes leftovers.

use std::collections::BTreeMap;

use crate::directory::DataDirectory;
use crate::error::{LogError, OpenError};
use crate::file_system::FileSystem;
use crate::folder::{Folder, LogFile};
use crate::frame::Sequence;
use crate::header::FORMAT_VERSION;
use crate::read_back::{FrameSource, read_segment, read_snapshot};
use crate::segment::Segment;
use crate::tail::make_durable;

/// A log that was read back and can be appended to.
pub(crate) struct Recovered<F: FileSystem> {
    /// The next frame to be written. All below it are durable.
    pub(crate) next: Sequence,
    /// Has no frames: a dictionary starts anew with each start of the process.
    pub(crate) active: Segment<F>,
    /// All segments with their bytes.
    pub(crate) segments: BTreeMap<Sequence, u64>,
    /// The snapshot and its bytes.
    pub(crate) snapshot: Option<(Sequence, u64)>,
}

/// Reads everything, hands over each frame, and leaves the directory ready to be appended to.
pub(crate) fn recover<F: FileSystem, E>(
    directory: &DataDirectory<F>,
    on_frame: &mut impl FnMut(FrameSource, &[u8]) -> Result<(), E>,
) -> Result<Recovered<F>, OpenError<E>> {
    let folder = directory.folder();
    let listing = folder.listing()?;
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
            return Err(missing(folder, next, &format!("frame {first} as the next")).into());
        }
        let is_last = listing.segments.last() == Some(&first);
        let read = read_segment(directory, first, is_last, on_frame)?;
        next = read.next;
        segments.insert(first, read.end);
        last = Some((first, read));
    }
    let Some((last_first, last)) = last else {
        return Err(missing(folder, start, "no segment").into());
    };

    directory.ensure_current_format()?;
    make_durable(folder, LogFile::Segment(last_first), &last)?;
    // An earlier process may have died before it synced the snapshot's name. Without it, a power
    // loss could take the snapshot and leave what it stands for removed.
    folder.sync()?;
    let listing = folder.listing()?;
    for temporary in &listing.temporary {
        folder.remove(temporary)?;
    }
    for name in listing.covered(start) {
        folder.remove(&name)?;
    }
    let active = if next == last_first && last.version == FORMAT_VERSION {
        Segment::open_empty(folder, next, last.seed)?
    } else {
        Segment::create(folder, directory.identity().replica, next)?
    };
    segments.insert(active.first, active.bytes());
    Ok(Recovered {
        next,
        active,
        segments,
        snapshot,
    })
}

fn missing<F: FileSystem>(folder: &Folder<F>, sequence: Sequence, found: &str) -> LogError {
    let path = folder.path_of(&LogFile::Segment(sequence).name());
    LogError::SegmentMissing {
        path,
        sequence,
        found: found.to_owned(),
    }
}
