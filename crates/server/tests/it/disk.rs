//! What an operator may do to a data directory behind a node's back.

use std::fs;
use std::path::Path;

use prost::Message as _;
use wire::v1::IntervalPart;

/// Copies a directory of files.
pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).expect("it does not exist");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file");
    }
}

/// Bytes before a file's first frame, and what of them the seed of its checksums covers.
const FILE_HEADER_BYTES: usize = 48;
const SEED_BYTES: usize = 44;

/// Bytes before a frame's payload: length, checksum, and two numbers.
const FRAME_HEADER_BYTES: usize = 24;

/// Changes what the frames of a directory say, with checksums that fit: damage that nothing on the
/// disk shows. How many frames were changed.
pub(crate) fn alter_frames(
    directory: &Path,
    mut alter: impl FnMut(&mut IntervalPart) -> bool,
) -> usize {
    let mut altered = 0;
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        if bytes.starts_with(b"TALLYSEG") || bytes.starts_with(b"TALLYSNP") {
            let (bytes, count) = altered_file(&bytes, &mut alter);
            fs::write(&path, bytes).expect("a file");
            altered += count;
        }
    }
    altered
}

fn altered_file(
    bytes: &[u8],
    alter: &mut impl FnMut(&mut IntervalPart) -> bool,
) -> (Vec<u8>, usize) {
    let seed = crc32c::crc32c(&bytes[..SEED_BYTES]);
    let (header, mut rest) = bytes.split_at(FILE_HEADER_BYTES);
    let (mut file, mut altered) = (header.to_vec(), 0);
    while let Some((frame, behind)) = rest.split_at_checked(FRAME_HEADER_BYTES) {
        let length = u32::from_le_bytes(frame[..4].try_into().expect("four bytes"));
        let Some((payload, behind)) = behind.split_at_checked(length as usize) else {
            break;
        };
        let part = IntervalPart::decode(payload).ok().filter(|_| length > 0);
        let changed = part.and_then(|mut part| alter(&mut part).then(|| part.encode_to_vec()));
        altered += usize::from(changed.is_some());
        let payload = changed.unwrap_or_else(|| payload.to_vec());
        let length = u32::try_from(payload.len())
            .expect("a small frame")
            .to_le_bytes();
        let mut checksum = crc32c::crc32c_append(seed, &length);
        checksum = crc32c::crc32c_append(checksum, &frame[8..]);
        checksum = crc32c::crc32c_append(checksum, &payload);
        file.extend(length);
        file.extend(checksum.to_le_bytes());
        file.extend(&frame[8..]);
        file.extend(payload);
        rest = behind;
    }
    file.extend(rest);
    (file, altered)
}
