//! What is in a node's directory, and what happens to it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use commit_log::WriteError;
use commit_log::memory::{Contents, SyncFailure};
use model_checker::node_log::DIRECTORY;

use super::node::Node;

/// The name of a file, without the zeros of its number.
fn short_name(path: &Path) -> String {
    let name = path
        .strip_prefix(DIRECTORY)
        .unwrap_or(path)
        .to_string_lossy();
    match name.split_once('-') {
        Some((kind, number)) => format!("{kind}-{}", number.trim_start_matches('0')),
        None => name.into_owned(),
    }
}

/// The segments with their sizes.
pub(super) fn segment_bytes(contents: &Contents) -> BTreeMap<String, usize> {
    let files = contents.iter().map(|(path, bytes)| (path, bytes.len()));
    let segments = files.filter(|(path, _)| path.extension().is_some_and(|it| it == "log"));
    segments
        .map(|(path, bytes)| (short_name(path), bytes))
        .collect()
}

/// Whether a write failed because the process has died within it.
pub(super) fn has_died(error: &WriteError) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.to_string().contains("has died");
        }
        source = error.source();
    }
    false
}

impl Node {
    /// The files, with the sizes of those that are the log's.
    pub(super) fn say_files(&self) -> Result<(), String> {
        let contents = self.disk.cached();
        let file = |(path, bytes): (&std::path::PathBuf, &Vec<u8>)| {
            let name = short_name(path);
            match path.extension() {
                Some(_) => format!("{name} ({} bytes)", bytes.len()),
                None => name,
            }
        };
        let files: Vec<String> = contents.iter().map(file).collect();
        if files.is_empty() {
            return Err(format!("{} has no files", self.name));
        }
        self.output
            .say(format!("{} has {}", self.name, files.join(", ")));
        Ok(())
    }

    fn ensure_down(&self) -> Result<(), String> {
        match self.process {
            None => Ok(()),
            Some(_) => Err(format!("{} is up; kill it first", self.name)),
        }
    }

    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.process()?;
        self.die(None);
        Ok(())
    }

    pub(super) fn kill_within(&mut self, operations: u64) -> Result<(), String> {
        self.process()?;
        self.disk.kill_after(operations);
        Ok(())
    }

    pub(super) fn take_no_dials(&mut self) -> Result<(), String> {
        self.is_dial_only = true;
        self.process().map(|_| ())
    }

    pub(super) fn back_up(&mut self) -> Result<(), String> {
        self.process()?;
        self.backup = Some(self.disk.durable());
        Ok(())
    }

    pub(super) fn restore(&mut self) -> Result<(), String> {
        self.ensure_down()?;
        let backup = self.backup.as_ref().ok_or("there is no backup")?;
        self.disk.restore(backup);
        Ok(())
    }

    pub(super) fn replace(&mut self, contents: &Contents) -> Result<(), String> {
        self.ensure_down()?;
        self.disk.restore(contents);
        Ok(())
    }

    /// Flips a bit of the last segment.
    pub(super) fn flip(&mut self, from_end: usize) -> Result<(), String> {
        self.ensure_down()?;
        let mut contents = self.disk.cached();
        let mut segments = contents
            .iter_mut()
            .filter(|(path, _)| path.extension().is_some_and(|it| it == "log"));
        let (_, bytes) = segments.next_back().ok_or("there is no segment")?;
        let at = bytes
            .len()
            .checked_sub(from_end)
            .ok_or("it is not so long")?;
        *bytes.get_mut(at).ok_or("begin from 1")? ^= 1;
        self.disk.restore(&contents);
        Ok(())
    }

    pub(super) fn fail_sync(&mut self, how: &str) -> Result<(), String> {
        let failure = match how {
            "dropped" => SyncFailure::Dropped,
            "clean" => SyncFailure::MarkedClean,
            _ => return Err(format!("{how:?}: write dropped or clean")),
        };
        self.process()?;
        self.disk.fail_next_sync(failure);
        Ok(())
    }

    pub(super) fn limit_room(&mut self, more: Option<usize>) -> Result<(), String> {
        self.process()?;
        let used: usize = self.disk.cached().values().map(Vec::len).sum();
        self.disk.limit_bytes(more.map(|more| used + more));
        Ok(())
    }

    /// Loses power: nothing stays of what was not synced, or the last page is torn at this byte.
    pub(super) fn lose_power(&mut self, torn: Option<u64>) {
        let Some(byte) = torn else {
            return self.die(Some(&mut || 0));
        };
        // The file has its new length, and of its page the bytes up to the one named: the draws of
        // `MemoryDisk`, in their order.
        let mut draws = [2, 3, byte].into_iter();
        self.die(Some(&mut || draws.next().unwrap_or(0)));
    }
}
