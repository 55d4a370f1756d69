//! The disk as a process sees it: a [`FileSystem`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use super::inode::{Inode, below};
use super::{InodeId, MemoryDisk, State};
use crate::file_system::{File, FileSystem};

/// What a medium reports that cannot write: EIO.
const INPUT_OUTPUT_ERROR: i32 = 5;

/// The file system of a [`MemoryDisk`], for one process.
#[derive(Clone, Debug)]
pub struct MemoryFiles {
    pub(super) disk: MemoryDisk,
    pub(super) process: u64,
}

/// An open file of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryFile {
    files: MemoryFiles,
    inode: InodeId,
}

/// A lock on a file of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryLock {
    files: MemoryFiles,
    path: PathBuf,
}

impl MemoryFiles {
    fn to_read(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.ensure_alive(self.process)?;
        Ok(state)
    }

    fn to_change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.state();
        state.begin_change(self.process)?;
        Ok(state)
    }

    fn file(&self, inode: InodeId) -> MemoryFile {
        let files = self.clone();
        MemoryFile { files, inode }
    }
}

impl FileSystem for MemoryFiles {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        self.to_change().map(drop)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.to_read()?;
        let paths = state.names.current().keys().map(Path::new);
        let inside = paths.filter(|path| path.parent() == Some(directory));
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        Ok(inside.filter_map(name).collect())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.to_change()?;
        if state.names.is_dirty(directory) && state.begin_sync().is_some() {
            return Err(io::Error::from_raw_os_error(INPUT_OUTPUT_ERROR));
        }
        state.names.sync(directory);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<MemoryLock> {
        let mut state = self.to_change()?;
        if state.names.find(path).is_err() {
            let inode = state.add_inode(Inode::default());
            state.names.create(path, inode);
        }
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (files, path) = (self.clone(), path.to_owned());
        Ok(MemoryLock { files, path })
    }

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        let mut state = self.to_change()?;
        let page_bytes = state.page_bytes;
        if let Ok(inode) = state.names.find(path) {
            state.inode(inode).set_length(0, page_bytes);
            return Ok(self.file(inode));
        }
        if state.room() == 0 {
            state.effects.failed_writes += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.add_inode(Inode::default());
        state.names.create(path, inode);
        Ok(self.file(inode))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.to_read()?;
        let inode = state.names.find(path)?;
        Ok(state.inode(inode).cached().to_vec())
    }

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        let inode = self.to_read()?.names.find(path)?;
        Ok(self.file(inode))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<MemoryFile> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.to_change()?.names.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.to_change()?.names.remove(path)
    }

    fn random(&self) -> io::Result<u64> {
        Ok(self.to_read()?.random.next())
    }
}

impl File for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.files.to_read()?;
        Ok(state.inode(self.inode).cached().len() as u64)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.files.to_read()?;
        let start = index(offset)?;
        let range = start..start.saturating_add(bytes.len());
        match state.inode(self.inode).cached().get(range) {
            Some(found) => {
                bytes.copy_from_slice(found);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.files.to_read()?;
        let page_bytes = state.page_bytes;
        let offset = index(offset)?;
        if state.operations_left == Some(0) {
            // What a process was writing when it died is there up to some byte.
            let mut random = state.random.fork();
            let count = below(&mut || random.next(), bytes.len() + 1);
            let inode = state.inode(self.inode);
            inode.write(&bytes[..count], offset, page_bytes);
        }
        state.begin_change(self.files.process)?;
        let room = state.room();
        let inode = state.inode(self.inode);
        let end_max = inode.cached().len().saturating_add(room);
        let count = bytes.len().min(end_max.saturating_sub(offset));
        inode.write(&bytes[..count], offset, page_bytes);
        if count < bytes.len() {
            state.effects.failed_writes += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.files.to_change()?;
        let page_bytes = state.page_bytes;
        state
            .inode(self.inode)
            .set_length(index(length)?, page_bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.files.to_change()?;
        let page_bytes = state.page_bytes;
        if !state.inode(self.inode).is_dirty() {
            return Ok(());
        }
        if let Some(failure) = state.begin_sync() {
            let mut random = state.random.fork();
            let mut random = || random.next();
            let inode = state.inode(self.inode);
            inode.fail_sync(failure, page_bytes, &mut random);
            return Err(io::Error::from_raw_os_error(INPUT_OUTPUT_ERROR));
        }
        state.inode(self.inode).sync(page_bytes);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        if let Ok(mut state) = self.files.to_read() {
            state.locks.remove(&self.path);
        }
    }
}

/// An offset in memory.
fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}
