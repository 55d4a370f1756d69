//! What a log promises, checked on images of a directory as a crash or a failing disk leaves them.
//!
//! An image is the directory's files. A test builds one in memory, damages a copy, and opens that.
//! A log's content is compared as the list of all payloads ever read back; a snapshot in these
//! tests holds all payloads that it stands for, so the list is the same with and without it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::error::LogError;
use crate::memory::{Contents, MemoryDisk, MemoryFiles};
use crate::{DirectoryError, ExpectedIdentity, FRAME_BYTES_MAX, LogStatus, header};

mod crash;
mod damage;
mod formats;
mod schedules;
mod seals;
mod snapshots;

type Payload = Vec<u8>;

const DIRECTORY: &str = "/data";

/// Small, so that small logs have several.
const PAGE_BYTES: usize = 64;

fn try_directory(disk: &MemoryDisk) -> Result<DataDirectory<MemoryFiles>, DirectoryError> {
    let expected = ExpectedIdentity {
        cluster: "likes".to_owned(),
        shard_count: 16,
    };
    DataDirectory::open_or_create_in(disk.files(), Path::new(DIRECTORY), &expected)
}

fn open_directory(disk: &MemoryDisk) -> DataDirectory<MemoryFiles> {
    try_directory(disk).expect("the identity is right")
}

fn open(disk: &MemoryDisk) -> Result<(Log<MemoryFiles>, Vec<Payload>), LogError> {
    match open_in(open_directory(disk)) {
        Ok(opened) => Ok(opened),
        Err(OpenError::Log(error)) => Err(error),
        Err(error @ (OpenError::Frame { .. } | OpenError::File(_))) => panic!("{error}"),
    }
}

/// Opens a log. Only the operating system may be in the way.
fn try_open(disk: &MemoryDisk) -> Result<(Log<MemoryFiles>, Vec<Payload>), FileError> {
    let directory = match try_directory(disk) {
        Err(DirectoryError::File(error)) => return Err(error),
        directory => directory.expect("the identity is right"),
    };
    match open_in(directory) {
        Err(OpenError::File(error)) => Err(error),
        opened => Ok(opened.expect("nobody damaged it")),
    }
}

fn open_in(
    directory: DataDirectory<MemoryFiles>,
) -> Result<(Log<MemoryFiles>, Vec<Payload>), OpenError<std::convert::Infallible>> {
    let mut payloads = Vec::new();
    let log = Log::open(directory, |_, payload| {
        payloads.push(payload.to_vec());
        Ok(())
    })?;
    Ok((log, payloads))
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// The files of a directory, but for the lock, which is empty.
fn image(disk: &MemoryDisk) -> Contents {
    let mut image = disk.cached();
    image.remove(&path("lock"));
    image
}

fn restore(image: &Contents) -> MemoryDisk {
    let disk = MemoryDisk::new(PAGE_BYTES, 2);
    disk.restore(image);
    disk
}

/// What opening an image gives. An error must leave the image as it is; a log that opened must
/// take frames, and give everything back once more.
fn recover(image: &Contents) -> Result<Vec<Payload>, LogError> {
    let disk = restore(image);
    match open(&disk) {
        Err(error) => {
            assert_eq!(&self::image(&disk), image, "an error changes nothing");
            Err(error)
        }
        Ok((mut log, mut payloads)) => {
            let found = payloads.clone();
            log.append(b"after").expect("appended");
            log.sync().expect("synced");
            payloads.push(b"after".to_vec());
            drop(log);
            assert_eq!(open(&disk).expect("opened again").1, payloads);
            Ok(found)
        }
    }
}

fn segment(first: u64) -> PathBuf {
    path(&format!("segment-{first:020}.log"))
}

/// Whether a file's name begins so.
fn begins(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(prefix))
}

/// A log that was written group by group.
struct Written {
    disk: MemoryDisk,
    log: Log<MemoryFiles>,
    payloads: Vec<Payload>,
    /// How many payloads were synced before the last synced group, and with it.
    synced_before: usize,
    synced: usize,
    /// Where the last synced group begins and ends in the active segment.
    last_group: std::ops::Range<usize>,
}

impl Written {
    /// Each seed makes another replica.
    fn new(seed: u64) -> Self {
        let disk = MemoryDisk::new(PAGE_BYTES, seed);
        let (log, payloads) = open(&disk).expect("created");
        Self {
            disk,
            log,
            payloads,
            synced_before: 0,
            synced: 0,
            last_group: header::FILE_HEADER_BYTES..header::FILE_HEADER_BYTES,
        }
    }

