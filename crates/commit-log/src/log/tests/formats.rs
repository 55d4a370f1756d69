//! Directories of older formats, each written by the last build before the next one: read, converted,
//! and written on.

use super::*;
use crate::header::FORMAT_VERSION;
use crate::identity::Identity;

/// A directory of `testdata`: see the `README.md` of its format there.
fn old(format: u32, name: &str) -> Contents {
    let parent = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/format-{format}"));
    let entries = std::fs::read_dir(parent.join(name)).expect("the tree is complete");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("listed");
        let name = entry.file_name().into_string().expect("ASCII");
        let bytes = std::fs::read(entry.path()).expect("read");
        (path(&name), bytes)
    };
    entries.map(file).collect()
}

/// The format of a directory, its name, and how many frames are in it.
const DIRECTORIES: [(u32, &str, usize); 6] = [
    (1, "stopped", 4),
    (1, "killed", 3),
    (1, "snapshot", 17),
    (2, "stopped", 3),
    (2, "killed", 3),
    (2, "snapshot", 64),
];

fn old_directory(disk: &MemoryDisk) -> Result<DataDirectory<MemoryFiles>, DirectoryError> {
    let expected = ExpectedIdentity {
        cluster: "likes".to_owned(),
        shard_count: 4,
    };
    DataDirectory::open_or_create_in(disk.files(), Path::new(DIRECTORY), &expected)
}

fn try_open_old(disk: &MemoryDisk) -> Result<(Log<MemoryFiles>, Vec<Payload>), FileError> {
    let directory = match old_directory(disk) {
        Err(DirectoryError::File(error)) => return Err(error),
        directory => directory.expect("the identity is right"),
    };
    match open_in(directory) {
        Err(OpenError::File(error)) => Err(error),
        opened => Ok(opened.expect("it is read")),
    }
}

fn open_old(disk: &MemoryDisk) -> (Log<MemoryFiles>, Vec<Payload>) {
    try_open_old(disk).expect("the disk is sound")
}

fn version(identity: &[u8]) -> u32 {
    let text = std::str::from_utf8(identity).expect("text");
    Identity::parse(text).expect("an identity").1
}

#[test]
fn a_directory_of_an_older_format_is_read_converted_and_written_on() {
    for (format, name, frame_count) in DIRECTORIES {
        let before = old(format, name);
        let disk = restore(&before);
        let (mut log, mut payloads) = open_old(&disk);
        assert_eq!(payloads.len(), frame_count, "{name} of format {format}");
        assert!(payloads.iter().all(|payload| !payload.is_empty()));

        let after = image(&disk);
        let identity = path("identity");
        assert_eq!(
            (version(&before[&identity]), version(&after[&identity])),
            (format, FORMAT_VERSION)
        );
        for (path, bytes) in before.iter().filter(|(path, _)| **path != identity) {
            assert_eq!(&after[path], bytes, "its old files stay as they are");
        }

        log.append(b"new").expect("appended");
        log.sync().expect("synced");
        log.seal().expect("sealed");
        drop(log);
        payloads.push(b"new".to_vec());
        assert_eq!(open_old(&disk).1, payloads);
    }
}

#[test]
fn nothing_of_the_new_format_is_durable_before_the_identity_says_so() {
    for format in [1, 2] {
        (0..10_000)
            .find(|&operations| is_converted_within(&old(format, "killed"), operations))
            .expect("it is converted in the end");
    }
}

/// Opens a directory on a disk that fails after so many operations, and then loses its power;
/// whether it was opened in time.
fn is_converted_within(before: &Contents, operations: u64) -> bool {
    for seed in 0..30 {
        let disk = restore(before);
        disk.kill_after(operations);
        let opened = try_open_old(&disk);
        let mut random = crate::memory::random::SplitMix::new(seed);
        disk.lose_power(&mut || random.next());
        let left = disk.durable();
        let is_new = left.keys().any(|path| {
            begins(path, "segment-")
                && path.extension() == Some("log".as_ref())
                && !before.contains_key(path)
        });
        let version = version(&left[&path("identity")]);
        assert!(
            version == FORMAT_VERSION || !is_new,
            "after {operations} operations"
        );
        open_old(&disk);
        if opened.is_ok() {
            assert_eq!(version, FORMAT_VERSION);
            return true;
        }
    }
    false
}

#[test]
fn a_note_of_a_fork_converts_a_directory_that_is_not_opened_as_a_log() {
    for format in [1, 2] {
        a_note_of_a_fork_converts(&restore(&old(format, "killed")));
    }
}

fn a_note_of_a_fork_converts(disk: &MemoryDisk) {
    let mark = crate::ForkMark {
        version: 1,
        start: 1,
    };
    let note = crate::ForkNote {
        lane: 1,
        held: mark,
        seen: mark,
    };
    old_directory(disk)
        .expect("opened")
        .note_fork(note)
        .expect("written");
    let identity = &disk.durable()[&path("identity")];
    assert_eq!(version(identity), FORMAT_VERSION);
    disk.kill();
    let (log, _) = open_old(disk);
    assert_eq!(log.directory().forked(), Some(note));
}

#[test]
fn a_damaged_directory_of_an_older_format_is_not_converted() {
    for format in [1, 2] {
        a_damaged_directory_is_not_converted(old(format, "stopped"));
    }
}

fn a_damaged_directory_is_not_converted(mut image: Contents) {
    image.get_mut(&segment(1)).expect("there")[60] ^= 1;
    let disk = restore(&image);
    let opened = open_in(old_directory(&disk).expect("opened"));
    assert!(matches!(
        opened,
        Err(OpenError::Log(LogError::Damaged { .. }))
    ));
    assert_eq!(self::image(&disk), image);
}

#[test]
fn a_frame_without_payload_in_a_segment_of_format_1_is_no_seal() {
    let mut image = Written::new(1).image();
    let bytes = image.get_mut(&segment(1)).expect("there");
    let header: [u8; header::FILE_HEADER_BYTES] = bytes[..].try_into().expect("no frames");
    let mut header = header::FileHeader::decode(header::FileKind::Segment, &header).expect("right");
    header.version = 1;
    let first = Sequence::FIRST;
    let frame = FrameHeader::new(header.seed(), first, first, b"");
    *bytes = [header.encode().as_slice(), &frame.encode()].concat();
    assert_eq!(recover(&image).expect("read"), payloads(&[""]));
}

#[test]
fn an_empty_segment_of_an_older_format_is_not_appended_to() {
    let mut image = Written::new(1).image();
    let bytes = image.get_mut(&segment(1)).expect("there");
    let header: [u8; header::FILE_HEADER_BYTES] = bytes[..].try_into().expect("no frames");
    let mut header = header::FileHeader::decode(header::FileKind::Segment, &header).expect("right");
    header.version = FORMAT_VERSION - 1;
    *bytes = header.encode().to_vec();
    let disk = restore(&image);
    drop(open(&disk).expect("opened"));
    let version = u32::from(self::image(&disk)[&segment(1)][8]);
    assert_eq!(version, FORMAT_VERSION);
}
