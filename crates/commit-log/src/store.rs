//! What the commit loop asks of a store, whichever it is.

use crate::folder::FileError;
use crate::frame::{FRAME_BYTES_MAX, Sequence};

/// Where a replica's commits become durable: a sequence of opaque frames.
pub trait Store {
    /// A snapshot that is being written, on any thread.
    type Snapshot: Snapshot;

    /// Adds a frame to the current group. It is durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// If the frame is too large, and then nothing changed; or if the store failed.
    fn append(&mut self, payload: &[u8]) -> Result<Sequence, WriteError>;

    /// Ends the group: makes every frame appended so far durable.
    ///
    /// # Errors
    ///
    /// If the store failed. It is not known which frames of the group are durable.
    fn sync(&mut self) -> Result<(), WriteError>;

    /// Ends the group, and lets the next frame begin a new file; returns that frame's number.
    ///
    /// An encoder with state, such as a dictionary of names, starts anew with it.
    ///
    /// # Errors
    ///
    /// If the store failed.
    fn rotate(&mut self) -> Result<Sequence, WriteError>;

    /// Starts a snapshot that will stand for all frames below `below`, a number that
    /// [`rotate`](Self::rotate) gave since the last finished snapshot.
    ///
    /// Its frames must hold the effect of every frame below that, and may hold more that is
    /// durable, if replaying a frame twice is harmless.
    ///
    /// # Errors
    ///
    /// If another is being written, or the file cannot be created. The log itself goes on.
    fn snapshot(&self, below: Sequence) -> Result<Self::Snapshot, WriteError>;
}

/// A snapshot that is being written. It counts for nothing until it is finished.
pub trait Snapshot: Send + 'static {
    /// Adds a frame.
    ///
    /// # Errors
    ///
    /// If the frame is too large or cannot be written: the snapshot is to be dropped.
    fn append(&mut self, payload: &[u8]) -> Result<(), WriteError>;

    /// Makes the snapshot durable, then removes what it stands for.
    ///
    /// # Errors
    ///
    /// If either fails. Nothing is lost: what was not removed is removed after the next snapshot.
    fn finish(self) -> Result<(), WriteError>;
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

pub(crate) fn check_frame_bytes(payload: &[u8]) -> Result<(), WriteError> {
    let found = payload.len();
    if found > FRAME_BYTES_MAX {
        return Err(WriteError::FrameTooLarge { found });
    }
    Ok(())
}
