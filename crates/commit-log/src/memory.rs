//! A file system in memory that fails as disks and kernels do, for tests and the simulator.
//!
//! A [`MemoryDisk`] holds what is on the medium, and over it a page cache, as an operating system
//! does. Processes read and write the cache; a sync moves pages to the medium. Then:
//!
//! | fault | what is left |
//! | --- | --- |
//! | [`kill`](MemoryDisk::kill) | everything that was written: the page cache outlives a process |
//! | [`lose_power`](MemoryDisk::lose_power) | what was synced. Of each page that was not: the new bytes, the old, or the new ones up to some byte; in any order. A file that grew has any length between. Of names that were not synced, any, or those up to some moment |
//! | [`fail_next_sync`](MemoryDisk::fail_next_sync) | some of the pages; the others are lost, though a later sync succeeds: see [`SyncFailure`] |
//! | [`limit_bytes`](MemoryDisk::limit_bytes) | what fits: writes fail half-way |
//! | [`restore`](MemoryDisk::restore) | what a [backup](MemoryDisk::durable) held |
//!
//! Sources: Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), for what a crash
//! may reorder; Rebello et al., "Can Applications Recover from fsync Failures?" (USENIX ATC 2020).
//!
//! It is the same every time: what a fault leaves is drawn from numbers that the caller gives.
//!
//! What it leaves out: disks that lose what they confirmed, and directories within directories,
//! which exist by being named. A failed sync of a directory may be tried again, since names are
//! journaled; file systems that cannot write their journal stop altogether.

mod files;
mod inode;
mod names;
pub(crate) mod random;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use inode::Inode;
use names::{Directory, Names};
use random::SplitMix;

pub use files::{MemoryFile, MemoryFiles, MemoryLock};

/// Files by path, with their bytes.
pub type Contents = BTreeMap<PathBuf, Vec<u8>>;

/// What a failed sync does to the pages that it could not write. Either way it is reported once,
/// and a later sync succeeds without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFailure {
    /// They are dropped from the cache: whoever reads them gets what the medium holds (Btrfs).
    Dropped,
    /// They stay in the cache, marked as clean: whoever reads them gets what was written, until a
    /// power loss (ext4, XFS).
    MarkedClean,
}

/// What the faults of a disk have done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultEffects {
    /// Syncs that failed, with something to write.
    pub failed_syncs: u64,
    /// Writes and creations that did not fit.
    pub failed_writes: u64,
    /// Pages that a power loss took back.
    pub lost_pages: u64,
    /// Pages of which a power loss left a part.
    pub torn_pages: u64,
    /// Creations, renamings and removals that a power loss took back.
    pub lost_names: u64,
    /// Processes that died within a file operation.
    pub deaths_within: u64,
}

/// A disk, and the page cache of the machine that it is in. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    page_bytes: usize,
    names: Names,
    inodes: BTreeMap<InodeId, Inode>,
    next_inode: InodeId,
    /// Counts the deaths: file handles of earlier processes do nothing.
    process: u64,
    locks: BTreeSet<PathBuf>,
    /// File operations until the process dies.
    operations_left: Option<u64>,
    /// Syncs until one fails, and how.
    sync_failure: Option<(u64, SyncFailure)>,
    bytes_max: Option<usize>,
    random: SplitMix,
    effects: FaultEffects,
}

/// Identifies a file whatever its name is.
type InodeId = u64;

impl MemoryDisk {
    /// An empty disk with pages of this size. The seed gives the random numbers that a process
    /// asks for, and what a failed sync leaves.
    ///
    /// ```
    /// use commit_log::memory::MemoryDisk;
    /// use commit_log::{DataDirectory, ExpectedIdentity, Log};
    ///
    /// let disk = MemoryDisk::new(512, 7);
    /// let expected = ExpectedIdentity { cluster: "likes".to_owned(), shard_count: 16 };
    /// let open = || {
    ///     let directory =
    ///         DataDirectory::open_or_create_in(disk.files(), "/data".as_ref(), &expected)?;
    ///     let mut frames = Vec::new();
    ///     let log = Log::open(directory, |_source, payload| {
    ///         frames.push(payload.to_vec());
    ///         Ok::<(), std::convert::Infallible>(())
    ///     })?;
    ///     Ok::<_, Box<dyn std::error::Error>>((log, frames))
    /// };
    ///
    /// let (mut log, _) = open()?;
    /// log.append(b"one")?;
    /// log.sync()?;
    /// disk.lose_power(&mut || 0);
    /// assert_eq!(open()?.1, [b"one"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If a page has no bytes.
    #[must_use]
    pub fn new(page_bytes: usize, seed: u64) -> Self {
        assert!(page_bytes > 0, "a page has bytes");
        Self(Arc::new(Mutex::new(State {
            page_bytes,
            names: Names::default(),
            inodes: BTreeMap::new(),
            next_inode: 0,
            process: 0,
            locks: BTreeSet::new(),
            operations_left: None,
            sync_failure: None,
            bytes_max: None,
            random: SplitMix::new(seed),
            effects: FaultEffects::default(),
        })))
    }

