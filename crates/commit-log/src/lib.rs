//! The log: what makes a replica's commits durable.
//!
//! The commit thread [appends](Log::append) the frames of one group and [syncs](Log::sync) once;
//! only then may anything of the group be acknowledged or sent. Replaying all frames gives the
//! state back. A [snapshot](Log::snapshot) of the state replaces the frames before it, which bounds
//! the disk and the start-up time.
//!
//! What it leaves out: what a frame says, and when to sync, to seal or to snapshot; its callers
//! know. It runs on Unix: directories are synced.
//!
//! Every file operation goes through a [`FileSystem`]: the operating system's, or, with the feature
//! `memory`, one in memory that fails as disks and kernels do.
//!
//! # The directory
//!
//! | file | is |
//! | --- | --- |
//! | `lock` | empty; locked (`flock`) by the process that uses the directory |
//! | `identity` | cluster, number of shards, replica id: a few lines of text |
//! | `forked` | there once a lane has two histories, with the evidence: a few lines of text |
//! | `segment-N.log` | the frames from number N to the next segment's |
//! | `snapshot-N.snap` | stands for all frames below N; `segment-N.log` is there too |
//! | `*.tmp` | a file that a crash left half-written; removed when the log is opened |
//!
//! N has 20 digits. Files other than `lock` are written as `*.tmp`, synced, renamed, and the
//! directory synced. Each process start appends to a new segment.
//!
//! # The files
//!
//! Integers are little-endian, but for the replica id; offsets are in bytes. A *header* of 48
//! bytes begins both kinds of files:
//!
//! | at | bytes | is |
//! | --- | --- | --- |
//! | 0 | 8 | `TALLYSEG` or `TALLYSNP` |
//! | 8 | 4 | format version, 2 |
//! | 12 | 16 | replica id, big-endian, as in `identity` |
//! | 28 | 8 | N, as in the file's name |
//! | 36 | 8 | salt, random |
//! | 44 | 4 | CRC-32C of bytes 0 to 43; the *seed* of the file's other checksums |
//!
//! *Frames* follow without gaps:
//!
//! | at | bytes | is |
//! | --- | --- | --- |
//! | 0 | 4 | length of the payload, at most [`FRAME_BYTES_MAX`] |
//! | 4 | 4 | CRC-32C, continued from the seed, over bytes 0 to 3, 8 to 23, and the payload |
//! | 8 | 8 | sequence number: one more than the frame before, N for the first of a segment |
//! | 16 | 8 | durable below: frames below this number were synced before this one was written, so it is the number of the first frame of this frame's group |
//! | 24 | length | payload |
//!
//! A frame without payload is a *seal*: it says "durable below" of all frames before it, and
//! nothing else. In format version 1 there are none; a directory of that version is converted when
//! its log is opened, by its identity file, and its segments stay as they are.
//!
//! In a snapshot frames are numbered from 1, "durable below" is 0, and a *footer* of 20 bytes ends
//! the file: `TALLYEND`, the number of frames (8 bytes), and the CRC-32C of these 16, continued
//! from the seed.
//!
//! How a torn tail is told from damage, and why it has to be: see `proof.rs`. What is written again
//! before it is trusted: see `tail.rs`.

mod directory;
mod error;
mod file_system;
mod folder;
mod fork_note;
mod frame;
mod frame_reader;
mod header;
mod identity;
mod log;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
mod proof;
mod read_back;
mod recovery;
mod segment;
mod snapshot;
mod status;
mod tail;
mod text;

pub use directory::{DataDirectory, DirectoryError, ExpectedIdentity};
pub use error::{LogError, OpenError, WriteError};
pub use file_system::{File, FileSystem, OsFiles};
pub use folder::FileError;
pub use fork_note::{ForkMark, ForkNote};
pub use frame::{FRAME_BYTES_MAX, Sequence};
pub use identity::{CLUSTER_NAME_BYTES_MAX, Identity, is_cluster_name};
pub use log::Log;
pub use read_back::FrameSource;
pub use snapshot::SnapshotWriter;
pub use status::{LogStatus, LogWatcher};
