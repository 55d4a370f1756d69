//! Why a log is not opened: the file, the place in it, expected and found, and what to do. And why
//! it takes no more.

use std::path::PathBuf;

use crate::folder::FileError;
use crate::frame::{FRAME_BYTES_MAX, Sequence};
use crate::header::{FORMAT_VERSION, FORMAT_VERSION_MIN};

/// Why a directory's log is refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Bytes are not as they were written.
    #[error(
        "{} is damaged at byte {offset}: expected {expected}, found {found}; nothing was changed. \
         Restore the directory from a copy made while tallyd was stopped after its last run, or \
         start with an empty directory: the node joins as a new replica and fetches what its \
         peers hold",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A segment is not there.
    #[error(
        "{} is missing: expected it to go on with frame {sequence}, found {found}; nothing was \
         changed. Put the file back, or start with an empty directory: the node joins as a new \
         replica and fetches what its peers hold",
        path.display()
    )]
    SegmentMissing {
        /// The file that should be there.
        path: PathBuf,
        /// Its first frame.
        sequence: Sequence,
        /// What is there instead.
        found: String,
    },
    /// A file was written by another version of this program.
    #[error(
        "{} has format version {found} at byte 8, expected {FORMAT_VERSION_MIN} to \
         {FORMAT_VERSION}; nothing was changed. Run the version of tallyd that wrote it",
        path.display()
    )]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A file belongs to another replica.
    #[error(
        "{} belongs to replica {found:032x} (byte 12), expected {expected:032x}, to whom the \
         directory belongs; nothing was changed. Put back the file that was here",
        path.display()
    )]
    Replica {
        /// The file.
        path: PathBuf,
        /// The directory's replica.
        expected: u128,
        /// The file's.
        found: u128,
    },
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError<E> {
    /// What is on disk is not what this replica wrote.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A frame is as it was written, and the caller refused it.
    #[error("{} holds at byte {offset} a frame that cannot be applied: {source}", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Where the frame begins.
        offset: u64,
        /// The caller's reason.
        source: E,
    },
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why something could not be made durable.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A payload is over its bound. Nothing changed.
    #[error("a frame of {found} bytes is too large, expected at most {FRAME_BYTES_MAX}; split it")]
    FrameTooLarge {
        /// The payload's bytes.
        found: usize,
    },
    /// A payload has no bytes: a frame without any is the log's own. Nothing changed.
    #[error("a frame of 0 bytes cannot be appended; write what it stands for into it")]
    FrameEmpty,
    /// Another snapshot is being written. Nothing changed.
    #[error("a snapshot is being written already; wait until it is finished")]
    SnapshotRunning,
    /// A write or sync of the log failed before, so its end is unknown. Nothing changed.
    #[error("the log failed before and takes nothing more; stop the process and start it again")]
    Failed,
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

pub(crate) fn ensure_frame_fits(payload: &[u8]) -> Result<(), WriteError> {
    let found = payload.len();
    match found {
        0 => Err(WriteError::FrameEmpty),
        1..=FRAME_BYTES_MAX => Ok(()),
        _ => Err(WriteError::FrameTooLarge { found }),
    }
}
