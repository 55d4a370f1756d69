//! The file operations that a log needs, as a trait: on a real disk, or in a simulated one.
//!
//! A log is only as good as its sequence of writes, syncs and renames, and a real disk shows a
//! mistake in it once in a power loss. So everything goes through [`FileSystem`], and the
//! simulator gives the log a file system that loses power whenever it likes. Randomness is part of
//! it, so that a simulated run is the same every time.
//!
//! What it leaves out: which file is written when; that is the log.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Files by path, and what a power loss may do to them.
///
/// Nothing is promised to survive a power loss but what these say: the bytes and the length of a
/// [file](File) after a sync of it, and its name after
/// [`sync_directory`](FileSystem::sync_directory). Errors are the operating system's.
pub trait FileSystem: Clone + fmt::Debug + Send + Sync + 'static {
    /// An open file.
    type File: File;
    /// A lock, held until it is dropped or its process ends.
    type Lock: fmt::Debug + Send + Sync + 'static;

    /// Creates a directory with its missing parents, so that they survive a power loss. One that
    /// exists is fine.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in any order. Names that are no UTF-8 may be left out.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Makes every creation, renaming and removal in a directory durable.
    ///
    /// # Errors
    ///
    /// If it cannot; which of them are durable is then unknown.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Locks a file, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if somebody else holds the lock.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;

    /// Creates an empty file, or empties the one that is there, to read and write it.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// All bytes of a small file.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Opens a file to read it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is none.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file to read and write it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if there is none.
    fn open_to_write(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives a file another name in its directory, in place of the file that has it.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Random bits, for identities and salts.
    ///
    /// # Errors
    ///
    /// If there are none.
    fn random(&self) -> io::Result<u64>;
}

/// An open file of a [`FileSystem`]. Offsets and lengths are in bytes.
pub trait File: fmt::Debug + Send + Sync + 'static {
    /// Bytes in the file.
    ///
    /// # Errors
    ///
    /// If it cannot be examined.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` from an offset on.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the file ends before that.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` from an offset on.
    ///
    /// # Errors
    ///
    /// If it cannot; any part may be written then.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or adds zeros.
    ///
    /// # Errors
    ///
    /// If it cannot.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes what was written durable, with the length.
    ///
    /// # Errors
    ///
    /// If it cannot. What was written may then be lost, and a later sync may succeed without it:
    /// the operating system reports such a failure once.
    fn sync_data(&self) -> io::Result<()>;

    /// The same, with the file's other attributes.
    ///
    /// # Errors
    ///
    /// As [`sync_data`](File::sync_data).
    fn sync_all(&self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFiles;

impl FileSystem for OsFiles {
    type File = fs::File;
    type Lock = fs::File;

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        // A relative path of one component has no parent that could be opened.
        let path = std::path::absolute(path)?;
        let is_missing = |ancestor: &&Path| !ancestor.exists();
        let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
        fs::create_dir_all(&path)?;
        let mut parents = missing.into_iter().filter_map(Path::parent);
        parents.try_for_each(|parent| self.sync_directory(parent))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        file.try_lock()?;
        Ok(file)
    }

    fn create(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = OpenOptions::new();
        options
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn open(&self, path: &Path) -> io::Result<fs::File> {
        fs::File::open(path)
    }

    fn open_to_write(&self, path: &Path) -> io::Result<fs::File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn random(&self) -> io::Result<u64> {
        Ok(getrandom::u64()?)
    }
}

impl File for fs::File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        fs::File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        fs::File::sync_all(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_does_what_it_is_asked() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let directory = parent.path().join("missing/too");
        OsFiles.create_directory(&directory)?;
        OsFiles.create_directory(&directory)?;
        let path = |name: &str| directory.join(name);
        let file = OsFiles.create(&path("a"))?;
        File::write_all_at(&file, b"12345", 1)?;
        assert_eq!(OsFiles.read(&path("a"))?, b"\x0012345");
        file.set_length(4)?;
        assert_eq!(OsFiles.open_to_write(&path("a"))?.length()?, 4);
        let mut bytes = [0; 2];
        File::read_exact_at(&OsFiles.open(&path("a"))?, &mut bytes, 2)?;
        assert_eq!(&bytes, b"23");
        file.sync_all()?;
        OsFiles.rename(&path("a"), &path("b"))?;
        OsFiles.sync_directory(&directory)?;
        assert_eq!(OsFiles.list(&directory)?, ["b"]);
        OsFiles.remove(&path("b"))?;
        assert_eq!(OsFiles.list(&directory)?, [""; 0]);
        let absent = OsFiles.open(&path("b")).expect_err("removed");
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        let lock = OsFiles.lock(&path("lock"))?;
        let held = OsFiles.lock(&path("lock")).expect_err("locked already");
        assert_eq!(held.kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        OsFiles.lock(&path("lock")).map(drop)
    }
}
