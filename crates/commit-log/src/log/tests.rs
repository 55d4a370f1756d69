//! What a log promises, checked on images of a directory as a crash or a failing disk leaves them.
//!
//! An image is the directory's files in memory. A test builds one, damages a copy, and opens that.
//! A log's content is compared as the list of all payloads ever read back; a snapshot in these
//! tests holds all payloads that it stands for, so the list is the same with and without it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::error::LogError;
use crate::{DirectoryError, ExpectedIdentity, FRAME_BYTES_MAX, header};

mod crash;
mod damage;

type Payload = Vec<u8>;
type Image = BTreeMap<String, Vec<u8>>;

fn open_directory(path: &Path) -> DataDirectory {
    let expected = ExpectedIdentity {
        cluster: "likes".to_owned(),
        shard_count: 16,
    };
    DataDirectory::open_or_create(path, &expected).expect("the identity is right")
}

fn open(path: &Path) -> Result<(Log, Vec<Payload>), LogError> {
    let mut payloads = Vec::new();
    let opened = Log::open(open_directory(path), |_, payload| {
        payloads.push(payload.to_vec());
        Ok::<(), std::convert::Infallible>(())
    });
    match opened {
        Ok(log) => Ok((log, payloads)),
        Err(OpenError::Log(error)) => Err(error),
        Err(error @ (OpenError::Frame { .. } | OpenError::File(_))) => panic!("{error}"),
    }
}

/// The files of a directory, but for the lock, which is empty.
fn image(directory: &Path) -> Image {
    let entries = fs::read_dir(directory)
        .expect("listed")
        .map(|entry| entry.expect("listed"));
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().expect("ASCII");
    let mut image: Image = entries
        .map(|entry| (name(&entry), fs::read(entry.path()).expect("read")))
        .collect();
    image.remove("lock");
    image
}

fn restore(image: &Image) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, bytes) in image {
        fs::write(directory.path().join(name), bytes).expect("written");
    }
    directory
}

/// What opening an image gives. An error must leave the image as it is; a log that opened must
/// take frames, and give everything back once more.
fn recover(image: &Image) -> Result<Vec<Payload>, LogError> {
    let directory = restore(image);
    let path = directory.path();
    match open(path) {
        Err(error) => {
            assert_eq!(&self::image(path), image, "an error changes nothing");
            Err(error)
        }
        Ok((mut log, mut payloads)) => {
            let found = payloads.clone();
            log.append(b"after").expect("appended");
            log.sync().expect("synced");
            payloads.push(b"after".to_vec());
            drop(log);
            assert_eq!(open(path).expect("opened again").1, payloads);
            Ok(found)
        }
    }
}

fn segment_name(first: u64) -> String {
    format!("segment-{first:020}.log")
}

/// A log that was written group by group.
struct Written {
    _directory: TempDir,
    log: Log,
    payloads: Vec<Payload>,
    /// How many payloads were synced before the last synced group, and with it.
    synced_before: usize,
    synced: usize,
    /// Where the last synced group begins and ends in the active segment.
    last_group: std::ops::Range<usize>,
}

impl Written {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (log, payloads) = open(directory.path()).expect("created");
        Self {
            _directory: directory,
            log,
            payloads,
            synced_before: 0,
            synced: 0,
            last_group: header::FILE_HEADER_BYTES..header::FILE_HEADER_BYTES,
        }
    }

    fn path(&self) -> &Path {
        self.log.directory.path()
    }

    fn active_bytes(&self) -> usize {
        usize::try_from(self.log.segment.bytes()).expect("small")
    }

    fn active_name(&self) -> String {
        segment_name(self.log.segment.first.get())
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

    fn image(&self) -> Image {
        image(self.path())
    }
}

fn payloads(texts: &[&str]) -> Vec<Payload> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Three segments: of two groups, of one, and an active one of two groups and an unsynced one.
fn three_segments() -> Written {
    let mut written = Written::new();
    written.group(&payloads(&["a", "bb"]));
    written.group(&payloads(&["ccc"]));
    written.rotate();
    written.group(&payloads(&["", "eeeee"]));
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
    let Written {
        _directory: directory,
        log,
        ..
    } = written;
    drop(log);
    let mut sources = Vec::new();
    let log = Log::open(open_directory(directory.path()), |source, payload| {
        sources.push((source, payload.to_vec()));
        Ok::<(), std::convert::Infallible>(())
    });
    let firsts = [1, 1, 1, 4, 4, 6, 6, 6, 6, 6, 6];
    let texts = [
        "a", "bb", "ccc", "", "eeeee", "f", "g", "h", "i", "jj", "kk",
    ];
    let segment = |first| FrameSource::Segment(Sequence::new(first));
    let expected = firsts.map(segment).into_iter().zip(payloads(&texts));
    assert_eq!(sources, expected.collect::<Vec<_>>());
    assert_eq!(log.expect("opened").next, Sequence::new(12));
}

#[test]
fn restarts_that_write_nothing_create_no_segments() {
    let mut written = three_segments();
    written.log.sync().expect("synced");
    let Written {
        _directory: directory,
        log,
        ..
    } = written;
    drop(log);
    for _ in 0..3 {
        let (log, payloads) = open(directory.path()).expect("opened");
        assert_eq!(payloads.len(), 11);
        assert_eq!(log.watcher().status().segment_count, 4);
    }
}

#[test]
fn a_failed_write_poisons_the_log() {
    let mut written = Written::new();
    written.group(&payloads(&["a"]));
    written.log.segment.break_for_test();
    let log = &mut written.log;
    log.append(b"b").expect("only buffered");
    assert!(matches!(log.sync(), Err(WriteError::File(_))));
    assert!(matches!(log.sync(), Err(WriteError::Failed)));
    assert!(matches!(log.append(b"c"), Err(WriteError::Failed)));
    assert!(matches!(log.rotate(), Err(WriteError::Failed)));
    assert_eq!(recover(&written.image()).expect("opened"), payloads(&["a"]));
}

#[test]
fn a_frame_over_its_bound_is_refused_and_nothing_changes() {
    let mut written = Written::new();
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
            .filter(|(name, _)| name.starts_with(prefix));
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
}

#[test]
fn the_directory_stays_locked_while_a_snapshot_is_written() {
    let mut written = Written::new();
    written.group(&payloads(&["a"]));
    let below = written.rotate();
    let snapshot = written.log.snapshot(below).expect("created");
    assert!(matches!(
        written.log.snapshot(below),
        Err(WriteError::SnapshotRunning)
    ));
    let Written {
        _directory: directory,
        log,
        ..
    } = written;
    drop(log);
    let expected = ExpectedIdentity {
        cluster: "likes".to_owned(),
        shard_count: 16,
    };
    let open = || DataDirectory::open_or_create(directory.path(), &expected);
    assert!(matches!(open(), Err(DirectoryError::InUse { .. })));
    drop(snapshot);
    open().expect("opened");
    assert!(
        !image(directory.path())
            .keys()
            .any(|name| name.contains("snapshot"))
    );
}
