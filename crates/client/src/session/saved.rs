//! A session as bytes, for the process that comes after this one.
//!
//! The bytes begin with a mark and a version, and end with a checksum, so that what was cut,
//! changed or written by a newer client is refused, never half understood.

use prost::Message as _;
use wire::v1::BatchAddRequest;

use crate::Error;

/// The first bytes of every saved session; the last of them is the version.
const HEAD: [u8; 8] = *b"tallyse\x01";
const CHECKSUM_BYTES: usize = 4;

/// What is saved: the sessions with the nodes that were their homes, and the requests of each that
/// had no answer.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Saved {
    #[prost(message, repeated, tag = "1")]
    pub(crate) homes: Vec<SavedHome>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SavedHome {
    /// As the node gave it.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) session: Vec<u8>,
    /// The node, as the client was given it.
    #[prost(string, tag = "2")]
    pub(crate) address: String,
    #[prost(uint64, tag = "3")]
    pub(crate) answered_below: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) requests: Vec<SavedRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SavedRequest {
    #[prost(uint64, tag = "1")]
    pub(crate) number: u64,
    #[prost(message, required, tag = "2")]
    pub(crate) adds: BatchAddRequest,
}

impl Saved {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        self.encode(&mut bytes)
            .expect("a vector has space for what is encoded");
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`Saved::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::argument(format!(
                "these {} bytes are no saved session: {what}; give all bytes that Session::save \
                 gave, unchanged",
                bytes.len()
            ))
        };
        let (version, mark) = HEAD.split_last().expect("a mark and a version");
        let Some((found, rest)) = bytes.strip_prefix(mark).and_then(|rest| rest.split_first())
        else {
            return Err(wrong("they do not begin as one"));
        };
        if found != version {
            return Err(Error::argument(format!(
                "the saved session has version {found}, and this client knows {version}; restore \
                 it with the client that saved it, or a newer one"
            )));
        }
        let Some((content, checksum)) = rest.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(wrong("they were cut"));
        };
        let covered = &bytes[..bytes.len() - CHECKSUM_BYTES];
        if crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
            return Err(wrong("their checksum differs, so they were cut or changed"));
        }
        Self::decode(content).map_err(|error| wrong(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use wire::v1::BatchAddItem;

    use super::*;

    fn saved() -> Saved {
        let items = vec![BatchAddItem {
            counter: "likes".to_owned(),
            amount: -3,
        }];
        let request = SavedRequest {
            number: 7,
            adds: BatchAddRequest {
                items,
                request: None,
            },
        };
        Saved {
            homes: vec![SavedHome {
                session: vec![1, 2, 3],
                address: "10.0.0.1:7071".to_owned(),
                answered_below: 6,
                requests: vec![request],
            }],
        }
    }

    #[test]
    fn what_was_saved_is_what_is_read() {
        let bytes = saved().to_bytes();
        assert_eq!(Saved::from_bytes(&bytes).expect("as saved"), saved());
    }

    #[test]
    fn what_was_cut_or_changed_is_refused() {
        let bytes = saved().to_bytes();
        for length in 0..bytes.len() {
            let error = Saved::from_bytes(&bytes[..length]).expect_err("cut");
            assert!(error.is_invalid(), "{length}: {error}");
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            Saved::from_bytes(&changed).expect_err("changed");
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = saved().to_bytes();
        bytes[HEAD.len() - 1] = 9;
        let error = Saved::from_bytes(&bytes).expect_err("a newer version");
        assert!(error.to_string().contains("version 9"), "{error}");
    }
}
