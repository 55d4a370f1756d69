//! Identifiers and marks as short texts, for `serde(with)`: a replica id as 32 hexadecimal digits,
//! a start and a content as 16 at most, a mark as `VERSION@START`.

use std::fmt;

use crdt_core::{Mark, ReplicaId, StartId, Version};
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Content;

/// Reads a text that `parse` understands, and says what was expected where it does not.
fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Text<F>(&'static str, F);
    impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<F> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            let Self(expected, parse) = self;
            parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &expected))
        }
    }
    deserializer.deserialize_str(Text(expected, parse))
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

pub(crate) mod replica {
    use super::{Deserializer, ReplicaId, Serializer, parsed};

    pub(crate) fn serialize<S: Serializer>(id: &ReplicaId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ReplicaId, D::Error> {
        parsed(from, "a replica id in hexadecimal digits", |text| {
            u128::from_str_radix(text, 16).ok().map(ReplicaId::new)
        })
    }
}

pub(crate) mod start {
    use super::{Deserializer, Serializer, StartId, hexadecimal, parsed};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    pub(crate) fn serialize<S: Serializer>(id: &StartId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:x}", id.get()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StartId, D::Error> {
        parsed(from, "a start in hexadecimal digits", |text| {
            hexadecimal(text).map(StartId::new)
        })
    }
}

pub(crate) mod mark {
    use super::{Deserializer, Mark, Serializer, StartId, Version, hexadecimal, parsed};

    pub(crate) fn serialize<S: Serializer>(mark: &Mark, to: S) -> Result<S::Ok, S::Error> {
        let (version, start) = (mark.version.get(), mark.start.get());
        to.collect_str(&format_args!("{version}@{start:x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Mark, D::Error> {
        parsed(from, "a mark, VERSION@START", |text| {
            let (version, start) = text.split_once('@')?;
            Some(Mark {
                version: Version::new(version.parse().ok()?),
                start: StartId::new(hexadecimal(start)?),
            })
        })
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let content = parsed(from, "a content in hexadecimal digits", hexadecimal)?;
        Ok(Self::new(content))
    }
}
