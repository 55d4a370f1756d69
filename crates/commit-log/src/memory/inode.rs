//! The bytes of one file: on the medium, and in the page cache over it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{FaultEffects, SyncFailure};

/// A file, whatever its name is.
#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What processes read.
    cached: Vec<u8>,
    /// What the medium holds.
    durable: Vec<u8>,
    /// Pages of the cache that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Whether the next sync writes the length.
    is_length_dirty: bool,
}

impl Inode {
    /// A file with nothing to sync.
    pub(super) fn durably(bytes: Vec<u8>) -> Self {
        Self {
            cached: bytes.clone(),
            durable: bytes,
            ..Self::default()
        }
    }

    pub(super) fn cached(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_length_dirty || !self.dirty.is_empty()
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize, page_bytes: usize) {
        let end = offset + bytes.len();
        if end > self.cached.len() {
            self.set_length(end, page_bytes);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.mark_dirty(offset..end, page_bytes);
    }

    pub(super) fn set_length(&mut self, length: usize, page_bytes: usize) {
        let before = self.cached.len();
        if length != before {
            self.cached.resize(length, 0);
            self.is_length_dirty = true;
            self.dirty.split_off(&length.div_ceil(page_bytes));
            // Zeros, whatever the medium still holds there.
            self.mark_dirty(before..length, page_bytes);
        }
    }

    fn mark_dirty(&mut self, bytes: Range<usize>, page_bytes: usize) {
        if !bytes.is_empty() {
            let pages = bytes.start / page_bytes..=(bytes.end - 1) / page_bytes;
            self.dirty.extend(pages);
        }
    }

    /// Moves everything to the medium.
    pub(super) fn sync(&mut self, page_bytes: usize) {
        self.durable.resize(self.cached.len(), 0);
        for page in std::mem::take(&mut self.dirty) {
            let range = page_range(page, page_bytes, self.cached.len());
            self.durable[range.clone()].copy_from_slice(&self.cached[range]);
        }
        self.is_length_dirty = false;
    }

    /// Moves some pages to the medium, but not all, and gives up the others.
    pub(super) fn fail_sync(
        &mut self,
        failure: SyncFailure,
        page_bytes: usize,
        random: &mut dyn FnMut() -> u64,
    ) {
        let dirty: Vec<usize> = std::mem::take(&mut self.dirty).into_iter().collect();
        let unlucky = below(random, dirty.len());
        for (at, page) in dirty.into_iter().enumerate() {
            if at != unlucky && random().is_multiple_of(2) {
                let range = page_range(page, page_bytes, self.cached.len());
                if range.end > self.durable.len() {
                    self.durable.resize(range.end, 0);
                }
                self.durable[range.clone()].copy_from_slice(&self.cached[range]);
            }
        }
        self.is_length_dirty = false;
        match failure {
            SyncFailure::Dropped => self.cached.clone_from(&self.durable),
            // The length is journaled, and may be durable though the pages are not.
            SyncFailure::MarkedClean if random().is_multiple_of(2) => {
                self.durable.resize(self.cached.len(), 0);
            }
            SyncFailure::MarkedClean => {}
        }
    }

    /// Leaves what was synced, and of everything else what `random` says.
    pub(super) fn lose_power(
        &mut self,
        page_bytes: usize,
        random: &mut dyn FnMut() -> u64,
        effects: &mut FaultEffects,
    ) {
        if self.is_length_dirty {
            let length = self.length_after_power_loss(random);
            self.durable.resize(length, 0);
        }
        for page in std::mem::take(&mut self.dirty) {
            let length = self.cached.len().min(self.durable.len());
            let mut range = page_range(page, page_bytes, length);
            match random() % 4 {
                0 | 1 => {}
                2 => range.end = range.start,
                _ => range.end = range.start + below(random, range.len()),
            }
            self.durable[range.clone()].copy_from_slice(&self.cached[range.clone()]);
            let page = page_range(page, page_bytes, self.cached.len());
            if self.durable.get(page.clone()) != Some(&self.cached[page]) {
                if range.is_empty() {
                    effects.lost_pages += 1;
                } else {
                    effects.torn_pages += 1;
                }
            }
        }
        self.is_length_dirty = false;
        self.cached.clone_from(&self.durable);
    }

    /// A file that was cut has the old length or the new one; one that grew, any between.
    fn length_after_power_loss(&self, random: &mut dyn FnMut() -> u64) -> usize {
        let (old, new) = (self.durable.len(), self.cached.len());
        match random() % 4 {
            0 => old,
            1 if new > old => old + below(random, new - old),
            _ => new,
        }
    }
}

/// The bytes of a page, up to the end of its file.
fn page_range(page: usize, page_bytes: usize, length: usize) -> Range<usize> {
    let start = (page * page_bytes).min(length);
    start..(start + page_bytes).min(length)
}

/// A number below `count`; 0 if there is none.
pub(super) fn below(random: &mut dyn FnMut() -> u64, count: usize) -> usize {
    let count = (count as u64).max(1);
    usize::try_from(random() % count).expect("it is below a usize")
}