    fn active_bytes(&self) -> usize {
        usize::try_from(self.log.segment.bytes()).expect("small")
    }

    fn active(&self) -> PathBuf {
        segment(self.log.segment.first.get())
    }

    fn append(&mut self, group: &[Payload]) {
        for payload in group {
            self.log.append(payload).expect("appended");
            self.payloads.push(payload.clone());
        }
    }

    fn group(&mut self, group: &[Payload]) {
        self.append(group);
        self.last_group.start = self.active_bytes();
        self.log.sync().expect("synced");
        self.last_group.end = self.active_bytes();
        (self.synced_before, self.synced) = (self.synced, self.payloads.len());
    }

    /// A group that reached the file but was not synced.
    fn unsynced_group(&mut self, group: &[Payload]) {
        self.append(group);
        self.log.write_pending().expect("written");
    }

    fn rotate(&mut self) -> Sequence {
        let first = self.log.rotate().expect("rotated");
        // What was synced before a segment began is proven by that segment.
        self.synced_before = self.synced;
        self.last_group = self.active_bytes()..self.active_bytes();
        first
    }

    fn snapshot(&mut self) {
        let below = self.rotate();
        let mut snapshot = self.log.snapshot(below).expect("created");
        for payload in &self.payloads {
            snapshot.append(payload).expect("written");
        }
        snapshot.finish().expect("finished");
    }

    fn image(&self) -> Contents {
        image(&self.disk)
    }
}

fn payloads(texts: &[&str]) -> Vec<Payload> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Three segments: of two groups, of one, and an active one of two groups and an unsynced one.
fn three_segments() -> Written {
    let mut written = Written::new(1);
    written.group(&payloads(&["a", "bb"]));
    written.group(&payloads(&["ccc"]));
    written.rotate();
    written.group(&payloads(&["d", "eeeee"]));
    written.rotate();
    written.group(&payloads(&["f", "g"]));
    written.group(&payloads(&["h", "i"]));
    written.unsynced_group(&payloads(&["jj", "kk"]));
    written
}

#[test]
fn what_was_synced_is_read_back_in_order_with_its_source() {
    let mut written = three_segments();
    written.log.sync().expect("synced");
    let Written { disk, log, .. } = written;
    drop(log);
    let mut sources = Vec::new();
    let log = Log::open(open_directory(&disk), |source, payload| {
        sources.push((source, payload.to_vec()));
        Ok::<(), std::convert::Infallible>(())
    });
    let firsts = [1, 1, 1, 4, 4, 6, 6, 6, 6, 6, 6];
    let texts = [
        "a", "bb", "ccc", "d", "eeeee", "f", "g", "h", "i", "jj", "kk",
    ];
    let source = |first| FrameSource::Segment(Sequence::new(first));
    let expected = firsts.map(source).into_iter().zip(payloads(&texts));
    assert_eq!(sources, expected.collect::<Vec<_>>());
    assert_eq!(log.expect("opened").next, Sequence::new(12));
}

#[test]
fn restarts_that_write_nothing_create_no_segments() {
    let mut written = three_segments();
    written.log.sync().expect("synced");
    let Written { disk, log, .. } = written;
    drop(log);
    for _ in 0..3 {
        let (log, payloads) = open(&disk).expect("opened");
        assert_eq!(payloads.len(), 11);
        assert_eq!(log.watcher().status().segment_count, 4);
    }
}

#[test]
fn a_segment_longer_than_the_read_buffer_is_read_back() {
    let mut written = Written::new(1);
    let group: Vec<Payload> = (0..=u8::MAX).map(|fill| vec![fill; 3_000]).collect();
    written.group(&group);
    assert_eq!(recover(&written.image()).expect("opened"), group);
}

/// A group is one write, unless it is too large to wait in memory.
#[test]
fn what_is_appended_waits_in_memory_up_to_a_bound() {
    let frame = vec![7; 1 << 16];
    let size = |written: &Written, file: &Path| written.image()[file].len();
    let mut written = Written::new(1);
    let (active, empty) = (written.active(), written.active_bytes());
    for _ in 0..15 {
        written.append(std::slice::from_ref(&frame));
        assert_eq!(size(&written, &active), empty);
    }
    written.append(std::slice::from_ref(&frame));
    assert!(size(&written, &active) > 1 << 20);

    let below = written.rotate();
    let mut snapshot = written.log.snapshot(below).expect("created");
    let temporary = path(&format!("snapshot-{:020}.snap.tmp", below.get()));
    let empty = size(&written, &temporary);
    for _ in 0..3 {
        snapshot.append(&frame).expect("buffered");
        assert_eq!(size(&written, &temporary), empty);
    }
    snapshot.append(&frame).expect("written");
    assert!(size(&written, &temporary) > 256 << 10);
}