    /// The file system, for a process that starts now and lives until the next
    /// [`kill`](Self::kill), [`lose_power`](Self::lose_power) or [`restore`](Self::restore).
    #[must_use]
    pub fn files(&self) -> MemoryFiles {
        let process = self.state().process;
        MemoryFiles {
            disk: self.clone(),
            process,
        }
    }

    /// Ends the process at once: what it still holds of this disk does nothing any more, not even
    /// when it is dropped.
    pub fn kill(&self) {
        self.state().kill();
    }

    /// Lets the process do so many more operations that change something, and then
    /// [kills](Self::kill) it, within the next one.
    pub fn kill_after(&self, operations: u64) {
        self.state().operations_left = Some(operations);
    }

    /// Ends the process, and loses what was not synced, as far as `random` says.
    pub fn lose_power(&self, random: &mut dyn FnMut() -> u64) {
        let mut state = self.state();
        let State {
            page_bytes,
            names,
            inodes,
            effects,
            ..
        } = &mut *state;
        for inode in inodes.values_mut() {
            inode.lose_power(*page_bytes, random, effects);
        }
        names.lose_power(random, effects);
        state.kill();
    }

    /// Makes the next sync fail that has something to write, of a file or of a directory.
    pub fn fail_next_sync(&self, failure: SyncFailure) {
        self.fail_sync_after(0, failure);
    }

    /// The same, after so many more that succeed.
    pub fn fail_sync_after(&self, syncs: u64, failure: SyncFailure) {
        self.state().sync_failure = Some((syncs, failure));
    }

    /// No sync fails any more that was going to.
    pub fn mend_syncs(&self) {
        self.state().sync_failure = None;
    }

    /// Bounds the bytes of all files together, or lifts the bound.
    pub fn limit_bytes(&self, bytes_max: Option<usize>) {
        self.state().bytes_max = bytes_max;
    }

    /// What the faults have done so far.
    #[must_use]
    pub fn effects(&self) -> FaultEffects {
        self.state().effects
    }

    /// What is on the medium: the files whose names are durable, with their durable bytes.
    #[must_use]
    pub fn durable(&self) -> Contents {
        let state = self.state();
        let bytes = |inode| state.inodes[inode].durable().to_vec();
        let files = state.names.durable().iter();
        files
            .map(|(path, inode)| (path.into(), bytes(inode)))
            .collect()
    }

    /// What processes read: all files with all bytes, durable or not.
    #[must_use]
    pub fn cached(&self) -> Contents {
        let state = self.state();
        let bytes = |inode| state.inodes[inode].cached().to_vec();
        let files = state.names.current().iter();
        files
            .map(|(path, inode)| (path.into(), bytes(inode)))
            .collect()
    }

    /// Ends the process, and puts these files, all durable, in place of what is there.
    pub fn restore(&self, contents: &Contents) {
        let mut state = self.state();
        state.inodes.clear();
        let mut files = Directory::new();
        for (path, bytes) in contents {
            let inode = state.add_inode(Inode::durably(bytes.clone()));
            files.insert(path.into(), inode);
        }
        state.names = Names::durably(files);
        state.kill();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding the disk")
    }
}

impl State {
    /// Ends the process. Files without a name are gone with the last process that has them open.
    fn kill(&mut self) {
        self.process += 1;
        self.locks.clear();
        self.operations_left = None;
        let names = &self.names;
        self.inodes.retain(|inode, _| names.refers_to(*inode));
    }

    /// Whether a process still runs: for whatever it wants to read.
    fn ensure_alive(&self, process: u64) -> io::Result<()> {
        if process == self.process {
            return Ok(());
        }
        Err(io::Error::other("the process that opened this has died"))
    }

    /// The same, for whatever changes something.
    fn begin_change(&mut self, process: u64) -> io::Result<()> {
        self.ensure_alive(process)?;
        match &mut self.operations_left {
            None => Ok(()),
            Some(0) => {
                self.effects.deaths_within += 1;
                self.kill();
                self.ensure_alive(process)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// Whether a sync fails that has something to write.
    fn begin_sync(&mut self) -> Option<SyncFailure> {
        let (left, failure) = self.sync_failure?;
        if let Some(left) = left.checked_sub(1) {
            self.sync_failure = Some((left, failure));
            return None;
        }
        self.sync_failure = None;
        self.effects.failed_syncs += 1;
        Some(failure)
    }

    fn add_inode(&mut self, inode: Inode) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, inode);
        id
    }

    fn inode(&mut self, id: InodeId) -> &mut Inode {
        self.inodes
            .get_mut(&id)
            .expect("the inode of an open file stays while its process lives")
    }

    /// How many more bytes fit.
    fn room(&self) -> usize {
        let Some(bytes_max) = self.bytes_max else {
            return usize::MAX;
        };
        let files = self.names.current().values();
        let used: usize = files.map(|inode| self.inodes[inode].cached().len()).sum();
        bytes_max.saturating_sub(used)
    }
}
