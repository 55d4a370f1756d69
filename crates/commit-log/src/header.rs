//! The first bytes of a segment or a snapshot: what the file is, whose it is, where it begins.

use crate::frame::{Seed, Sequence};

/// The version of the layout that this program writes.
pub(crate) const FORMAT_VERSION: u32 = 3;

/// The oldest version that it reads: 1, in which no frame is a seal. In 2 no frame says anything of
/// sessions, or that a set goes on.
pub(crate) const FORMAT_VERSION_MIN: u32 = 1;

/// Whether this program reads files of a version.
pub(crate) fn is_known(version: u32) -> bool {
    (FORMAT_VERSION_MIN..=FORMAT_VERSION).contains(&version)
}

/// Bytes before a file's first frame.
pub(crate) const FILE_HEADER_BYTES: usize = 48;

/// What kind of file a header begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Snapshot,
}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Segment => *b"TALLYSEG",
            Self::Snapshot => *b"TALLYSNP",
        }
    }
}

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: FileKind,
    /// The version of the file's layout.
    pub(crate) version: u32,
    /// The replica whose directory the file belongs to.
    pub(crate) replica: u128,
    /// As in the file's name.
    pub(crate) sequence: Sequence,
    /// Random: makes the seed of this file's checksums its own.
    pub(crate) salt: u64,
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// They do not start as a file of this kind does.
    Magic,
    /// They are of a layout that this program does not know.
    Version(u32),
    /// They are not as they were written.
    Checksum { expected: u32, found: u32 },
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.kind.magic());
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.replica.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.sequence.get().to_le_bytes());
        bytes[36..44].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header. The version is judged before the checksum, since another version may keep
    /// its checksum elsewhere.
    pub(crate) fn decode(
        kind: FileKind,
        bytes: &[u8; FILE_HEADER_BYTES],
    ) -> Result<Self, HeaderError> {
        let u32_at = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were taken"))
        };
        let u64_at = |at: usize| {
            u64::from_le_bytes(
                bytes[at..at + 8]
                    .try_into()
                    .expect("eight bytes were taken"),
            )
        };
        if bytes[0..8] != kind.magic() {
            return Err(HeaderError::Magic);
        }
        let version = u32_at(8);
        if !is_known(version) {
            return Err(HeaderError::Version(version));
        }
        let (expected, found) = (crc32c::crc32c(&bytes[..44]), u32_at(44));
        if expected != found {
            return Err(HeaderError::Checksum { expected, found });
        }
        let replica = bytes[12..28].try_into().expect("sixteen bytes were taken");
        Ok(Self {
            kind,
            version,
            replica: u128::from_be_bytes(replica),
            sequence: Sequence::new(u64_at(28)),
            salt: u64_at(36),
        })
    }

    /// Where the checksums of this file's frames start.
    pub(crate) fn seed(&self) -> Seed {
        Seed(crc32c::crc32c(&self.encode()[..44]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: FileHeader = FileHeader {
        kind: FileKind::Segment,
        version: 3,
        replica: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        sequence: Sequence::new(258),
        salt: 7,
    };

    #[test]
    fn the_bytes_of_a_header_are_pinned() {
        let fields = [
            b"\x54\x41\x4c\x4c\x59\x53\x45\x47".as_slice(),
            b"\x03\x00\x00\x00".as_slice(),
            b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef".as_slice(),
            b"\x02\x01\x00\x00\x00\x00\x00\x00".as_slice(),
            b"\x07\x00\x00\x00\x00\x00\x00\x00".as_slice(),
            b"\x05\x18\x94\xe2".as_slice(),
        ];
        assert_eq!(HEADER.encode().as_slice(), fields.concat());
    }

    #[test]
    fn a_header_is_read_back_and_any_flipped_bit_is_seen() {
        let bytes = HEADER.encode();
        assert_eq!(FileHeader::decode(FileKind::Segment, &bytes), Ok(HEADER));
        assert_eq!(
            FileHeader::decode(FileKind::Snapshot, &bytes),
            Err(HeaderError::Magic)
        );
        for bit in 0..FILE_HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                FileHeader::decode(FileKind::Segment, &flipped).is_err(),
                "bit {bit}"
            );
        }
    }
}