/// Else the sync at its end would keep those of the log waiting.
#[test]
fn what_is_written_of_a_snapshot_is_synced() {
    let mut written = Written::new(1);
    written.group(&payloads(&["a"]));
    let below = written.rotate();
    let mut snapshot = written.log.snapshot(below).expect("created");
    for _ in 0..4 {
        snapshot.append(&vec![7; 1 << 16]).expect("written");
    }
    written
        .disk
        .fail_next_sync(crate::memory::SyncFailure::Dropped);
    for _ in 0..3 {
        snapshot.append(&vec![7; 1 << 16]).expect("buffered");
    }
    snapshot
        .append(&vec![7; 1 << 16])
        .expect_err("the sync fails, and with it the snapshot");
}

#[test]
fn a_log_can_be_opened_where_nothing_more_fits() {
    let mut written = three_segments();
    written.log.sync().expect("synced");
    written.rotate();
    let Written {
        disk,
        log,
        payloads,
        ..
    } = written;
    drop(log);
    disk.limit_bytes(Some(0));
    assert_eq!(try_open(&disk).expect("nothing is written").1, payloads);
}

#[test]
fn a_failed_write_poisons_the_log() {
    let mut written = Written::new(1);
    written.group(&payloads(&["a"]));
    written.disk.limit_bytes(Some(0));
    let log = &mut written.log;
    log.append(b"b").expect("only buffered");
    assert!(matches!(log.sync(), Err(WriteError::File(_))));
    assert!(matches!(log.sync(), Err(WriteError::Failed)));
    assert!(matches!(log.append(b"c"), Err(WriteError::Failed)));
    assert!(matches!(log.rotate(), Err(WriteError::Failed)));
    assert_eq!(recover(&written.image()).expect("opened"), payloads(&["a"]));
}

#[test]
fn a_frame_outside_its_bounds_is_refused_and_nothing_changes() {
    let mut written = Written::new(1);
    let error = written.log.append(b"").expect_err("empty");
    assert!(matches!(error, WriteError::FrameEmpty));
    let bytes = vec![7; FRAME_BYTES_MAX];
    let mut over = bytes.clone();
    over.push(7);
    let error = written.log.append(&over).expect_err("too large");
    assert!(matches!(error, WriteError::FrameTooLarge { found } if found == over.len()));
    written.group(&[bytes]);
    assert_eq!(recover(&written.image()).expect("opened"), written.payloads);
}

#[test]
fn the_status_counts_what_is_on_disk() {
    let mut written = three_segments();
    written.log.sync().expect("synced");
    let on_disk = |written: &Written, prefix: &str| {
        let files = written
            .image()
            .into_iter()
            .filter(|(path, _)| begins(path, prefix));
        files.map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    };
    let watcher = written.log.watcher();
    let status = watcher.status();
    assert_eq!((status.segment_count, status.sync_count), (3, 6));
    assert_eq!(status.segment_bytes, on_disk(&written, "segment-"));
    assert_eq!(status.active_segment_bytes, written.active_bytes() as u64);
    assert!(status.last_sync > Duration::ZERO);
    written.log.sync().expect("nothing to do");
    assert_eq!(watcher.status(), status, "an empty group needs no sync");

    written.snapshot();
    let status = watcher.status();
    assert_eq!(status.segment_count, 1);
    assert_eq!(status.segment_bytes, on_disk(&written, "segment-"));
    assert_eq!(status.snapshot_bytes, on_disk(&written, "snapshot-"));

    let Written { disk, log, .. } = written;
    drop(log);
    let (log, _) = open(&disk).expect("opened");
    let opened = LogStatus {
        sync_count: 0,
        last_sync: Duration::ZERO,
        ..status
    };
    assert_eq!(log.watcher().status(), opened);
}

#[test]
fn the_directory_stays_locked_while_a_snapshot_is_written() {
    let mut written = Written::new(1);
    written.group(&payloads(&["a"]));
    let below = written.rotate();
    let snapshot = written.log.snapshot(below).expect("created");
    assert!(matches!(
        written.log.snapshot(below),
        Err(WriteError::SnapshotRunning)
    ));
    let Written { disk, log, .. } = written;
    drop(log);
    assert!(matches!(
        try_directory(&disk),
        Err(DirectoryError::InUse { .. })
    ));
    drop(snapshot);
    open_directory(&disk);
    assert!(!image(&disk).keys().any(|path| begins(path, "snapshot")));
}
